"""A mail program as small as can be: one IMAP connection, one command after the other, every answer taken apart.

It trusts nothing to be polite: what is not IMAP fails the test with the octets that came. Values are simple: an atom is a
`str`, a number an `int`, NIL `None`, a string or literal `bytes`, a parenthesised list a `tuple`.

RFC 9051 §9 (grammar of answers), RFC 7888 (LITERAL+, LITERAL-), RFC 4978 (COMPRESS), RFC 2177 (IDLE).
"""

import base64
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from simulators.imap_answers import Answer, Untagged, code_of, expand, read_answer

TIMEOUT_S = 30.0
_LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")
_NUMBER_OF = re.compile(r"(UIDVALIDITY|UIDNEXT|HIGHESTMODSEQ|UNSEEN) (\d+)")

Part: TypeAlias = str | bytes
LiteralKind: TypeAlias = Literal["synchronising", "+"]


@dataclass(frozen=True, slots=True)
class Login:
    """What a person signs in with."""

    user: str
    password: str


@dataclass(slots=True)
class Selected:
    """What SELECT or EXAMINE told. `permanent` holds \\* where keywords may be made."""

    exists: int = 0
    uid_validity: int = 0
    uid_next: int = 0
    modseq: int = 0
    flags: frozenset[str] = frozenset()
    permanent: frozenset[str] = frozenset()
    read_only: bool = False
    mailbox_id: str = ""
    answer: Answer = field(default_factory=lambda: Answer("OK"))


