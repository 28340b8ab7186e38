"""The machine of an LDAP server: order, TLS, numbers (RFC 4511, RFC 4513 §3)."""

import asn1tools

from vaguemestre.protocols.ldap import messages
from vaguemestre.protocols.ldap.encoding import Bounds
from vaguemestre.protocols.ldap.messages import Request
from vaguemestre.protocols.ldap.notation import NOTATION
from vaguemestre.protocols.ldap.server import NEED_DATA, PAGED_RESULTS, Rejected, ServerConnection, StartTls

LIBRARY = asn1tools.compile_string(NOTATION, "ber")


def written(number: int, kind: str, value: object, control: tuple[str, bool] | None = None) -> bytes:
    message: dict[str, object] = {"messageID": number, "protocolOp": (kind, value)}
    if control:
        message["controls"] = [{"controlType": control[0].encode(), "criticality": control[1], "controlValue": b""}]
    octets: bytes = LIBRARY.encode("LDAPMessage", message)
    return octets


def bind(number: int) -> bytes:
    return written(number, "bindRequest", {"version": 3, "name": b"cn=x", "authentication": ("simple", b"secret")})


def search(number: int, base: bytes = b"o=x", scope: int = 2, control: tuple[str, bool] | None = None) -> bytes:
    value = {
        **{"baseObject": base, "scope": scope, "derefAliases": 0, "sizeLimit": 0, "timeLimit": 0, "typesOnly": False},
        **{"filter": ("present", b"cn"), "attributes": []},
    }
    return written(number, "searchRequest", value, control)


def extended(number: int, name: str) -> bytes:
    return written(number, "extendedReq", {"requestName": name.encode()})


START_TLS = "1.3.6.1.4.1.1466.20037"


def answers(machine: ServerConnection) -> list[tuple[int, str, int]]:
    """Number, kind and code of what the machine says."""
    data, found = machine.data_to_send(), []
    while data:
        length = (
            2 + data[1]
            if data[1] < 0x80
            else 2 + (data[1] & 127) + int.from_bytes(data[2 : 2 + (data[1] & 127)], "big")
        )
        message = LIBRARY.decode("LDAPMessage", data[:length])
        kind, value = message["protocolOp"]
        found.append((message["messageID"], kind, value["resultCode"]))
        data = data[length:]
    return found


def test_requests_come_one_by_one_however_they_are_cut() -> None:
    machine = ServerConnection(tls_active=True)
    events = []
    for octet in bind(1) + search(2):
        machine.receive_data(bytes([octet]))
        while (event := machine.next_event()) is not NEED_DATA:
            events.append(event)
    assert [each.message_id for each in events if isinstance(each, Request)] == [1, 2]
    assert machine.buffered == 0


def test_before_tls_only_the_root_and_start_tls() -> None:
    machine = ServerConnection()
    machine.receive_data(
        bind(1) + search(2) + search(3, b"", 0) + search(4, b"", 2) + extended(5, "1.3.6.1.4.1.4203.1.11.3")
    )
    kinds = []
    while (event := machine.next_event()) is not NEED_DATA:
        kinds.append(type(event))
    assert kinds == [Rejected, Rejected, Request, Rejected, Rejected]
    assert answers(machine) == [
        (1, "bindResponse", 13),
        (2, "searchResDone", 13),
        (4, "searchResDone", 13),
        (5, "extendedResp", 13),
    ]


def test_start_tls() -> None:
    machine = ServerConnection()
    machine.receive_data(extended(1, START_TLS))
    assert isinstance(machine.next_event(), StartTls)
    assert answers(machine) == [(1, "extendedResp", 0)]
    machine.tls_started()
    machine.receive_data(extended(2, START_TLS) + bind(3))
    assert isinstance(machine.next_event(), Rejected)
    assert answers(machine) == [(2, "extendedResp", 1)]
    assert isinstance(machine.next_event(), Request)


def test_what_follows_start_tls_in_clear_ends_the_connection() -> None:
    machine = ServerConnection()
    machine.receive_data(extended(1, START_TLS) + search(2, b"", 0))
    assert isinstance(machine.next_event(), StartTls)
    machine.data_to_send()
    machine.tls_started()
    assert isinstance(machine.next_event(), Rejected)
    assert answers(machine) == [(0, "extendedResp", 2)]
    assert machine.closed


def test_start_tls_waits_for_what_is_under_way() -> None:
    machine = ServerConnection()
    machine.receive_data(search(1, b"", 0) + extended(2, START_TLS))
    assert isinstance(machine.next_event(), Request)
    assert isinstance(machine.next_event(), Rejected)
    assert answers(machine) == [(2, "extendedResp", 1)]


def test_a_number_comes_once_until_it_is_answered() -> None:
    machine = ServerConnection(tls_active=True)
    machine.receive_data(search(1))
    assert isinstance(machine.next_event(), Request)
    machine.answered(1)
    machine.receive_data(search(1) + search(1))
    assert isinstance(machine.next_event(), Request)
    assert isinstance(machine.next_event(), Rejected)
    assert answers(machine) == [(0, "extendedResp", 2)]
    assert machine.closed


def test_a_critical_control_is_known_or_refuses_the_request() -> None:
    machine = ServerConnection(tls_active=True)
    unknown = "1.2.3.4"
    machine.receive_data(search(1, control=(unknown, False)) + search(2, control=(PAGED_RESULTS, True)))
    assert isinstance(machine.next_event(), Request)
    assert isinstance(machine.next_event(), Request)
    machine.receive_data(search(3, control=(unknown, True)))
    assert isinstance(machine.next_event(), Rejected)
    assert answers(machine) == [(3, "searchResDone", 12)]


def test_what_is_no_message_ends_the_connection() -> None:
    for octets in (b"GET / HTTP/1.1\r\n", b"\x30\x80", b"\x30\x05\x02\x01\x01\x5e\x00", b"\x30\x84\x10\x00\x00\x00"):
        machine = ServerConnection(tls_active=True)
        machine.receive_data(octets)
        assert isinstance(machine.next_event(), Rejected)
        assert answers(machine) == [(0, "extendedResp", 2)]
        assert machine.closed
        machine.receive_data(search(1))
        assert machine.next_event() is NEED_DATA


def test_no_more_is_kept_than_a_message() -> None:
    machine = ServerConnection(Bounds(octets=1000), tls_active=True)
    machine.receive_data(b"\x30\x82\x03\xe9" + bytes(500))
    assert isinstance(machine.next_event(), Rejected)
    assert machine.buffered == 0


def test_good_bye() -> None:
    machine = ServerConnection(tls_active=True)
    machine.receive_data(written(1, "unbindRequest", None))
    event = machine.next_event()
    assert isinstance(event, Request)
    assert event.operation == messages.Unbind()
    assert machine.closed
