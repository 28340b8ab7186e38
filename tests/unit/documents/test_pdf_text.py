"""The text of a PDF; nothing from what is none."""

import random
from importlib.resources import files
from io import BytesIO

import pytest

from vaguemestre.documents.pdf_text import pdf_text

REPORT = (files("vaguemestre") / "samples" / "report.pdf").read_bytes()


def test_a_report_is_read() -> None:
    text = pdf_text(REPORT)
    assert "Cabinet dentaire des Lilas\nDr Claire Lefèvre" in text
    assert "\r" not in text
    assert pdf_text(BytesIO(REPORT)) == text


def test_pages_and_characters_are_bounded() -> None:
    assert pdf_text(REPORT, pages=0) == ""
    assert pdf_text(REPORT, limit=40) == pdf_text(REPORT)[:40].strip()


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7\n", REPORT[:1000], b"\0" * 1000, random.Random(1).randbytes(5000)])
def test_what_is_no_pdf_has_no_text(content: bytes) -> None:
    assert pdf_text(content) == pdf_text(BytesIO(content)) == ""


def test_a_damaged_report_raises_nothing() -> None:
    chance = random.Random(2)
    for _ in range(60):
        damaged = bytearray(REPORT)
        for _ in range(chance.randrange(1, 60)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        assert pdf_text(bytes(damaged)) == pdf_text(BytesIO(damaged))
