"""Reads what a server says back into values, as a client would: nested lists of octets, None for NIL."""

import re
from typing import Any

_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%"]+')
_QUOTED = re.compile(rb'"((?:[^"\\\x00\r\n]|\\["\\])*)"')
_LITERAL = re.compile(rb"~?\{([0-9]+)\}\r\n")


def tokens(response: bytes) -> list[Any]:
    """The tokens of one response. Fails unless it is one, whole, and ends with CRLF."""
    found, position = _read(response, 0, b"\r\n")
    assert position == len(response), response[position:]
    return found


def _read(text: bytes, position: int, end: bytes) -> tuple[list[Any], int]:
    found: list[Any] = []
    while not text.startswith(end, position):
        if found and text[position : position + 1] == b" ":
            position += 1
        if text[position : position + 1] == b"(":
            inner, position = _read(text, position + 1, b")")
            found.append(inner)
        elif match := _QUOTED.match(text, position):
            found.append(re.sub(rb"\\(.)", rb"\1", match[1]))
            position = match.end()
        elif match := _LITERAL.match(text, position):
            position = match.end() + int(match[1])
            found.append(text[match.end() : position])
        else:
            match = _ATOM.match(text, position)
            assert match is not None, text[position:]
            found.append(None if match[0] == b"NIL" else match[0])
            position = match.end()
    return found, position + len(end)
