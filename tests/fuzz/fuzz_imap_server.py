"""Feeds the IMAP server's machine anything, in any cutting, with a caller that grants or refuses by the input.

`python tests/fuzz/fuzz_imap_server.py tests/fuzz/corpus/imap` runs under atheris; the corpus is replayed by
`test_fuzz_imap_server.py`. The first octet of an input chooses how the rest is cut and answered.
"""

import re
import sys

from vaguemestre.protocols.imap import commands, events
from vaguemestre.protocols.imap.server import ServerConnection
from vaguemestre.protocols.imap.standing import Allowance, Limits

LIMITS = Limits(
    first=Allowance(line=200, literals=20, bad_commands=3, drained=100),
    then=Allowance(line=300, literals=100, bad_commands=5, drained=400),
    literal_count=4,
    nesting=6,
    ranges=5,
)
SAID = re.compile(rb"(?:(?:[^ \r\n*]+|\*) (?:BAD|NO|BYE)|\+) [ -~]*")
ENABLED = (["QRESYNC"], ["UTF8=ACCEPT"], ["IMAP4REV2"], ["CONDSTORE"])


def run(data: bytes) -> list[str]:
    """Plays one input, checks what must always hold, gives the names of the events."""
    seed, data = data[0] if data else 0, data[1:]
    machine = ServerConnection(LIMITS, tls_active=bool(seed & 1))
    if seed & 2:
        machine.authenticated()
    if seed & 4:
        machine.authenticated()
        machine.selected(read_only=bool(seed & 8))
        machine.enable(ENABLED[(seed >> 3) % 4])
    size = (seed >> 3) % 16 + 1 if seed & 128 else len(data) + 1
    caller = Caller(machine, seed)
    for start in range(0, len(data), size):
        machine.receive_data(data[start : start + size])
        caller.pump()
        assert machine.buffered <= LIMITS.then.line + 1, "more kept than one line"
    return caller.names


class Caller:
    """Answers by the seed, and checks the order of events."""

    def __init__(self, machine: ServerConnection, seed: int) -> None:
        self.machine = machine
        self.seed = seed
        self.names: list[str] = []
        self.tag = b""  # of the APPEND under way
        self.left: int | None = None  # octets of its literal that have not come

    def pump(self) -> None:
        machine = self.machine
        while not isinstance(event := machine.next_event(), events.Wait):
            kind = type(event.command if isinstance(event, events.Command) else event)
            self.names.append(kind.__name__)
            said = self.heard()
            if isinstance(event, events.Rejected):
                assert said, "a refusal that is not told"
            if isinstance(event, events.Violation):
                assert b"* BYE " in said
                assert machine.closed
            refuse = (self.seed ^ len(self.names)) % 7 == 0
            if isinstance(event, events.Command):
                assert not self.tag, "a command within APPEND"
                self.grant(event.command, refuse)
            else:
                self.follow(event, refuse)
            self.heard()
        self.heard()

    def heard(self) -> bytes:
        said = self.machine.data_to_send()
        if said:
            *lines, rest = said.split(b"\r\n")
            assert not rest
            assert all(map(SAID.fullmatch, lines)), said
        return said

    def grant(self, command: commands.Command, refuse: bool) -> None:
        machine = self.machine
        match command:
            case commands.StartTls() if not refuse:
                machine.tls_started()
            case commands.Authenticate():
                machine.challenge(b"go on")
                return
            case commands.Idle() if not refuse:
                machine.start_idle()
                return
            case commands.Login() if not refuse:
                machine.authenticated()
            case commands.Select(read_only=read_only):
                machine.unselected() if refuse else machine.selected(read_only)
            case commands.Close() | commands.Unselect():
                machine.unselected()
            case commands.Enable(names) if not refuse:
                machine.enable(names)
        machine.answered()
        assert machine.closed == isinstance(command, commands.Logout)

    def follow(self, event: events.Event, refuse: bool) -> None:
        machine = self.machine
        match event:
            case events.SaslResponse():
                if refuse:
                    machine.challenge(b"more")
                else:
                    machine.authenticated()
                    machine.answered()
            case events.SaslCancelled():
                machine.answered()
            case events.Rejected() | events.Violation():
                self.tag, self.left = b"", None
            case events.AppendStarts(tag):
                assert not self.tag
                self.tag = tag
                self.perhaps(refuse)
            case events.AppendMessage() | events.AppendUrl() | events.AppendMessageEnds():
                assert self.tag
                assert not self.left
                self.perhaps(refuse)
            case events.AppendLiteral(size):
                assert self.tag
                assert not self.left
                self.left = size
                if refuse or size > 1000:
                    self.perhaps(True)
                else:
                    machine.accept_literal()
            case events.AppendContent(data):
                assert data
                assert self.left is not None
                self.left -= len(data)
                assert self.left >= 0
                self.perhaps(refuse)
            case events.AppendEnds(tag):
                assert tag == self.tag
                assert not self.left
                if refuse:
                    self.perhaps(True)
                else:
                    self.tag, self.left = b"", None
                    machine.answered()

    def perhaps(self, refuse: bool) -> None:
        if refuse:
            self.machine.refuse_append(self.tag + b" NO refused\r\n")
            self.tag, self.left = b"", None


def main() -> None:
    """Runs under atheris until stopped or until its `-max_total_time`."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, lambda data: run(data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
