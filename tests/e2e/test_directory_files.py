"""The directory's files by the command line, and as a source that is looked at each day."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vaguemestre import config, directory_parts
from vaguemestre.cli.program import program
from vaguemestre.directory.fictitious import files
from vaguemestre.directory.fictitious.population import Fiction


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    """A configuration whose source is a folder, with keys."""
    path = tmp_path / "directory.toml"
    path.write_text('data = "data"\n[directory]\nsource = ["incoming"]\nwithdrawal_limit = 0.3\nstale_after = 86400\n')
    (tmp_path / "incoming").mkdir()
    assert call("db", "migrate", "-c", str(path))[0] == 0
    return path


def call(*arguments: str) -> tuple[int, Any]:
    """Run a command with --json: its exit code and what it printed."""
    result = CliRunner().invoke(program, [*arguments, "--json"])
    return result.exit_code, json.loads(result.stdout)


def made(folder: Path, people: int = 200, day: int = 0) -> list[str]:
    paths = files.write(folder, Fiction(people, day=day)).files
    for path in paths:
        os.utime(path, (1_000_000_000, 1_000_000_000))  # nobody is writing them any more
    return [str(path) for path in paths]


def test_files_are_taken_in_then_their_difference_and_their_age_is_told(settings: Path, tmp_path: Path) -> None:
    code, first = call("directory", "import", "-c", str(settings), *made(tmp_path / "day-0"))
    assert (code, first["full"], first["practitioners"]["created"], first["refused"]) == (0, True, 200, 0)
    code, later = call("directory", "import", "-c", str(settings), *made(tmp_path / "day-9", day=9))
    assert (code, later["full"], later["revision"]) == (0, False, 2)
    code, again = call("directory", "import", "-c", str(settings), "--rebuild", *made(tmp_path / "day-9", day=9))
    assert code == 0
    assert [again[name]["changed"] for name in ("practitioners", "activities", "organizations", "addresses")] == [0] * 4
    code, status = call("directory", "status", "-c", str(settings))
    assert (code, status["ok"]) == (1, False)  # made in the past, it stands still
    assert status["counts"]["practitioners"] >= 200
    assert {each["stamp"] for each in status["files"]} == {"202601140312"}
    assert all(each["still"] for each in status["files"])


def test_too_many_withdrawals_are_refused_with_the_rule(settings: Path, tmp_path: Path) -> None:
    call("directory", "import", "-c", str(settings), *made(tmp_path / "all"))
    few = made(tmp_path / "few", people=20)
    code, answer = call("directory", "import", "-c", str(settings), *few)
    assert (code, answer["rule"]) == (1, "too-many-withdrawals")
    code, answer = call("directory", "import", "-c", str(settings), "--accept-withdrawals", *few)
    assert code == 0
    assert answer["practitioners"]["withdrawn"] >= 180


def test_what_is_no_extraction_file_is_refused_with_the_rule(settings: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.txt"
    wrong.write_bytes("Libellé;Code\n".encode("latin-1"))
    code, answer = call("directory", "import", "-c", str(settings), str(wrong))
    assert (code, answer["rule"]) == (1, "extraction-unreadable")
    assert "UTF-8" in answer["en"]
    assert call("directory", "status", "-c", str(settings))[0] == 2  # there is none


def test_a_source_is_taken_in_once(settings: Path, tmp_path: Path) -> None:
    loaded = config.load(settings, {})
    assert asyncio.run(directory_parts.import_source(loaded)) is None
    made(tmp_path / "incoming")
    first = asyncio.run(directory_parts.import_source(loaded))
    again = asyncio.run(directory_parts.import_source(loaded))
    made(tmp_path / "incoming", day=9)
    later = asyncio.run(directory_parts.import_source(loaded))
    assert first is not None
    assert again is not None
    assert later is not None
    assert (first.revision, again.revision, later.revision) == (1, 0, 2)
    assert [each.name for each in directory_parts.jobs(loaded) if "extraction" in each.name] == [
        "take in the extractions"
    ]