class ImapPeer:
    """One connection. Its verbs raise ConnectionError once the server is gone, AssertionError where `ok` is refused."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._line.settimeout(TIMEOUT_S)
        self._kept = bytearray()
        self._inflate: Any = None
        self._deflate: Any = None
        self._count = 0
        self.literals: LiteralKind = "synchronising"
        self.heard: Callable[[Untagged], None] | None = None  # told of every untagged answer as it comes
        self.greeting = self._greet()

    @classmethod
    def connect(
        cls, port: int, context: ssl.SSLContext | None, *, implicit: bool = False, host: str = "localhost"
    ) -> "ImapPeer":
        """Connect to a server of this machine: TLS at once, or by STARTTLS, or none where there is no context."""
        line = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if context is not None and implicit:
                line = context.wrap_socket(line, server_hostname=host)
            peer = cls(line)
            if context is not None and not implicit:
                peer.start_tls(context, host)
        except BaseException:
            line.close()
            raise
        return peer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()

    # Lines and octets

    def send(self, data: bytes) -> None:
        """Octets as they are, for what no well-made command would hold."""
        if self._deflate is not None:
            data = self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        self._line.sendall(data)

    def receive(self, timeout: float = TIMEOUT_S) -> bytes:
        """One whole answer, its literals included, with its CRLF."""
        data = bytearray()
        end = time.monotonic() + timeout
        while True:
            data += self._take_line(end)
            found = _LITERAL.search(data[-24:])
            if found is None:
                return bytes(data)
            data += self._take(int(found[1]), end)

    def next_untagged(self, timeout: float = TIMEOUT_S) -> Untagged:
        """The next untagged answer. Raises TimeoutError when none comes in `timeout` seconds."""
        _, untagged = read_answer(self.receive(timeout))
        assert untagged is not None, "a tagged answer to no command"
        return self._tell(untagged)

    def is_closed(self, timeout: float = 5.0) -> bool:
        """Whether the server hangs up, what it says before left aside."""
        end = time.monotonic() + timeout
        try:
            while time.monotonic() < end:
                self.receive(max(0.01, end - time.monotonic()))
        except TimeoutError:
            return False
        except (ConnectionError, ssl.SSLError):
            return True
        return False

    def cut(self) -> None:
        """Leave without a word."""
        self._line.close()

    # Commands

    def begin(self, *parts: Part) -> str:
        """Send a command, its literals too; its tag. Parts of `bytes` go as literals. For pipelining: `finish` it later."""
        tag = self._new_tag()
        early = self._send_parts(tag, parts)
        assert early is None, f"refused before it was whole: {early}"
        return tag

    def finish(self, tag: str) -> Answer:
        """The answer to a command begun."""
        return self._until_tagged(tag, [])

    def command(self, *parts: Part) -> Answer:
        """Send a command and read its answer, whatever it is."""
        tag = self._new_tag()
        seen: list[Untagged] = []
        early = self._send_parts(tag, parts, seen)
        return early or self._until_tagged(tag, seen)

    def ok(self, *parts: Part) -> Answer:
        """The same; anything but OK fails the test."""
        answer = self.command(*parts)
        assert answer.status == "OK", f"{parts!r:.300}: {answer.status} {answer.code} {answer.text}"
        return answer

    def refused(self, *parts: Part, code: str = "", status: str = "NO") -> Answer:
        """The same; it must be refused, with this response code where one is given."""
        answer = self.command(*parts)
        assert answer.status == status, f"{parts!r:.300}: {answer.status} {answer.code} {answer.text}"
        assert not code or answer.code.split(" ")[0] == code, f"{parts!r:.300}: [{answer.code}] {answer.text}"
        return answer

    # States

    def start_tls(self, context: ssl.SSLContext, host: str = "localhost") -> None:
        """STARTTLS, then TLS."""
        self.ok("STARTTLS")
        assert not self._kept, "octets before TLS"
        self._line = context.wrap_socket(self._line, server_hostname=host)

    def login(self, login: Login) -> Answer:
        """LOGIN with quoted strings."""
        return self.ok(f"LOGIN {quoted(login.user)} {quoted(login.password)}")

    def authenticate_plain(self, login: Login, *, initial: bool = True) -> Answer:
        """AUTHENTICATE PLAIN, with the initial response (RFC 4959) or after the server's challenge."""
        secret = base64.b64encode(f"\0{login.user}\0{login.password}".encode()).decode()
        if initial:
            return self.command(f"AUTHENTICATE PLAIN {secret}")
        tag = self._new_tag()
        self.send(f"{tag} AUTHENTICATE PLAIN\r\n".encode())
        assert self.receive().startswith(b"+"), "no challenge"
        self.send(secret.encode() + b"\r\n")
        return self._until_tagged(tag, [])

    def capabilities(self) -> frozenset[str]:
        """What the server says that it can do now, asked."""
        (told,) = self.ok("CAPABILITY").of("CAPABILITY")
        return frozenset(str(each).upper() for each in told.values)

    def select(self, mailbox: str = "INBOX", parameters: str = "", *, read_only: bool = False) -> Selected:
        """SELECT, or EXAMINE; `parameters` such as `(CONDSTORE)`."""
        verb = "EXAMINE" if read_only else "SELECT"
        answer = self.ok(f"{verb} {quoted(mailbox)}{' ' + parameters if parameters else ''}")
        return _selected(answer)

    def compress(self) -> Answer:
        """COMPRESS DEFLATE; all that follows is compressed both ways."""
        answer = self.ok("COMPRESS DEFLATE")
        self._inflate, self._deflate = zlib.decompressobj(-15), zlib.compressobj(6, zlib.DEFLATED, -15)
        return answer

    def logout(self) -> Answer:
        """LOGOUT; the server says BYE first, then closes."""
        answer = self.ok("LOGOUT")
        assert answer.of("BYE"), "no BYE"
        self.cut()
        return answer

    # Messages

    def append(self, content: bytes, mailbox: str = "INBOX", flags: str = "", when: str = "") -> int:
        """APPEND one message; its UID where the server tells (UIDPLUS), or 0."""
        head = f"APPEND {quoted(mailbox)} " + (f"({flags}) " if flags else "") + (f'"{when}" ' if when else "")
        answer = self.ok(head, content)
        return expand(answer.code.split()[2])[0] if answer.code.startswith("APPENDUID") else 0

    def fetch(self, which: str | int, items: str, *, uid: bool = False) -> dict[int, dict[str, Any]]:
        """FETCH: the items by sequence number, names in capitals; several answers of one message put together."""
        return fetched(self.ok(f"{'UID ' if uid else ''}FETCH {which} {items}"))

    def uid_fetch(self, which: str | int, items: str) -> dict[int, dict[str, Any]]:
        """UID FETCH: the items by UID."""
        return {int(each["UID"]): each for each in self.fetch(which, items, uid=True).values() if "UID" in each}

    def flags(self) -> dict[int, frozenset[str]]:
        r"""Flags of every message by UID, without \Recent."""
        found = self.fetch("1:*", "(UID FLAGS)") if self.uids() else {}
        return {int(each["UID"]): flag_set(each["FLAGS"]) for each in found.values()}

    def uids(self, criteria: str = "ALL") -> list[int]:
        """UID SEARCH."""
        return numbers_of(self.ok(f"UID SEARCH {criteria}"))

    def search(self, *criteria: Part) -> list[int]:
        """SEARCH; sequence numbers, ascending or as answered."""
        return numbers_of(self.ok("SEARCH ", *criteria))

    def body(self, which: int, section: str = "", *, uid: bool = False) -> bytes:
        """A section of one message, read without marking it."""
        (found,) = self.fetch(which, f"(BODY.PEEK[{section}])", uid=uid).values()
        (value,) = (value for name, value in found.items() if name.startswith("BODY["))
        return bytes(value or b"")

    @contextmanager
    def idling(self) -> Iterator[None]:
        """IDLE during the block (read with `next_untagged`), then DONE. What came with the answer goes to `heard`."""
        tag = self._new_tag()
        self.send(f"{tag} IDLE\r\n".encode())
        while True:
            data = self.receive()
            if data.startswith(b"+"):
                break
            tagged, untagged = read_answer(data)
            assert tagged is None, f"no IDLE: {data!r}"
            assert untagged is not None
            self._tell(untagged)
        yield
        self.send(b"DONE\r\n")
        answer = self._until_tagged(tag, [])
        assert answer.status == "OK", answer
        self.after_idle = answer

    # Inside

    def _greet(self) -> Untagged:
        _, untagged = read_answer(self.receive())
        assert untagged is not None
        assert untagged.name in ("OK", "PREAUTH", "BYE"), untagged
        return untagged

    def _new_tag(self) -> str:
        self._count += 1
        return f"a{self._count}"

    def _send_parts(self, tag: str, parts: tuple[Part, ...], seen: list[Untagged] | None = None) -> Answer | None:
        """Send a command; the answer where the server refuses it at a literal."""
        waiting = f"{tag} ".encode()
        for part in parts:
            if isinstance(part, str):
                waiting += part.encode()
            elif self.literals == "+":
                waiting += b"{%d+}\r\n" % len(part) + part
            else:
                self.send(waiting + b"{%d}\r\n" % len(part))
                refused = self._await_continuation(tag, [] if seen is None else seen)
                if refused is not None:
                    return refused
                waiting = part
        self.send(waiting + b"\r\n")
        return None

    def _await_continuation(self, tag: str, seen: list[Untagged]) -> Answer | None:
        while True:
            data = self.receive()
            if data.startswith(b"+"):
                return None
            tagged, untagged = read_answer(data)
            if tagged is not None:
                assert tagged.tag == tag, f"{tagged} to {tag}"
                tagged.untagged.extend(seen)
                return tagged
            assert untagged is not None
            seen.append(self._tell(untagged))

    def _until_tagged(self, tag: str, seen: list[Untagged]) -> Answer:
        while True:
            data = self.receive()
            assert not data.startswith(b"+"), f"a continuation nobody asked for: {data!r}"
            tagged, untagged = read_answer(data)
            if tagged is not None:
                assert tagged.tag == tag, f"{tagged} to {tag}"
                tagged.untagged.extend(seen)
                return tagged
            assert untagged is not None
            seen.append(self._tell(untagged))

    def _tell(self, untagged: Untagged) -> Untagged:
        if self.heard is not None:
            self.heard(untagged)
        return untagged

    def _take_line(self, end: float) -> bytes:
        start = 0
        while (at := self._kept.find(b"\n", start)) < 0:
            start = len(self._kept)
            self._fill(end)
        line = bytes(self._kept[: at + 1])
        del self._kept[: at + 1]
        assert line.endswith(b"\r\n"), f"a line without CR: {line!r}"
        return line

    def _take(self, size: int, end: float) -> bytes:
        while len(self._kept) < size:
            self._fill(end)
        data = bytes(self._kept[:size])
        del self._kept[:size]
        return data

    def _fill(self, end: float) -> None:
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError("nothing came")
        self._line.settimeout(left)
        try:
            data = self._line.recv(1 << 18)
        finally:
            self._line.settimeout(TIMEOUT_S)
        if not data:
            raise ConnectionError("the server is gone")
        self._kept += data if self._inflate is None else self._inflate.decompress(data)


