"""A zip of messages as files (EML): a folder a directory, a manifest with flags, keywords, dates and digests.

What holds here: nothing is unpacked to the disk, and names lead nowhere: they only say what a folder is called. An entry
gives as many octets as its reader wants, whatever it claims to hold. An entry that is damaged, encrypted or packed in an
unusual way is set aside, those after it go on.

Rules: with our manifest, a message has its marks, and its content must have the digest written there; without one, each
`.eml` is a message, received when its header says. Written under another name until it is whole: an export that was
killed is begun anew.

Standards: APPNOTE.TXT (zip), RFC 5322 (EML), RFC 8551 §3.2.1 (the extension's media type).
"""

import tempfile
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, BinaryIO, cast

from vaguemestre import clock
from vaguemestre.mailstore import mailboxes
from vaguemestre.mailstore.model import Role
from vaguemestre.mailstore.transfer import files, folders, manifest
from vaguemestre.mailstore.transfer.files import STEP, Draft
from vaguemestre.mailstore.transfer.manifest import ExportedMessage, Manifest
from vaguemestre.mailstore.transfer.model import (
    Content,
    ExportedFolder,
    Folder,
    Kept,
    Marks,
    Offered,
    SetAside,
    SourceError,
    TargetError,
    UnreadableError,
)

_SUFFIX = ".eml"
_ENCRYPTED, _UTF8 = 0x1, 0x800
_LEVEL = 1  # of compression: attachments are in base64, of which any level wins a quarter
_EARLIEST, _LATEST = (1980, 1, 1, 0, 0, 0), (2107, 12, 31, 23, 59, 58)
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError, OSError)
_LARGE = 1 << 30
_LEFT_OUT = ("__MACOSX/",)


class DamagedEntryError(UnreadableError):
    """An entry that does not open, or not to what it should be."""

    def __init__(self) -> None:
        super().__init__(
            "This entry of the archive is damaged, encrypted, or packed in an unusual way.",
            "Cette entrée de l'archive est abîmée, chiffrée, ou compressée d'une façon inhabituelle.",
        )


class AlteredError(UnreadableError):
    """An entry that is not what was exported."""

    def __init__(self) -> None:
        super().__init__(
            "This message is not the one that was exported: its digest differs from the manifest's.",
            "Ce message n'est pas celui qui a été exporté : son empreinte diffère de celle du manifeste.",
        )


class MissingEntryError(UnreadableError):
    """A message that the manifest lists and the archive lacks."""

    def __init__(self) -> None:
        super().__init__(
            "The archive lacks this message, which its manifest lists.",
            "Il manque à l'archive ce message, que son manifeste annonce.",
        )


class ArchiveSource:
    """Reads a zip. `close` it."""

    kind = "zip"

    def __init__(self, path: Path) -> None:
        """Raises SourceError."""
        try:
            self._file = files.opened(path.resolve())
        except UnreadableError as error:
            raise _no_archive(path) from error
        try:
            self._zip = zipfile.ZipFile(self._file)
        except _BROKEN as error:
            self._file.close()
            raise _no_archive(path) from error
        self._manifest = self._read_manifest()
        self._listed: dict[str, array[int]] = {}  # places in the manifest, by path of folder
        self._plain: dict[str, list[zipfile.ZipInfo]] = {}  # messages that no manifest lists
        self._folders = self._found()
        self.total = sum(entry.file_size for entry in self._zip.infolist() if _is_message(entry))

    def folders(self) -> list[Folder]:
        """Those of the manifest, else those that have messages."""
        return self._folders

    def messages(self, folder: Folder) -> Iterator[Offered | SetAside]:
        """In the order of the manifest, else of the archive."""
        for place in self._listed.get(folder.key, ()):
            listed = self._message(place)
            entry = self._zip.NameToInfo.get(listed.file) if listed else None
            if listed is None:
                yield SetAside.of(folder.name, manifest.NAME, DamagedEntryError())
            elif entry is None:
                yield SetAside.of(folder.name, listed.file, MissingEntryError())
            else:
                yield _exported(listed, self._content(entry))
        for entry in self._plain.get(folder.key, ()):
            yield Offered(_name(entry), self._content(entry), lambda _: Marks())

    def filed(self, folder: Folder, offered: Offered, digest: bytes, size: int) -> None:
        """Nothing to remember."""

    def close(self) -> None:
        """Close the file."""
        self._zip.close()
        self._file.close()

    def _read_manifest(self) -> Manifest | None:
        try:
            with self._zip.open(manifest.NAME) as file:
                return manifest.read(cast(BinaryIO, file))
        except (KeyError, *_BROKEN):
            return None

    def _message(self, place: int) -> ExportedMessage | None:
        assert self._manifest is not None  # noqa: S101 - places are of it
        return manifest.read_message(self._manifest.messages[place])

    def _found(self) -> list[Folder]:
        known: set[str] = set()
        found: dict[str, Folder] = {}
        if self._manifest is not None:
            for each in self._manifest.folders:
                found[each.path] = Folder(each.name, each.role, each.path, exact=True)
            for place in range(len(self._manifest.messages)):
                listed = self._message(place)
                path = listed.file.rpartition("/")[0] if listed else ""
                self._listed.setdefault(path, array("q")).append(place)
                known.update((listed.file,) if listed else ())
        for entry in self._zip.infolist():
            if _is_message(entry) and entry.filename not in known:
                self._plain.setdefault(_name(entry).rpartition("/")[0], []).append(entry)
        for path in (*self._listed, *self._plain):
            if path not in found:
                found[path] = Folder(path or mailboxes.INBOX, None, path)
        return list(found.values())

    def _content(self, entry: zipfile.ZipInfo) -> Iterator[bytes]:
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DamagedEntryError
        try:
            with self._zip.open(entry) as file:
                while chunk := file.read(STEP):
                    yield chunk
        except _BROKEN as error:
            raise DamagedEntryError from error


