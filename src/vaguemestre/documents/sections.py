"""Where the sections of a message are that IMAP names: `1.2`, `1.MIME`, `HEADER`, `2.TEXT`.

What holds here: an answer is a range within the content, or None where the message has no such section.

Rules: the parts of a multipart are numbered from 1, the body of a message that is no multipart is its part 1. A part
that is a message/rfc822 has the numbers of the message it holds below its own. HEADER and TEXT are of a message: the
whole, or what such a part holds; MIME is of any part.

RFC 9051 §6.4.5.1, RFC 3501 §6.4.5, RFC 3516.
"""

from collections.abc import Iterator, Sequence
from enum import Enum

from vaguemestre.documents.structure import Part


class Text(Enum):
    """What of a part a section means; `header_fields.select_fields` takes HEADER.FIELDS from a HEADER."""

    BODY = ""
    HEADER = "HEADER"
    TEXT = "TEXT"
    MIME = "MIME"


def locate(root: Part, numbers: Sequence[int], text: Text = Text.BODY) -> tuple[int, int] | None:
    """The octets [start, end) of a section of the message whose body is `root`; without numbers, of the message."""
    if not numbers:
        start, end = root.start, root.end
    else:
        part = find(root, numbers)
        if part is None:
            return None
        if text is Text.BODY:
            return part.body, part.end
        if text is Text.MIME:
            return part.start, part.body
        if part.message is None:
            return None
        root, start, end = part.message.part, part.body, part.end
    if text is Text.HEADER:
        return start, root.body
    if text is Text.TEXT:
        return root.body, end
    return (start, end) if text is Text.BODY else None


def find(root: Part, numbers: Sequence[int]) -> Part | None:
    """The part with these numbers."""
    part, whole = root, True  # whole: `part` is the body of a message, and not yet told apart from it by a number
    for number in numbers:
        if not whole and part.message is not None:
            part, whole = part.message.part, True
        if part.parts:
            if not 1 <= number <= len(part.parts):
                return None
            part = part.parts[number - 1]
        elif not (whole and number == 1):
            return None
        whole = False
    return part


def numbered(root: Part) -> Iterator[tuple[str, Part]]:
    """Every part that has a number, in order, for example `2.1`; a multipart with one comes before its parts."""
    waiting: list[tuple[str, Part, bool]] = [("", root, True)]
    while waiting:
        number, part, whole = waiting.pop()
        if whole and not part.parts:
            number = f"{number}.1" if number else "1"
        if number and not (whole and part.parts):
            yield number, part
        if part.message is not None:
            waiting.append((number, part.message.part, True))
        prefix = f"{number}." if number else ""
        waiting += [(f"{prefix}{at}", each, False) for at, each in reversed(list(enumerate(part.parts, 1)))]
