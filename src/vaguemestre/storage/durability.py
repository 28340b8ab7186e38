"""Forcing to disk: a file's bytes, or the names a folder holds.

Rule: a file is on disk when its bytes, its name in its folder, and that folder's own name are. Who finds an empty file or
folder that another process made cannot know of its name: its maker may have been cut before forcing it. The finder forces
it again before it relies on it.
"""

import os
from pathlib import Path


def force(path: Path) -> None:
    """Force a file's bytes, or a folder's names, to disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder for its owner alone where there is none, and those above; what it makes is on disk. Raises OSError."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)
        force(folder.parent)
