"""The process that searches, and the one that brings the index up to date: neither takes Python's lock from mail.

What it keeps true: the process that searches opens the index alone, and reads it only; keys come to it by its standard
input, never by its arguments or environment; it ends with who started it. A question and its answer are each one value,
after its length; an answer is marked with whether it is one.

Run as `python -m vaguemestre.directory.search.process`; the first value received says what to do.
"""

import ctypes
import os
import signal
import struct
import sys
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from vaguemestre.directory.register import Place
from vaguemestre.directory.search import building
from vaguemestre.directory.search.answers import as_json
from vaguemestre.directory.search.finder import Criteria, Finder
from vaguemestre.directory.search.index import Shelf
from vaguemestre.errors import VaguemestreError

LENGTH: Final = struct.Struct("<I")
ANSWER, FAILURE = b"+", b"-"
_PR_SET_PDEATHSIG = 1
_KEPT_OF_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LANG", "LC_ALL", "TMPDIR")
_NICENESS = 10  # of what brings the index up to date: mail and searches come first


class Serve(msgspec.Struct, tag=True):
    """Search this index, question after question."""

    folder: str
    key: bytes


class Refresh(msgspec.Struct, tag=True):
    """Bring this index to the last revision of a register, once. Answers with the name of the outcome."""

    folder: str
    key: bytes
    register_folder: str
    register_key: bytes
    url: str = ""


class Asked(msgspec.Struct, array_like=True):
    """One search."""

    text: str
    criteria: Criteria
    near: str
    limit: int


_task = msgspec.msgpack.Decoder(Serve | Refresh).decode
_asked = msgspec.msgpack.Decoder(Asked).decode


def command() -> list[str]:
    """What starts such a process."""
    return [sys.executable, "-P", "-m", "vaguemestre.directory.search.process"]


def environment() -> dict[str, str]:
    """What it needs of ours, to run the same code; nothing that could be a secret."""
    kept = {name: os.environ[name] for name in _KEPT_OF_ENVIRONMENT if name in os.environ}
    ours = str(Path(__file__).parents[3])
    return {**kept, "PYTHONPATH": os.pathsep.join([ours, *filter(None, [kept.get("PYTHONPATH")])])}


def framed(value: bytes) -> bytes:
    """A value after its length."""
    return LENGTH.pack(len(value)) + value


def main() -> None:
    """Do what the first value asks, until nobody asks any more."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # the terminal's: who started us says when to stop, by closing our input
    first = _received(sys.stdin.buffer)
    if first is None:
        return
    task = _task(first)
    if isinstance(task, Refresh):
        _say(sys.stdout.buffer, _refreshed(task))
    else:
        _serve(Finder(Shelf(Path(task.folder), task.key)), sys.stdin.buffer, sys.stdout.buffer)


def _serve(finder: Finder, questions: BinaryIO, answers: BinaryIO) -> None:
    while (received := _received(questions)) is not None:
        asked = _asked(received)
        try:
            found = finder.search(asked.text, criteria=asked.criteria, near=asked.near, limit=asked.limit)
            _say(answers, ANSWER + as_json(found))
        except VaguemestreError as error:
            _say(answers, FAILURE + msgspec.msgpack.encode((error.en, error.fr)))


def _refreshed(task: Refresh) -> bytes:
    os.nice(_NICENESS)
    try:
        register = Place(Path(task.register_folder), task.register_key, task.url).open()
        try:
            done = building.refresh(register, Shelf(Path(task.folder), task.key), wait=False)
        finally:
            register.close()
    except VaguemestreError as error:
        return FAILURE + msgspec.msgpack.encode((error.en, error.fr))
    return ANSWER + done.outcome.encode()


def _received(stream: BinaryIO) -> bytes | None:
    """The next value; None at the end."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    value = stream.read(length)
    return value if len(value) == length else None


def _say(stream: BinaryIO, value: bytes) -> None:
    stream.write(framed(value))
    stream.flush()


if __name__ == "__main__":
    main()
