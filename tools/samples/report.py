"""Typeset the sample report: `python tools/samples/report.py src/vaguemestre/samples/report.pdf`."""

import sys
from pathlib import Path

import typst

SOURCE = Path(__file__).with_name("report.typ")

if __name__ == "__main__":
    # Without the machine's fonts the page comes out the same everywhere; A-3b suits a document that is kept.
    typst.compile(SOURCE, output=Path(sys.argv[1]), ignore_system_fonts=True, pdf_standards="a-3b")
