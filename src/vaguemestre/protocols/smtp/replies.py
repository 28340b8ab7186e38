"""SMTP replies: a code, an enhanced status code, lines of text; written by servers, read by clients.

What stays true: what leaves here is ASCII, has no line over 512 octets and no CR or LF inside a line, so no text can
forge a second reply; what is read here is bounded in line length and in number of lines.

Rules: a refusal written with `Reply.explained` speaks French first, then English, and says what to do. A reader never
guesses: a malformed reply raises `ReplyError`, and the connection it came from is to be closed.

RFC 5321 §4.2 and §4.5.3.1.5, RFC 2034, RFC 3463.
"""

import re
import textwrap
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from vaguemestre.errors import VaguemestreError

# RFC 5321 §4.5.3.1.5 allows 512 octets with code and CRLF; some clients copy the text behind a prefix of their own.
TEXT_WIDTH = 380
# Real servers exceed 512 octets and send tens of EHLO lines; these bounds only stop a peer that never ends.
READ_LINE_LIMIT = 2048
READ_LINES_LIMIT = 128

_TYPOGRAPHY = str.maketrans(
    {
        "œ": "oe", "Œ": "OE", "æ": "ae", "Æ": "AE", "ß": "ss", "ø": "o", "Ø": "O",
        "«": '"', "»": '"', "“": '"', "”": '"', "„": '"', "’": "'", "‘": "'",
        "–": "-", "—": "-", "‑": "-", "…": "...", "·": "-", "€": "EUR", "→": "->",
    }
)  # fmt: skip
_LINE = re.compile(rb"([2-5][0-9]{2})([ -]?)(.*)", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: |$)")


class ReplyError(VaguemestreError):
    """What the peer sent is not an SMTP reply; nothing it says afterwards can be trusted."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: `code` 200 to 599, `enhanced` like "5.7.1" or "", at least one line of text (maybe empty)."""

    code: int
    enhanced: str = ""
    lines: tuple[str, ...] = ("",)

    @classmethod
    def explained(cls, code: int, enhanced: str, fr: str, en: str) -> Self:
        """A reply for people: the French sentence, then the English one, folded to ASCII and wrapped."""
        return cls(code, enhanced, (*_wrapped(fr), *_wrapped(en)))

    @property
    def positive(self) -> bool:
        """2xx: done."""
        return 200 <= self.code <= 299

    @property
    def intermediate(self) -> bool:
        """3xx: go on."""
        return 300 <= self.code <= 399

    @property
    def transient(self) -> bool:
        """4xx: the same command may succeed later."""
        return 400 <= self.code <= 499

    @property
    def permanent(self) -> bool:
        """5xx: the same command must not be sent again."""
        return 500 <= self.code <= 599

    @property
    def text(self) -> str:
        """All lines as one sentence, for journals and notifications."""
        return " ".join(line for line in self.lines if line)

    def encode(self) -> bytes:
        """The octets on the wire; anything not printable ASCII in the text is folded first."""
        status = f"{self.enhanced} " if self.enhanced else ""
        *first, last = [line if line.isascii() and line.isprintable() else ascii_folded(line) for line in self.lines]
        text = "".join(f"{self.code}-{status}{line}\r\n" for line in first)
        return f"{text}{self.code} {status}{last}\r\n".encode("ascii")


@lru_cache(maxsize=128)
def _wrapped(sentence: str) -> tuple[str, ...]:
    words = " ".join(ascii_folded(sentence).split())
    return tuple(textwrap.wrap(words, TEXT_WIDTH, break_on_hyphens=False)) or ("",)


def ascii_folded(text: str) -> str:
    """`text` in printable ASCII: accents dropped, typography spelled out, control characters made spaces."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_TYPOGRAPHY))
    kept = (character for character in decomposed if not unicodedata.combining(character))
    return "".join(" " if c.isspace() or c < " " or c == "\x7f" else c if c < "\x7f" else "?" for c in kept)


class ReplyReader:
    """Cuts a server's octets into replies. Feed with `receive_data`, then call `next_reply` until it gives None."""

    __slots__ = ("_buffer", "_code", "_lines")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._code = 0
        self._lines: list[bytes] = []

    @property
    def pending(self) -> bool:
        """Is anything buffered? True right after the reply to STARTTLS means injected plaintext (RFC 3207 §5)."""
        return bool(self._buffer or self._lines)

    def receive_data(self, data: bytes) -> None:
        """Adds what the socket gave."""
        self._buffer += data

    def next_reply(self) -> Reply | None:
        """The next whole reply, or None when more octets are needed.

        Raises ReplyError for lines without a code, too long, too many, of mixed codes, or not ended by CRLF.
        """
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[: end + 1])
            del self._buffer[: end + 1]
            if self._takes_last(line):
                lines, self._lines = self._lines, []
                return _assembled(self._code, lines)
        if len(self._buffer) > READ_LINE_LIMIT:
            raise _malformed("a line that never ends", "une ligne sans fin")
        return None

    def _takes_last(self, line: bytes) -> bool:
        """Keeps one line with its line end; says whether it closes its reply."""
        if len(line) > READ_LINE_LIMIT or not line.endswith(b"\r\n"):
            raise _malformed("a line too long or without CRLF", "une ligne trop longue ou sans CRLF")
        match = _LINE.fullmatch(line, 0, len(line) - 2)
        if match is None or (match[3] and not match[2]):
            raise _malformed("a line without a reply code", "une ligne sans code de réponse")
        code = int(match[1])
        if self._lines and code != self._code:
            raise _malformed("one reply with two codes", "une réponse à deux codes")
        if len(self._lines) == READ_LINES_LIMIT:
            raise _malformed("a reply that never ends", "une réponse sans fin")
        self._code = code
        self._lines.append(match[3])
        return match[2] != b"-"


def _assembled(code: int, raw: list[bytes]) -> Reply:
    lines = [line.decode("utf-8", "replace") for line in raw]
    match = _ENHANCED.match(lines[0])
    if match is None or match[1][0] != str(code)[0]:
        return Reply(code, "", tuple(lines))
    # Each line repeats the status code (RFC 2034 §4); a line that does not is kept as it came.
    prefix = f"{match[1]} "
    return Reply(code, match[1], tuple("" if line == match[1] else line.removeprefix(prefix) for line in lines))


def _malformed(en: str, fr: str) -> ReplyError:
    return ReplyError(
        f"The remote server sent {en} instead of an SMTP reply; the connection must be closed and tried again.",
        f"Le serveur distant a envoyé {fr} au lieu d'une réponse SMTP ; il faut fermer la connexion et réessayer.",
    )
