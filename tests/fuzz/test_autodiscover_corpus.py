"""The kept corpus and fresh random bytes never break what must always hold of the reader of Outlook's questions."""

from pathlib import Path

import pytest
from fuzz_autodiscover import check
from hypothesis import given
from hypothesis import strategies as st

CORPUS = sorted((Path(__file__).parent / "corpus" / "autodiscover").iterdir())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_good_questions_are_read_and_the_others_refused(path: Path) -> None:
    found = check(path.read_bytes())
    assert found == ("claire@nord.mssante.fr" if path.name.startswith("good") else None)


@given(st.binary(max_size=600))
def test_any_bytes_hold(data: bytes) -> None:
    check(data)
