"""What was read of an extraction file last time, a passage at a time: so that tomorrow's is read only where it differs.

A file of two million lines comes each day, and ten thousand of them are new. It is cut into passages of some ten lines
where the lines themselves say so: before each whose number ends with a certain digit. A line put in or taken out moves
no cut but those beside it. Of each passage the register keeps a digest, and of each of its lines the key (a person, an
address) and a check. A passage of the same digest is neither split into lines nor read any further; of one that differs,
the checks tell which keys have other lines than before.

What it keeps true: what is noted is what the register says of the file, since both are written in one transaction. Where
a key has lines in several passages, one of which has changed, all of them are found.

Rules: the digest is BLAKE2b of 64 bits: a changed passage is taken for unchanged once in 10^13; the check is a CRC of 32
bits, looked at among the lines of one key in passages that differ. Measured, a day's file of 0.9 GB is compared in 2 s of
one core; digests of each of its lines took four times that.
"""

import itertools
import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from zlib import crc32

import sqlalchemy as sa

from vaguemestre.directory import tables
from vaguemestre.directory.extracts import Extract
from vaguemestre.documents.extraction import Kind
from vaguemestre.storage.bulk import BulkLoad, Statement

_BLOCK = 4 << 20
_LONGEST = 256 << 10  # octets of a passage without any cut
_LENGTHS = 1 << 20  # a place is an offset and a length in one number, since there are many: offset * this + length
_LOAD = BulkLoad(tables.passages, "kind", "digest", "subjects", "checks")
_READ = 10_000
_WRITTEN = 50_000  # in the order of digests: written as they come, each would be a page of its own
_MOST_LINES = 500_000  # of passages that differ
_DELETE = Statement("DELETE FROM passages WHERE kind = {value} AND digest {among}")

KEY_COLUMN = {kind: "Adresse BAL" if kind is Kind.ADDRESSES else "Identification nationale PP" for kind in Kind}
_NAMES = {kind: kind.name.lower() for kind in Kind}
_GONE = Statement("SELECT digest, subjects, checks FROM passages WHERE kind = {value} AND digest {among}")
# Before which lines a file is cut: those whose number here ends with 0. Addresses have no number of their own.
_ADDRESS_CUTS = ("Identification nationale PP", "Identification Structure")


@dataclass(slots=True)
class Difference:
    """What differs between a file and what was noted of the one before.

    `fresh` are the digests of passages to read, `gone` those to forget; `keys` are those whose lines have changed.
    `known` is False where nothing was noted: all of it is new; `much` where the keys are too many to be named.
    """

    known: bool
    much: bool = False
    keys: set[str] = field(default_factory=set)
    fresh: dict[int, int] = field(default_factory=dict)  # where each stands: see `_LENGTHS`
    gone: set[int] = field(default_factory=set)
    lines: list[tuple[int, int]] = field(default_factory=list)  # of those keys: offsets and lengths, in order
    digests: "array[int]" = field(default_factory=lambda: array("q"))  # of all passages of the file


def scan(extract: Extract, advance: Callable[[int], None] | None = None) -> Iterator[tuple[int, int, bytes]]:
    """The passages of a file: digest, offset, and the octets, which last until the next one only."""
    cuts = _cuts(extract)
    offset = extract.body
    with extract.path.open("rb") as file:
        file.seek(offset)
        rest = b""
        while block := file.read(_BLOCK):
            if advance is not None:
                advance(len(block))
            data = rest + block
            start = 0
            for cut in _ends(data, cuts):
                yield _digest(data[start:cut]), offset + start, data[start:cut]
                start = cut
            offset += start
            rest = data[start:]
        if rest:
            yield _digest(rest), offset, rest


def _ends(data: bytes, cuts: Callable[[bytes], "Iterator[re.Match[bytes]]"]) -> Iterator[int]:
    """Where passages end in these octets; what is left after the last one has no end yet."""
    start = 0
    for found in cuts(data):
        while found.end() - start > _LONGEST:
            start = _forced(data, start)
            yield start
        start = found.end()
        yield start
    while len(data) - start > _LONGEST:
        start = _forced(data, start)
        yield start


def _forced(data: bytes, start: int) -> int:
    return (data.rfind(b"\n", start, start + _LONGEST) + 1) or start + _LONGEST


def compare(
    connection: sa.Connection, extract: Extract, most: int, advance: Callable[[int], None] | None = None
) -> Difference:
    """How a file differs from what was noted; `much` is said of more keys than `most`, or more lines than can be held."""
    noted = _digests(connection, extract.kind)
    found = Difference(noted is not None)
    if noted is None:
        return found
    lines_of = _reader(extract)
    places: dict[int, int] = {}
    now: set[tuple[str, int]] = set()
    for digest, offset, octets in scan(extract, advance):
        places[digest] = offset * _LENGTHS + len(octets)
        if digest not in noted:
            found.fresh[digest] = places[digest]
            if len(now) <= _MOST_LINES:
                now.update(zip(*lines_of(octets), strict=True))
    found.digests = array("q", places)
    found.gone = noted - places.keys()
    if len(now) > _MOST_LINES or len(found.gone) * 10 > _MOST_LINES:
        found.much = True
        return found
    before: set[tuple[str, int]] = set()
    gone = sorted(found.gone)
    for _, subjects, checks in _GONE.run(connection, _NAMES[extract.kind], gone):
        before.update(zip(_keys(subjects), array("I", bytes(checks)), strict=True))
    found.keys = {key for key, _ in now ^ before}
    found.much = len(found.keys) > most
    if found.keys and not found.much:
        lines = set(found.fresh.values())
        for digest, subjects in _noted(connection, extract.kind):
            if digest in places and not found.keys.isdisjoint(_keys(subjects)):
                lines.add(places[digest])
        found.lines = [divmod(place, _LENGTHS) for place in sorted(lines)]
    return found


