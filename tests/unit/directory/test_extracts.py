"""Extraction files on disk, hostile ones too: refused with the reason, in bounded memory."""

import tracemalloc
import zipfile
from pathlib import Path

import pytest

from vaguemestre.directory import extracts
from vaguemestre.directory.dossiers import WANTED
from vaguemestre.directory.extracts import Extract, Refusals, Stream
from vaguemestre.documents.extraction import COLUMNS, ExtractionError, Kind

HEADER = "|".join(COLUMNS[Kind.KNOW_HOW])
LINE = "8|99700000013|899700000013|DURAND|ZOÉ|10|Médecin|C|Civil|S|Spécialité|SM54|Médecine générale"
KEY = "Identification nationale PP"


def opened(path: Path) -> list[Extract]:
    return extracts.open_extracts([path], path.parent, [])


def written(folder: Path, *lines: str | bytes, name: str = "know_how_202611250300.txt") -> Path:
    path = folder / name
    content = [line.encode() if isinstance(line, str) else line for line in (HEADER, *lines)]
    path.write_bytes(b"\n".join(content) + b"\n")
    return path


def read(extract: Extract, refusals: Refusals) -> list[tuple[str, ...]]:
    return [row for block in extracts.rows(extract, WANTED[Kind.KNOW_HOW], refusals) for row in block]


def by_key(extract: Extract, folder: Path, refusals: Refusals, *, most: int = 10) -> list[tuple[str, ...]]:
    stream = Stream(extract, KEY, WANTED[Kind.KNOW_HOW], folder, refusals, most=most)
    stream.open()
    found = [row for _, lines in extracts.batches({Kind.KNOW_HOW: stream}, 100) for row in lines[Kind.KNOW_HOW]]
    stream.close()
    refusals.number(extract)
    return found


def test_text_and_zip_read_alike_whatever_their_names(tmp_path: Path) -> None:
    path = written(tmp_path, LINE)
    archive = tmp_path / "any.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        made.write(path, "../../etc/PS_202611250300.txt")
        made.writestr("readme.txt", "hello")
    passed_over: list[str] = []
    (text,), (zipped,) = opened(path), extracts.open_extracts([archive], tmp_path, passed_over)
    assert read(text, Refusals()) == read(zipped, Refusals()) != []
    assert (zipped.kind, zipped.stamp, zipped.path.parent) == (Kind.KNOW_HOW, "202611250300", tmp_path)
    assert [each.split(":")[0] for each in passed_over] == ["any.zip/readme.txt"]
    assert not (tmp_path.parent.parent / "etc").exists()


@pytest.mark.parametrize("what", ["nested", "bomb", "cut", "locked", "empty"])
def test_a_hostile_zip_is_refused_with_the_reason(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "hostile.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        if what == "nested":
            made.writestr("inner.zip", b"PK\x03\x04" + b"x" * 100)
        elif what != "empty":
            made.writestr("PS.txt", (HEADER + "\n").encode() + b"\n" * 9_000_000)
    if what == "bomb":
        monkeypatch.setattr(extracts, "_SMALL", 1 << 20)
    content = bytearray(archive.read_bytes())
    if what == "cut":
        archive.write_bytes(content[: len(content) // 2])
    if what == "locked":
        content[6] |= 1
        content[content.index(b"PK\x01\x02") + 8] |= 1
        archive.write_bytes(content)
    why = {"nested": "archive within", "bomb": "unpacks to more than", "empty": "header is of none"}
    with pytest.raises(ExtractionError, match=why.get(what, "cannot be unpacked")):
        opened(archive)


def test_the_same_file_twice_is_refused(tmp_path: Path) -> None:
    paths = [written(tmp_path, LINE, name=name) for name in ("a.txt", "b.txt")]
    with pytest.raises(ExtractionError, match="twice"):
        extracts.open_extracts(paths, tmp_path, [])


def test_what_cannot_be_read_does_not_stop_the_rest(tmp_path: Path) -> None:
    path = written(tmp_path, LINE, "short|line", b"\xff" + LINE.encode(), "", LINE.replace("899700000013", ""), LINE)
    for find in (read, lambda extract, refusals: by_key(extract, tmp_path, refusals)):
        refusals = Refusals()
        assert len(find(opened(path)[0], refusals)) == 2
        told = sorted((each.line, each.en) for each in refusals.first)
        assert [number for number, _ in told] == [3, 4, 6]
        assert "not UTF-8" in told[1][1]


def test_a_line_that_never_ends_is_passed_over_without_being_held(tmp_path: Path) -> None:
    path = tmp_path / "endless.txt"
    with path.open("wb") as file:
        file.write((HEADER + "\n" + LINE + "\n").encode())
        for _ in range(40):
            file.write(b"x" * (1 << 20))
        file.write(("\n" + LINE + "\n").encode())
    extract, refusals = opened(path)[0], Refusals()
    tracemalloc.start()
    assert len(read(extract, refusals)) == 2
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(each.line, each.en) for each in refusals.first] == [(3, "longer than 65536 octets")]
    assert most < 12 << 20


def test_one_person_on_every_line_is_cut_off(tmp_path: Path) -> None:
    path = written(tmp_path, *[LINE] * 30_000, LINE.replace("899700000013", "899700000021"))
    refusals = Refusals()
    found = by_key(opened(path)[0], tmp_path, refusals, most=5000)
    assert {row[0] for row in found} == {"899700000013", "899700000021"}
    assert refusals.count == 30_001 - len(found) > 10_000


def test_lines_come_by_key_whatever_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extracts, "_RUN", 1)
    monkeypatch.setattr(extracts, "BLOCK", 2000)
    numbers = [f"8997{number * 7919 % 10_007:08d}" for number in range(2000)]
    path = written(tmp_path, *(LINE.replace("899700000013", number) for number in numbers))
    found = by_key(opened(path)[0], tmp_path, Refusals())
    assert [row[0] for row in found] == sorted(numbers)
