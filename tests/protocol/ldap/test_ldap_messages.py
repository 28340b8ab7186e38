"""Messages of LDAP: what is read, what is refused before it is looked into, what is written (RFC 4511 §5.1)."""

import contextlib
import time

import asn1tools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.protocols.ldap import encoding, messages
from vaguemestre.protocols.ldap.encoding import Bounds, DecodingError, SizeError
from vaguemestre.protocols.ldap.messages import Request
from vaguemestre.protocols.ldap.notation import NOTATION
from vaguemestre.protocols.ldap.results import Result, ResultCode

BOUNDS = Bounds()
LIBRARY = asn1tools.compile_string(NOTATION, "ber")


def element(tag: int, content: bytes) -> bytes:
    """One element, its length written as Windows does."""
    return bytes([tag, 0x84]) + len(content).to_bytes(4, "big") + content


def search(of: bytes, scope: int = 2, limits: bytes = b"\x02\x01\x00\x02\x01\x00") -> bytes:
    """A search with this filter."""
    numbers = b"\x0a\x01" + bytes([scope]) + b"\x0a\x01\x00" + limits + b"\x01\x01\x00"
    asked = element(4, b"o=x") + numbers + of + element(0x30, element(4, b"cn"))
    return element(0x30, b"\x02\x01\x05" + element(0x63, asked))


def read(message: bytes) -> Request:
    assert encoding.measure(message, BOUNDS) == len(message)
    return encoding.decode(message, BOUNDS)


def asked(message: bytes) -> messages.Search:
    operation = read(message).operation
    assert isinstance(operation, messages.Search)
    return operation


ASSERTION = element(4, b"sn") + element(4, "Lefèvre".encode())


@pytest.mark.parametrize(
    ("octets", "found"),
    [
        (element(0x87, b"mail"), messages.Present("mail")),
        (element(0xA3, ASSERTION), messages.Equality("sn", "Lefèvre")),
        (element(0xA5, ASSERTION), messages.GreaterOrEqual("sn", "Lefèvre")),
        (element(0xA6, ASSERTION), messages.LessOrEqual("sn", "Lefèvre")),
        (element(0xA8, ASSERTION), messages.Approximate("sn", "Lefèvre")),
        (element(0xA2, element(0x87, b"sn")), messages.Not(messages.Present("sn"))),
        (element(0xA0, b""), messages.And(())),
        (element(0xA1, element(0x87, b"sn") * 2), messages.Or((messages.Present("sn"),) * 2)),
        (
            element(0xA4, element(4, b"cn") + element(0x30, b"\x80\x01a\x81\x01b\x81\x01c\x82\x01d")),
            messages.Substrings("cn", "a", ("b", "c"), "d"),
        ),
        (
            element(0xA9, b"\x81\x03r.x\x82\x02cn\x83\x01v\x84\x01\xff"),
            messages.Extensible("r.x", "cn", "v", True),
        ),
        (b"\xaf\x00", messages.UnknownFilter()),
        (element(0xA3, element(4, b"sn") + element(4, b"\xff")), messages.Equality("sn", "\ufffd")),
    ],
)
def test_filters(octets: bytes, found: messages.Filter) -> None:
    assert asked(search(octets)).filter == found


def test_other_requests() -> None:
    assert read(bytes.fromhex("300c020101600702010304008000")).operation == messages.Bind(3, "", messages.Simple(b""))
    sasl = read(
        element(0x30, b"\x02\x01\x01" + element(0x60, b"\x02\x01\x03\x04\x00" + element(0xA3, b"\x04\x08EXTERNAL")))
    )
    assert sasl.operation == messages.Bind(3, "", messages.Sasl("EXTERNAL", None))
    assert read(bytes.fromhex("30050201014200")).operation == messages.Unbind()
    assert read(bytes.fromhex("3006020102500101")).operation == messages.Abandon(1)
    compare = element(0x30, b"\x02\x01\x07" + element(0x6E, element(4, b"o=x") + element(0x30, ASSERTION)))
    assert read(compare).operation == messages.Compare("o=x", "sn", "Lefèvre")
    for tag, kind in ((0x66, "MODIFY"), (0x68, "ADD"), (0x6C, "MODIFY_DN")):
        assert read(element(0x30, b"\x02\x01\x07" + element(tag, b"\x04\x01x"))).operation == messages.Write[kind]
    assert read(bytes.fromhex("30060201074a0178")).operation == messages.Write.DELETE


