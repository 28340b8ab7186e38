"""Whoever calls an operator's SMTP port: a peer with a certificate, or an attacker with raw bytes. Blocking, one line at
a time, nothing tidied up: what a test writes is what goes on the wire."""

import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from select import select
from typing import Self

from simulators.space import Identity

_PATIENCE_S = 45.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply as it came: its code, its enhanced code or "", its lines without either."""

    code: int
    enhanced: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it on one line."""
        return " ".join(self.lines)

    @property
    def status(self) -> str:
        """For example `550 5.7.1`."""
        return f"{self.code} {self.enhanced}".strip()


class Caller:
    """A connection to an operator. `with` closes it."""

    def __init__(self, port: int, source: str = "127.0.0.1", *, tls_first: bool = False) -> None:
        """Connect, from this address, shake hands at once where told so, and read the banner."""
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port), _PATIENCE_S, (source, 0))
        self._file = self._socket.makefile("rb")
        if tls_first:
            self.shake_hands(None)
        self.banner = self.answer()

    @classmethod
    def secured(cls, port: int, identity: Identity | None, authorities: Path | None = None) -> Self:
        """Connect, start TLS with this certificate (or none), and say EHLO again."""
        caller = cls(port)
        try:
            assert caller.say("EHLO caller.example").code == 250
            assert caller.say("STARTTLS").code == 220
            caller.shake_hands(identity, authorities)
            assert caller.say("EHLO caller.example").code == 250
        except BaseException:
            caller.close()
            raise
        return caller

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()

    def shake_hands(self, identity: Identity | None, authorities: Path | None = None) -> None:
        """Start TLS now; the server's certificate must lead to `authorities` where given."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED if authorities else ssl.CERT_NONE
        if authorities:
            context.load_verify_locations(authorities)
        if identity is not None:
            context.load_cert_chain(identity.certificate, identity.key)
        self._file.close()
        self._socket = context.wrap_socket(self._socket)
        self._file = self._socket.makefile("rb")

    @property
    def tls(self) -> str:
        """Version and suite, as the operator writes them."""
        assert isinstance(self._socket, ssl.SSLSocket)
        cipher = self._socket.cipher()
        return f"{self._socket.version()} {cipher[0] if cipher else ''}"

    def write(self, data: bytes) -> None:
        """Bytes as they are."""
        self._socket.sendall(data)

    def say(self, line: str) -> Answer:
        """A command line, and its answer."""
        self.write(line.encode() + b"\r\n")
        return self.answer()

    def converse(self, data: bytes, count: int) -> list[bytes]:
        """Write without waiting for answers, while reading that many lines of them."""
        self._socket.setblocking(False)
        rest, answers = memoryview(data), b""
        while answers.count(b"\n") < count:
            with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                rest = rest[self._socket.send(rest[:65_536]) :]
            with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                heard = self._socket.recv(65_536)
                assert heard, "the server hung up"
                answers += heard
                continue
            select([self._socket], [self._socket] if rest else [], [], _PATIENCE_S)
        self._socket.settimeout(_PATIENCE_S)
        return answers.splitlines()

    def answer(self) -> Answer:
        """The next reply. Raises ConnectionError when the server closed instead."""
        lines: list[str] = []
        code = enhanced = ""
        while True:
            raw = self._file.readline()
            if not raw.endswith(b"\r\n"):
                raise ConnectionResetError(f"the server closed after {lines} {raw!r}")
            line = raw.decode("ascii").rstrip("\r\n")
            code, more, rest = line[:3], line[3:4] == "-", line[4:]
            word = rest.split(" ", 1)[0]
            if word.count(".") == 2 and word.replace(".", "").isdigit():
                enhanced, rest = word, rest[len(word) + 1 :]
            lines.append(rest)
            if not more:
                return Answer(int(code), enhanced, tuple(lines))

    def closed(self) -> bool:
        """Whether the server closes without another word; waits for it."""
        try:
            return self._file.read(1) == b""
        except (ConnectionError, ssl.SSLError):
            return True

    def envelope(self, reverse_path: str, *recipients: str, options: str = "") -> list[Answer]:
        """MAIL and RCPT; their answers."""
        answers = [self.say(f"MAIL FROM:<{reverse_path}>{options and ' ' + options}")]
        return [
            *answers,
            *(self.say(f"RCPT TO:<{each}>" if "<" not in each else f"RCPT TO:{each}") for each in recipients),
        ]

    def send(self, reverse_path: str, recipients: Iterable[str], content: bytes, options: str = "") -> Answer:
        """A whole transaction, every step of which must succeed before the content; the answer to that."""
        for answer in self.envelope(reverse_path, *recipients, options=options):
            assert answer.code == 250, answer
        answer = self.say("DATA")
        assert answer.code == 354, answer
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        self.write((b"." if stuffed.startswith(b".") else b"") + stuffed + b".\r\n")
        return self.answer()


def letter(sender: str, to: str, subject: str = "Bonjour", text: str = "Un mot.", extra: str = "") -> bytes:
    """A small message whose lines end with CRLF; its header, `extra` included, is ASCII."""
    head = [
        f"From: <{sender}>",
        f"To: <{to}>",
        f"Subject: {subject}",
        f"Message-ID: <{abs(hash((sender, to, subject, text)))}@caller.example>",
        "Date: Mon, 02 Mar 2026 10:00:00 +0100",
        *extra.splitlines(),
        "",
        "",
    ]
    return "\r\n".join(head).encode("ascii") + text.replace("\n", "\r\n").encode() + b"\r\n"
