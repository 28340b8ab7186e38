"""A private Dovecot: what another IMAP server says of the same messages.

Everything is in a folder of its own, and it listens on 127.0.0.1 only. Messages are put into one person's Maildir as
they are, octet by octet, so that no delivery changes them.
"""

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from simulators.patience import until
from simulators.ports import free_port
from simulators.software import program

_CONFIGURATION = """\
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{folder}/mail
mail_uid = nobody
mail_gid = {group}
first_valid_uid = 1
first_valid_gid = 0
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=nobody gid={group} home={folder}/home allow_all_users=yes
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service stats {{
  chroot =
}}
"""


class MaildirDovecot:
    """One person's mailbox, read by IMAP: any name and password open it."""

    def __init__(self) -> None:
        assert os.geteuid() == 0, (
            "Dovecot only starts as root here: run this test as root (in a container, for example)"
        )
        self._dovecot = program("dovecot", "dovecot-imapd")
        self.port = free_port()
        # Not under pytest's folder: Dovecot's processes have users of their own, who may not enter it.
        self._folder = Path(tempfile.mkdtemp(prefix="vaguemestre-dovecot-"))
        self._folder.chmod(0o755)
        for name in ("mail/cur", "mail/new", "mail/tmp", "home", "run"):
            (self._folder / name).mkdir(parents=True)
        self._configuration = self._folder / "dovecot.conf"
        group = subprocess.run(["id", "-gn", "nobody"], check=True, capture_output=True, text=True).stdout.strip()
        self._configuration.write_text(_CONFIGURATION.format(folder=self._folder, port=self.port, group=group))

    def put(self, contents: Sequence[bytes]) -> None:
        """Put messages into the inbox, in order of UID from 1. Before anybody reads it."""
        for number, content in enumerate(contents, 1):
            path = self._folder / "mail" / "cur" / f"{number}.M{number:06}.host:2,"
            path.write_bytes(content)
        for path in [self._folder / "home", *(self._folder / "mail").rglob("*"), self._folder / "mail"]:
            shutil.chown(path, "nobody")

    def start(self) -> Self:
        """Start it."""
        self._command("start")
        until(self._answers, "Dovecot answers")
        return self

    def close(self) -> None:
        """Stop it and remove what it made."""
        try:
            self._command("stop")
        finally:
            shutil.rmtree(self._folder)

    def reader(self) -> "Reader":
        """Somebody who reads the inbox."""
        return Reader(self.port)

    @property
    def log(self) -> str:
        """What it logged."""
        path = self._folder / "dovecot.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def _answers(self) -> bool:
        try:
            Reader(self.port).close()
        except (OSError, AssertionError):
            return False
        return True

    def _command(self, verb: str) -> None:
        words = ["-c", str(self._configuration)] + ([] if verb == "start" else [verb])
        with tempfile.TemporaryFile() as said:
            code = subprocess.run(
                [self._dovecot, *words],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=60,
            ).returncode
            said.seek(0)
            assert code == 0, f"dovecot {verb}: {said.read().decode()} {self.log}"


class Reader:
    """A session with the inbox open for reading; it signs in again where the server ended it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open()

    def close(self) -> None:
        """End the session."""
        self._file.close()
        self._socket.close()

    def fetch(self, number: int, item: str) -> bytes | None:
        """The FETCH answer for an item of a message, literals in place; None where it was refused."""
        self._socket.sendall(f"f FETCH {number} ({item})\r\n".encode())
        wanted, found = f"* {number} FETCH (".encode(), None
        while not (line := self._line()).startswith(b"f "):
            if line.startswith(wanted) and item.partition("[")[0].removesuffix(".PEEK").encode() in line:
                found = line
            if not line or line.startswith(b"* BYE"):
                self.close()
                self._open()
                return None
        return found if line.startswith(b"f OK") else None

    def _line(self) -> bytes:
        line = b""
        while True:
            line += self._file.readline()
            literal = re.search(rb"\{(\d+)\}\r\n\Z", line)
            if not literal:
                return line
            line += self._file.read(int(literal[1]))

    def _open(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        self._file = self._socket.makefile("rb")
        self._line()
        for command in (b"l LOGIN someone anything\r\n", b"e EXAMINE INBOX\r\n"):
            self._socket.sendall(command)
            while not (line := self._line()).startswith(command[:2]):
                assert line, "Dovecot ends the session"
            assert line[2:4] == b"OK", line