def test_controls() -> None:
    control = element(
        0x30, element(4, b"1.2.840.113556.1.4.319") + b"\x01\x01\xff" + element(4, b"\x30\x05\x02\x01\x64\x04\x00")
    )
    request = read(element(0x30, b"\x02\x01\x05" + b"\x42\x00" + element(0xA0, control)))
    (found,) = request.controls
    assert (found.type, found.critical) == ("1.2.840.113556.1.4.319", True)
    assert encoding.read_paged_results(found.value) == (100, b"")
    assert encoding.read_paged_results(encoding.write_paged_results(7, b"next")) == (7, b"next")


def nested(depth: int) -> bytes:
    found = element(0x87, b"cn")
    for _ in range(depth):
        found = element(0xA2, found)
    return found


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (b"\x30\x80\x02\x01\x01\x42\x00\x00\x00", DecodingError),  # indefinite
        (b"\x30\x85\x00\x00\x00\x00\x05", DecodingError),
        (b"\x31\x05\x02\x01\x01\x42\x00", DecodingError),
        (b"\x30\x84\x7f\xff\xff\xff", SizeError),
        (b"\x30\x05\x02\x01\x01\x42\x7f", DecodingError),  # longer than what contains it
        (b"\x30\x05\x02\x01\x01\x5e\x00", DecodingError),  # no such operation
        (b"\x30\x07\x02\x01\x01\x61\x02\x0a\x00", DecodingError),  # an answer
        (b"\x30\x06\x02\x02\xff\xff\x42\x00", DecodingError),  # a number below 0
        (search(nested(60)), SizeError),
        (search(element(0xA0, element(0x87, b"cn") * 9000)), SizeError),
        (search(element(0x87, b"cn"), limits=b"\x02\x01\xff\x02\x01\x00"), DecodingError),
        (search(element(0xA4, element(4, b"cn") + element(0x30, b""))), DecodingError),
        (search(element(0xA4, element(4, b"cn") + element(0x30, b"\x81\x01b\x80\x01a"))), DecodingError),
        (b"\x30\x0a\x02\x01\x01\x63\x05\x24\x03\x04\x01x", DecodingError),  # a string in pieces
    ],
)
def test_hostile_messages_are_refused_at_once(message: bytes, error: type[DecodingError]) -> None:
    began = time.perf_counter()
    with pytest.raises(error):
        encoding.decode(message[: encoding.measure(message, BOUNDS) or None], BOUNDS)
    assert time.perf_counter() - began < 0.5


def test_a_message_is_measured_before_it_has_come() -> None:
    message = search(element(0x87, b"cn"))
    for cut in range(6):
        assert encoding.measure(message[:cut], BOUNDS) == 0
    assert encoding.measure(message[:6], BOUNDS) == len(message)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)


@given(st.integers(1, 2**31 - 1), texts, st.lists(st.tuples(texts, st.lists(texts, max_size=3)), max_size=4))
def test_entries_are_written_as_the_library_would(
    number: int, dn: str, attributes: list[tuple[str, list[str]]]
) -> None:
    (ours,) = encoding.found(number, [encoding.entry(dn, [encoding.attribute(*each) for each in attributes])])
    rows = [{"type": name.encode(), "vals": [value.encode() for value in values]} for name, values in attributes]
    entry = {"objectName": dn.encode(), "attributes": rows}
    assert ours == LIBRARY.encode("LDAPMessage", {"messageID": number, "protocolOp": ("searchResEntry", entry)})


def test_results() -> None:
    written = encoding.result(3, "searchResDone", Result(ResultCode.NO_SUCH_OBJECT, "é", "o=x"))
    assert LIBRARY.decode("LDAPMessage", written)["protocolOp"] == (
        "searchResDone",
        {"resultCode": 32, "matchedDN": b"o=x", "diagnosticMessage": "é".encode()},
    )


@given(st.binary(max_size=120))
def test_any_octets_are_a_message_or_an_error(data: bytes) -> None:
    message = element(0x30, data)
    with contextlib.suppress(DecodingError):
        encoding.decode(message, BOUNDS)
