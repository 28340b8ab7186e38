"""MIME parts, written: text, attachments, and the multipart that holds them. Each is whole, header and body, CRLF only.

RFC 2045, RFC 2046, RFC 2183.
"""

import binascii
import re
import secrets
from collections.abc import Sequence
from mimetypes import MimeTypes

from vaguemestre.documents.fields import parameter

_LINE_ENDING = re.compile(r"\r\n|\r|\n")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)
_BASE64_LINE = 76

# Python's own table only: the system's differs from one machine to the next.
_TYPES = MimeTypes(())
for _type, _suffix in (("application/dicom", ".dcm"), ("application/xml", ".xml"), ("image/webp", ".webp")):
    _TYPES.add_type(_type, _suffix)


def text_part(text: str) -> bytes:
    """Plain text as a 7-bit part, header included."""
    body = _LINE_ENDING.sub("\r\n", text).removesuffix("\r\n") + "\r\n"
    raw = body.encode("utf-8", "replace")
    if body.isascii() and "\0" not in body and all(len(line) <= 998 for line in raw.split(b"\r\n")):
        encoding = "7bit"
    else:
        encoding, raw = "quoted-printable", binascii.b2a_qp(raw, quotetabs=True)
    head = f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode("ascii") + raw


def attachment_part(name: str, content: bytes, media_type: str = "") -> bytes:
    """A file as a base64 part; its type is guessed by its name when not given."""
    media_type = media_type or media_type_of(name)
    if not _MEDIA_TYPE.fullmatch(media_type) or media_type.startswith(("message/", "multipart/")):
        media_type = "application/octet-stream"  # those two may not be in base64 (RFC 2046 §5)
    head = (
        f"Content-Type: {media_type}{parameter('name', name)}\r\n"
        f"Content-Disposition: attachment{parameter('filename', name)}\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    )
    encoded = binascii.b2a_base64(content, newline=False)
    lines = [encoded[start : start + _BASE64_LINE] for start in range(0, len(encoded), _BASE64_LINE)]
    return b"\r\n".join([head.encode("ascii") + b"".join(lines[:1]), *lines[1:], b""])


def multipart(content_type: str, parts: Sequence[bytes]) -> bytes:
    """Several parts as one, for example `multipart/mixed`; `content_type` may hold parameters."""
    boundary = f"=_{secrets.token_hex(16)}"  # no part can hold what nobody could foresee
    delimiter = f"\r\n--{boundary}".encode("ascii")
    head = f'Content-Type: {content_type};\r\n boundary="{boundary}"\r\n'.encode("ascii")
    if not all(part.isascii() for part in parts):
        head += b"Content-Transfer-Encoding: 8bit\r\n"
    return b"".join([head, *(delimiter + b"\r\n" + part for part in parts), delimiter, b"--\r\n"])


def media_type_of(name: str) -> str:
    """The type that a file name suggests, `application/octet-stream` when it suggests none."""
    media_type, encoding = _TYPES.guess_type(name)
    return media_type if media_type and not encoding else "application/octet-stream"