def quoted(text: str) -> str:
    """A quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def flag_set(values: Any) -> frozenset[str]:
    r"""Flags of a FETCH without \Recent, which is each session's own."""
    return frozenset(str(each) for each in values if str(each).lower() != "\\recent")


def fetched(answer: Answer) -> dict[int, dict[str, Any]]:
    """The FETCH answers of a command by sequence number."""
    found: dict[int, dict[str, Any]] = {}
    for each in answer.of("FETCH"):
        assert each.number is not None
        found.setdefault(each.number, {}).update(items_of(each))
    return found


def items_of(untagged: Untagged) -> dict[str, Any]:
    """One FETCH answer's items by name."""
    (values,) = untagged.values
    assert isinstance(values, tuple), untagged
    assert len(values) % 2 == 0, untagged
    return {str(values[at]).upper(): values[at + 1] for at in range(0, len(values), 2)}


def numbers_of(answer: Answer) -> list[int]:
    """What a SEARCH or SORT found, told by SEARCH, SORT or ESEARCH."""
    found: list[int] = []
    for each in answer.of("SEARCH", "SORT"):
        found += [value for value in each.values if isinstance(value, int)]
    for each in answer.of("ESEARCH"):
        found += expand(str(esearch_of(each).get("ALL", "")))
    return found


