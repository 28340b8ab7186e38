"""Dovecot, and we, on the same ugly mail: what IMAP says of it is the same, but for the differences listed here.

Each message of `tests/fuzz/corpus/mime` stands in a private Dovecot's Maildir. Where lines end with LF alone, Dovecot
shows them with CRLF, and NUL as 0x80; so we are given them like that.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulators.imap_values import read_values
from simulators.maildir_dovecot import MaildirDovecot, Reader
from vaguemestre.documents import sections
from vaguemestre.documents.header_fields import select_fields
from vaguemestre.documents.mime import read_message
from vaguemestre.documents.sections import Text
from vaguemestre.documents.structure import Message
from vaguemestre.documents.transfer_encodings import decode
from vaguemestre.servers.imap import bodystructure

CORPUS = sorted((Path(__file__).parents[1] / "fuzz" / "corpus" / "mime").iterdir())
SHAPES = ("BODY", "BODYSTRUCTURE")
CHOSEN = [b"SUBJECT", b"From", b"To", b"X-None"]
OTHERS = [b"Subject", b"From", b"Date"]
CHOSEN_FIELDS, OTHER_FIELDS = (
    "BODY[HEADER.FIELDS (SUBJECT From To X-None)]",
    "BODY[HEADER.FIELDS.NOT (Subject From Date)]",
)

# What Dovecot 2.3 says otherwise, and why we do not follow: by message, which items.
_READ_ON = "Dovecot stops at the first wrong character of a list, and drops what follows; we show every address"
_TYPE = "no valid type is text/plain (RFC 2045 §5.2); Dovecot says the empty string"
_LENIENT = "Dovecot drops a value that lacks its quotes, or cuts it at its first space; people look for the file's name"
_FIRST = "of fields that may stand once the first counts, as in our lists; Dovecot takes the last"
DIFFERENCES: dict[str, tuple[str, tuple[str, ...]]] = {
    "addresses-broken": (_READ_ON, ("ENVELOPE",)),
    "addresses-obsolete": ("spaces around the dots of a local part are allowed (RFC 5322 §4.4)", ("ENVELOPE",)),
    "addresses-quoted": ("spaces within a quoted name are the author's", ("ENVELOPE",)),
    "control-characters": (_READ_ON, ("ENVELOPE",)),
    "cr-only": ("one line, for a CR alone ends none; what it holds is in no form", ("ENVELOPE", CHOSEN_FIELDS)),
    "nuls": (_READ_ON, ("ENVELOPE",)),
    "duplicate-fields": (_FIRST, ("ENVELOPE",)),
    "disposition-twice": (_FIRST, ("BODYSTRUCTURE",)),
    "disposition-garbage": ("a disposition without a type is none; Dovecot says the empty string", ("BODYSTRUCTURE",)),
    "boundary-empty": ("else every line of two hyphens would end a part", (*SHAPES, "BODY[1]", "BODY[1.MIME]")),
    "content-type-empty": (_TYPE, SHAPES),
    "content-type-garbage": (_TYPE, SHAPES),
    "content-type-no-subtype": (_TYPE, SHAPES),
    "content-type-missing-semicolon": ("the semicolon that some software forgets", SHAPES),
    "language-garbage": ("tags after a wrong one are read", ("BODYSTRUCTURE",)),
    "parameters-many": ("Dovecot reads the first 256 words", SHAPES),
    "parameters-sections-missing": ("sections up to the missing one are the value; Dovecot gives each by itself", SHAPES),
    "parameters-unclosed-quote": (_LENIENT, SHAPES),
    "parameters-unquoted": (_LENIENT, SHAPES),
    "forwarded-no-blank": ("the line end before a delimiter is not the body's (RFC 2046 §5.1.1)", (*SHAPES, "BODY[1]")),
    "message-base64": ("the same: its text is read as a header", (*SHAPES, "BODY[1]", "BINARY[1]")),
    "one-line-no-end": ("fields that are chosen end with an empty line", (CHOSEN_FIELDS,)),
    "base64-dirty": ("Dovecot refuses what is not wholly base64; we decode what is", ("BINARY[1]",)),
    "quoted-printable-dirty": ("Dovecot refuses what is not wholly quoted-printable", ("BINARY[1]",)),
}  # fmt: skip


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    dovecot = MaildirDovecot()
    try:
        dovecot.put([path.read_bytes() for path in CORPUS])
        dovecot.start()
        session = dovecot.reader()
        yield session
        session.close()
    finally:
        dovecot.close()


def test_the_listed_differences_are_of_messages_in_the_corpus() -> None:
    assert set(DIFFERENCES) <= {path.name for path in CORPUS}


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_we_say_what_dovecot_says(reader: Reader, path: Path) -> None:
    content = re.sub(rb"(?<!\r)\n", b"\r\n", path.read_bytes())
    ours = dict(_ours(content))
    theirs = {item: _theirs(reader, CORPUS.index(path) + 1, item) for item in ours}
    reason, expected = DIFFERENCES.get(path.name, ("", ()))
    differing = {item: (ours[item], theirs[item]) for item in ours if ours[item] != theirs[item]}
    assert set(differing) == set(expected), (reason, differing)


def _ours(content: bytes) -> Iterator[tuple[str, Any]]:
    message = read_message(content)
    shown = content.replace(b"\0", b"\x80")
    yield "RFC822.SIZE", str(len(content)).encode()
    yield "ENVELOPE", read_values(bodystructure.envelope(message))[0]
    yield "BODY", read_values(bodystructure.body(message.part))[0]
    yield "BODYSTRUCTURE", read_values(bodystructure.bodystructure(message.part))[0]
    for text in (Text.BODY, Text.HEADER, Text.TEXT):
        yield f"BODY[{text.value}]", _section(message, shown, (), text)
    head = _section(message, shown, (), Text.HEADER)
    yield CHOSEN_FIELDS, select_fields(head, CHOSEN)
    yield OTHER_FIELDS, select_fields(head, OTHERS, others=True)
    for count, (number, part) in enumerate(sections.numbered(message.part)):
        if count == 20:
            break
        numbers = tuple(map(int, number.split(".")))
        yield f"BODY[{number}]", _section(message, shown, numbers, Text.BODY)
        for text in (Text.MIME, Text.HEADER, Text.TEXT):
            yield f"BODY[{number}.{text.value}]", _section(message, shown, numbers, text)
        if part.encoding.lower() in (b"base64", b"quoted-printable") and not part.parts:
            yield f"BINARY[{number}]", decode(part.encoding, content[part.body : part.end])
    yield "BODY[777]", b""


def _section(message: Message, content: bytes, numbers: tuple[int, ...], text: Text) -> bytes:
    """Dovecot gives the empty string for a section that is not there."""
    place = sections.locate(message.part, numbers, text)
    return b"" if place is None else content[place[0] : place[1]]


def _theirs(reader: Reader, number: int, item: str) -> Any:
    answer = reader.fetch(number, item.replace("[", ".PEEK[", 1))
    return "refused" if answer is None else read_values(answer.removesuffix(b"\r\n"))[3][-1]
