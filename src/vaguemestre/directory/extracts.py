"""Extraction files on disk: found in a zip or as text, known by their header, read in blocks, put in order.

What it keeps true: what was not read is never taken for absent in silence: each line refused is counted, with its number
and the reason; memory does not grow with a file, nor with a line of it; nothing is written but in the scratch folder,
under names of our own.

Rules:
1. A zip may hold several files; other members are passed over and told, those that are archives themselves refused. A
   member grows to `MOST_OCTETS` at most, and not to `MOST_RATIO` times what it was, beyond what a small one may.
2. A line longer than the reader allows is refused and skipped without being held.
"""

import re
import tempfile
import zipfile
import zlib
from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import IO, BinaryIO

from vaguemestre.documents.extraction import (
    LONGEST_HEADER,
    LONGEST_LINE,
    ExtractionError,
    Fields,
    Kind,
    Layout,
    LineError,
    recognise,
    stamp,
    text_of,
)

BLOCK = 1 << 20
MOST_OCTETS = 8 << 30
MOST_RATIO = 200
_SMALL = 64 << 20  # octets: a zip of little files may be as good as it likes
_RUN = 24 << 20  # octets of lines put in order at once
_STEP = 128 << 10  # octets read at a time of each of the many files that this makes
_MOST_MEMBERS = 1000
_PART = 1000  # lines held together
_MOST_TOLD = 1000
# What the library raises for a damaged zip; for a compression it does not know, NotImplementedError; if encrypted, RuntimeError.
_BROKEN = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError)
_CONTROLS = bytes(set(range(32)) - {10}) + b"\x7f"


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that was not taken. Lines are numbered from 1, the header."""

    file: str
    line: int
    en: str
    fr: str


@dataclass(slots=True)
class Refusals:
    """The lines that were refused: how many, and the first of them."""

    count: int = 0
    first: list[Refused] = field(default_factory=list)
    _sought: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    def add(self, file: str, line: int, error: LineError, text: str = "") -> None:
        """Refuse a line; where its number is no more known (0), `text` is what it is found by."""
        self.count += 1
        if len(self.first) < _MOST_TOLD:
            if not line and text:
                self._sought.setdefault(file, {}).setdefault(text, []).append(len(self.first))
            self.first.append(Refused(file, line, error.en, error.fr))

    def number(self, extract: "Extract") -> None:
        """Find the numbers that are not known in a file."""
        sought = self._sought.pop(extract.name, None)
        if not sought:
            return
        with extract.path.open("rb") as file:
            file.seek(extract.body)
            for number, lines in _lines(extract.name, file, 2, Refusals()):
                for place, line in enumerate(lines, number):
                    for at in sought.pop(line, ()):
                        self.first[at] = replace(self.first[at], line=place)


@dataclass(frozen=True, slots=True)
class Extract:
    """One extraction file, as text on disk. `name` is what it was called; `body` is where its lines begin."""

    name: str
    path: Path
    layout: Layout
    stamp: str
    size: int
    body: int

    @property
    def kind(self) -> Kind:
        """Which of the published files it is."""
        return self.layout.kind


def open_extracts(paths: Sequence[Path], scratch: Path, passed_over: list[str]) -> list[Extract]:
    """The extraction files of `paths`, zips unpacked into `scratch`; names of what is none are put in `passed_over`.

    Raises ExtractionError: a path that is no extraction file, one kind twice, a hostile zip; OSError.
    """
    found: list[Extract] = []
    for path in paths:
        with path.open("rb") as file:
            beginning = file.read(4)
        if beginning == b"PK\x03\x04":
            inside = _unpack(path, scratch, passed_over)
            if not inside:
                raise ExtractionError(
                    f"{path.name} holds none of the extraction files.",
                    f"{path.name} ne contient aucun des fichiers d'extraction.",
                )
            found += inside
        else:
            found.append(_extract(path.name, path))
    kinds = [each.kind for each in found]
    twice = next((each for each in found if kinds.count(each.kind) > 1), None)
    if twice is not None:
        names = ", ".join(each.name for each in found if each.kind == twice.kind)
        raise ExtractionError(f"These are the same file twice: {names}.", f"C'est deux fois le même fichier : {names}.")
    return found


def _extract(name: str, path: Path) -> Extract:
    with path.open("rb") as file:
        header = file.readline(LONGEST_HEADER + 2)
        size = file.seek(0, 2)
    try:
        layout = recognise(header.removesuffix(b"\n"))
    except ExtractionError as error:
        raise ExtractionError(f"{name}: {error.en}", f"{name} : {error.fr}") from error
    return Extract(name, path, layout, stamp(name), size, len(header))


def _unpack(path: Path, scratch: Path, passed_over: list[str]) -> list[Extract]:
    found = []
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if len(members) > _MOST_MEMBERS:
                raise ExtractionError(
                    f"{path.name} holds {len(members)} files.", f"{path.name} contient {len(members)} fichiers."
                )
            for member in members:
                name = f"{path.name}/{_plain(member.filename)}"
                with archive.open(member) as file:
                    header = file.readline(LONGEST_HEADER + 2)
                    if header.startswith(b"PK\x03\x04"):
                        raise ExtractionError(
                            f"{name} is an archive within an archive. Unpack it first.",
                            f"{name} est une archive dans une archive. Décompressez-la d'abord.",
                        )
                    try:
                        recognise(header.removesuffix(b"\n"))
                    except ExtractionError as error:
                        passed_over.append(f"{name}: {error.en}")
                        continue
                    found.append(_extract(name, _copy(header, file, member, name, scratch)))
    except _BROKEN as error:
        raise ExtractionError(
            f"{path.name} cannot be unpacked: {error}.", f"{path.name} ne peut pas être décompressé : {error}."
        ) from error
    return found


def _copy(header: bytes, file: IO[bytes], member: zipfile.ZipInfo, name: str, scratch: Path) -> Path:
    most = min(MOST_OCTETS, max(_SMALL, MOST_RATIO * member.compress_size))
    with tempfile.NamedTemporaryFile(dir=scratch, prefix="member-", suffix=".txt", delete=False) as out:
        written = out.write(header)
        while block := file.read(BLOCK):
            written += out.write(block)
            if written > most:
                raise ExtractionError(
                    f"{name} unpacks to more than {most} octets: this is no extraction.",
                    f"{name} se décompresse en plus de {most} octets : ce n'est pas une extraction.",
                )
    return Path(out.name)


def _plain(name: str) -> str:
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(each if each.isprintable() else "·" for each in last)[:200]


def rows(
    extract: Extract, wanted: Sequence[str], refusals: Refusals, advance: Callable[[int], None] | None = None
) -> Iterator[list[tuple[str, ...]]]:
    """The fields `wanted` of each line, some thousands of lines at a time, in order; the first field is never empty."""
    fields = extract.layout.fields(wanted)
    with extract.path.open("rb") as file:
        file.seek(extract.body)
        for number, found in _lines(extract.name, file, 2, refusals, advance):
            yield _read(extract.name, fields, number, found, refusals)


def _lines(
    name: str,
    file: BinaryIO,
    number: int,
    refusals: Refusals,
    advance: Callable[[int], None] | None = None,
    step: int = BLOCK,
) -> Iterator[tuple[int, list[str]]]:
    """The lines of a file, some thousands at a time, with the number of the first; those refused are empty."""
    rest = b""
    while block := file.read(step):
        if advance is not None:
            advance(len(block))
        cut = block.rfind(b"\n") + 1
        if not cut:
            rest += block
            if len(rest) > LONGEST_LINE:
                refusals.add(name, number, _too_long())
                if not _skip_line(file):
                    return
                rest, number = b"", number + 1
            continue
        whole, rest = rest + block[: cut - 1], block[cut:]
        found = _texts(name, whole, number, refusals)
        yield number, found
        number += len(found)
    if rest:
        yield number, _texts(name, rest, number, refusals)


def _skip_line(file: BinaryIO) -> bool:
    while block := file.readline(BLOCK):
        if block.endswith(b"\n"):
            return True
    return False


def _texts(name: str, whole: bytes, number: int, refusals: Refusals) -> list[str]:
    """The lines of a block; those refused are empty."""
    if len(whole.translate(None, _CONTROLS)) == len(whole):
        try:
            found = whole.decode("utf-8").split("\n")
        except UnicodeDecodeError:
            pass
        else:
            if len(max(found, key=len)) <= LONGEST_LINE // 4:
                return found
    found = []
    for place, line in enumerate(whole.split(b"\n"), number):
        try:
            found.append(text_of(line))
        except LineError as error:
            refusals.add(name, place, error)
            found.append("")
    return found


def _read(name: str, fields: Fields, number: int, lines: list[str], refusals: Refusals) -> list[tuple[str, ...]]:
    """The fields of lines; those that cannot be read are refused and left out, as empty ones are."""
    try:
        found = fields.of_all(lines)
        if all(map(itemgetter(0), found)):
            return found
    except LineError:
        pass
    found = []
    for place, line in enumerate(lines, number):
        try:
            row = fields.of(line) if line else ()
            if row and not row[0]:
                raise LineError("has no identifier", "n'a pas d'identifiant")
        except LineError as error:
            refusals.add(name, place if number else 0, error, line)
        else:
            if row:
                found.append(row)
    return found


@dataclass(slots=True)
class _Piece:
    """Lines one after the other, each with its key; `number` is that of the first, 0 where it is no more known."""

    number: int
    keys: list[str]
    lines: list[str]


class _Source:
    """Lines in the order of their keys, from one file; some are held."""

    def __init__(self, pieces: Iterator[_Piece]) -> None:
        self._pieces = pieces
        self._held: list[_Piece] = []
        self.ended = False
        self.last = ""

    def load(self, most: int, refuse: Callable[[_Piece], None]) -> int:
        """Hold some more lines; how many. A key has no more than `most`, the others are refused."""
        piece = next(self._pieces, None)
        if piece is None:
            self.ended = True
            return 0
        self.last = piece.keys[-1]
        if self.last == piece.keys[0] and sum(len(each.keys) for each in self._held) > most:
            first = self._held[0].keys[0]
            if first == self.last:
                refuse(piece)
                return 0
        self._held.append(piece)
        return len(piece.keys)

    def take(self, bound: str | None) -> Iterator[_Piece]:
        """What is held before `bound`, held no more."""
        while self._held:
            piece = self._held[0]
            if bound is None or piece.keys[-1] < bound:
                yield self._held.pop(0)
                continue
            cut = bisect_left(piece.keys, bound)
            if cut:
                yield _Piece(piece.number, piece.keys[:cut], piece.lines[:cut])
                number = piece.number + cut if piece.number else 0
                self._held[0] = _Piece(number, piece.keys[cut:], piece.lines[cut:])
            return


class Stream:
    """The lines of one file by key, whatever their order in it. `close` it."""

    def __init__(
        self,
        extract: Extract,
        column: str,
        wanted: Sequence[str],
        scratch: Path,
        refusals: Refusals,
        *,
        most: int,
        advance: Callable[[int], None] | None = None,
    ) -> None:
        """`column` holds the key, the first of those `wanted`; a key has `most` lines, further ones are refused.

        Addresses are keys in lower case.
        """
        self._extract, self._column, self._scratch, self._refusals = extract, column, scratch, refusals
        self._fields, self._most, self._advance = extract.layout.fields(wanted), most, advance
        self._find = _finder(extract.layout.places[column], lower=extract.kind is Kind.ADDRESSES)
        self._files: list[BinaryIO] = []
        self.sources: list[_Source] = []

    def open(self) -> None:
        """Put the lines in order, where they are not."""
        if self._is_in_order():
            file = self._extract.path.open("rb")
            file.seek(self._extract.body)
            self._files = [file]
            self.sources = [_Source(self._pieces(file, 2))]
        else:
            self._files = list(self._runs())
            self.sources = [_Source(self._pieces(file, 0)) for file in self._files]

    def open_at(self, places: Iterable[tuple[int, int]], keys: Container[str]) -> None:
        """Hold the lines of these keys alone, of those that stand at these offsets (and lengths)."""
        chosen: list[tuple[str, str]] = []
        with self._extract.path.open("rb") as file:
            for offset, length in places:
                file.seek(offset)
                octets = file.read(length).removesuffix(b"\n")
                for piece in self._keyed(0, _texts(self._extract.name, octets, 0, self._refusals)):
                    chosen += [pair for pair in zip(piece.keys, piece.lines, strict=True) if pair[0] in keys]
        chosen.sort(key=itemgetter(0))
        parts = (chosen[start : start + _PART] for start in range(0, len(chosen), _PART))
        pieces = (_Piece(0, [key for key, _ in part], [line for _, line in part]) for part in parts)
        self.sources = [_Source(pieces)]

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            file.close()

    def load(self, source: _Source) -> int:
        """Have a source hold some more lines."""
        return source.load(self._most, self._refuse)

    def take(self, bound: str | None) -> list[tuple[str, ...]]:
        """The fields of the lines held whose key is before `bound`, in the order of keys; of all without a bound."""
        found: list[tuple[str, ...]] = []
        for source in self.sources:
            for piece in source.take(bound):
                found += _read(self._extract.name, self._fields, piece.number, piece.lines, self._refusals)
        if len(self.sources) > 1:
            found.sort(key=_lowered if self._extract.kind is Kind.ADDRESSES else itemgetter(0))
        return found

    def _refuse(self, piece: _Piece) -> None:
        en = f"the same person has more than {self._most} lines"
        fr = f"la même personne a plus de {self._most} lignes"
        for place, line in enumerate(piece.lines):
            number = piece.number + place if piece.number else 0
            self._refusals.add(self._extract.name, number, LineError(en, fr), line)

    def _pieces(self, file: BinaryIO, number: int) -> Iterator[_Piece]:
        step = BLOCK if number else _STEP
        for start, lines in _lines(self._extract.name, file, number, self._refusals, self._advance, step):
            yield from self._keyed(start if number else 0, lines)

    def _keyed(self, number: int, lines: list[str]) -> Iterator[_Piece]:
        """Lines with their keys; those that have none are refused."""
        keys = self._find("\n".join(lines))
        if len(keys) == len(lines):
            yield _Piece(number, keys, lines)
            return
        for place, line in enumerate(lines):
            at = number + place if number else 0
            if keys := self._find(line):
                yield _Piece(at, keys, [line])
            elif line:
                _read(self._extract.name, self._fields, at, [line], self._refusals)  # it says why

    def _is_in_order(self) -> bool:
        last, ignored = "", Refusals()
        with self._extract.path.open("rb") as file:
            file.seek(self._extract.body)
            for _, lines in _lines(self._extract.name, file, 2, ignored):
                keys = [last, *self._find("\n".join(lines))]
                if keys != sorted(keys):
                    return False
                last = keys[-1]
        return True

    def _runs(self) -> Iterator[BinaryIO]:
        """Files of lines in order, in the scratch folder; they have no name."""
        with self._extract.path.open("rb") as file:
            file.seek(self._extract.body)
            keys: list[str] = []
            lines: list[str] = []
            size = 0
            for number, found in _lines(self._extract.name, file, 2, self._refusals):
                for piece in self._keyed(number, found):
                    keys += piece.keys
                    lines += piece.lines
                size += BLOCK
                if size > _RUN:
                    yield self._run(keys, lines)
                    keys, lines, size = [], [], 0
            yield self._run(keys, lines)

    def _run(self, keys: list[str], lines: list[str]) -> BinaryIO:
        order = sorted(range(len(keys)), key=keys.__getitem__)
        file: BinaryIO = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115 - closed by `close`
        for start in range(0, len(order), 2000):
            file.write("".join(f"{lines[place]}\n" for place in order[start : start + 2000]).encode("utf-8"))
        file.seek(0)
        return file


def batches(
    streams: Mapping[Kind, Stream], least: int, after: str = ""
) -> Iterator[tuple[str | None, dict[Kind, list[tuple[str, ...]]]]]:
    """Lines of several files side by side: each time those of some keys, whole, and the key that comes after them.

    Lines before the key `after` are left out.
    """
    waiting = [(stream, source) for stream in streams.values() for source in stream.sources]
    for stream, source in waiting:
        stream.load(source)
        while after and not source.ended and source.last < after:
            for _ in source.take(None):
                pass
            stream.load(source)
    for _, source in waiting:
        for _ in source.take(after) if after else ():
            pass
    while True:
        loaded, bound = 0, None
        while waiting := [each for each in waiting if not each[1].ended]:
            stream, source = min(waiting, key=lambda each: each[1].last)
            bound = source.last
            if loaded >= least:
                break
            loaded += stream.load(source)
        else:
            bound = None
        yield bound, {kind: stream.take(bound) for kind, stream in streams.items()}
        if bound is None:
            return


def _finder(place: int, *, lower: bool) -> Callable[[str], list[str]]:
    """What gives the field at a place of each of some lines, but empty ones."""
    find = re.compile(rf"^(?:[^|\n]*\|){{{place}}}([^|\n]+)", re.MULTILINE).findall
    return (lambda text: [each.strip().lower() for each in find(text)]) if lower else find


def _lowered(row: tuple[str, ...]) -> str:
    return row[0].strip().lower()


def _too_long() -> LineError:
    return LineError(f"longer than {LONGEST_LINE} octets", f"plus de {LONGEST_LINE} octets")
