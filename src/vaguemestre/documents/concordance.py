"""Concordances: which words stand in which messages, and where. Made once by `compilation`, then only read, by parts.

What holds here: a concordance answers for its messages exactly what reading their words one after the other would. To
answer, only the words of the chapter asked about, and the postings of those that fit, are read.

What fits: one word that is sought fits each word that it is a part of. Of several, the first fits where a word ends with
it, the last where a word begins with it, those between where they are the word; and they stand side by side.

Layout, in the order of octets of the machine (little-endian wherever this runs): how many entries, and for each chapter
how many words, octets of words and spots; the message of each entry (8 octets); the words of each chapter, sorted by their
last octets, a line each; for each chapter, how many spots the words up to each one have (4 octets). Then for each chapter,
in the order of words, the spots where each stands, ascending (4 octets): the entry in the upper half, the place within it
in the lower. An entry is a message, or as many words of a long one as a half can number.

Why spots whole, and no list of entries: two words stand side by side where their spots differ by one, which sets of
numbers say by themselves; an entry is every other half of the octets. Both need no step of Python's for each spot.

Why sorted by last octets: of a phrase, the first word may be any that ends so. Most begin with a short one ("le patient"),
and thousands of words end so: their spots stand together then, instead of all over. The last word is rarely short.
"""

import itertools
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import nlargest
from itertools import compress, repeat
from operator import contains

CHAPTERS = 8
MOST_ENTRIES = 32_768
HEAD = struct.Struct(f"={1 + 3 * CHAPTERS}I")
SHIFT = 16
"""A spot is the entry, shifted so far, and the place."""

_ENTRY_HALF = 1 if sys.byteorder == "little" else 0
_OFTEN = 32  # words that fit and stand most often: of a part of thousands, they may say it all
_FEW = 128  # octets of spots for each that is looked up among them: else all are looked at
_LOOK, _DENSE = 256, 8  # looking at each word is faster than looking for the next once one in so many fits

Fetch = Callable[[Sequence[tuple[int, int]]], list[bytes]]
"""Reads ranges [start, end) of a concordance's octets, each as one string."""

Ranges = list[tuple[int, int]]
"""Numbers of words, from and up to, in order and apart."""


class Words:
    """The words of one chapter: how many, and where they and their spots are. What is fetched of them is kept."""

    __slots__ = ("_ends", "_ends_at", "_lines", "_lines_at", "count", "end", "start")

    def __init__(self, count: int, lines_at: tuple[int, int], ends_at: int, start: int, spots: int) -> None:
        self.count = count
        self.start = start
        self.end = start + 4 * spots
        self._lines_at = lines_at
        self._ends_at = ends_at
        self._lines: bytes | None = None
        self._ends: array[int] | None = None

    def lines(self, fetch: Fetch) -> bytes:
        """The words, a line feed before and after each."""
        if self._lines is None:
            (self._lines,) = fetch([self._lines_at])
        return self._lines

    def ends(self, fetch: Fetch) -> "array[int]":
        """How many spots the words up to each one have."""
        if self._ends is None:
            self._ends = numbers("I", fetch([(self._ends_at, self._ends_at + 4 * self.count)])[0])
        return self._ends


class Concordance:
    """An open concordance. `owners` is the message of each entry; `size`, in octets, what may be kept of it in memory."""

    __slots__ = ("chapters", "owners", "size")

    def __init__(self, fetch: Fetch) -> None:
        (head,) = fetch([(0, HEAD.size)])
        count, *sizes = HEAD.unpack(head)
        words, octets, spots = (sizes[start::3] for start in range(3))
        lines_at = HEAD.size + 8 * count
        ends_at = lines_at + sum(octets)
        start = self.size = ends_at + 4 * sum(words)
        self.owners = numbers("q", fetch([(HEAD.size, lines_at)])[0])
        self.chapters: list[Words] = []
        for number in range(CHAPTERS):
            lines = (lines_at, lines_at + octets[number])
            chapter = Words(words[number], lines, ends_at, start, spots[number])
            self.chapters.append(chapter)
            lines_at, ends_at, start = lines[1], ends_at + 4 * words[number], chapter.end

    def having(self, fetch: Fetch, chapters: Iterable[int], sought: Sequence[bytes]) -> set[int]:
        """The messages in which all that is sought fits, in any one of the chapters. It holds one word at least."""
        entries: set[int] = set()
        for number in chapters:
            within = self.chapters[number]
            if len(sought) == 1:
                fitting = containing(within.lines(fetch), sought[0])
                _add_entries(fetch, within, fitting, entries, len(self.owners))
            else:
                entries |= _side_by_side(fetch, within, _fitting(within.lines(fetch), sought))
            if len(entries) == len(self.owners):
                break
        return set(map(self.owners.__getitem__, entries))

    def bearing(self, fetch: Fetch, chapter: int, word: bytes) -> set[int]:
        """The messages in which exactly this word stands, in one chapter."""
        within = self.chapters[chapter]
        entries = _entries(fetch, within, being(within.lines(fetch), word))
        return set(map(self.owners.__getitem__, entries))


def containing(lines: bytes, part: bytes) -> Ranges:
    """The words that hold a part."""
    return _ranges(_found(lines, part, lambda words: map(contains, words, repeat(part))))


