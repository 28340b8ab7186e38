"""The register written for the first time, in an edition beside the place where it will stand.

What it keeps true: nothing is read of it before it is whole and on disk. A run that is killed leaves what it wrote, with a
note of how far it came, in the same transaction; the next one goes on from there, if it has the same files.

Rules:
1. Stages follow one another: people and places, addresses, what is found by words (spellings), what was read (passages),
   legal entities, indexes. Each is noted when done; the first two are noted as they go.
2. The edition is written without forcing to disk, which a killed process survives and a stopped machine may not: what was
   begun before the machine last started is abandoned. It is forced as a whole before it takes its place.
"""

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import sqlalchemy as sa

from vaguemestre.directory import extracts, labels, passages, register, spellings, tables
from vaguemestre.directory.bearers import WANTED, AddressBuilder
from vaguemestre.directory.building import Builder
from vaguemestre.directory.dossiers import Reader
from vaguemestre.directory.extracts import Extract
from vaguemestre.directory.intake import BATCH, PEOPLE, Intake
from vaguemestre.directory.model import Origin
from vaguemestre.directory.register import Place
from vaguemestre.documents.extraction import Kind
from vaguemestre.storage.database import Database

_NOTE = "building"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SAMPLES, _SAMPLE = 64, 4096


class _Progress(msgspec.Struct):
    """How far it came: the files, the machine's start, the key before which all people are written, and so on."""

    files: dict[str, str]
    boot: str
    revision: int = 0
    after: str = ""  # people whose key is before this one are written
    blocks: int = 0  # of the file of addresses are written
    done: list[str] = []


def build(place: Place, intake: Intake) -> None:
    """Write the register and put it in its place."""
    intake.summary.full = True
    built, progress = _begun(place, intake)
    try:
        intake.summary.revision = progress.revision
        for stage, work in _STAGES.items():
            if stage not in progress.done:
                work(built, intake, progress)
                progress.done.append(stage)
                built.write(_note, progress)
        intake.watch.begin("indexes", len(tables.INDEXES))
        for index in tables.INDEXES:
            built.write(_index, index)
            intake.watch.advance(1)
        built.read(_count, intake)
        built.write(_forget)
    except BaseException:
        built.close()
        raise
    place.replace(built)


def _begun(place: Place, intake: Intake) -> tuple[Database, _Progress]:
    """The edition to go on with, or a new one."""
    files = {kind.value: _identity(file) for kind, file in sorted(intake.files.items())}
    boot = _BOOT.read_text("ascii").strip() if _BOOT.exists() else ""
    if place.is_begun():
        with contextlib.suppress(Exception):  # whatever is wrong with it, it is of no use
            built = place.next()
            progress = built.read(_noted)
            if progress is not None and progress.files == files and (progress.boot == boot != "" or place.url):
                return built, progress
            built.close()
    place.abandon()
    built = place.next()
    progress = _Progress(files, boot)

    def begin(connection: sa.Connection) -> None:
        progress.revision = register.begin(connection, Origin.EXTRACTION, intake.summary.stamp)
        _note(connection, progress)

    built.write(begin)
    return built, progress


def _identity(file: Extract) -> str:
    """What tells a file from another one, without reading all of it."""
    digest = hashlib.blake2b(f"{file.size}\n".encode(), digest_size=16)
    with file.path.open("rb") as opened:
        for number in range(_SAMPLES):
            opened.seek(file.size * number // _SAMPLES)
            digest.update(opened.read(_SAMPLE))
    return digest.hexdigest()


def _people(built: Database, intake: Intake, progress: _Progress) -> None:
    kinds = [kind for kind in PEOPLE if kind in intake.files]
    intake.watch.begin("people", sum(intake.files[kind].size for kind in kinds))
    reader = Reader(kinds)
    intake.summary.doubts = reader.doubts
    builder = Builder(progress.revision)
    if progress.after:
        built.read(builder.resume)

    def write(connection: sa.Connection, lines: dict[Kind, list[tuple[str, ...]]], bound: str | None) -> None:
        builder.write(connection, reader.read(lines))
        labels.put(connection, reader.labels)
        reader.labels.clear()
        progress.after = bound or progress.after
        _note(connection, progress)

    with intake.streams(kinds) as streams:
        for bound, lines in extracts.batches(streams, BATCH, progress.after):
            built.write(write, lines, bound)


def _addresses(built: Database, intake: Intake, progress: _Progress) -> None:
    file = intake.files.get(Kind.ADDRESSES)
    if file is None:
        return
    for index in tables.BEARERS:
        built.write(_index, index)
    built.write(_analyze)
    intake.watch.begin("addresses", file.size)
    builder = built.read(AddressBuilder, progress.revision)

    def write(connection: sa.Connection, lines: Sequence[tuple[str, ...]], number: int) -> None:
        builder.write(connection, lines)
        progress.blocks = number
        _note(connection, progress)

    blocks = extracts.rows(file, WANTED, intake.summary.refusals, intake.watch.advance)
    for number, lines in enumerate(blocks, 1):
        if number > progress.blocks:
            built.write(write, lines, number)


def _spellings(built: Database, intake: Intake, progress: _Progress) -> None:
    del intake, progress
    built.write(spellings.refresh, 0)


def _passages(built: Database, intake: Intake, progress: _Progress) -> None:
    intake.watch.begin("passages", sum(file.size for file in intake.files.values()))
    for file in intake.files.values():
        built.write(passages.note_all, file, progress.revision, intake.watch.advance)


def _parents(built: Database, intake: Intake, progress: _Progress) -> None:
    del intake
    built.write(register.link_parents, progress.revision)


_STAGES: dict[str, Callable[[Database, Intake, _Progress], None]] = {
    "people": _people,
    "addresses": _addresses,
    "spellings": _spellings,
    "passages": _passages,
    "parents": _parents,
}


def _index(connection: sa.Connection, index: sa.Index) -> None:
    connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))


def _analyze(connection: sa.Connection) -> None:
    """Tell PostgreSQL how much there is: it takes a table that it knows nothing of for a small one."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE")


def _count(connection: sa.Connection, intake: Intake) -> None:
    for name, counts in intake.summary.tally.named():
        table = tables.metadata.tables[name]
        counts.created = int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def _noted(connection: sa.Connection) -> _Progress | None:
    chosen = sa.select(tables.facts.c.value).where(tables.facts.c.name == _NOTE)
    text = connection.execute(chosen).scalar()
    return None if text is None else msgspec.json.decode(text, type=_Progress)


def _note(connection: sa.Connection, progress: _Progress) -> None:
    _forget(connection)
    connection.execute(tables.facts.insert().values(name=_NOTE, value=msgspec.json.encode(progress).decode()))


def _forget(connection: sa.Connection) -> None:
    connection.execute(tables.facts.delete().where(tables.facts.c.name == _NOTE))
