"""Feeds the LDAP server's machine anything, in any cutting; filters that come out are planned, compiled and asked.

`python tests/fuzz/fuzz_ldap_server.py tests/fuzz/corpus/ldap` runs under atheris; the corpus is replayed by
`test_fuzz_ldap_server.py`. The first octet of an input chooses whether TLS is on, how the rest is cut, and what is left
unanswered.
"""

import contextlib
import sys

from vaguemestre.directory.substrings import COLUMNS
from vaguemestre.protocols.ldap import encoding, messages, names
from vaguemestre.protocols.ldap.encoding import Bounds, DecodingError
from vaguemestre.protocols.ldap.messages import Request, Unbind
from vaguemestre.protocols.ldap.names import DnSyntaxError
from vaguemestre.protocols.ldap.results import SUCCESS
from vaguemestre.protocols.ldap.server import Rejected, ServerConnection, StartTls, Wait
from vaguemestre.servers.ldap import matching, plan
from vaguemestre.servers.ldap.matching import TooManyPartsError
from vaguemestre.servers.ldap.schema import Schema

BOUNDS = Bounds(octets=4096, depth=24, elements=300)
SCHEMA = Schema()


class Nobody:
    """An entry with nothing in it."""

    def folded(self, attribute: str) -> list[str]:
        return []

    def all_folded(self) -> list[str]:
        return []

    def named(self, attribute: str) -> list[str]:
        return []


def run(data: bytes) -> list[str]:
    """Plays one input, checks what must always hold, gives the names of the events and operations."""
    seed, data = data[0] if data else 0, data[1:]
    machine = ServerConnection(BOUNDS, tls_active=bool(seed & 1))
    size = (seed >> 2) % 16 + 1 if seed & 128 else len(data) + 1
    found: list[str] = []
    for start in range(0, len(data), size):
        machine.receive_data(data[start : start + size])
        while not isinstance(event := machine.next_event(), Wait):
            found.append(type(event).__name__)
            said = machine.data_to_send()
            if isinstance(event, StartTls):
                assert said
                machine.tls_started()
            elif isinstance(event, Rejected):
                assert event.fact.fr != event.fact.en
                assert said or not machine.closed
            else:
                found.append(type(event.operation).__name__)
                take(machine, event, answer=not seed & 2)
        assert machine.buffered <= BOUNDS.octets
    return found


def take(machine: ServerConnection, request: Request, *, answer: bool) -> None:
    """What a caller does with a request."""
    operation = request.operation
    assert request.message_id or isinstance(operation, Unbind)
    if not machine.tls_active:
        root = isinstance(operation, messages.Search) and not operation.base and operation.scope is messages.Scope.BASE
        assert root or isinstance(operation, Unbind | messages.Abandon)
    if isinstance(operation, messages.Search):
        search(operation)
    for control in request.controls:
        with contextlib.suppress(DecodingError):
            encoding.read_paged_results(control.value)
    kind = encoding.response_to(operation)
    if answer and kind:
        assert encoding.result(request.message_id, kind, SUCCESS)
        machine.answered(request.message_id)


def search(operation: messages.Search) -> None:
    """A name is read or refused, a filter is planned and judges."""
    with contextlib.suppress(DnSyntaxError):
        names.parse(operation.base)
    try:
        wanted = matching.plainly(operation.filter)
    except TooManyPartsError:
        return
    verdict = matching.compiled(wanted, lambda name: (found := SCHEMA.find(name)) and found.name)(Nobody())
    assert verdict in (True, False, None)
    planned = plan.of(wanted, SCHEMA)
    assert verdict is not True or planned.everything
    for expression in (planned.first, planned.runs):
        if expression is not None:
            plan.expression(expression)
            plan.holds(expression, ("",) * len(COLUMNS))


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, lambda data: run(data) and None)
    atheris.Fuzz()
