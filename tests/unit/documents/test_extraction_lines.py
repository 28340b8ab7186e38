"""Headers and lines of the extraction files, whole and hostile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.documents import extraction
from vaguemestre.documents.extraction import COLUMNS, ExtractionError, Kind, LineError, recognise, stamp, text_of


def header(kind: Kind) -> list[str]:
    return list(COLUMNS[kind])


@pytest.mark.parametrize("kind", Kind)
def test_a_file_is_recognised_by_its_columns(kind: Kind) -> None:
    found = recognise("|".join(header(kind)).encode())
    assert (found.kind, found.missing, found.unknown) == (kind, (), ())
    assert found.width == len(COLUMNS[kind])


def test_the_published_files_have_the_columns_counted_in_them() -> None:
    assert [len(COLUMNS[kind]) for kind in (Kind.ACTIVITIES, Kind.KNOW_HOW, Kind.DIPLOMAS, Kind.ADDRESSES)] == [
        56,
        13,
        13,
        31,
    ]


@pytest.mark.parametrize("kind", Kind)
def test_the_order_case_and_accents_of_columns_are_of_no_matter(kind: Kind) -> None:
    names = [name.upper().replace("É", "E").replace("'", "’") for name in reversed(header(kind))]
    found = recognise("\ufeff".encode() + "|".join(names).encode() + b"\r")
    assert (found.kind, found.missing, found.unknown) == (kind, (), ())
    line = "|".join(str(place) for place in range(len(names)))
    first, last = COLUMNS[kind][0], COLUMNS[kind][-1]
    assert found.fields((first, last)).of(line) == (str(len(names) - 1), "0")


def test_missing_and_unknown_columns_are_told_and_the_others_read() -> None:
    names = [name for name in header(Kind.ACTIVITIES) if name != "Code rôle"] + ["Nouveauté"]
    found = recognise("|".join(names).encode())
    assert (found.missing, found.unknown) == (("Code rôle",), ("Nouveauté",))
    read = found.fields(("Nom d'exercice", "Code rôle", "Identification nationale PP"))
    line = "|".join("DURAND" if name == "Nom d'exercice" else "x" for name in names)
    assert read.of(line) == ("DURAND", "", "x")
    assert read.of_all([line, line]) == [("DURAND", "", "x")] * 2


@pytest.mark.parametrize("trailing", ["", "|"])
def test_a_separator_after_the_last_field_is_one_too_many_and_passes(trailing: str) -> None:
    read = recognise(("|".join(header(Kind.ACTIVITIES)) + trailing).encode()).fields(
        ("Type d'identifiant PP", "Libellé genre activité")
    )
    line = "|".join(str(place) for place in range(56))
    for each in (line, line + "|"):
        assert read.of(each) == ("0", "55")
        assert read.of_all([each]) == [("0", "55")]


def test_quotes_are_letters_like_others() -> None:
    read = recognise("|".join(header(Kind.KNOW_HOW)).encode()).fields(("Nom d'exercice", "Prénom d'exercice"))
    assert read.of('8|1|81|"D\'ARC|ANNE"' + "|" * 8) == ("\"D'ARC", 'ANNE"')


@pytest.mark.parametrize(("count", "last"), [(12, ""), (14, "x"), (15, ""), (1, "")])
def test_a_line_with_another_number_of_fields_is_refused(count: int, last: str) -> None:
    read = recognise("|".join(header(Kind.KNOW_HOW)).encode()).fields(("Nom d'exercice", "Prénom d'exercice"))
    line = "|".join(["x"] * (count - 1) + [last])
    with pytest.raises(LineError, match="fields instead of 13"):
        read.of(line)
    with pytest.raises(LineError):
        read.of_all(["|".join(["x"] * 13), line])


def test_a_field_that_never_ends_is_refused() -> None:
    read = recognise("|".join(header(Kind.KNOW_HOW)).encode()).fields(("Nom d'exercice", "Prénom d'exercice"))
    with pytest.raises(LineError, match="longer than"):
        read.of_all(["|".join(["x" * 3000] + ["x"] * 12)])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("Libellé|Code".encode("latin-1"), "not UTF-8"),
        ("|".join(header(Kind.ACTIVITIES)).encode("utf-16"), "not UTF-8"),
        (b"", "none of the extraction files"),
        (b"a;b;c", "none of the extraction files"),
        (b"|" * 60_000, "columns"),
        (b"x" * 100_000, "longer than"),
        (b"a|" * 1000, "1000 columns"),
    ],
)
def test_what_is_no_extraction_file_is_refused_with_the_reason(content: bytes, why: str) -> None:
    with pytest.raises(ExtractionError, match=why):
        recognise(content)


@pytest.mark.parametrize(
    ("line", "why"),
    [(b"\xff", "not UTF-8"), (b"a\x00b", "control"), (b"a\x1bb", "control"), (b"x" * 70_000, "longer than")],
)
def test_a_line_that_is_no_text_is_refused_with_the_reason(line: bytes, why: str) -> None:
    with pytest.raises(LineError, match=why):
        text_of(line)


@given(st.binary(max_size=300))
def test_no_header_and_no_line_raises_anything_else(octets: bytes) -> None:
    for call in (recognise, text_of):
        try:
            call(octets)  # type: ignore[operator]
        except (ExtractionError, LineError):
            continue


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("PS_LibreAcces_Personne_activite_202611250312.txt", "202611250312"),
        ("Extraction_Correspondance_MSSante_20261125.txt", "20261125"),
        ("2600000001.txt", ""),
        ("activities.txt", ""),
    ],
)
def test_the_stamp_is_in_the_name(name: str, found: str) -> None:
    assert stamp(name) == found


def test_longest_line_is_far_above_the_longest_real_one() -> None:
    assert extraction.LONGEST_LINE > 50 * 700
