"""Taking extraction files into the register.

What it keeps true: readers see the register from before or the one after; a run that stops anywhere, killed or refused,
has changed nothing that is read, and the next one goes on or begins again by itself.
"""

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from vaguemestre import clock
from vaguemestre.directory import bearers, extracts, register, spellings, tables
from vaguemestre.directory.dossiers import MOST_LINES, WANTED, Reader
from vaguemestre.directory.extracts import Extract, Refusals, Stream
from vaguemestre.directory.model import Origin
from vaguemestre.directory.reconciliation import LOADS, Builder, Row, Tally, practitioner_row
from vaguemestre.directory.register import Place
from vaguemestre.documents.extraction import Kind
from vaguemestre.storage.database import Database

_BATCH = 20_000  # lines of the file that is read first
_PEOPLE = (Kind.ACTIVITIES, Kind.KNOW_HOW, Kind.DIPLOMAS, Kind.CARDS)
_PERSON_COLUMN = "Identification nationale PP"


class Watch(Protocol):
    """Who watches a run: told of each part of the work and of its size, then of each step of it."""

    def begin(self, part: str, total: int) -> None:
        """A part begins: `order`, `people`, `addresses`, `indexes`, `difference`; `total` is in octets, or in steps."""

    def advance(self, steps: int) -> None:
        """So much more is done."""


class Unwatched:
    """Nobody watches."""

    def begin(self, part: str, total: int) -> None:
        """Nothing to show."""

    def advance(self, steps: int) -> None:
        """Nothing to show."""


@dataclass(slots=True)
class Summary:
    """What an import did."""

    files: list[Extract]
    full: bool = True
    revision: int = 0
    stamp: str = ""
    tally: Tally = field(default_factory=Tally)
    refusals: Refusals = field(default_factory=Refusals)
    passed_over: list[str] = field(default_factory=list)


def run(place: Place, paths: Sequence[Path], watch: Watch | None = None) -> Summary:
    """Take these files in. Raises ExtractionError, ConfigurationError, StorageFailure, OSError."""
    watch = watch or Unwatched()
    place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _scratch(place.folder) as scratch:
        passed_over: list[str] = []
        found = extracts.open_extracts(paths, scratch, passed_over)
        summary = Summary(found, stamp=max(each.stamp for each in found), passed_over=passed_over)
        _build(place, {each.kind: each for each in found}, scratch, summary, watch)
        return summary


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir=folder, prefix="scratch-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _build(place: Place, files: Mapping[Kind, Extract], scratch: Path, summary: Summary, watch: Watch) -> None:
    place.abandon()
    built = place.next()
    try:
        summary.revision = built.write(register.begin, Origin.EXTRACTION, summary.stamp)
        _build_people(built, files, scratch, summary, watch)
        if Kind.ADDRESSES in files:
            _build_addresses(built, files[Kind.ADDRESSES], summary, watch)
        built.write(spellings.refresh, 0)
    except BaseException:
        built.close()
        raise
    place.replace(built)


def _build_people(
    built: Database, files: Mapping[Kind, Extract], scratch: Path, summary: Summary, watch: Watch
) -> None:
    kinds = [kind for kind in _PEOPLE if kind in files]
    streams = {}
    watch.begin("people", sum(files[kind].size for kind in kinds))
    for kind in kinds:
        ordered = extracts.in_order(files[kind], _PERSON_COLUMN, scratch, summary.refusals)
        blocks = extracts.rows(ordered, WANTED[kind], summary.refusals, watch.advance)
        streams[kind] = Stream(ordered.name, blocks, summary.refusals, MOST_LINES)
    reader = Reader(kinds)
    builder = Builder(summary.revision, summary.tally)
    for _, lines in extracts.batches(streams, _BATCH):
        built.write(builder.write, reader.read(lines))
    built.write(_put_labels, reader.labels)


def _put_labels(connection: sa.Connection, labels: Mapping[tuple[str, str], str]) -> None:
    LOADS[tables.labels].run(connection, [(*key, label) for key, label in sorted(labels.items())])


def _build_addresses(built: Database, file: Extract, summary: Summary, watch: Watch) -> None:
    built.write(_index_bearers)
    watch.begin("addresses", file.size)
    known: set[tuple[object, ...]] = set()
    for lines in extracts.rows(file, bearers.WANTED, summary.refusals, watch.advance):
        built.write(_write_addresses, lines, summary, known)


def _index_bearers(connection: sa.Connection) -> None:
    for index in tables.BEARERS:
        connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))


def _write_addresses(
    connection: sa.Connection, lines: Sequence[bearers.Line], summary: Summary, known: set[tuple[object, ...]]
) -> None:
    people, places = bearers.find(connection, lines)
    standing = (True, Origin.EXTRACTION.value, summary.revision)
    person, place, address = (
        int(connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0)
        for table in (tables.practitioners, tables.organizations, tables.addresses)
    )
    new_people: list[Row] = []
    new_places: list[Row] = []
    rows: list[Row] = []
    now = clock.now_ms()
    for line in lines:
        if line[2] and line[2] not in people:
            person += 1
            people[line[2]] = person
            new_people.append(practitioner_row(person, bearers.named(line), standing))
        found = bearers.place_of(line, places)
        if found is None and line[4]:
            place += 1
            said = bearers.structure(line)
            places[bearers.identifiers(line)[0]] = found = place
            new_places.append((place, *said, None, *standing))
        content = bearers.content(line, (people.get(line[2]), found))
        key = (content[1], content[4], content[5])
        if hashable(key) in known:
            continue
        known.add(hashable(key))
        address += 1
        rows.append((address, *content[:7], "", "", None, content[7], False, "", now, *standing))
    LOADS[tables.practitioners].run(connection, new_people)
    LOADS[tables.organizations].run(connection, new_places)
    LOADS[tables.addresses].run(connection, rows)
    summary.tally.practitioners.created += len(new_people)
    summary.tally.organizations.created += len(new_places)
    summary.tally.addresses.created += len(rows)


def hashable(key: tuple[object, ...]) -> tuple[object, ...]:
    """The key as one small value."""
    return (hashlib.blake2b(repr(key).encode(), digest_size=8).digest(),)
