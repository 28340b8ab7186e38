"""The structure of a message: its envelope, its tree of parts with their places in the content, what a list shows.

Values only, made by `documents.mime`; they encode to a compact MessagePack.

RFC 9051 §7.5.2 (ENVELOPE, BODYSTRUCTURE).
"""

from collections.abc import Iterator

import msgspec

from vaguemestre.documents.content_fields import Disposition, Parameter
from vaguemestre.documents.envelope import Envelope


class Part(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A part. Its header is octets [start, body) of the content, its body octets [body, end); a text or a message has
    `lines` line ends in its body, others 0. Type, subtype, encoding and names of parameters are as written.

    `parts` are those of a multipart, one at least; `message` is what a message/rfc822 holds.
    """

    start: int
    body: int
    end: int
    lines: int = 0
    type: bytes = b"text"
    subtype: bytes = b"plain"
    parameters: tuple[Parameter, ...] = ()
    encoding: bytes = b""
    id: bytes | None = None
    description: bytes | None = None
    disposition: Disposition | None = None
    languages: tuple[bytes, ...] = ()
    location: bytes | None = None
    md5: bytes | None = None
    parts: "tuple[Part, ...]" = ()
    message: "Message | None" = None

    @property
    def media_type(self) -> str:
        """Type and subtype in lower case, for example `text/plain`."""
        return (self.type + b"/" + self.subtype).lower().decode("latin-1")

    @property
    def octets(self) -> int:
        """The size of the body."""
        return self.end - self.body

    def walk(self) -> "Iterator[Part]":
        """This part and all within it, embedded messages included, in the order of the content."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            waiting += [part.message.part] if part.message else reversed(part.parts)


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message: its envelope, and the part that is its body. The header of that part is the message's own."""

    envelope: Envelope
    part: Part


class Structure(Message, frozen=True, array_like=True, gc=False):
    """What is kept of a message. `preview` is at most 200 characters of its text, and `has_attachment` whether a person
    would say that it has one."""

    preview: str = ""
    has_attachment: bool = False
