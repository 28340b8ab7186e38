"""The dialogues of `tests/protocol/smtp`, which the machine alone goes through there, over TLS with a whole operator.

What the machine says by itself is the same to the letter; of what it is told to say, the code.
"""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators import smtp_dialogue as dialogues
from simulators.operators import Operator
from simulators.patience import until
from simulators.smtp_dialogue import HOST, Dialogue, matches
from simulators.space import Identity, Place, TrustSpace
from vaguemestre.servers import smtp, submission
from vaguemestre.trust import allowlist

FOLDER = Path(__file__).parents[1] / "protocol" / "smtp" / "dialogues"
DIALOGUES = sorted(path for path in FOLDER.glob("*.txt") if dialogues.read(path).socket)
HERE = Place("b.example", HOST, f"CN={HOST},OU=1590000077,O=B,C=FR")
PEER = "CN=mx.a.example,OU=1590000078,O=A,C=FR"
PEOPLE = ("anne", "bob", "carl", "a", "b", "c", "zoé", "postmaster")
_OF_THE_CALLER = ("OK", "Refused", "No such mailbox", "Signed in", "No", "Malformed", "Bye", "Go ahead")
_SIZE = 26_214_400
_PATIENCE_S = 30


@pytest.fixture(scope="module")
def peer(space: TrustSpace) -> Identity:
    """The certificate of a.example, a peer."""
    return space.issue(PEER)


@pytest.fixture(scope="module")
def here(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The operator that the dialogues are with."""
    folder = tmp_path_factory.mktemp("here")
    listed = folder / "list.xml"
    listed.write_bytes(space.signed([allowlist.entry("a.example", PEER)]))
    running = Operator(
        space,
        folder / "operator",
        HERE,
        PEOPLE,
        trust=space.trust(listed),
        smtp={"workers": 0, "message_size": _SIZE},
        submission={"listen": "127.0.0.1:0", "listen_tls": "127.0.0.1:0", "message_size": _SIZE},
        identity={"app_passwords": True},
    ).start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def anne(here: Operator) -> tuple[str, str]:
    """What anne's programs sign in with."""
    return here.let_in("anne")


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_dialogue_goes_as_written(
    path: Path, here: Operator, anne: tuple[str, str], peer: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialogue = dialogues.read(path, *anne)
    # The only thing that no configuration sets: how much a connection may cost. The server runs in this process.
    for module in (smtp, submission):
        monkeypatch.setattr(module, "_machine_limits", lambda _: dialogue.limits)
    before = _contents(here)
    with _Line(here.ports["submission" if dialogue.mechanisms else "smtp"], peer) as line:
        line.expect(["220 …"], path.stem)
        if dialogue.tls_active:
            for said in ("EHLO mx.a.example", "STARTTLS"):
                line.say(f"{said}\r\n".encode())
                line.expect(["250 …" if said.startswith("EHLO") else "220 …"], said, keywords=False)
            line.secure()
        for said, expected in dialogue.turns:
            line.say(said)
            line.expect(expected, repr(said))
            if said == b"STARTTLS\r\n" and expected[0].startswith("220"):
                line.secure()
        if dialogue.closed:
            assert line.rest() == b""
        else:  # it goes on, and has said nothing that was not due
            line.say(b"NOOP\r\n")
            line.expect(["250 2.0.0 OK"], "NOOP")
    _assert_delivered(here, before, dialogue)


class _Line:
    """A connection. `with` closes it."""

    def __init__(self, port: int, identity: Identity) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE  # what the server's certificate is worth is tested elsewhere
        self._context.load_cert_chain(identity.certificate, identity.key)
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port), _PATIENCE_S)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> "_Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def secure(self) -> None:
        self._file.close()
        self._socket = self._context.wrap_socket(self._socket)
        self._file = self._socket.makefile("rb")

    def say(self, data: bytes) -> None:
        self._socket.sendall(data)

    def expect(self, lines: list[str], after: str, *, keywords: bool = True) -> None:
        """Hear the replies that these lines make up; a reply in the caller's own words may have others."""
        for expected in _replies(lines):
            got = self._reply()
            if not keywords or expected[-1][4:].lstrip("0123456789. ") in _OF_THE_CALLER:
                assert got[-1][:4] == expected[-1][:4], (after, expected, got)
            else:
                assert len(got) == len(expected), (after, expected, got)
                assert all(map(matches, expected, got)), (after, expected, got)

    def rest(self) -> bytes:
        """What still comes until the server closes."""
        try:
            return self._file.read()
        except (ConnectionError, ssl.SSLError):
            return b""

    def _reply(self) -> list[str]:
        lines: list[str] = []
        while not lines or lines[-1][3:4] == "-":
            raw = self._file.readline()
            assert raw.endswith(b"\r\n"), f"the server closed after {lines} {raw!r}"
            lines.append(raw[:-2].decode("ascii"))
        return lines


def _replies(lines: list[str]) -> Iterator[list[str]]:
    reply: list[str] = []
    for line in lines:
        reply.append(line)
        if line[3:4] != "-":
            yield reply
            reply = []
    assert not reply, lines


def _contents(here: Operator) -> dict[int, bytes]:
    """The messages of all its people, by the content's identifier."""
    return {each.blob_id: here.content(each) for person in PEOPLE for each in here.messages(person)}


def _assert_delivered(here: Operator, before: dict[int, bytes], dialogue: Dialogue) -> None:
    """What was acknowledged is there, in that order, under what the server writes before it, and nothing else."""
    until(lambda: len(_contents(here)) - len(before) >= len(dialogue.messages), "all messages are in their mailboxes")
    new = [content for blob, content in sorted(_contents(here).items()) if blob not in before]
    assert len(new) == len(dialogue.messages), new
    for content, expected in zip(new, dialogue.messages, strict=True):
        if dialogue.mechanisms:  # fields may be added to the header
            head, _, text = expected.partition(b"\r\n\r\n")
            assert head in content.partition(b"\r\n\r\n")[0]
            assert content.endswith(b"\r\n\r\n" + text)
        else:
            assert content.endswith(b"\r\n" + expected)
