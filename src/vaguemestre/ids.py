"""Identifiers made before the row exists, so that a batch of rows needs no round trip to learn them.

Rule: an identifier fits a signed 64-bit column, grows with time (index locality), never repeats within a process and,
with 12 random bits a process, practically never between processes; the primary key catches the rest.
"""

import os
import secrets
import threading
import time

_EPOCH_US = 1_735_689_600_000_000  # 2025-01-01: 51 bits of microseconds last until 2096
_node = secrets.randbits(12)
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]

_lock = threading.Lock()
_last = 0


def _renew_node() -> None:
    """A forked process is another: with its parent's bits, both could make the same identifier."""
    global _node  # noqa: PLW0603 - one a process is the point
    _node = secrets.randbits(12)


os.register_at_fork(after_in_child=_renew_node)


def next_id() -> int:
    """A new positive 63-bit identifier, greater than every earlier one of this process."""
    global _last  # noqa: PLW0603 - one counter a process is the point
    with _lock:
        _last = max(_last + 1, time.time_ns() // 1000 - _EPOCH_US)
        return _last << 12 | _node


def next_ids(count: int) -> list[int]:
    """As many new identifiers, in order: `next_id`, at the price of one."""
    global _last  # noqa: PLW0603 - one counter a process is the point
    with _lock:
        first = max(_last + 1, time.time_ns() // 1000 - _EPOCH_US)
        _last = first + count - 1
        node = _node
    return [number << 12 | node for number in range(first, first + count)]


def to_text(identifier: int) -> str:
    """The 13-character form people and replies see; sorts as the number does."""
    pairs = _PAIRS
    return (
        _ALPHABET[identifier >> 60]
        + pairs[identifier >> 50 & 1023]
        + pairs[identifier >> 40 & 1023]
        + pairs[identifier >> 30 & 1023]
        + pairs[identifier >> 20 & 1023]
        + pairs[identifier >> 10 & 1023]
        + pairs[identifier & 1023]
    )


def from_text(text: str) -> int:
    """The identifier behind its 13-character form. Raises ValueError on anything else."""
    if len(text) != 13 or not text.isascii():
        raise ValueError("an identifier has 13 characters of ASCII")
    value = 0
    for character in text.lower():
        value = value << 5 | _ALPHABET.index(character)
    if value >> 63:
        raise ValueError("not an identifier")
    return value


def made_at(identifier: int) -> float:
    """When an identifier was made, in Unix seconds."""
    return ((identifier >> 12) + _EPOCH_US) / 1_000_000
