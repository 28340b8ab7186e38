"""Taking extraction files into the register.

What it keeps true: readers see the register from before or the one after; a run that stops anywhere, killed or refused,
has changed nothing that is read, and the next one goes on or begins again by itself.
"""

import contextlib
import gc
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from vaguemestre.directory import difference, extracts, first_edition, provenance
from vaguemestre.directory.extracts import Extract
from vaguemestre.directory.intake import Intake, Summary, Terms, Unwatched, Watch
from vaguemestre.directory.register import Place


def run(place: Place, paths: Sequence[Path], watch: Watch | None = None, terms: Terms | None = None) -> Summary:
    """Take these files in.

    Raises ExtractionError, WithdrawalsError, ConfigurationError (another import is under way), StorageFailure, OSError.
    """
    with place.alone(), _scratch(place.folder) as scratch, _seldom_collected():
        summary = Summary([])
        summary.files = extracts.open_extracts(paths, scratch, summary.passed_over)
        summary.stamp = max(each.stamp for each in summary.files)
        files = {each.kind: each for each in summary.files}
        intake = Intake(files, scratch, summary, watch or Unwatched(), terms or Terms())
        if place.exists():
            if intake.terms.only_new and _is_known(place, summary.files):
                return summary
            difference.change(place, intake)
        else:
            first_edition.build(place, intake)
        for file in summary.files:
            summary.refusals.number(file)
        summary.refusals.first.sort(key=lambda each: (each.file, each.line))
        return summary


def run_aside(place: Place, paths: Sequence[Path], terms: Terms) -> Summary:
    """`run` in a process of its own, that gives way to all others: for one that has somebody to serve."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _give_way) as process:
        return process.submit(run, place, paths, None, terms).result()


def _give_way() -> None:
    os.nice(10)


def _is_known(place: Place, files: Sequence[Extract]) -> bool:
    """Whether these files are those taken in last, by their names."""
    opened = place.open()
    try:
        last = {each.name for each in opened.read(provenance.standing).files}
    finally:
        opened.close()
    return all(each.name in last and each.stamp for each in files)


@contextlib.contextmanager
def _seldom_collected() -> Iterator[None]:
    """Rows by the million hold no cycles: looking for some as often as Python does would take a fifth of the time."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    for left in folder.glob("scratch-*"):
        shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(dir=folder, prefix="scratch-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