def esearch_of(untagged: Untagged) -> Mapping[str, Any]:
    """The items of one ESEARCH, with TAG and UID (True) among them."""
    values = list(untagged.values)
    found: dict[str, Any] = {}
    if values and isinstance(values[0], tuple):
        pair = values.pop(0)
        found["TAG"] = pair[1]
    if values and str(values[0]).upper() == "UID":
        values.pop(0)
        found["UID"] = True
    return found | {str(values[at]).upper(): values[at + 1] for at in range(0, len(values), 2)}


def _selected(answer: Answer) -> Selected:
    found = Selected(read_only=answer.code == "READ-ONLY", answer=answer)
    for each in answer.untagged:
        if each.name == "EXISTS":
            found.exists = each.number or 0
        elif each.name == "FLAGS":
            found.flags = frozenset(map(str, each.values[0]))
        elif each.name == "OK":
            code = code_of(each)
            if match := _NUMBER_OF.match(code):
                name, number = match[1], int(match[2])
                match name:
                    case "UIDVALIDITY":
                        found.uid_validity = number
                    case "UIDNEXT":
                        found.uid_next = number
                    case "HIGHESTMODSEQ":
                        found.modseq = number
            elif code.startswith("PERMANENTFLAGS"):
                found.permanent = frozenset(code[len("PERMANENTFLAGS (") : -1].split())
            elif code.startswith("MAILBOXID"):
                found.mailbox_id = code[len("MAILBOXID (") : -1]
    return found
