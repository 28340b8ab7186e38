"""An import that is killed anywhere: who reads sees the register from before, and the next run ends it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from vaguemestre.directory import importation, tables
from vaguemestre.directory.fictitious import files
from vaguemestre.directory.fictitious.population import Fiction
from vaguemestre.directory.register import Place

PEOPLE = 6000
_PROGRAM = """
import sys
from pathlib import Path
from vaguemestre.directory import difference, first_edition, importation
from vaguemestre.directory.register import Place

difference.BATCH = first_edition.BATCH = 500


class Telling:
    def begin(self, part, total):
        print(part, flush=True)
        sys.stdin.readline()

    def advance(self, steps):
        print(steps, flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    where = Place(Path(sys.argv[1]), bytes(range(32)) if not sys.argv[2] else b"", sys.argv[2])
    importation.run(where, [Path(each) for each in sys.argv[3:]], Telling())
    print("done", flush=True)
"""


@pytest.fixture(params=["sqlcipher", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a register may stand, with nothing there yet."""
    if request.param == "sqlcipher":
        yield Place(tmp_path / "directory", bytes(range(32)))
        return
    server = request.getfixturevalue("postgresql")
    name = server.create()
    yield Place(tmp_path / "directory", b"", server.url(name))
    server.drop(name)


def run(where: Place, paths: list[Path], kill_at: int = 0) -> int:
    """An import in a process of its own, which tells each step and waits; killed at that one. How many there were."""
    command = [sys.executable, "-c", _PROGRAM, str(where.folder), where.url, *map(str, paths)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            if line == b"done\n":
                break
            told += 1
            if told == kill_at:
                process.send_signal(signal.SIGKILL)
                break
            process.stdin.write(b"\n")
            process.stdin.flush()
    assert (process.returncode == 0) == (told != kill_at)
    return told


def digest(where: Place) -> dict[str, list[tuple[object, ...]]]:
    """Everything that the register says but when it was said."""

    def read(connection: sa.Connection) -> dict[str, list[tuple[object, ...]]]:
        apart = {tables.facts, tables.revisions, tables.readings, tables.superseded}
        found = {}
        for table in tables.metadata.sorted_tables:
            columns = [each for each in table.columns if each.name not in ("published_at", "revision")]
            if table not in apart:
                found[table.name] = sorted(map(tuple, connection.execute(sa.select(*columns)).all()), key=repr)
        return found

    opened = where.open()
    try:
        return opened.read(read)
    finally:
        opened.close()


def test_a_first_import_killed_anywhere_is_ended_by_the_next(where: Place, tmp_path: Path) -> None:
    paths = list(files.write(tmp_path / "files", Fiction(PEOPLE)).files)
    whole = Place(tmp_path / "whole", bytes(range(32)))
    told = run(whole, paths)
    for kill_at in (3, told // 3, told // 3, told // 2, 2, 4):  # among people, then once they are all there
        assert run(where, paths, kill_at) == kill_at
        assert not where.exists()
    assert run(where, paths) < 0.6 * told  # it went on from where the last one was: people were not read again
    assert digest(where) == digest(whole)


def test_a_difference_killed_anywhere_leaves_the_register_as_it_was(where: Place, tmp_path: Path) -> None:
    first = list(files.write(tmp_path / "first", Fiction(PEOPLE)).files)
    later = list(files.write(tmp_path / "later", Fiction(PEOPLE, day=5)).files)
    importation.run(where, first)
    before = digest(where)
    unharmed = Place(tmp_path / "unharmed", bytes(range(32)))
    importation.run(unharmed, first)
    told = run(unharmed, later)
    assert told > 8
    for kill_at in (1, told // 2, told - 2, told - 1, told):
        assert run(where, later, kill_at) == kill_at
        assert digest(where) == before
    run(where, later)
    assert digest(where) == digest(unharmed) != before


def test_another_file_begins_anew(where: Place, tmp_path: Path) -> None:
    first = list(files.write(tmp_path / "first", Fiction(PEOPLE)).files)
    other = list(files.write(tmp_path / "other", Fiction(300, seed=8)).files)
    run(where, first, 8)
    importation.run(where, other)
    whole = Place(tmp_path / "whole", bytes(range(32)))
    importation.run(whole, other)
    assert digest(where) == digest(whole)
