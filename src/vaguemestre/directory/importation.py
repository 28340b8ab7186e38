"""Taking extraction files into the register.

What it keeps true: readers see the register from before or the one after; a run that stops anywhere, killed or refused,
has changed nothing that is read, and the next one goes on or begins again by itself.
"""

import contextlib
import gc
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from vaguemestre.directory import difference, extracts, first_edition
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
            difference.change(place, intake)
        else:
            first_edition.build(place, intake)
        for file in summary.files:
            summary.refusals.number(file)
        summary.refusals.first.sort(key=lambda each: (each.file, each.line))
        return summary


@contextlib.contextmanager
def _seldom_collected() -> Iterator[None]:
    """Rows by the million hold no cycles: looking for some as often as Python does would take a fifth of the time."""
    usual = gc.get_threshold()
    gc.set_threshold(500_000, 50, 100)
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
