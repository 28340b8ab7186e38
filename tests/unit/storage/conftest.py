"""What tests of files ask for: what was forced to disk."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], bool]:
    """Says whether a file or folder was forced to disk since it was last asked about it."""
    seen: set[int] = set()
    fsync = os.fsync

    def watched(file: int) -> None:
        fsync(file)
        seen.add(os.fstat(file).st_ino)

    def asked(path: Path) -> bool:
        number = path.stat().st_ino
        found = number in seen
        seen.discard(number)
        return found

    monkeypatch.setattr(os, "fsync", watched)
    return asked