class ArchiveSink:
    """Writes a zip, which bears its name once it is whole."""

    kind = "zip"

    def __init__(self, target: Path, account: str) -> None:
        if target.exists():
            raise TargetError(
                f"{target} exists already: choose another name, or remove it.",
                f"{target} existe déjà : choisissez un autre nom, ou supprimez-le.",
            )
        files.made(target.absolute().parent)
        self._account = account
        self._draft = Draft(target.absolute())
        self._zip = zipfile.ZipFile(self._draft.file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)
        self._paths = folders.Paths("")
        self._path = ""
        self._lines: IO[bytes] = tempfile.TemporaryFile(dir=target.absolute().parent)  # noqa: SIM115 - closed at the end

    def begin(self, name: str, role: Role | None) -> str:
        """One directory a folder, empty ones too."""
        self._path = self._paths.take(name)
        self._zip.writestr(_entry(f"{self._path}/", clock.now_ms(), 0o40700), b"")
        return self._path

    def put(self, kept: Kept, content: Content) -> None:
        """Write a message; its line of the manifest waits in a file of its own."""
        name = f"{self._path}/{kept.uid:010d}{_SUFFIX}"
        entry = _entry(name, kept.received_at, 0o100600)
        entry.compress_type = zipfile.ZIP_DEFLATED
        try:
            with self._zip.open(entry, "w", force_zip64=kept.size > _LARGE) as file:
                for chunk in content:
                    file.write(chunk)
        except BaseException:  # what was written of it is in no list, and so in no reader's way
            self._zip.filelist.remove(entry)
            del self._zip.NameToInfo[name]
            raise
        self._lines.write(manifest.line(name, kept, content.digest) + b"\n")

    def finish(self, exported: Sequence[ExportedFolder]) -> None:
        """The manifest comes last."""
        self._lines.seek(0)
        entry = _entry(manifest.NAME, clock.now_ms(), 0o100600)
        entry.compress_type = zipfile.ZIP_DEFLATED
        with self._zip.open(entry, "w", force_zip64=True) as file:
            lines = (line.rstrip(b"\n") for line in self._lines)
            manifest.write(cast(BinaryIO, file), self._account, self.kind, exported, lines)
        self._lines.close()
        self._zip.close()
        self._draft.finish()

    def abandon(self) -> None:
        """Leave nothing."""
        self._lines.close()
        with suppress(ValueError, OSError):
            self._zip.close()
        self._draft.abandon()


def is_source(path: Path) -> bool:
    """Whether this is a zip."""
    return path.is_file() and zipfile.is_zipfile(path)


def _no_archive(path: Path) -> SourceError:
    return SourceError(f"{path} is not a zip archive, or is damaged.", f"{path} n'est pas un zip, ou est abîmé.")


def _exported(listed: ExportedMessage, content: Iterator[bytes]) -> Offered:
    """A message of the manifest: the same octets as were exported, or none."""

    def checked() -> Iterator[bytes]:
        measured = Content(content)
        yield from measured
        if measured.digest.hex() != listed.sha256:
            raise AlteredError

    return Offered(listed.file, checked(), lambda _: manifest.marks(listed), exact=True)


def _is_message(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.lower().endswith(_SUFFIX) and not entry.filename.startswith(_LEFT_OUT)


def _name(entry: zipfile.ZipInfo) -> str:
    """The name of an entry; many programs write UTF-8 without saying so."""
    if entry.flag_bits & _UTF8:
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return entry.filename


def _entry(name: str, at: int, mode: int) -> zipfile.ZipInfo:
    """An entry to write, dated as well as a zip can say it."""
    date = clock.from_ms(at).timetuple()[:6]
    entry = zipfile.ZipInfo(name, min(max(date, _EARLIEST), _LATEST))
    entry.external_attr = mode << 16
    return entry
