"""What sources offer, and what a run says at its end."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

import msgspec

from vaguemestre.documents.encoded_words import printable
from vaguemestre.errors import VaguemestreError
from vaguemestre.mailstore.model import NO_FLAGS, Flag, Role

LARGEST = 1 << 30  # octets of one message; IMAP programs fail long before
_MOST_SET_ASIDE = 1000

_Count = Annotated[int, msgspec.Meta(ge=0)]


class Watch(Protocol):
    """Who watches a run: told of each part of the work and of its size, then of each step of it."""

    def begin(self, part: str, total: int) -> None:
        """A part begins: `import`, `export` or `check`; `total` is in octets, or in messages."""

    def advance(self, steps: int) -> None:
        """So much more is done."""


class Unwatched:
    """Nobody watches."""

    def begin(self, part: str, total: int) -> None:
        """Nothing to show."""

    def advance(self, steps: int) -> None:
        """Nothing to show."""


class UnreadableError(VaguemestreError):
    """One message of a source cannot be read; those after it can."""


class SourceError(VaguemestreError):
    """The source as a whole cannot be read."""


class TargetError(VaguemestreError):
    """An export cannot be written where it was asked to be."""


class Marks(msgspec.Struct, frozen=True):
    """What a source says of a message beside its content; `received_at` in Unix milliseconds, None where it does not say."""

    flags: Flag = NO_FLAGS
    keywords: frozenset[str] = frozenset()
    received_at: int | None = None


class Folder(msgspec.Struct, frozen=True):
    """A folder of a source. `name` is its path, levels parted by "/"; `key` is the source's own.

    `exact`: the name and the role are those of a mailbox of ours, written by an export; else the role may be guessed from
    the name. `subscribed`: whether mail programs are to show it; they are, where a source does not say.
    """

    name: str
    role: Role | None
    key: str
    exact: bool = False
    subscribed: bool = True


@dataclass(frozen=True, slots=True)
class Offered:
    """A message that a source offers. Its content is read once, at most, before the next is asked for.

    `place` says where it stands, for the report. `marks` is asked with the header block, once the content was read.
    `weight` is its share of the source's total, 0 where that is counted in octets. `exact`: line ends are known to be those
    of the original. `key` is the source's own.
    Reading `content` may raise UnreadableError, or OSError.
    """

    place: str
    content: Iterator[bytes]
    marks: Callable[[bytes], Marks]
    weight: int = 0
    exact: bool = False
    key: Any = None


class Remembered(msgspec.Struct, frozen=True):
    """A message of which the source remembers that an earlier run filed it: its content's SHA-256 and size."""

    digest: bytes
    size: int
    weight: int


class SetAside(msgspec.Struct, frozen=True):
    """A message that could not be taken, and why: `place` tells where it stands in the source."""

    folder: str
    place: str
    en: str
    fr: str

    @classmethod
    def of(cls, folder: str, place: str, error: VaguemestreError) -> "SetAside":
        """For an error's reason; the texts come from the source, and are made fit to be shown."""
        return cls(printable(folder), printable(place), error.en, error.fr)


class Source(Protocol):
    """Where messages come from. `kind` is its format's name; `total` the sum of the weights it will offer, as far as known."""

    kind: str
    total: int

    def folders(self) -> list[Folder]:
        """Every folder, those that are empty included. Raises SourceError."""

    def messages(self, folder: Folder) -> Iterator[Offered | Remembered | SetAside]:
        """The messages of a folder, in order. Raises SourceError."""

    def filed(self, folder: Folder, offered: Offered, digest: bytes, size: int) -> None:
        """A message is in its mailbox, durably: a source that remembers need not offer it again."""

    def close(self) -> None:
        """Let go of what is open."""


class ExportedFolder(msgspec.Struct, frozen=True):
    """A folder of an export; `path` is where it stands in it, `digest` that of its Fingerprint."""

    name: str
    path: str
    role: Role | None
    messages: _Count
    octets: _Count
    digest: str


class Kept(msgspec.Struct, frozen=True):
    """A message to export; `received_at` in Unix milliseconds."""

    uid: int
    uid_validity: int
    flags: Flag
    keywords: tuple[str, ...]
    size: int
    received_at: int


class Content:
    """Content on its way, measured as it passes: `size` and `digest` (SHA-256) are of what passed so far."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._hash = hashlib.sha256()
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._hash.update(chunk)
            self.size += len(chunk)
            yield chunk

    @property
    def digest(self) -> bytes:
        return self._hash.digest()


class Sink(Protocol):
    """Where an export is written. `kind` is its format's name."""

    kind: str

    def begin(self, name: str, role: Role | None) -> str:
        """Begin a folder; returns its path in the export. Raises TargetError, OSError."""

    def put(self, kept: Kept, content: Content) -> None:
        """Write a message of the folder begun last; what stands there already may be passed over, unread."""

    def finish(self, folders: Sequence[ExportedFolder]) -> None:
        """Make it all durable, with its manifest."""

    def abandon(self) -> None:
        """Let go of what is open; harmless after `finish`."""


class Fingerprint:
    """Count, octets and digest of many contents in any order: the sum of their SHA-256, as numbers, modulo 2^256."""

    __slots__ = ("_sum", "count", "octets")

    def __init__(self) -> None:
        self.count = 0
        self.octets = 0
        self._sum = 0

    def add(self, digest: bytes, size: int) -> None:
        """Count one content in."""
        self.count += 1
        self.octets += size
        self._sum = (self._sum + int.from_bytes(digest, "big")) % (1 << 256)

    @property
    def digest(self) -> str:
        """The sum, 64 hexadecimal digits."""
        return f"{self._sum:064x}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fingerprint) and (self.count, self.octets, self._sum) == (
            other.count,
            other.octets,
            other._sum,
        )

    __hash__ = None  # type: ignore[assignment]


@dataclass(slots=True)
class FolderReport:
    """What became of a folder: `offered` by the source or the account, `found` where it went, once all was written.

    `name` is the mailbox's; `sources` what it is called elsewhere, where several come together or it has another name.
    `moved`: filed by an earlier run, and elsewhere or deleted since, which is not looked into.
    """

    name: str
    sources: list[str] = field(default_factory=list)
    created: int = 0
    present: int = 0
    moved: int = 0
    refused: int = 0
    dropped_keywords: int = 0
    offered: Fingerprint = field(default_factory=Fingerprint)
    found: Fingerprint = field(default_factory=Fingerprint)

    @property
    def whole(self) -> bool:
        """Whether everything taken stands there, octet for octet."""
        return self.offered == self.found


@dataclass(slots=True)
class Report:
    """What a run did. `set_aside` has the first thousand; `refused` counts them all."""

    kind: str
    folders: list[FolderReport] = field(default_factory=list)
    set_aside: list[SetAside] = field(default_factory=list)
    refused: int = 0

    def put_aside(self, what: SetAside) -> None:
        """Name what could not be taken."""
        self.refused += 1
        if len(self.set_aside) < _MOST_SET_ASIDE:
            self.set_aside.append(what)

    @property
    def whole(self) -> bool:
        """Whether nothing was refused, and every folder's check agrees."""
        return not self.refused and all(folder.whole for folder in self.folders)
