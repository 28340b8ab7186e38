"""The dialogues of `tests/protocol/imap`, which the machine alone goes through there, over TLS with a whole operator."""

import socket
import ssl
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from simulators import dialogue as dialogues
from simulators.dialogue import Dialogue, Turn
from simulators.operators import Operator
from simulators.space import SOUTH, TrustSpace
from vaguemestre.mailstore import accounts
from vaguemestre.mailstore.model import AccountKind
from vaguemestre.protocols.imap.server import ServerConnection
from vaguemestre.servers.imap import session

DIALOGUES = sorted((Path(__file__).parents[1] / "protocol" / "imap").glob("*.dialogue"))
ANYWHERE = {"listen": "127.0.0.1:0", "listen_tls": "127.0.0.1:0"}
_PATIENCE_S = 30


@pytest.fixture(scope="module")
def south(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator that serves mail programs. Each dialogue is with somebody of its own."""
    identity = {"app_passwords": True}
    running = Operator(space, tmp_path_factory.mktemp("south"), SOUTH, imap=ANYWHERE, identity=identity).start()
    yield running
    running.close()


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
def test_dialogue_goes_as_written(
    path: Path, south: Operator, space: TrustSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    south.write(accounts.create, AccountKind.PER, SOUTH.address(path.stem), path.stem)
    user, password = south.let_in(path.stem)
    dialogue = dialogues.read(path, user, password)
    # The only thing that no configuration sets: how much a connection may cost. The server runs in this process.
    monkeypatch.setattr(session, "ServerConnection", partial(ServerConnection, dialogue.limits))
    context = ssl.create_default_context(cafile=str(space.authorities))
    with _Line(south, context, over_tls=dialogue.over_tls) as line:
        line.play(Turn(b"", ["* OK …"]))
        if "signed-in" in dialogue.options:
            line.play(Turn(f"sign-in LOGIN {user} {password}\r\n".encode(), ["sign-in OK …"]))
        for turn in dialogue.turns:
            line.play(turn)
            if turn.said.endswith(b" STARTTLS\r\n") and turn.due[-1].split()[1] == "OK":
                line.secure()
        if dialogue.closed:
            line.play_to_the_end(dialogue)
        else:  # it goes on, and has said nothing that was not due
            line.play(Turn(b"still-here NOOP\r\n", ["still-here OK …"]))


class _Line:
    """A connection, over which turns are played. `with` closes it."""

    def __init__(self, operator: Operator, context: ssl.SSLContext, *, over_tls: bool) -> None:
        self._context = context
        port = operator.ports["imaps" if over_tls else "imap"]
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port), _PATIENCE_S)
        self._file = self._socket.makefile("rb")
        if over_tls:
            self.secure()

    def __enter__(self) -> "_Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def secure(self) -> None:
        """Shake hands."""
        self._file.close()
        self._socket = self._context.wrap_socket(self._socket, server_hostname="localhost")
        self._file = self._socket.makefile("rb")

    def play(self, turn: Turn) -> None:
        """Say what is to be said, and hear as far as all that is due has come. What comes too much, the next turn hears."""
        self._socket.sendall(turn.said)
        due = list(turn.due)
        while due:
            line = self._file.readline()
            assert line.endswith(b"\r\n"), (turn.said, line, due)
            turn.hear(line[:-2], due)

    def play_to_the_end(self, dialogue: Dialogue) -> None:
        """Hear nothing more than may come, then the end."""
        for line in self._file:
            dialogue.turns[-1].hear(line.removesuffix(b"\r\n"), [])
