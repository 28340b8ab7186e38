"""What an IMAP server says, octets to values. RFC 9051 §9; see `imap_peer` for the values' shapes."""

import re
from dataclasses import dataclass, field
from typing import Any

_CONDITIONS = ("OK", "NO", "BAD", "BYE", "PREAUTH")
_CODE = re.compile(r"\[((?:[^\]\"]|\"(?:[^\"\\]|\\.)*\")*)\] ?(.*)", re.DOTALL)
_NUMBER = re.compile(r"\d+\Z")
_LITERAL = re.compile(rb"~?\{(\d+)\}\r\n")


@dataclass(frozen=True, slots=True)
class Untagged:
    """One untagged answer: `* 3 FETCH (…)` has name FETCH, number 3. A condition (OK, BYE…) has its text as one value."""

    name: str
    number: int | None
    values: tuple[Any, ...]
    octets: bytes = b""


@dataclass(slots=True)
class Answer:
    """A command's answer: `code` is what stood between square brackets; untagged answers in the order they came."""

    status: str
    code: str = ""
    text: str = ""
    tag: str = ""
    untagged: list[Untagged] = field(default_factory=list)

    def of(self, *names: str) -> list[Untagged]:
        """The untagged answers of these names."""
        return [each for each in self.untagged if each.name in names]


def read_answer(data: bytes) -> tuple[Answer | None, Untagged | None]:
    """One whole answer: tagged, or untagged."""
    assert data.endswith(b"\r\n"), data
    tag, _, rest = data[:-2].partition(b" ")
    if tag != b"*":
        status, _, text = rest.decode("utf-8").partition(" ")
        assert status in ("OK", "NO", "BAD"), data
        code, words = _split_code(text)
        return Answer(status, code, words, tag.decode("ascii")), None
    word, _, after = rest.partition(b" ")
    name = word.decode("ascii").upper()
    if name in _CONDITIONS:
        return None, Untagged(name, None, (after.decode("utf-8"),), data)
    number = None
    if _NUMBER.match(name):
        number = int(name)
        word, _, after = after.partition(b" ")
        name = word.decode("ascii").upper()
    return None, Untagged(name, number, _Values(after).all(), data)


def code_of(untagged: Untagged) -> str:
    """The response code of an untagged condition, or nothing."""
    return _split_code(str(untagged.values[0]))[0]


def expand(text: str) -> list[int]:
    """The numbers of a sequence set without `*`, in the order given."""
    found: list[int] = []
    for each in filter(None, text.split(",")):
        first, _, last = each.partition(":")
        low, high = int(first), int(last or first)
        found += range(min(low, high), max(low, high) + 1)
    return found


def _split_code(text: str) -> tuple[str, str]:
    found = _CODE.match(text)
    return (found[1], found[2]) if found else ("", text)


class _Values:
    """A row of values, read from the left."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def all(self) -> tuple[Any, ...]:
        found = self._row(b"")
        assert self._at == len(self._data), f"octets after the end at {self._at}: {self._data!r:.500}"
        return found

    def _row(self, end: bytes) -> tuple[Any, ...]:
        found: list[Any] = []
        while self._at < len(self._data) and self._data[self._at : self._at + 1] != end:
            if self._data[self._at : self._at + 1] == b" ":
                # One space between values, none before the first: strict, but for the tail that some servers leave.
                assert found, f"a space too many at {self._at}: {self._data!r:.500}"
                self._at += 1
            found.append(self._value())
        return tuple(found)

    def _value(self) -> Any:
        first = self._data[self._at : self._at + 1]
        if first == b"(":
            self._at += 1
            found = self._row(b")")
            assert self._data[self._at : self._at + 1] == b")", f"a list without end: {self._data!r:.500}"
            self._at += 1
            return found
        if first == b'"':
            return self._quoted()
        if literal := _LITERAL.match(self._data, self._at):
            self._at = literal.end() + int(literal[1])
            assert self._at <= len(self._data)
            return self._data[literal.end() : self._at]
        return self._atom()

    def _quoted(self) -> bytes:
        at, found = self._at + 1, bytearray()
        while self._data[at : at + 1] != b'"':
            if self._data[at : at + 1] == b"\\":
                at += 1
                assert self._data[at : at + 1] in (b'"', b"\\"), f"a wrong escape: {self._data!r:.500}"
            assert at < len(self._data), f"a string without end: {self._data!r:.500}"
            assert self._data[at] not in b"\r\n\0", f"a line end in a quoted string: {self._data!r:.500}"
            found += self._data[at : at + 1]
            at += 1
        self._at = at + 1
        return bytes(found)

    def _atom(self) -> Any:
        """An atom, with what stands between square brackets in it (BODY[HEADER.FIELDS (From)]<0>)."""
        start, inside = self._at, False
        while self._at < len(self._data):
            octet = self._data[self._at : self._at + 1]
            if octet == b"[":
                inside = True
            elif octet == b"]":
                inside = False
            elif not inside and octet in b'() "':
                break
            self._at += 1
        text = self._data[start : self._at].decode("ascii")
        assert text, f"an empty value at {start}: {self._data!r:.500}"
        assert "{" not in text, f"a literal out of place: {self._data!r:.500}"
        if text.upper() == "NIL":
            return None
        return int(text) if _NUMBER.match(text) else text
