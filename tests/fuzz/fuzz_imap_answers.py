"""Fuzz what reads the answers of another operator's server.

`python tests/fuzz/fuzz_imap_answers.py tests/fuzz/corpus/imap_answers`. An input is lines; one that ends in `~` has the
next line as its literal. `check` holds for any bytes; the corpus is replayed by `test_transfer_corpora.py` in every run.
"""

import sys
from typing import Any

from vaguemestre.mailstore import mailboxes
from vaguemestre.mailstore.transfer import folders, imap_answers


def check(data: bytes) -> int:
    """Any answer is values, or refused; whatever they are, mailboxes have names that ours may get, messages have UIDs."""
    lines, answers = iter(data.split(b"\n")), list[Any]()
    for line in lines:
        answers.append((line[:-1], next(lines, b"")) if line.endswith(b"~") else line)
    try:
        values = imap_answers.values(answers)
    except ValueError:
        return 0
    for each in imap_answers.listed(values, values):
        assert each.wire
        name = folders.writable(each.name)
        assert mailboxes.checked(name) == name
        folders.guessed_role(each.name)
    assert imap_answers.count(values) >= 0
    found = imap_answers.described(values)
    assert all(each.uid > 0 and each.size >= 0 for each in found)
    return len(values)


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, lambda data: (check(data), None)[1])
    atheris.Fuzz()
