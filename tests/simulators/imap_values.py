"""Values of IMAP as a strict client reads them: lists, strings, literals, numbers, NIL (RFC 9051 §4)."""

import re
from typing import Any

_TOKEN = re.compile(
    rb'(?P<open>\()|(?P<close>\))|"(?P<quoted>(?:[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]|\\["\\])*)"'
    rb"|~?\{(?P<size>\d+)\}\r\n|(?P<atom>[^\x00-\x20(){\"\x7f-\xff][^\x00-\x20(){\"\x7f-\xff]*)"
)


def read_values(data: bytes) -> list[Any]:
    """The values of a line, literals in place: bytes, None for NIL, lists. Fails where it is not well formed."""
    lists: list[list[Any]] = [[]]
    at = 0
    while at < len(data):
        if data[at : at + 1] == b" ":
            at += 1
            continue
        token = _TOKEN.match(data, at)
        assert token, f"no value at {at}: {data[at : at + 40]!r}"
        at = token.end()
        if token["open"]:
            lists.append([])
        elif token["close"]:
            assert len(lists) > 1, "a list ends that did not start"
            done = lists.pop()
            lists[-1].append(done)
        elif token["quoted"] is not None:
            lists[-1].append(re.sub(rb"\\(.)", rb"\1", token["quoted"]))
        elif token["size"]:
            size = int(token["size"])
            assert at + size <= len(data), "a literal is cut"
            assert b"\0" not in data[at : at + size] or token[0].startswith(b"~")
            lists[-1].append(data[at : at + size])
            at += size
        else:
            lists[-1].append(None if token["atom"] == b"NIL" else token["atom"])
    assert len(lists) == 1, "a list does not end"
    return lists[0]
