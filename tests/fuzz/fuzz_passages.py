"""Feeds what is searched of a message anything: `python tests/fuzz/fuzz_passages.py tests/fuzz/corpus/mime`.

`check` holds for any bytes. The corpus is the one of ugly mail; it is replayed by `test_fuzz_passages.py` in every test
run.
"""

import sys
from collections.abc import Sequence

from vaguemestre.documents import compilation
from vaguemestre.documents.concordance import CHAPTERS, Concordance
from vaguemestre.documents.passages import Chapter, of_content
from vaguemestre.documents.words import LONGEST, fold

_EACH = 50  # words of a passage that are looked for


def check(content: bytes) -> None:
    """What must hold of a content: it is read, in bounds, and every word and phrase read of it is found again."""
    passages = of_content(content, with_attachments=False)
    assert len(passages) == CHAPTERS
    made = compilation.merge([compilation.build([(7, passages)])])

    def fetch(ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return [made[start:end] for start, end in ranges]

    opened = Concordance(fetch)
    assert opened.chapters[-1].end == len(made)
    for chapter, texts in enumerate(passages):
        for text in texts:
            for word in text:
                assert 0 < len(word) <= LONGEST
                assert "\n" not in word
                assert fold(word) == word or chapter == Chapter.FIELD_NAMES
            step = max(1, len(text) // _EACH)
            for start in range(0, len(text), step):
                phrase = [word.encode("utf-8", "surrogatepass") for word in text[start : start + 3]]
                assert opened.having(fetch, [chapter], phrase) == {7}


def main() -> None:
    """Runs under atheris until stopped or until its `-max_total_time`."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
