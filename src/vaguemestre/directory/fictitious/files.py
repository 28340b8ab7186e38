"""Extraction files of a register that does not exist, as the national directory publishes them, of any size.

What it keeps true: names, order and quirks of the columns are those of the files published: no quotes, `|` after the last
column of activities, people of RPPS and of ADELI, blank postal addresses.

The formats: spec of the public extraction (Licence Ouverte), its columns in their order.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Final

from vaguemestre.directory.fictitious.population import FIRST_DAY, Fiction, register
from vaguemestre.documents.extraction import COLUMNS, Kind

# The order of `population.Rows`.
_KINDS: Final = (Kind.ACTIVITIES, Kind.KNOW_HOW, Kind.DIPLOMAS, Kind.CARDS, Kind.ADDRESSES)


@dataclass(slots=True)
class Written:
    """What was made: files and the number of rows in each, headers left out; `people` who are in them."""

    files: list[Path]
    rows: list[int]
    people: int = 0


def write(folder: Path, fiction: Fiction, progress: Callable[[int], None] = lambda _: None) -> Written:
    """Write the five files of a day into `folder`; `progress` is told how many people were made. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = f"{FIRST_DAY + timedelta(fiction.day):%Y%m%d}0312"
    written = Written([folder / f"{kind}_{stamp}.txt" for kind in _KINDS], [0] * len(_KINDS))
    with ExitStack() as stack:
        files: list[IO[str]] = [
            stack.enter_context(path.open("w", encoding="utf-8", newline="\n", buffering=1 << 20))
            for path in written.files
        ]
        for file, kind in zip(files, _KINDS, strict=True):
            file.write(header(kind) + "\n")
        for count, rows in enumerate(register(fiction)):
            for number, lines in enumerate(rows):
                if lines:
                    files[number].write("\n".join(lines) + "\n")
                    written.rows[number] += len(lines)
            written.people += bool(rows[0])
            if count % 5000 == 0:
                progress(count)
    return written


def header(kind: Kind) -> str:
    """The first line of a file, as published."""
    names = "|".join(COLUMNS[kind]).replace("L4TYPEVOIE", "NL4TYPEVOIE")  # as seen in the file of August 2026
    return names + "|" if kind is Kind.ACTIVITIES else names
