"""Sets of message numbers or UIDs as clients spell them: `1:4,7,*`, and `$` for the saved search result.

What stays true: a set holds at least one range, each with its lower number first and `*` above every number; how many
ranges it may have is bounded by whoever reads it, so a set never costs more than its text.

RFC 9051 §9 (sequence-set, seq-range); RFC 5182 (`$`); RFC 9394 §3 and RFC 5267 §4.4 (partial ranges).
"""

from collections.abc import Iterable
from enum import Enum

import msgspec

STAR = 1 << 32
"""`*`, the largest number in use: above every number that a message can have."""

Range = tuple[int, int]


class SequenceSet(msgspec.Struct, frozen=True):
    """Ranges in the order they were given, each (lower, higher), either end maybe STAR."""

    ranges: tuple[Range, ...]

    def resolve(self, maximum: int) -> list[Range]:
        """The same numbers with `*` as `maximum`: ranges ascending, apart from one another, both ends included.

        Ranges may reach beyond `maximum`: numbers that nobody has are the caller's to pass over. Without any message
        (`maximum` 0) `*` means nothing.
        """
        if len(self.ranges) == 1:
            low, high = self.ranges[0]
            if high < STAR:
                return [(low, high)]
        # `5000:*` holds the last message however few there are (RFC 9051 §9).
        stars = [(min(low, maximum), maximum) for low, high in self.ranges if high == STAR] if maximum else []
        return merged(stars + [each for each in self.ranges if each[1] < STAR])


class Saved(Enum):
    """The result of the last SEARCH with SAVE (RFC 5182)."""

    RESULT = "$"


SAVED = Saved.RESULT

MessageSet = SequenceSet | Saved
"""What a command names its messages by."""


class Partial(msgspec.Struct, frozen=True):
    """A window on a result, as asked: both positive counts from the oldest, both negative from the newest."""

    first: int
    last: int

    def window(self, count: int) -> slice:
        """Which of `count` results in ascending order are in the window."""
        near, far = sorted((abs(self.first), abs(self.last)))
        if self.first > 0:
            return slice(min(near - 1, count), min(far, count))
        return slice(max(count - far, 0), max(count - near + 1, 0))


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same numbers as few ranges, ascending and apart from one another."""
    found: list[Range] = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            if high > found[-1][1]:
                found[-1] = (found[-1][0], high)
        else:
            found.append((low, high))
    return found
