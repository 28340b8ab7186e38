"""The demo's register: made once, and with it the people who have a mailbox there."""

from pathlib import Path

import sqlalchemy as sa

from vaguemestre import demonstration, directory_parts
from vaguemestre.demonstration import DENTISTS, HOSPITAL, Space
from vaguemestre.directory import tables
from vaguemestre.directory.model import Origin


def test_the_register_of_the_demo_is_made_once_with_the_sample_people(tmp_path: Path) -> None:
    space = Space(tmp_path, 40_000, people=500)
    assert demonstration.prepare(space)
    counts = demonstration.in_register(space)
    assert counts["practitioners"] == 502
    place = directory_parts.place(demonstration._loaded(space, DENTISTS))
    stamp = place.stamp()
    assert not demonstration.prepare(space)
    assert (demonstration.in_register(space), place.stamp()) == (counts, stamp)
    assert [path.name for path in place.folder.iterdir() if path.is_dir()] == []

    kept = place.open()
    try:
        addresses = tables.addresses
        published = sa.select(addresses.c.address, addresses.c.kind).where(addresses.c.origin == Origin.OPERATOR)
        found = {(row.address, row.kind) for row in kept.read(lambda connection: connection.execute(published).all())}
    finally:
        kept.close()
    assert found == {
        (each.address, each.kind.value) for operator in (DENTISTS, HOSPITAL) for each in operator.people[:-1]
    }
