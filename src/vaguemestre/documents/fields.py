"""Header fields, written so that any software reads them: 7-bit, folded, injection-proof.

What holds here: a field is whole lines that end with CRLF, none over 998 bytes, and no value can end its field. Output
is ASCII but for an address that is not (RFC 6532): a message with one can only be sent with SMTPUTF8.

RFC 5322 §2.1.1, §2.2.3, §3.4; RFC 2047; RFC 2231.
"""

import binascii
import re
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from urllib.parse import quote

from vaguemestre.documents.addresses import Mailbox
from vaguemestre.documents.encoded_words import printable
from vaguemestre.errors import VaguemestreError

_LINE = 76
_LONGEST_WORD = 900
_WORD_BYTES = 45  # 60 characters of base64: with its marks, an encoded word has at most 75 (RFC 2047 §2)
_NAME = re.compile(r"[!-9;-~]+")
_PHRASE = re.compile(r"[\w!#$%&'*+/=?^`{|}~ -]+", re.ASCII)
_ADDRESS = re.compile(
    r'(?:"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])+"|[^\s\x00-\x1f\x7f"(),:;<>@\[\]\\]+)@[^\s\x00-\x1f\x7f"(),;<>@\\]+'
)
_PLAIN_VALUE = re.compile(r"[\w !#$%&'()*+,./:;<=>?@^`{|}~-]{1,60}", re.ASCII)
_TO_QUOTE = re.compile(r'(["\\])')


class CompositionError(VaguemestreError):
    """A message cannot be written as asked; the words say which value to correct."""


def text_field(name: str, value: str) -> bytes:
    """A field of free text, in encoded words where it must."""
    value = printable(value).strip()
    if value.isascii() and "=?" not in value:
        return plain_field(name, value)
    return _folded(name, _encoded_words(value))


def plain_field(name: str, value: str) -> bytes:
    """A field whose value is written as it stands, in UTF-8, folded at its spaces."""
    words = printable(value).split()
    return _folded(name, [part for word in words for part in _cut(word)])


def address_field(name: str, mailboxes: Sequence[Mailbox]) -> bytes:
    """A field of mailboxes. Raises CompositionError for what is not an address."""
    words: list[str] = []
    for position, (display, address) in enumerate(mailboxes, 1):
        if not _ADDRESS.fullmatch(address):
            raise CompositionError(
                f"“{printable(address)}” is not an address: correct it.",
                f"« {printable(address)} » n'est pas une adresse : corrigez-la.",
            )
        phrase = _phrase(" ".join(printable(display).split()))
        written = f"<{address}>" if phrase else address
        words += phrase
        words.append(written + ("," if position < len(mailboxes) else ""))
    return _folded(name, words)


def identifiers_field(name: str, identifiers: Sequence[str]) -> bytes:
    """A field of Message-IDs, given without their angle brackets; those that could not be read back are left out."""
    return _folded(name, [f"<{identifier}>" for identifier in identifiers if _readable(identifier)])


def date_field(name: str, moment: datetime) -> bytes:
    """A field of one aware datetime."""
    return _folded(name, [format_datetime(moment)])


def parameter(name: str, value: str) -> str:
    """A MIME parameter with the `; ` before it, in the forms of RFC 2231 where needed."""
    value = " ".join(printable(value).split())
    if _PLAIN_VALUE.fullmatch(value):
        return f';\r\n {name}="{value}"'
    pieces = [quote(part, safe="") for part in _characters(value, 18)]
    if not pieces:
        return f';\r\n {name}=""'
    pieces[0] = f"utf-8''{pieces[0]}"
    if len(pieces) == 1:
        return f";\r\n {name}*={pieces[0]}"
    return "".join(f";\r\n {name}*{position}*={piece}" for position, piece in enumerate(pieces))


def _folded(name: str, words: Sequence[str]) -> bytes:
    if not _NAME.fullmatch(name):
        raise CompositionError(f"“{name}” is not a header name.", f"« {name} » n'est pas un nom d'en-tête.")
    lines = [f"{name}:"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > _LINE and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n"


def _phrase(display: str) -> list[str]:
    if not display:
        return []
    if not display.isascii() or "=?" in display or len(display) > _LONGEST_WORD:
        return _encoded_words(display)
    if _PHRASE.fullmatch(display):
        return display.split()
    return ['"' + _TO_QUOTE.sub(r"\\\1", display) + '"']


def _encoded_words(value: str) -> list[str]:
    return [
        f"=?utf-8?B?{binascii.b2a_base64(part.encode('utf-8', 'replace'), newline=False).decode()}?="
        for part in _characters(value, _WORD_BYTES)
    ]


def _characters(value: str, size: int) -> list[str]:
    """`value` cut between characters into parts of at most `size` bytes of UTF-8."""
    parts: list[str] = []
    part: list[str] = []
    length = 0
    for character in value:
        width = len(character.encode("utf-8", "replace"))
        if length + width > size:
            parts.append("".join(part))
            part, length = [], 0
        part.append(character)
        length += width
    return [*parts, "".join(part)] if part else parts


def _cut(word: str) -> list[str]:
    return [word[start : start + _LONGEST_WORD // 4] for start in range(0, len(word), _LONGEST_WORD // 4)]


def _readable(identifier: str) -> bool:
    return bool(re.fullmatch(r"[!-;=?-~]{1,900}", identifier))
