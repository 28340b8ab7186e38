"""Fuzz the allow-list's readers with atheris: `python tests/fuzz/fuzz_allowlist.py tests/fuzz/corpus/allowlist`.

`check` holds for any bytes; the corpus is replayed by `test_allowlist_corpus.py` in every test run.
"""

import sys
from datetime import UTC, datetime

from vaguemestre.trust import allowlist, names, signatures
from vaguemestre.trust.allowlist import AllowListError
from vaguemestre.trust.certificates import Authorities

_AT = datetime(2026, 3, 1, tzinfo=UTC)


def check(data: bytes) -> bool:
    """Any bytes are a list or an AllowListError with words; True for a list. Nobody's signature is ever accepted."""
    try:
        signatures.verify(data, Authorities(()), "alb.mssante.fr", _AT)
    except AllowListError as error:
        _explained(error)
    else:
        raise AssertionError("a list was accepted without any authority")
    try:
        listed = allowlist.parse(data)
    except AllowListError as error:
        _explained(error)
        return False
    assert listed.names
    for domain, entitled in listed.names.items():
        assert domain == domain.lower()
        assert entitled
        assert listed.names_for(domain) == entitled
        for name in entitled:
            assert domain in listed.domains_of(name)
            assert names.parse(str(name)) == name
    again = allowlist.parse(allowlist.render(listed.entries, listed.generated))
    assert again.names == listed.names
    return True


def _explained(error: AllowListError) -> None:
    assert error.fr != error.en
    assert error.rule.startswith("list-")


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, lambda data: check(data) and None)
    atheris.Fuzz()
