"""Compilation: concordances made of words, and larger ones made of several.

What holds here: what `merge` makes answers what its parts did, but for the messages left out, of which no word stays
that no other message holds. Time grows as the number of words, memory as the size of what is read and made.

Rules: MOST_ENTRIES of entries at most, which the caller sees to. A message with more words than an entry can number has
several, each beginning with the last words of the one before, so that a phrase of PHRASE words is found across them.
"""

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate, chain
from operator import itemgetter

from vaguemestre.documents.concordance import CHAPTERS, HEAD, SHIFT, Concordance, Fetch, Words, numbers, shifted
from vaguemestre.documents.words import MOST_SOUGHT

PHRASE = MOST_SOUGHT
ENTRY = 60_000  # places of an entry; they fit in two octets, and what is sought does not reach into the next
_PLACE = (1 << SHIFT) - 1

Passages = Sequence[Sequence[str]]
"""The words of one chapter of a message, a list for each passage: no phrase runs from one to the next."""


def build(messages: Iterable[tuple[int, Sequence[Passages]]]) -> bytes:
    """The concordance of messages: of each its identifier and the passages of its chapters, CHAPTERS of them."""
    owners = array("q")
    chapters: list[defaultdict[str, list[int]]] = [defaultdict(list) for _ in range(CHAPTERS)]
    for message_id, passages in messages:
        first = len(owners)
        owners.append(message_id)
        for chapter, texts in zip(chapters, passages, strict=True):
            if sum(map(len, texts)) + len(texts) < ENTRY:
                spot = first << SHIFT
                for text in texts:
                    for word in text:
                        chapter[word].append(spot)
                        spot += 1
                    spot += 1  # a place between passages
                continue
            for entry, part in enumerate(_parts(texts), first):
                if entry == len(owners):
                    owners.append(message_id)
                for place, word in part:
                    chapter[word].append((entry << SHIFT) + place)
    return _written(owners, [_listed(chapter) for chapter in chapters])


def merge(parts: Sequence[bytes], gone: Collection[int] = ()) -> bytes:
    """One concordance of several, without the messages that are `gone`."""
    owners = array("q")
    chapters: list[defaultdict[bytes, list[bytes]]] = [defaultdict(list) for _ in range(CHAPTERS)]
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
    return _written(owners, [_joined(chapter) for chapter in chapters])


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


def _take(words: defaultdict[bytes, list[bytes]], chapter: Words, fetch: Fetch, moved: "array[int]") -> None:
    """Add a chapter's spots to what is collected; `moved` says the new number of each entry, -1 for none."""
    (spots,) = fetch([(chapter.start, chapter.end)])
    ends = chapter.ends(fetch)
    keys = chapter.lines(fetch)[1:-1].split(b"\n")
    if -1 in moved:
        ends, spots = _kept(ends, numbers("I", spots), moved)
    else:
        spots = shifted(spots, moved[0] << SHIFT)
    start = 0
    for key, end in zip(keys, ends, strict=True):
        if end > start:
            words[key].append(spots[4 * start : 4 * end])
        start = end


def _kept(ends: "array[int]", spots: "array[int]", moved: "array[int]") -> "tuple[array[int], bytes]":
    """The spots of entries that stay, where these are then, and how many each word and those before it have of them."""
    kept, counts, start = array("I"), array("I"), 0
    for end in ends:
        for spot in spots[start:end]:
            entry = moved[spot >> SHIFT]
            if entry >= 0:
                kept.append((entry << SHIFT) + (spot & _PLACE))
        counts.append(len(kept))
        start = end
    return counts, kept.tobytes()


_Chapter = tuple[list[bytes], list[int], bytes]
"""The words of a chapter, sorted by their last octets; how many spots each has; and these."""


def _listed(words: dict[str, list[int]]) -> _Chapter:
    encoded = {key.encode(): places for key, places in words.items()}
    keys = sorted(encoded, key=_backwards)
    every = [encoded[key] for key in keys]
    return keys, [*map(len, every)], array("I", [*chain.from_iterable(every)]).tobytes()


def _joined(words: dict[bytes, list[bytes]]) -> _Chapter:
    keys = sorted(words, key=_backwards)
    every = [b"".join(words[key]) for key in keys]
    return keys, [len(each) // 4 for each in every], b"".join(every)


_backwards = itemgetter(slice(None, None, -1))


def _written(owners: "array[int]", chapters: Sequence[_Chapter]) -> bytes:
    sizes = [len(owners)]
    lines: list[bytes] = []
    ends: list[bytes] = []
    spots: list[bytes] = []
    for keys, counts, where in chapters:
        text = b"\n" + b"\n".join(keys) + b"\n" if keys else b""
        lines.append(text)
        ends.append(array("I", accumulate(counts)).tobytes())
        spots.append(where)
        sizes += (len(keys), len(text), len(where) // 4)
    return b"".join([HEAD.pack(*sizes), owners.tobytes(), *lines, *ends, *spots])
