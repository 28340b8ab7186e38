"""Files that must be whole or absent, whenever the machine stops.

Kept true: after `keep` returns, a crash finds the new content; before, the former one; never a part of either.
"""

import os
from pathlib import Path


def keep(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Put `content` at `path` durably: a neighbour file, flushed, then renamed over. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


def flush_folder(folder: Path) -> None:
    """Make the names in a folder durable; a renamed file whose folder is not flushed may vanish in a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
