"""The formats by name: which one a path holds, and how each is read and written."""

from enum import StrEnum
from pathlib import Path

from vaguemestre.mailstore import mailboxes
from vaguemestre.mailstore.transfer import archive, maildir, mbox_folders
from vaguemestre.mailstore.transfer.archive import ArchiveSink, ArchiveSource
from vaguemestre.mailstore.transfer.maildir import MaildirSink, MaildirSource
from vaguemestre.mailstore.transfer.mbox_folders import MboxSink, MboxSource
from vaguemestre.mailstore.transfer.model import Sink, Source, SourceError


class Format(StrEnum):
    """What files others read."""

    MBOX = "mbox"
    MAILDIR = "maildir"
    ZIP = "zip"


def recognised(path: Path) -> Format:
    """The format of what stands at a path. Raises SourceError."""
    for format_, room in ((Format.ZIP, archive), (Format.MAILDIR, maildir), (Format.MBOX, mbox_folders)):
        try:
            if path.exists() and room.is_source(path):
                return format_
        except OSError:
            continue
    raise SourceError(
        f"{path} is neither an mbox file or a folder of them, nor a Maildir, nor a zip, or cannot be read.",
        f"{path} n'est ni un fichier mbox ou un dossier de tels fichiers, ni un Maildir, ni un zip, ou est illisible.",
    )


def source(path: Path, format_: Format | None = None, into: str = mailboxes.INBOX) -> Source:
    """A source of what stands at a path; `into` names the mailbox for a single mbox file. Raises SourceError, OSError."""
    match format_ or recognised(path):
        case Format.MBOX:
            return MboxSource(path, into)
        case Format.MAILDIR:
            return MaildirSource(path)
        case Format.ZIP:
            return ArchiveSource(path)


def sink(path: Path, format_: Format, account: str) -> Sink:
    """A sink that writes the mail of an account to a path. Raises TargetError."""
    match format_:
        case Format.MBOX:
            return MboxSink(path, account)
        case Format.MAILDIR:
            return MaildirSink(path, account)
        case Format.ZIP:
            return ArchiveSink(path, account)
