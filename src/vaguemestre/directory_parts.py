"""The directory's composition: from a Config to an open register."""

import hashlib

from vaguemestre.config import Config, Directory
from vaguemestre.directory.register import Place, Registers
from vaguemestre.storage import keys

_FOR_REGISTER = b"register of the directory"


def settings(config: Config) -> Directory:
    """The section of the directory; its defaults where there is none."""
    return config.directory or Directory()


def place(config: Config) -> Place:
    """Where the register stands. Raises KeyFailure."""
    folder = settings(config).folder or config.data / "directory"
    if config.storage.database:
        return Place(folder, b"", config.storage.database)
    ring = keys.load(config.key_file)
    # A key of its own, made from the operator's: two files never share one.
    return Place(folder, hashlib.blake2b(_FOR_REGISTER, key=ring.database, digest_size=32).digest())


def registers(config: Config) -> Registers:
    """The register in use, for a process that goes on. Raises ConfigurationError, KeyFailure; `close` it."""
    return Registers(place(config))
