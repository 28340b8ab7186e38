"""A register of people who do not exist, made at once: files written aside, taken in as any others, and thrown away."""

import tempfile
from pathlib import Path

from vaguemestre.directory import importation
from vaguemestre.directory.fictitious import files
from vaguemestre.directory.fictitious.population import Fiction
from vaguemestre.directory.intake import Summary, Unwatched, Watch
from vaguemestre.directory.register import Place


def make(place: Place, fiction: Fiction, watch: Watch | None = None) -> Summary:
    """Make the register in `place`; `watch` sees a part `making` before those of the import.

    Raises ConfigurationError, StorageFailure, OSError.
    """
    watch = watch or Unwatched()
    place.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=place.folder, prefix="fictitious-") as folder:
        watch.begin("making", fiction.people)
        seen = 0

        def progress(done: int) -> None:
            nonlocal seen
            watch.advance(done - seen)
            seen = done

        written = files.write(Path(folder), fiction, progress)
        return importation.run(place, written.files, watch)
