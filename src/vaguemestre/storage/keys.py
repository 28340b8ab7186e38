"""The operator's key file: what opens the database and unwraps the content keys.

Whoever holds this file reads the mail; whoever loses it loses the mail. One line a key, `name hex`, 32 bytes each:

- `database`: the raw SQLCipher key;
- `content-N`: wraps the key of each blob; the highest N wraps new ones, the others still open old ones. Adding a line
  rotates, removing one destroys: neither rewrites mail (design, decision 5).

Rules: created with mode 0600 and never overwritten; a file others may read is refused, like a missing or broken one.
"""

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from vaguemestre.errors import KeyFailure
from vaguemestre.storage.durability import force

_HEADING = (
    "# Operator keys of Vaguemestre. Whoever reads this file reads the mail. Keep a copy away from this machine.\n"
)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of one operator, 32 bytes each; `content` by number."""

    database: bytes = field(repr=False)
    content: dict[int, bytes] = field(repr=False)

    @property
    def current(self) -> int:
        """The number of the key that wraps new blobs."""
        return max(self.content)


def create(path: Path) -> Keyring:
    """Make a new key file, durable before it returns. Raises KeyFailure where one stands already or can't be written."""
    ring = Keyring(secrets.token_bytes(32), {1: secrets.token_bytes(32)})
    _write_new(path, ring)
    return ring


def _write_new(path: Path, ring: Keyring) -> None:
    lines = [f"database {ring.database.hex()}\n"]
    lines += [f"content-{number} {key.hex()}\n" for number, key in sorted(ring.content.items())]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(_HEADING + "".join(lines))
                file.flush()
                os.fsync(descriptor)
            force(path.parent)
        except OSError:
            path.unlink()  # half a key file would stop the next attempt, and opens nothing
            raise
    except OSError as error:
        raise KeyFailure(
            f"The key file {path} cannot be created: {error.strerror}.",
            f"Le fichier de clés {path} ne peut pas être créé : {error.strerror}.",
        ) from error


def load(path: Path) -> Keyring:
    """Read a key file. Raises KeyFailure when it is missing, open to others, or not one."""
    try:
        mode = path.stat().st_mode
        text = path.read_text("ascii")
    except FileNotFoundError as error:
        raise KeyFailure(
            f"The key file {path} is missing. Restore it from its copy: without it the mail cannot be read.",
            f"Le fichier de clés {path} manque. Remettez sa copie : sans lui le courrier est illisible.",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(path) from error
    if mode & 0o077:
        raise KeyFailure(
            f"The key file {path} can be read by others. Run: chmod 600 {path}",
            f"Le fichier de clés {path} est lisible par d'autres. Lancez : chmod 600 {path}",
        )
    return _parse(text, path)


def _parse(text: str, path: Path) -> Keyring:
    database, content, names = b"", {}, set()
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        try:
            name, digits = line.split()
            key = bytes.fromhex(digits)
        except ValueError as error:
            raise _broken(path) from error
        if len(key) != 32 or name in names:  # of two keys of one name, nobody could say which opens the mail
            raise _broken(path)
        names.add(name)
        if name == "database":
            database = key
        elif name.startswith("content-") and name[8:].isdigit():
            content[int(name[8:])] = key
        else:
            raise _broken(path)
    if not database or not content:
        raise _broken(path)
    return Keyring(database, content)


def _broken(path: Path) -> KeyFailure:
    return KeyFailure(
        f"The key file {path} is not readable as one. Restore it from its copy.",
        f"Le fichier de clés {path} est illisible. Remettez sa copie.",
    )
