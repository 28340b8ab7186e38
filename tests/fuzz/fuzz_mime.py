"""Feeds the reader of messages anything, in any cutting: `python tests/fuzz/fuzz_mime.py tests/fuzz/corpus/mime`.

`check` holds for any bytes. The corpus is one message a file; it is replayed by `test_fuzz_mime.py` in every test run,
and shown to Dovecot by `tests/interop/test_structure_against_dovecot.py`.
"""

import sys
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from simulators.imap_values import read_values
from vaguemestre.documents import sections
from vaguemestre.documents.header_fields import select_fields
from vaguemestre.documents.mime import DEPTH_LIMIT, PARTS_LIMIT, Scanner, read_message
from vaguemestre.documents.sections import Text
from vaguemestre.documents.structure import Message, Part, Structure
from vaguemestre.documents.text import PREVIEW_LIMIT, attachments, message_text, read_structure
from vaguemestre.servers.imap import bodystructure

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Structure).decode


def check(content: bytes, step: int = 7) -> Structure:
    """What must hold of a content, whole or fed `step` octets at a time; its structure."""
    message = read_message(content)
    assert fed(content, step) == message, "another cutting gives another structure"
    _placed(content, message)
    _cut_in_sections(content, message)
    structure = read_structure(message, lambda start, end: content[start:end])
    assert _decode(_encode(structure)) == structure
    _written(structure)
    _said(content, structure)
    return structure


def fed(content: bytes, step: int) -> Message:
    """The structure of a content that comes `step` octets at a time."""
    scanner = Scanner()
    for start in range(0, len(content), step):
        scanner.feed(content[start : start + step])
    return scanner.finish()


def _placed(content: bytes, message: Message) -> None:
    root = message.part
    assert (root.start, root.end) == (0, len(content))
    assert sum(1 for _ in root.walk()) <= PARTS_LIMIT + DEPTH_LIMIT
    for part in root.walk():
        assert part.start <= part.body <= part.end
        body = content[part.body : part.end]
        if part.message is not None or (part.type.lower() == b"text" and not part.parts):
            assert part.lines == body.count(b"\n")
        assert bool(part.parts) == (part.type.lower() == b"multipart")
        inner = [part.message.part] if part.message else list(part.parts)
        at = part.body
        for each in inner:
            assert at <= each.start
            assert each.end <= part.end
            at = each.end
        if part.message is not None:
            assert (part.message.part.start, part.message.part.end) == (part.body, part.end)


def _cut_in_sections(content: bytes, message: Message) -> None:
    def section(numbers: tuple[int, ...], text: Text) -> bytes | None:
        place = sections.locate(message.part, numbers, text)
        return None if place is None else content[place[0] : place[1]]

    head, text = section((), Text.HEADER), section((), Text.TEXT)
    assert head is not None
    assert text is not None
    assert head + text == section((), Text.BODY) == content
    chosen = select_fields(head, [b"Subject", b"from"])
    others = select_fields(head, [b"Subject", b"from"], others=True)
    assert len(chosen) + len(others) <= len(head) + 4
    assert chosen.endswith(b"\n")
    for count, (number, part) in enumerate(sections.numbered(message.part)):
        if count == 200:
            break
        numbers = tuple(map(int, number.split(".")))
        assert sections.find(message.part, numbers) == part
        assert section(numbers, Text.MIME) == content[part.start : part.body]
        assert section(numbers, Text.BODY) == content[part.body : part.end]
        if part.message is None:
            assert section(numbers, Text.HEADER) is None
        else:
            assert (section(numbers, Text.HEADER) or b"") + (section(numbers, Text.TEXT) or b"") == section(
                numbers, Text.BODY
            )
        assert section((*numbers, 70_000), Text.BODY) is None


def _written(structure: Structure) -> None:
    (envelope,) = read_values(bodystructure.envelope(structure))
    assert len(envelope) == 10
    for addresses in envelope[2:8]:
        assert addresses is None or all(len(address) == 4 for address in addresses)
    (body,) = read_values(bodystructure.body(structure.part))
    (extended,) = read_values(bodystructure.bodystructure(structure.part))
    _shaped(structure.part, body, extended)


def _shaped(part: Part, body: list[object], extended: list[object]) -> None:
    if part.parts:
        count = len(part.parts)
        assert (len(body), len(extended)) == (count + 1, count + 5)
        for each, written, longer in zip(part.parts, body[:count], extended[:count], strict=True):
            assert isinstance(written, list)
            assert isinstance(longer, list)
            _shaped(each, written, longer)
        return
    more = 3 if part.message else 1 if part.type.lower() == b"text" else 0
    assert (len(body), len(extended)) == (7 + more, 11 + more)
    assert body[6] == b"%d" % part.octets
    assert body[0] == part.type


def _said(content: bytes, structure: Structure) -> None:
    assert len(structure.preview) <= PREVIEW_LIMIT
    assert "\n" not in structure.preview
    text = message_text(structure.part, lambda start, end: content[start:end], 5000)
    assert len(text) <= 5000
    assert not any(ord(character) < 32 and character not in "\n\t" for character in structure.preview + text)
    found = attachments(structure.part)
    assert structure.has_attachment == bool(found)
    assert all("/" not in each.name for each in found)


def main() -> None:
    """Runs under atheris until stopped or until its `-max_total_time`."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, lambda data: check(data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
