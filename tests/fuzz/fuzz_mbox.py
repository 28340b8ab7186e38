"""Fuzz the reader of mbox files: `python tests/fuzz/fuzz_mbox.py tests/fuzz/corpus/mbox`.

`check` holds for any bytes; the corpus is replayed by `test_transfer_corpora.py` in every test run.
"""

import io
import sys

from vaguemestre.mailstore.transfer import mbox
from vaguemestre.mailstore.transfer.mbox import Read
from vaguemestre.mailstore.transfer.model import UnreadableError

_BLOCKS = {"_BLOCK": 64, "_LONGEST_LINE": 256, "_KEPT": 260}  # so that small inputs are cut everywhere


def check(data: bytes) -> int:
    """Any bytes are messages, each where its separator stands, none longer than what was read; how many."""
    vars(mbox).update(_BLOCKS)
    count, last, octets = 0, -1, 0
    for each in mbox.read(io.BytesIO(data)):
        if not isinstance(each, Read):
            continue
        count += 1
        assert last < each.offset <= len(data)
        last = each.offset
        head = b""
        try:
            for chunk in each.content:
                assert b"\n" not in chunk.replace(b"\r\n", b"").removeprefix(b"\n")
                octets += len(chunk)
                head = head or chunk
            mbox.marks(head, each.stated)
        except UnreadableError:
            continue
    assert octets <= len(data) + data.count(b"\n")
    return count


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, lambda data: (check(data), None)[1])
    atheris.Fuzz()
