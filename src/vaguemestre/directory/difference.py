"""A register changed where new files say otherwise: one transaction, one revision.

What it keeps true: all of the change is seen at once, or none of it; withdrawals beyond what the terms allow undo it.

Rules:
1. People and addresses whose lines may have changed are looked up one by one; where they are too many, or nothing is
   known of the files before, everything in the files is compared with everything in the register, in the order of keys.
2. What was noted of the files (`passages`) changes in the same transaction.
"""

import itertools
import multiprocessing
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor

import sqlalchemy as sa

from vaguemestre import clock
from vaguemestre.directory import extracts, labels, passages, register, snapshots, spellings, tables, withdrawals
from vaguemestre.directory.bearers import AddressReconciler
from vaguemestre.directory.building import Tally
from vaguemestre.directory.dossiers import Reader
from vaguemestre.directory.extracts import Extract
from vaguemestre.directory.intake import BATCH, PEOPLE, Intake
from vaguemestre.directory.model import Origin
from vaguemestre.directory.passages import Difference
from vaguemestre.directory.reconciliation import Reconciler
from vaguemestre.directory.register import Place
from vaguemestre.documents.extraction import Kind

_LARGE = 64 << 20  # octets of files that are worth starting processes for
_MOST_KEYS = 50_000  # people or addresses that are looked up one by one; for more, everything is compared


def change(place: Place, intake: Intake) -> None:
    """Change the register in use."""
    differences = _compare(place, intake)
    opened = place.open()
    try:
        intake.summary.revision = opened.write(_apply, intake, differences)
    finally:
        opened.close()


def _compare(place: Place, intake: Intake) -> dict[Kind, Difference]:
    """How each file differs; large ones are looked at by two processes side by side."""
    total = sum(file.size for file in intake.files.values())
    intake.watch.begin("compare", total)
    if total < _LARGE:
        opened = place.open()
        try:
            return {
                kind: opened.read(passages.compare, file, _MOST_KEYS, intake.watch.advance)
                for kind, file in intake.files.items()
            }
        finally:
            opened.close()
    largest_first = sorted(intake.files.values(), key=lambda file: -file.size)
    found = {}
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as processes:
        for file, difference in zip(
            largest_first, processes.map(_compare_one, itertools.repeat(place), largest_first), strict=True
        ):
            found[file.kind] = difference
            intake.watch.advance(file.size)
    return found


def _compare_one(place: Place, file: Extract) -> Difference:
    opened = place.open()
    try:
        return opened.read(passages.compare, file, _MOST_KEYS)
    finally:
        opened.close()


def _apply(connection: sa.Connection, intake: Intake, differences: Mapping[Kind, Difference]) -> int:
    summary = intake.summary
    before = register.counts(connection)
    summary.tally = Tally()
    revision = register.begin(connection, Origin.EXTRACTION, summary.stamp)
    known = Kind.KNOW_HOW in intake.files or passages.is_known(connection, Kind.KNOW_HOW)
    changing = Reconciler(connection, revision, summary.tally, know_how_known=known)
    some: dict[Kind, Difference] = {kind: differences[kind] for kind in PEOPLE if kind in differences}
    if some:
        whole = _is_whole(intake, some.values())
        reader = Reader(some, None if whole else {kind: each.keys for kind, each in some.items()})
        for keys, lines in _walk(connection, intake, some, tables.practitioners.c.national_id, whole=whole):
            changing.people(connection, reader.read(lines), keys)
        labels.put(connection, reader.labels)
        summary.doubts = reader.doubts
    if Kind.ADDRESSES in differences:
        some = {Kind.ADDRESSES: differences[Kind.ADDRESSES]}
        whole = _is_whole(intake, some.values())
        boxes = AddressReconciler(connection, changing)
        for keys, lines in _walk(connection, intake, some, tables.addresses.c.address_key, whole=whole):
            boxes.write(connection, lines[Kind.ADDRESSES], keys)
        boxes.end(connection)
    changing.end(connection)
    register.link_parents(connection, revision)
    spellings.refresh(connection, revision - 1)
    for kind, file in intake.files.items():
        if differences[kind].known:
            passages.note(connection, file, differences[kind], revision)
        else:
            passages.note_all(connection, file, revision)
    snapshots.forget(connection, clock.now_ms() - snapshots.KEPT_MS)
    if not intake.terms.accept_withdrawals:
        withdrawals.check(before, summary.tally, intake.terms.withdrawal_limit)
    return revision


def _is_whole(intake: Intake, differences: Collection[Difference]) -> bool:
    """Whether everything must be compared."""
    return (
        intake.terms.rebuild
        or any(each.much or not each.known for each in differences)
        or sum(len(each.keys) for each in differences) > _MOST_KEYS
    )


def _walk(
    connection: sa.Connection,
    intake: Intake,
    differences: Mapping[Kind, Difference],
    column: "sa.Column[str]",
    *,
    whole: bool,
) -> Iterator[tuple[list[str], dict[Kind, list[tuple[str, ...]]]]]:
    """Keys whose lines have changed, some at a time, with their lines in the files where they have.

    `column` holds the keys in the register. Of the `whole`, these are all keys of the files and of the register.
    """
    ordered = sorted({key for each in differences.values() for key in each.keys})
    files = [intake.files[kind] for kind in differences]
    intake.watch.begin("difference", sum(file.size for file in files) if whole else len(ordered))
    with intake.streams(differences, None if whole else differences) as streams:
        after = ""
        for bound, lines in extracts.batches(streams, BATCH):
            if whole:
                chosen = sa.select(column).where(column >= after)
                chosen = chosen if bound is None else chosen.where(column < bound)
                now = list(connection.execute(chosen.distinct()).scalars())
            else:
                end = len(ordered) if bound is None else bisect_left(ordered, bound)
                now = ordered[bisect_left(ordered, after) : end]
                intake.watch.advance(len(now))
            yield now, lines
            after = bound or ""
