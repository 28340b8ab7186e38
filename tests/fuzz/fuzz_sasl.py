"""Fuzz the reading of SASL messages with atheris: `python tests/fuzz/fuzz_sasl.py tests/fuzz/corpus/sasl`.

`check` holds for any bytes; the corpus is replayed by `test_fuzz_sasl.py` in every test run.
"""

import base64
import sys

from vaguemestre.protocols import sasl
from vaguemestre.protocols.sasl import Bearer, Exchange, Plain, SaslError


def check(data: bytes) -> int:
    """Any bytes are credentials, a challenge or a SaslError with words; how many mechanisms they are credentials of."""
    found = 0
    try:
        assert len(sasl.decode(data)) <= sasl.MOST_OCTETS + 2
    except SaslError as error:
        _explained(error)
    for mechanism in sasl.MECHANISMS:
        exchange = Exchange(mechanism)
        try:
            step = exchange.start(sasl.decode(base64.b64encode(data)))
            if step == b"Password:":
                step = exchange.receive(data)
        except SaslError as error:
            _explained(error)
            continue
        assert isinstance(step, Plain | Bearer)
        assert "\0" not in step.user
        assert "\n" not in step.user
        if isinstance(step, Plain):
            assert step.user
            assert "\0" not in step.password
        else:
            assert step.token.isascii()
            assert " " not in step.token
        found += 1
    return found


def _explained(error: SaslError) -> None:
    assert error.fr != error.en


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, lambda data: check(data) and None)
    atheris.Fuzz()
