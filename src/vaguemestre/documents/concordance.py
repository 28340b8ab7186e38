"""Concordances: which words stand in which messages, and where. Made once by `compilation`, then only read, by parts.

What holds here: a concordance answers for its messages exactly what reading their words one after the other would. To
answer, only the words of the chapter asked about, and the postings of those that fit, are read.

What fits: one word that is sought fits each word that it is a part of. Of several, the first fits where a word ends with
it, the last where a word begins with it, those between where they are the word; and they stand side by side.

Layout, in the order of octets of the machine (little-endian wherever this runs): how many entries, and for each chapter
how many words, octets of words, postings and places; the message of each entry (8 octets); the words of each chapter,
sorted, a line each; for each chapter, how many postings, and how many places, the words up to each one have (4 octets).
Then for each chapter, in the order of words: the entries a word stands in (2 octets), how often in each (1), and its
places in each (2). An entry is a message, or as many words of a long one as two octets can number.
"""

import itertools
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, compress, repeat
from operator import contains

CHAPTERS = 8
MOST_ENTRIES = 32_768
HEAD = struct.Struct(f"={1 + 4 * CHAPTERS}I")

_SHIFT = 17  # a place has 16 bits, and a phrase may seem to start before its entry does
_BEFORE = 1 << 16
_LOOK, _DENSE = 256, 8  # looking at each word is faster than looking for the next once one in so many fits

Fetch = Callable[[Sequence[tuple[int, int]]], list[bytes]]
"""Reads ranges [start, end) of a concordance's octets, each as one string."""

Ranges = list[tuple[int, int]]
"""Numbers of words, from and up to, in order and apart."""


class Words:
    """The words of one chapter: how many, and where they and their postings are. What is fetched of them is kept."""

    __slots__ = ("_ends", "_ends_at", "_lines", "_lines_at", "count", "counts", "end", "entries", "places")

    def __init__(self, count: int, lines_at: tuple[int, int], ends_at: int, start: int, sizes: tuple[int, int]) -> None:
        postings, places = sizes
        self.count = count
        self.entries = start
        self.counts = start + 2 * postings
        self.places = start + 3 * postings
        self.end = self.places + 2 * places
        self._lines_at = lines_at
        self._ends_at = ends_at
        self._lines: bytes | None = None
        self._ends: tuple[array[int], array[int]] | None = None

    def lines(self, fetch: Fetch) -> bytes:
        """The words, a line feed before and after each."""
        if self._lines is None:
            (self._lines,) = fetch([self._lines_at])
        return self._lines

    def ends(self, fetch: Fetch) -> "tuple[array[int], array[int]]":
        """How many postings, and how many places, the words up to each one have."""
        if self._ends is None:
            middle, size = self._ends_at + 4 * self.count, 4 * self.count
            posted, placed = fetch([(self._ends_at, middle), (middle, middle + size)])
            self._ends = numbers("I", posted), numbers("I", placed)
        return self._ends


class Concordance:
    """An open concordance. `owners` is the message of each entry; `size`, in octets, what may be kept of it in memory."""

    __slots__ = ("chapters", "owners", "size")

    def __init__(self, fetch: Fetch) -> None:
        (head,) = fetch([(0, HEAD.size)])
        count, *sizes = HEAD.unpack(head)
        words, octets, postings, places = (sizes[start::4] for start in range(4))
        lines_at = HEAD.size + 8 * count
        ends_at = lines_at + sum(octets)
        start = self.size = ends_at + 8 * sum(words)
        self.owners = numbers("q", fetch([(HEAD.size, lines_at)])[0])
        self.chapters: list[Words] = []
        for number in range(CHAPTERS):
            lines = (lines_at, lines_at + octets[number])
            chapter = Words(words[number], lines, ends_at, start, (postings[number], places[number]))
            self.chapters.append(chapter)
            lines_at, ends_at, start = lines[1], ends_at + 8 * words[number], chapter.end

    def having(self, fetch: Fetch, chapters: Iterable[int], sought: Sequence[bytes]) -> set[int]:
        """The messages in which all that is sought fits, in any one of the chapters. It holds one word at least."""
        entries: set[int] = set()
        for number in chapters:
            within = self.chapters[number]
            if len(sought) == 1:
                entries |= _entries(fetch, within, containing(within.lines(fetch), sought[0]))
            else:
                entries |= _side_by_side(fetch, within, _fitting(within.lines(fetch), sought))
        return set(map(self.owners.__getitem__, entries))

    def bearing(self, fetch: Fetch, chapter: int, word: bytes) -> set[int]:
        """The messages in which exactly this word stands, in one chapter."""
        within = self.chapters[chapter]
        return set(map(self.owners.__getitem__, _entries(fetch, within, being(within.lines(fetch), word))))