def ending(lines: bytes, end: bytes) -> Ranges:
    """The words that end so: sorted as they are, they stand together."""
    first = lines.find(end + b"\n")
    if first < 0:
        return []
    before = lines.count(b"\n", 1, first)
    return [(before, before + lines.count(end + b"\n", first))]


def beginning(lines: bytes, start: bytes) -> Ranges:
    """The words that begin so."""
    return _ranges(_found(lines, b"\n" + start, lambda words: map(bytes.startswith, words, repeat(start))))


def being(lines: bytes, word: bytes) -> Ranges:
    """The word itself."""
    found = lines.find(b"\n" + word + b"\n")
    return [(before := lines.count(b"\n", 0, found), before + 1)] if found >= 0 else []


def numbers(code: str, content: bytes) -> "array[int]":
    """An array of the numbers in these octets."""
    found = array(code)
    found.frombytes(content)
    return found


def _fitting(lines: bytes, sought: Sequence[bytes]) -> list[Ranges]:
    """The words that fit each of several; an empty list where none fits one of them."""
    fitting = [being(lines, word) for word in sought[1:-1]]
    if not all(fitting):  # the others take longer to find
        return []
    fitting = [ending(lines, sought[0]), *fitting, beginning(lines, sought[-1])]
    return fitting if all(fitting) else []


def _found(lines: bytes, needle: bytes, fits: Callable[[list[bytes]], Iterable[bool]]) -> Iterator[int]:
    """The number of each word in which, or before which, `needle` stands; `fits` says it of each of many words."""
    number, at = -1, 0
    for count in itertools.count(1):
        hit = lines.find(needle, at)
        if hit < 0:
            return
        number += lines.count(b"\n", at, hit + 1)
        yield number
        at = lines.index(b"\n", hit + 1)
        if not count % _LOOK and number < count * _DENSE:  # so many fit that to look at each word is faster
            yield from compress(itertools.count(number + 1), fits(lines[at + 1 : -1].split(b"\n")))
            return


def _ranges(found: Iterable[int]) -> Ranges:
    """Numbers that grow, as ranges."""
    ranges: Ranges = []
    first = end = -1
    for number in found:
        if number != end:
            if end >= 0:
                ranges.append((first, end))
            first = number
        end = number + 1
    if end >= 0:
        ranges.append((first, end))
    return ranges


def shifted(spots: bytes, by: int) -> bytes:
    """All these spots, each `by` larger, 0 or more: one sum of two very long numbers, since none overflows."""
    if not by or not spots:
        return spots
    every = by.to_bytes(4, sys.byteorder) * (len(spots) // 4)
    total = int.from_bytes(spots, sys.byteorder) + int.from_bytes(every, sys.byteorder)
    return total.to_bytes(len(spots), sys.byteorder)


def _spots(fetch: Fetch, within: Words, ranges: Ranges) -> bytes:
    """The spots of ranges of words, as they are kept."""
    ends, start = within.ends(fetch), within.start
    return b"".join(
        fetch([(start + 4 * (ends[first - 1] if first else 0), start + 4 * ends[end - 1]) for first, end in ranges])
    )


def _entries(fetch: Fetch, within: Words, ranges: Ranges) -> Sequence[int]:
    """The entries that any of these words stands in, some of them several times."""
    return numbers("H", _spots(fetch, within, ranges))[_ENTRY_HALF::2] if ranges else ()


def _add_entries(fetch: Fetch, within: Words, ranges: Ranges, found: set[int], every: int) -> None:
    """Add the entries that any of these words stands in to those `found`, until these are `every` one."""
    if len(ranges) > _OFTEN:
        ends = within.ends(fetch)
        often = nlargest(_OFTEN, ranges, key=lambda some: _total(ends, [some]))
        found.update(_entries(fetch, within, often))
        if len(found) == every:
            return
    found.update(_entries(fetch, within, ranges))


def _side_by_side(fetch: Fetch, within: Words, fitting: Sequence[Ranges]) -> set[int]:
    """The entries where words of each kind stand, the kinds in this order, side by side."""
    if not fitting:
        return set()
    ends = within.ends(fetch)
    last = len(fitting) - 1
    found: set[int] | None = None  # where the phrase would end
    for kind in sorted(range(len(fitting)), key=lambda kind: _total(ends, fitting[kind])):  # the rarest first
        spots = _spots(fetch, within, fitting[kind])
        if found is None:
            found = set(numbers("I", shifted(spots, last - kind)))
        elif (
            len(fitting[kind]) == 1
            and fitting[kind][0][1] - fitting[kind][0][0] == 1
            and _FEW * len(found) < len(spots)
        ):
            found = _standing(found, numbers("I", spots), last - kind)
        else:
            found = found.intersection(numbers("I", shifted(spots, last - kind)))
        if not found:
            break
    return {spot >> SHIFT for spot in found or ()}


def _standing(found: set[int], spots: "array[int]", after: int) -> set[int]:
    """Those of a few spots that stand so many `after` one of a word, whose spots ascend."""
    kept = set()
    for spot in found:
        place = bisect_left(spots, spot - after)
        if place < len(spots) and spots[place] == spot - after:
            kept.add(spot)
    return kept


def _total(ends: "array[int]", ranges: Ranges) -> int:
    return sum(ends[end - 1] - (ends[first - 1] if first else 0) for first, end in ranges)
