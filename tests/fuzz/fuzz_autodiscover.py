"""Fuzz the reader of Outlook's questions: `python tests/fuzz/fuzz_autodiscover.py tests/fuzz/corpus/autodiscover`.

`check` holds for any bytes; the corpus is replayed by `test_autodiscover_corpus.py` in every test run.
"""

import sys

from vaguemestre.documents import autoconfiguration
from vaguemestre.documents.autoconfiguration import DiscoveryRequestError


def check(data: bytes) -> str | None:
    """Any bytes are a question about a short text, or refused; the text, or None."""
    try:
        address = autoconfiguration.outlook_address(data)
    except DiscoveryRequestError:
        return None
    assert 0 < len(address) <= 320
    return address


def main() -> None:
    """Runs under atheris until stopped or until its `-max_total_time`."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, lambda data: (check(data), None)[1])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
