"""What is taken in, and how: the files of one import, the terms, who watches, and what came of it."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vaguemestre.directory import bearers
from vaguemestre.directory.building import Tally
from vaguemestre.directory.dossiers import MOST_LINES, WANTED, Doubts
from vaguemestre.directory.extracts import Extract, Refusals, Stream
from vaguemestre.directory.passages import KEY_COLUMN, Difference
from vaguemestre.documents.extraction import Kind

BATCH = 5000  # lines read before what they say is written
PEOPLE = (Kind.ACTIVITIES, Kind.KNOW_HOW, Kind.DIPLOMAS, Kind.CARDS)


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
    """What an import did: `full` where the register was written for the first time."""

    files: list[Extract]
    full: bool = False
    revision: int = 0
    stamp: str = ""
    tally: Tally = field(default_factory=Tally)
    refusals: Refusals = field(default_factory=Refusals)
    doubts: Doubts = field(default_factory=Doubts)
    passed_over: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Terms:
    """How files are taken in.

    `rebuild`: everything is compared with the register, whatever was noted of the files before. `withdrawal_limit`: the
    share of people, activities or addresses beyond which withdrawals stop it, unless they are accepted. `only_new`: files
    of the same names as those taken in last are left alone, and `revision` stays 0.
    """

    rebuild: bool = False
    withdrawal_limit: float = 0.05
    accept_withdrawals: bool = False
    only_new: bool = False


@dataclass(frozen=True, slots=True)
class Intake:
    """One import: the files by kind, a folder for what passes, and the rest."""

    files: Mapping[Kind, Extract]
    scratch: Path
    summary: Summary
    watch: Watch
    terms: Terms

    @contextlib.contextmanager
    def streams(
        self, kinds: Iterable[Kind], differences: Mapping[Kind, Difference] | None = None
    ) -> Iterator[dict[Kind, Stream]]:
        """The lines of files by key; with differences, those alone of the keys whose lines have changed."""
        found: dict[Kind, Stream] = {}
        with contextlib.ExitStack() as stack:
            for kind in kinds:
                wanted = bearers.WANTED if kind is Kind.ADDRESSES else WANTED[kind]
                found[kind] = stream = Stream(
                    self.files[kind],
                    KEY_COLUMN[kind],
                    wanted,
                    self.scratch,
                    self.summary.refusals,
                    most=MOST_LINES,
                    advance=None if differences else self.watch.advance,
                )
                stack.callback(stream.close)
                if differences is None:
                    stream.open()
                else:
                    stream.open_at(differences[kind].lines, differences[kind].keys)
            yield found
