"""What was fetched of the national directory, kept on disk page by page until all of it is there.

What it keeps true: a page counts once its resources are on disk; a run that was cut goes on after the last page that
counts; what is left of another search is never mixed in.

Rule: one file a kind of resource, a resource a line; `state` says how long each is and what comes next. On start, a file is
cut to the length that its state says: what is beyond was not counted.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from vaguemestre.storage.durability import force, make_folder

KINDS = ("Organization", "Practitioner", "PractitionerRole", "Device", "HealthcareService")


class State(msgspec.Struct):
    """Where a run is. `since` is the Unix milliseconds from which changes are asked for, 0 for everything.

    `following` is what is asked next of the kind at `at`; `lengths` are octets that count, by kind; `began` is the
    service's time at the first page, in Unix milliseconds.
    """

    since: int
    edition: str
    began: int = 0
    at: int = 0
    following: str = ""
    lengths: dict[str, int] = {}
    counts: dict[str, int] = {}

    @property
    def done(self) -> bool:
        """Whether all kinds were fetched."""
        return self.at >= len(KINDS)

    @property
    def kind(self) -> str:
        """The kind being fetched."""
        return KINDS[self.at]


class Harvest:
    """A run's folder. For one process at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = folder / "state.json"

    def open(self) -> State | None:
        """Where an earlier run was, its files cut to what counts; None where there is none, or none that can be read."""
        try:
            state = msgspec.json.decode(self._state.read_bytes(), type=State)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        for kind in KINDS:
            length = state.lengths.get(kind, 0)
            path = self._path(kind)
            if (path.stat().st_size if path.exists() else 0) < length:
                return None  # what counts is not there: another disk, or somebody's hand
            if path.exists():
                os.truncate(path, length)
        return state

    def begin(self, state: State) -> None:
        """Begin a run anew."""
        self.clear()
        make_folder(self._folder)
        self._save(state)

    def add(self, state: State, kind: str, resources: Sequence[dict[str, Any]]) -> None:
        """Take a page: its resources, then the state as its caller has made it, on disk."""
        with self._path(kind).open("ab") as file:
            for each in resources:
                file.write(msgspec.json.encode(each) + b"\n")
            file.flush()
            os.fsync(file.fileno())
            state.lengths[kind] = file.tell()
        state.counts[kind] = state.counts.get(kind, 0) + len(resources)
        self._save(state)

    def restart(self, state: State, kind: str) -> None:
        """Forget what was fetched of a kind."""
        state.lengths[kind] = state.counts[kind] = 0
        state.following = ""
        self._save(state)
        self._path(kind).unlink(missing_ok=True)

    def read(self, kind: str) -> Iterator[dict[str, Any]]:
        """The resources of a kind, in the order they came."""
        path = self._path(kind)
        if not path.exists():
            return
        decode = msgspec.json.Decoder(dict[str, Any]).decode
        with path.open("rb") as file:
            for line in file:
                yield decode(line)

    def clear(self) -> None:
        """Forget everything."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, kind: str) -> Path:
        return self._folder / f"{kind}.ndjson"

    def _save(self, state: State) -> None:
        being_written = self._state.with_suffix(".new")
        with being_written.open("wb") as file:
            file.write(msgspec.json.encode(state))
            file.flush()
            os.fsync(file.fileno())
        being_written.replace(self._state)
        force(self._folder)
