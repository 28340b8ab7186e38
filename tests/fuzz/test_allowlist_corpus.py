"""Every input that once taught us something about the allow-list's readers is replayed."""

from pathlib import Path

import fuzz_allowlist
import pytest

_CORPUS = sorted((Path(__file__).parent / "corpus" / "allowlist").iterdir())


@pytest.mark.parametrize("path", _CORPUS, ids=lambda path: path.name)
def test_the_kept_corpus_is_read_or_refused(path: Path) -> None:
    good = fuzz_allowlist.check(path.read_bytes())
    if path.name.startswith("good-"):
        assert good
    if path.name.startswith("bad-"):
        assert not good