def is_known(connection: sa.Connection, kind: Kind) -> bool:
    """Whether a file of that kind was ever taken in."""
    return _digests(connection, kind) is not None


def note(connection: sa.Connection, extract: Extract, difference: Difference, revision: int) -> None:
    """Note what differs; within the transaction that writes what it says."""
    kind, lines_of = _NAMES[extract.kind], _reader(extract)
    gone = sorted(difference.gone)
    for start in range(0, len(gone), _READ):
        _DELETE.run(connection, kind, gone[start : start + _READ])
    with extract.path.open("rb") as file:
        rows = []
        for digest in sorted(difference.fresh):
            offset, length = divmod(difference.fresh[digest], _LENGTHS)
            file.seek(offset)
            rows.append((kind, digest, *_packed(*lines_of(file.read(length)))))
    _LOAD.run(connection, rows)
    _note_file(connection, extract, difference.digests, revision)


def note_all(
    connection: sa.Connection, extract: Extract, revision: int, advance: Callable[[int], None] | None = None
) -> None:
    """Note a whole file anew."""
    kind, lines_of = _NAMES[extract.kind], _reader(extract)
    connection.execute(tables.passages.delete().where(tables.passages.c.kind == kind))
    digests: set[int] = set()
    passing = scan(extract, advance)
    while some := {digest: _packed(*lines_of(octets)) for digest, _, octets in itertools.islice(passing, _WRITTEN)}:
        _LOAD.run(connection, [(kind, digest, *some[digest]) for digest in sorted(some.keys() - digests)])
        digests |= some.keys()
    _note_file(connection, extract, array("q", digests), revision)


def _note_file(connection: sa.Connection, extract: Extract, digests: "array[int]", revision: int) -> None:
    readings = tables.readings
    connection.execute(readings.delete().where(readings.c.kind == _NAMES[extract.kind]))
    row = {"kind": _NAMES[extract.kind], "name": extract.name, "stamp": extract.stamp, "revision": revision}
    connection.execute(readings.insert().values(**row, digests=digests.tobytes()))


def _reader(extract: Extract) -> Callable[[bytes], tuple[list[str], "array[int]"]]:
    """What gives the keys of the lines of some octets, in order, and a check of each; addresses in lower case.

    Lines without a key, which are refused where they are read, have none.
    """
    place = extract.layout.places[KEY_COLUMN[extract.kind]]
    find = re.compile(rb"^(?:[^|\n]*\|){%d}([^|\n]+)" % place, re.MULTILINE)
    lower = extract.kind is Kind.ADDRESSES

    def read(octets: bytes) -> tuple[list[str], "array[int]"]:
        keys, lines = find.findall(octets), octets.removesuffix(b"\n").split(b"\n")
        if len(keys) != len(lines):
            lines = [line for line in lines if find.match(line)]
        texts = b"\n".join(keys).decode("utf-8", "replace").split("\n")
        if lower:
            texts = [each.strip().lower() for each in texts]
        return texts if keys else [], array("I", map(crc32, lines))

    return read


def _cuts(extract: Extract) -> Callable[[bytes], "Iterator[re.Match[bytes]]"]:
    places = extract.layout.places
    columns = _ADDRESS_CUTS if extract.kind is Kind.ADDRESSES else (KEY_COLUMN[extract.kind],)
    ways = [rb"(?:[^|\n]*\|){%d}[0-9]*0\|" % places[column] for column in columns if column in places]
    return re.compile(rb"\n(?=%s)" % b"|".join(ways)).finditer


def _digest(octets: bytes) -> int:
    return int.from_bytes(blake2b(octets, digest_size=8).digest(), "big", signed=True)


def _packed(keys: Iterable[str], checks: "array[int]") -> tuple[bytes, bytes]:
    return "\n".join(keys).encode(), checks.tobytes()


def _digests(connection: sa.Connection, kind: Kind) -> set[int] | None:
    chosen = sa.select(tables.readings.c.digests).where(tables.readings.c.kind == _NAMES[kind])
    packed = connection.execute(chosen).scalar()
    return None if packed is None else set(array("q", bytes(packed)))


def _noted(connection: sa.Connection, kind: Kind) -> Iterator[tuple[int, bytes]]:
    passages = tables.passages
    chosen = sa.select(passages.c.digest, passages.c.subjects).where(passages.c.kind == _NAMES[kind])
    for row in connection.execute(chosen.execution_options(yield_per=_READ)):
        yield row[0], row[1]


def _keys(subjects: bytes) -> list[str]:
    return bytes(subjects).decode().split("\n")
