"""Extraction files on disk: found in a zip or as text, known by their header, read in blocks, put in order.

What it keeps true: what was not read is never taken for absent in silence: each line refused is counted, with its number
and the reason; memory does not grow with a file, nor with a line of it; nothing is written but in the scratch folder,
under names of our own.

Rules:
1. A zip may hold several files; other members are passed over and told, those that are archives themselves refused. A
   member grows to `MOST_OCTETS` at most, and not to `MOST_RATIO` times what it was, beyond what a small one may.
2. A line longer than the reader allows is refused and skipped without being held.
"""

import heapq
import re
import tempfile
import zipfile
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import IO, BinaryIO

from vaguemestre.documents.extraction import (
    LONGEST_HEADER,
    LONGEST_LINE,
    ExtractionError,
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
_MOST_MEMBERS = 1000
_MOST_TOLD = 1000
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

    def add(self, file: str, line: int, error: LineError) -> None:
        """Refuse a line."""
        self.count += 1
        if len(self.first) < _MOST_TOLD:
            self.first.append(Refused(file, line, error.en, error.fr))


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
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
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


def _lines(
    extract: Extract, refusals: Refusals, advance: Callable[[int], None] | None = None
) -> Iterator[tuple[int, list[str]]]:
    """The lines of a file, some thousands at a time, with the number of the first; those refused are empty."""
    number = 2
    with extract.path.open("rb") as file:
        file.seek(extract.body)
        rest = b""
        while block := file.read(BLOCK):
            if advance is not None:
                advance(len(block))
            cut = block.rfind(b"\n") + 1
            if not cut:
                rest += block
                if len(rest) > LONGEST_LINE:
                    refusals.add(extract.name, number, _too_long())
                    if not _skip_line(file):
                        return
                    rest, number = b"", number + 1
                continue
            whole, rest = rest + block[: cut - 1], block[cut:]
            found, count = _texts(extract.name, whole, number, refusals)
            number += count
            yield number - count, found
        if rest:
            yield number, _texts(extract.name, rest, number, refusals)[0]


def _skip_line(file: BinaryIO) -> bool:
    while block := file.readline(BLOCK):
        if block.endswith(b"\n"):
            return True
    return False


def _texts(name: str, whole: bytes, number: int, refusals: Refusals) -> tuple[list[str], int]:
    """The lines of a block, and how many there were."""
    if len(whole.translate(None, _CONTROLS)) == len(whole):
        try:
            found = whole.decode("utf-8").split("\n")
        except UnicodeDecodeError:
            pass
        else:
            if len(max(found, key=len)) <= LONGEST_LINE // 4:
                return found, len(found)
    raw = whole.split(b"\n")
    found = []
    for place, line in enumerate(raw, number):
        try:
            found.append(text_of(line))
        except LineError as error:
            refusals.add(name, place, error)
            found.append("")
    return found, len(raw)


def _too_long() -> LineError:
    return LineError(f"longer than {LONGEST_LINE} octets", f"plus de {LONGEST_LINE} octets")


def rows(
    extract: Extract, wanted: Sequence[str], refusals: Refusals, advance: Callable[[int], None] | None = None
) -> Iterator[list[tuple[str, ...]]]:
    """The fields `wanted` of each line, some thousands of lines at a time, in order; the first field is never empty."""
    read = extract.layout.fields(wanted)
    for number, found in _lines(extract, refusals, advance):
        try:
            taken = [read(line) for line in found if line]
            if all(map(itemgetter(0), taken)):
                yield taken
                continue
        except LineError:
            pass
        one_by_one = (_row(extract, read, place, line, refusals) for place, line in enumerate(found, number))
        yield [row for row in one_by_one if row]


def _row(
    extract: Extract, read: Callable[[str], tuple[str, ...]], number: int, line: str, refusals: Refusals
) -> tuple[str, ...]:
    try:
        taken = read(line) if line else ()
        if taken and not taken[0]:
            raise LineError("has no identifier", "n'a pas d'identifiant")
    except LineError as error:
        refusals.add(extract.name, number, error)
        return ()
    return taken


class Stream:
    """The lines of one file in the order of their first field, taken up to a key."""

    def __init__(self, name: str, blocks: Iterator[list[tuple[str, ...]]], refusals: Refusals, most: int) -> None:
        """No key has more than `most` lines: further ones are refused."""
        self._name, self._blocks, self._refusals, self._most = name, blocks, refusals, most
        self._held: list[tuple[str, ...]] = []
        self._ended = False

    def last(self, least: int) -> str | None:
        """Hold `least` lines at least, of more than one key; the last key held, None where the file ends before."""
        held = self._held
        while not self._ended and (len(held) < least or held[0][0] == held[-1][0]):
            if len(held) > max(least, self._most):
                for _ in range(len(held) - self._most):
                    self._refusals.add(self._name, 0, _too_many(self._most))
                del held[self._most :]
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
            else:
                held += block
        return None if self._ended else held[-1][0]

    def take(self, bound: str | None) -> list[tuple[str, ...]]:
        """The lines held whose key is before `bound`; all of them without one."""
        held = self._held
        cut = len(held) if bound is None else bisect_left(held, bound, key=itemgetter(0))
        taken, self._held = held[:cut], held[cut:]
        return taken


def batches(
    streams: Mapping[Kind, Stream], least: int
) -> Iterator[tuple[str | None, dict[Kind, list[tuple[str, ...]]]]]:
    """Lines of several files side by side: each time those of some keys, whole, and the key that comes after them."""
    while True:
        lasts = [last for stream in streams.values() if (last := stream.last(least)) is not None]
        bound = min(lasts, default=None)
        yield bound, {kind: stream.take(bound) for kind, stream in streams.items()}
        if bound is None:
            return


def in_order(extract: Extract, column: str, scratch: Path, refusals: Refusals) -> Extract:
    """The same file with its lines in the order of a column, in `scratch` unless they are so already.

    Lines that cannot be read are refused here, with the number they have, and left out.
    """
    if _is_in_order(extract, column):
        return extract
    read = extract.layout.fields((column, column))
    runs: list[BinaryIO] = []

    def write_run(run: list[tuple[str, str]]) -> None:
        run.sort(key=itemgetter(0))
        file: BinaryIO = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - closed below
        file.writelines(f"{key}|{line}\n".encode() for key, line in run)
        file.seek(0)
        runs.append(file)

    run: list[tuple[str, str]] = []
    held = 0
    for number, found in _lines(extract, refusals):
        for place, line in enumerate(found, number):
            if taken := _row(extract, read, place, line, refusals):
                run.append((taken[0], line))
                held += len(line)
        if held > _RUN:
            write_run(run)
            run, held = [], 0
    write_run(run)
    with extract.path.open("rb") as file:
        header = file.read(extract.body)
    with tempfile.NamedTemporaryFile(dir=scratch, prefix="ordered-", suffix=".txt", delete=False) as out:
        size = out.write(header)
        for keyed in heapq.merge(*runs, key=_key_of):
            size += out.write(keyed[keyed.index(b"|") + 1 :])
    for each in runs:
        each.close()
    return replace(extract, path=Path(out.name), size=size)


def _key_of(keyed: bytes) -> bytes:
    return keyed[: keyed.index(b"|")]


def _is_in_order(extract: Extract, column: str) -> bool:
    place = extract.layout.places[column]
    find = re.compile(rb"^(?:[^|\n]*\|){%d}([^|\n]*)" % place, re.MULTILINE).findall
    last, rest = b"", b""
    with extract.path.open("rb") as file:
        file.seek(extract.body)
        while block := file.read(BLOCK):
            cut = block.rfind(b"\n") + 1
            if not cut:
                return False  # a line that long is refused when lines are read one by one
            keys = [last, *find(rest + block[: cut - 1])]
            if keys != sorted(keys):
                return False
            last, rest = keys[-1], block[cut:]
    return not rest or [last, *find(rest)] == sorted([last, *find(rest)])


def _too_many(most: int) -> LineError:
    return LineError(f"the same person has more than {most} lines", f"la même personne a plus de {most} lignes")
