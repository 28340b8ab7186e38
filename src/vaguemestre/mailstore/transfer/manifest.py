"""The manifest of an export: what its folders are really called, what they are for, and what they must hold.

What holds here: a manifest that is damaged, or somebody else's file of that name, is as good as none; names it holds are
looked up in the export only, never on the disk. JSON, UTF-8; digests of folders are the sums of `model.Fingerprint`.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec

from vaguemestre import clock
from vaguemestre.mailstore.model import NO_FLAGS, Flag
from vaguemestre.mailstore.transfer import files
from vaguemestre.mailstore.transfer.files import Draft
from vaguemestre.mailstore.transfer.model import ExportedFolder, Kept, Marks, TargetError, UnreadableError

NAME = "manifest.json"
_VERSION = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST = 256 * 1024 * 1024
_Count = Annotated[int, msgspec.Meta(ge=0)]


class ExportedMessage(msgspec.Struct, frozen=True, gc=False):
    """A message of an export in files of their own; `sha256` is of the file's content."""

    file: str
    flags: tuple[str, ...]
    keywords: tuple[str, ...]
    received_at: datetime
    size: _Count
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """The whole; `messages` are decoded one by one, for there may be many."""

    version: int
    account: str
    format: str
    exported_at: datetime
    folders: list[ExportedFolder]
    messages: list[msgspec.Raw] = []


_read = msgspec.json.Decoder(Manifest).decode
_read_message = msgspec.json.Decoder(ExportedMessage).decode
_write = msgspec.json.Encoder().encode


def read(file: BinaryIO) -> Manifest | None:
    """The manifest in a file, or None where it is not one."""
    content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        return None
    try:
        found = _read(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found if found.version == _VERSION else None


def listed(folder: Path) -> dict[str, ExportedFolder]:
    """The folders that the manifest in a folder of the disk lists, by path; none where there is no manifest."""
    try:
        with files.opened(folder / NAME) as file:
            found = read(file)
    except (UnreadableError, OSError):
        return {}
    return {each.path: each for each in found.folders} if found else {}


def begin(target: Path, account: str) -> Draft:
    """Claim a folder of the disk for an export: one that is empty, or that an export of this account has begun or made.

    Raises TargetError. What is returned is where the manifest goes.
    """
    files.made(target)
    path = target / NAME
    if any(target.iterdir()) and not path.with_name(NAME + files.PART).exists():
        try:
            with files.opened(path) as file:
                found = read(file)
        except UnreadableError:
            found = None
        if found is None or found.account != account:
            raise TargetError(
                f"{target} is not empty, and holds no export of {account}: choose another folder.",
                f"{target} n'est pas vide, et ne contient pas d'export de {account} : choisissez un autre dossier.",
            )
    return Draft(path)


def read_message(raw: msgspec.Raw) -> ExportedMessage | None:
    """One message's line, or None where it is none."""
    try:
        return _read_message(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def write(
    file: BinaryIO, account: str, kind: str, folders: Iterable[ExportedFolder], messages: Iterable[bytes] = ()
) -> None:
    """Write a manifest; `messages` are lines of `line`."""
    head = {"version": _VERSION, "account": account, "format": kind, "exported_at": clock.now()}
    file.write(_write(head)[:-1] + b',\n"folders": [')
    separator = b"\n"
    for folder in folders:
        file.write(separator + _write(folder))
        separator = b",\n"
    file.write(b'\n],\n"messages": [')
    separator = b"\n"
    for message in messages:
        file.write(separator + message)
        separator = b",\n"
    file.write(b"\n]}\n")


def line(file: str, kept: Kept, digest: bytes) -> bytes:
    """A message's line."""
    names = tuple(str(flag.name).lower() for flag in Flag if flag in kept.flags)
    return _write(ExportedMessage(file, names, kept.keywords, clock.from_ms(kept.received_at), kept.size, digest.hex()))


def marks(message: ExportedMessage) -> Marks:
    """What a line says of its message; unknown flags are passed over."""
    flags = NO_FLAGS
    for name in message.flags:
        flags |= Flag.__members__.get(name.upper(), NO_FLAGS)
    moment = message.received_at
    return Marks(
        flags, frozenset(message.keywords), (moment - _EPOCH) // timedelta(milliseconds=1) if moment.tzinfo else None
    )
