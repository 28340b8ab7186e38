"""Files of others, and files for others.

What it keeps true: of what others made, only regular files are read, never what a symbolic link, a pipe or a device stands
for; what is written for others is readable by its owner only, and bears its name once it is whole.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vaguemestre.mailstore.transfer.model import SourceError, TargetError, UnreadableError

STEP = 65_536
PART = ".part"


class NotAFileError(UnreadableError):
    """A name that stands for something other than a readable file."""

    def __init__(self, why: str = "") -> None:
        en, fr = (f": {why}", f" : {why}") if why else ("", "")
        super().__init__(
            f"This is not a file that can be read{en}.", f"Ce n'est pas un fichier qui puisse être lu{fr}."
        )


def opened(path: Path) -> BinaryIO:
    """Open a regular file to read. Raises NotAFileError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise NotAFileError(getattr(error, "strerror", None) or "") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotAFileError
    return os.fdopen(descriptor, "rb")


def chunks(path: Path) -> Iterator[bytes]:
    """The content of a regular file, a step at a time. Raises NotAFileError, OSError."""
    with opened(path) as file:
        while chunk := file.read(STEP):
            yield chunk


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock file, that ends with the process. Raises SourceError where another process holds it."""
    made(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SourceError(
                "Mail is being taken into this account already. Wait for the end of the other run, or stop it.",
                "Du courrier est déjà en cours d'import dans ce compte. Attendez la fin de l'autre exécution, ou arrêtez-la.",
            ) from error
        yield
    finally:
        os.close(descriptor)


def made(folder: Path) -> Path:
    """A folder for us alone, made where it is missing, as are those it is in. Raises TargetError."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        for each in reversed(missing):
            each.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


class Draft:
    """A file that bears its name once it is whole and on disk; until then another, which a later run writes anew."""

    def __init__(self, path: Path) -> None:
        """Raises TargetError."""
        self.path = path
        self._part = path.with_name(path.name + PART)
        try:
            descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritable(path, error) from error
        self.file: BinaryIO = os.fdopen(descriptor, "w+b")

    def finish(self) -> None:
        """Force it to disk, then give it its name."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self._part.rename(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def leave(self) -> None:
        """Leave it as it is, under the name it has now."""
        self.file.close()

    def abandon(self) -> None:
        """Forget it, unless it is finished."""
        if not self.file.closed:
            self.file.close()
            self._part.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> TargetError:
    return TargetError(
        f"{path} cannot be written: {error.strerror}. Choose another place, or correct its rights.",
        f"{path} ne peut pas être écrit : {error.strerror}. Choisissez un autre endroit, ou corrigez ses droits.",
    )
