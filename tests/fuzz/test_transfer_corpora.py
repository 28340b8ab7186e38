"""Every input that once taught us something about reading mbox files, and other operators' answers, is replayed."""

from pathlib import Path

import fuzz_imap_answers
import fuzz_mbox
import pytest

from vaguemestre.mailstore.transfer import mbox

_CORPUS = Path(__file__).parent / "corpus"


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fuzzer makes blocks small; other tests find them as they were."""
    for name in fuzz_mbox._BLOCKS:
        monkeypatch.setattr(mbox, name, getattr(mbox, name))


@pytest.mark.parametrize("path", sorted((_CORPUS / "mbox").iterdir()), ids=lambda path: path.name)
def test_files_are_read(path: Path) -> None:
    found = fuzz_mbox.check(path.read_bytes())
    if path.name.startswith("good-"):
        assert found == int(path.name.split("-")[1])


@pytest.mark.parametrize("path", sorted((_CORPUS / "imap_answers").iterdir()), ids=lambda path: path.name)
def test_answers_are_read_or_refused(path: Path) -> None:
    found = fuzz_imap_answers.check(path.read_bytes())
    assert bool(found) is path.name.startswith("good-")
