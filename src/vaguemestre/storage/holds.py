"""Holds: while a back-up copies folders of contents, nothing in them is deleted.

What it keeps true: from the moment of its rows to the last of its files, a back-up finds every content that its rows
name. Nobody waits for it: what may not be deleted now stays for the next sweep, unreadable since its key is gone.
The lock is the folder's own, so it holds between processes and ends with the one that took it.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def hold(folders: Iterable[Path]) -> Iterator[None]:
    """Keep folders from losing anything; waits for another back-up. Raises OSError."""
    with ExitStack() as stack:
        for folder in folders:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def deletion(folder: Path) -> Iterator[bool]:
    """Whether something in the folder may be deleted, inside the block. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)
