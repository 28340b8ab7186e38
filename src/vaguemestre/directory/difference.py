"""A register changed where new files say otherwise: one transaction, one revision.

What it keeps true: all of the change is seen at once, or none of it; withdrawals beyond what the terms allow undo it.

Rules:
1. People and addresses whose lines may have changed are looked up one by one; where they are too many, or nothing is
   known of the files before, everything in the files is compared with everything in the register, in the order of keys.
2. What was noted of the files (`passages`) changes in the same transaction.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

import sqlalchemy as sa

from vaguemestre import clock
from vaguemestre.directory import extracts, labels, passages, register, snapshots, spellings, tables
from vaguemestre.directory.bearers import AddressReconciler
from vaguemestre.directory.building import Tally
from vaguemestre.directory.dossiers import Reader
from vaguemestre.directory.intake import BATCH, PEOPLE, Intake, Terms, WithdrawalsError
from vaguemestre.directory.model import Origin
from vaguemestre.directory.passages import Difference
from vaguemestre.directory.reconciliation import Reconciler
from vaguemestre.directory.register import Place
from vaguemestre.documents.extraction import Kind

_MOST_KEYS = 50_000  # people or addresses that are looked up one by one; for more, everything is compared


def change(place: Place, intake: Intake) -> None:
    opened = place.open()
    try:
        intake.watch.begin("compare", sum(file.size for file in intake.files.values()))
        differences = {}
        for kind, file in intake.files.items():
            differences[kind] = opened.read(passages.compare, file, _MOST_KEYS, intake.watch.advance)
        intake.summary.revision = opened.write(_apply, intake, differences)
    finally:
        opened.close()


def _apply(connection: sa.Connection, intake: Intake, differences: Mapping[Kind, Difference]) -> int:
    summary = intake.summary
    before = register.counts(connection)
    summary.tally = Tally()
    revision = register.begin(connection, Origin.EXTRACTION, summary.stamp)
    kinds = [kind for kind in PEOPLE if kind in intake.files]
    known = Kind.KNOW_HOW in kinds or passages.is_known(connection, Kind.KNOW_HOW)
    changing = Reconciler(connection, revision, summary.tally, know_how_known=known)
    reader = Reader(kinds)
    some = {kind: differences[kind] for kind in kinds}
    for keys, lines in _walk(connection, intake, kinds, some, tables.practitioners.c.national_id):
        changing.people(connection, reader.read(lines), keys)
    labels.put(connection, reader.labels)
    if Kind.ADDRESSES in intake.files:
        boxes = AddressReconciler(connection, changing)
        kinds, some = [Kind.ADDRESSES], {Kind.ADDRESSES: differences[Kind.ADDRESSES]}
        for keys, lines in _walk(connection, intake, kinds, some, tables.addresses.c.address_key):
            boxes.write(connection, lines[Kind.ADDRESSES], keys)
        boxes.end(connection)
    changing.end(connection)
    register.link_parents(connection, revision)
    spellings.refresh(connection, revision - 1)
    for kind, file in intake.files.items():
        if differences[kind].known:
            passages.note(connection, file, differences[kind])
        else:
            passages.note_all(connection, file)
    snapshots.forget(connection, clock.now_ms() - snapshots.KEPT_MS)
    _check_withdrawals(before, summary.tally, intake.terms)
    return revision


def _walk(
    connection: sa.Connection,
    intake: Intake,
    kinds: Sequence[Kind],
    differences: Mapping[Kind, Difference],
    column: "sa.Column[str]",
) -> Iterator[tuple[list[str], dict[Kind, list[tuple[str, ...]]]]]:
    """Keys whose lines may have changed, some at a time, with all their lines in these files.

    `column` holds the keys in the register. Where nothing is known of a file, or too much of it has changed, these are
    all keys of the files and of the register.
    """
    keys = {key for each in differences.values() for key in each.keys}
    whole = (
        intake.terms.rebuild
        or len(keys) > _MOST_KEYS
        or any(each.much or not each.known for each in differences.values())
    )
    ordered, places = sorted(keys), None
    if whole:
        intake.watch.begin("difference", sum(intake.files[kind].size for kind in kinds))
    else:
        intake.watch.begin("difference", len(keys))
        places = {kind: each.lines_of(connection, kind, keys) for kind, each in differences.items()}
    with intake.streams(kinds, places, keys) as streams:
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


def _check_withdrawals(before: Mapping[str, int], tally: Tally, terms: Terms) -> None:
    for name, counts in tally.named():
        if name not in _FRENCH or terms.accept_withdrawals:
            continue
        if counts.withdrawn > terms.withdrawal_limit * before[name]:
            share = 100 * counts.withdrawn / max(before[name], 1)
            raise WithdrawalsError(
                f"This would withdraw {counts.withdrawn} of {before[name]} {name} ({share:.1f} %): more than the limit. "
                "Nothing was changed. Look at the files; if they are right, add --accept-withdrawals.",
                f"Cela retirerait {counts.withdrawn} {_FRENCH[name]} sur {before[name]} ({share:.1f} %) : plus que la "
                "limite. Rien n'a été changé. Regardez les fichiers ; s'ils sont bons, ajoutez --accept-withdrawals.",
            )


_FRENCH = {"practitioners": "personnes", "activities": "activités", "addresses": "adresses"}