def containing(lines: bytes, part: bytes) -> Ranges:
    """The words that hold a part."""
    return _ranges(_found(lines, part, lambda words: map(contains, words, repeat(part))))


def ending(lines: bytes, end: bytes) -> Ranges:
    """The words that end so."""
    return _ranges(_found(lines, end + b"\n", lambda words: map(bytes.endswith, words, repeat(end))))


def beginning(lines: bytes, start: bytes) -> Ranges:
    """The words that begin so: sorted as they are, they stand together."""
    first = lines.find(b"\n" + start)
    if first < 0:
        return []
    before = lines.count(b"\n", 0, first)
    return [(before, before + lines.count(b"\n" + start, first))]


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
    """The number of each word in which, or at whose end, `needle` stands; `fits` says it of each of many words."""
    number, at = -1, 0
    for count in itertools.count(1):
        hit = lines.find(needle, at)
        if hit < 0:
            return
        number += lines.count(b"\n", at, hit)
        yield number
        at = lines.index(b"\n", hit)
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


def _bounds(ends: "array[int]", ranges: Ranges, width: int, start: int) -> Ranges:
    """Ranges of octets from `start`, of postings or places of a width, of ranges of words."""
    return [(start + width * (ends[first - 1] if first else 0), start + width * ends[end - 1]) for first, end in ranges]


def _entries(fetch: Fetch, within: Words, ranges: Ranges) -> set[int]:
    """The entries that any of these words stands in."""
    if not ranges:
        return set()
    posted, _ = within.ends(fetch)
    return set(numbers("H", b"".join(fetch(_bounds(posted, ranges, 2, within.entries)))))


def _side_by_side(fetch: Fetch, within: Words, fitting: Sequence[Ranges]) -> set[int]:
    """The entries where words of each kind stand, the kinds in this order, side by side."""
    if not fitting:
        return set()
    _, placed = within.ends(fetch)
    starts: set[int] | None = None
    entries: set[int] | None = None
    for kind in sorted(range(len(fitting)), key=lambda kind: _total(placed, fitting[kind])):  # the rarest first
        found = _starts(fetch, within, fitting[kind], entries, kind)
        starts = set(found) if starts is None else starts.intersection(found)
        entries = {start >> _SHIFT for start in starts}
        if not entries:
            break
    return entries or set()


def _total(ends: "array[int]", ranges: Ranges) -> int:
    return sum(high - low for low, high in _bounds(ends, ranges, 1, 0))


def _starts(fetch: Fetch, within: Words, ranges: Ranges, among: set[int] | None, kind: int) -> Iterator[int]:
    """Where a phrase with one of these words as its `kind`-th would start: the entry, `among` some, then the place."""
    posted, placed = within.ends(fetch)
    where = numbers("H", b"".join(fetch(_bounds(posted, ranges, 2, within.entries))))
    often = b"".join(fetch(_bounds(posted, ranges, 1, within.counts)))
    exactly = numbers("H", b"".join(fetch(_bounds(placed, ranges, 2, within.places))))
    every = zip(where, accumulate(often, initial=0), often, strict=False)  # the last total is of no posting
    for entry, first, count in every if among is None else compress(every, map(among.__contains__, where)):
        base = (entry << _SHIFT) + _BEFORE - kind
        if count == 1:
            yield base + exactly[first]
        else:
            for place in exactly[first : first + count]:
                yield base + place
