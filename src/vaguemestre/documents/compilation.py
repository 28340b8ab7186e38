"""Compilation: concordances made of words, and larger ones made of several.

What holds here: what `merge` makes answers what its parts did, but for the messages left out, of which no word stays
that no other message holds. Time grows as the number of words, memory as the size of what is read and made.

Rules: MOST_ENTRIES of entries at most, which the caller sees to. A message with more words than an entry can number has
several, each beginning with the last words of the one before, so that a phrase of PHRASE words is found across them.
"""

from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate

from vaguemestre.documents.concordance import CHAPTERS, HEAD, Concordance, Fetch, Words, numbers

PHRASE = 100
ENTRY = 60_000  # places of an entry; they fit in two octets
_OFTEN = 255  # times in one posting; a word that stands more often has another for the same entry

Passages = Sequence[Sequence[str]]
"""The words of one chapter of a message, a list for each passage: no phrase runs from one to the next."""


class _Word:
    """A word's postings, as they are collected."""

    __slots__ = ("counts", "entries", "places")

    def __init__(self) -> None:
        self.entries = array("H")
        self.counts = bytearray()
        self.places = array("H")


_Words = dict[bytes, _Word]


def build(messages: Iterable[tuple[int, Sequence[Passages]]]) -> bytes:
    """The concordance of messages: of each its identifier and the passages of its chapters, CHAPTERS of them."""
    owners = array("q")
    chapters: list[_Words] = [{} for _ in range(CHAPTERS)]
    for message_id, passages in messages:
        first = len(owners)
        owners.append(message_id)
        for chapter, texts in zip(chapters, passages, strict=True):
            for entry, part in enumerate(_parts(texts), first):
                if entry == len(owners):
                    owners.append(message_id)
                _collect(chapter, entry, part)
    return _written(owners, chapters)


def merge(parts: Sequence[bytes], gone: Collection[int] = ()) -> bytes:
    """One concordance of several, without the messages that are `gone`."""
    owners = array("q")
    chapters: list[_Words] = [{} for _ in range(CHAPTERS)]
    for part in parts:
        fetch = _reader(part)
        opened = Concordance(fetch)
        moved = array("i")
        for owner in opened.owners:
            moved.append(-1 if owner in gone else len(owners))
            if moved[-1] >= 0:
                owners.append(owner)
        for words, chapter in zip(chapters, opened.chapters, strict=True):
            if chapter.count:
                _take(words, chapter, fetch, moved)
    return _written(owners, chapters)


def _reader(content: bytes) -> Fetch:
    return lambda ranges: [content[start:end] for start, end in ranges]


def entries(content: bytes) -> int:
    """How many entries a concordance has."""
    return int(HEAD.unpack(content[: HEAD.size])[0])


def owners(content: bytes) -> "array[int]":
    """The messages of a concordance, one for each entry."""
    return numbers("q", content[HEAD.size : HEAD.size + 8 * entries(content)])


def _parts(texts: Passages) -> Iterator[list[tuple[int, str]]]:
    """The words of a chapter with their places, an entry's at a time."""
    placed: list[tuple[int, str]] = []
    place = 0
    for text in texts:
        placed += zip(range(place, place + len(text)), text, strict=True)
        place += len(text) + 1  # a place between passages
    start = 0
    while start < len(placed):
        base, end = placed[start][0], len(placed)
        if placed[-1][0] - base >= ENTRY:
            end = next(n for n in range(start, len(placed)) if placed[n][0] - base >= ENTRY)
        yield [(place - base, word) for place, word in placed[start:end]]
        if end == len(placed):
            return
        start = end - PHRASE


def _collect(words: _Words, entry: int, placed: list[tuple[int, str]]) -> None:
    for place, text in placed:
        key = text.encode()
        word = words.get(key)
        if word is None:
            word = words[key] = _Word()
        if word.entries and word.entries[-1] == entry and word.counts[-1] < _OFTEN:
            word.counts[-1] += 1
        else:
            word.entries.append(entry)
            word.counts.append(1)
        word.places.append(place)


def _take(words: _Words, chapter: Words, fetch: Fetch, moved: "array[int]") -> None:
    """Add a chapter's postings to what is collected; `moved` says the new number of each entry, -1 for none."""
    where, counts, exactly = fetch(
        [(chapter.entries, chapter.counts), (chapter.counts, chapter.places), (chapter.places, chapter.end)]
    )
    every, places = numbers("H", where), numbers("H", exactly)
    whole = -1 not in moved
    if whole and moved[0]:
        every = array("H", map(moved[0].__add__, every))
    start = low = 0
    for key, end, high in zip(chapter.lines(fetch)[1:-1].split(b"\n"), *chapter.ends(fetch), strict=True):
        if whole:
            word = words.get(key)
            if word is None:
                word = words[key] = _Word()
            word.entries += every[start:end]
            word.counts += counts[start:end]
            word.places += places[low:high]
        else:
            _take_kept(words, key, zip(every[start:end], counts[start:end], strict=True), places[low:high], moved)
        start, low = end, high


def _take_kept(
    words: _Words, key: bytes, postings: Iterable[tuple[int, int]], places: "array[int]", moved: "array[int]"
) -> None:
    at = 0
    for entry, count in postings:
        if moved[entry] >= 0:
            word = words.setdefault(key, _Word())
            word.entries.append(moved[entry])
            word.counts.append(count)
            word.places += places[at : at + count]
        at += count


def _written(owners: "array[int]", chapters: Sequence[_Words]) -> bytes:
    sizes = [len(owners)]
    lines: list[bytes] = []
    ends: list[bytes] = []
    postings: list[bytes] = []
    for chapter in chapters:
        keys = sorted(chapter)
        words = [chapter[key] for key in keys]
        text = b"\n" + b"\n".join(keys) + b"\n" if keys else b""
        posted = array("I", accumulate(len(word.entries) for word in words))
        placed = array("I", accumulate(len(word.places) for word in words))
        lines.append(text)
        ends += (posted.tobytes(), placed.tobytes())
        postings += [word.entries.tobytes() for word in words]
        postings += [bytes(word.counts) for word in words]
        postings += [word.places.tobytes() for word in words]
        sizes += (
            len(words),
            len(text),
            sum(len(word.entries) for word in words),
            sum(len(word.places) for word in words),
        )
    return b"".join([HEAD.pack(*sizes), owners.tobytes(), *lines, *ends, *postings])
