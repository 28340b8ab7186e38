"""Extraction: a process of its own that reads messages for search, so that none of them can stop or slow the others.

What it keeps true: a message, or a file in it, that crashes its reader, takes all its memory or never ends costs its own
text and nothing else; the process holds no key, no file of the store and no socket; it gives way to whoever needs the
processor, and ends when nobody asks. Whatever the size of a message, no more of it is held than what is extracted.

Rules: started at the first question, ended a minute after the last; one question at a time, from any thread; killed where
an answer takes too long, and started again for the next. `MEMORY` and `PROCESSOR_S` are limits that the process asks of
the system before it reads anything. Small messages go along with a question, many in one; of a large one only the size
does, and the process asks back for each range that it needs. What is said either way is one MessagePack value after its
length, but for the octets of such a range, which follow theirs as they are.
"""

import os
import resource
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from vaguemestre.documents import compilation, passages
from vaguemestre.documents.compilation import Passages
from vaguemestre.errors import StorageFailure, VaguemestreError

MEMORY = 1024 * 1024 * 1024
PROCESSOR_S = 30  # for one message; a PDF of a thousand pages takes three
_MERGE_PROCESSOR_S = 600
_START_S = 60.0
_SLOWEST = 4_000_000  # octets a second of a message that is asked back for, for whoever waits
_MOST_ASKED = 8 * 1024 * 1024  # at once
_MOST_ANSWERED = 512 * 1024 * 1024
_LENGTH = struct.Struct("<I")
_READY = b"ready"
_KEPT_OF_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LANG", "LC_ALL", "TMPDIR")


class UnreadableMessageError(VaguemestreError):
    """A message cannot be read for search: its reader crashed, or took too long."""

    def __init__(self) -> None:
        super().__init__(
            "A message cannot be read for search: only its header is.",
            "Un message est illisible pour la recherche : seul son en-tête l'est.",
        )


class ExtractionFailure(StorageFailure):
    """The process that reads messages does not work."""

    def __init__(self) -> None:
        super().__init__(
            "The process that reads messages for search does not start. See what the system's log says of memory.",
            "Le processus qui lit les messages pour la recherche ne démarre pas. Voyez le journal du système.",
        )


Read = Callable[[int, int], bytes]
"""Gives octets [start, end) of a content."""


class _Question(msgspec.Struct, array_like=True):
    """What is asked: the concordance of messages that are here (`contents`), of one that is asked back for (`message_id`,
    `size`), or one of several (`parts`) without messages `gone`."""

    contents: list[tuple[int, bytes]] = []
    message_id: int = 0
    size: int = 0
    with_attachments: bool = True
    parts: list[bytes] = []
    gone: list[int] = []


class _Answer(msgspec.Struct, array_like=True):
    """What is answered: a concordance, empty where there is none; or, before that, that octets [start, end) are needed."""

    content: bytes = b""
    start: int = 0
    end: int = 0


class Extractor:
    """The process, from outside. Who asks waits `patience_s` for a message; the process `idle_s` for the next. `close` it."""

    def __init__(self, niceness: int = 19, patience_s: float = 300.0, idle_s: float = 60.0) -> None:
        self._arguments = [str(niceness), str(idle_s)]
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def read(self, message_id: int, content: bytes) -> bytes:
        """The concordance of one message; without what is attached where that cannot be read.

        Raises UnreadableMessageError, ExtractionFailure.
        """
        return self._read(_Question([(message_id, content)]))

    def read_together(self, contents: Sequence[tuple[int, bytes]]) -> bytes:
        """The concordance of several messages, all of it or nothing.

        Raises UnreadableMessageError where one of them cannot be read, ExtractionFailure.
        """
        return self._ask(_Question([*contents]), self._patience_s)

    def read_by_parts(self, message_id: int, size: int, read: Read) -> bytes:
        """`read` of a message that is large: `read` is called for ranges of it. Raises what that raises, and as `read`."""
        return self._read(_Question(message_id=message_id, size=size), read)

    def _read(self, question: _Question, read: Read | None = None) -> bytes:
        patience_s = self._patience_s + question.size / _SLOWEST
        try:
            return self._ask(question, patience_s, read)
        except UnreadableMessageError:
            question.with_attachments = False
            return self._ask(question, patience_s, read)

    def merge(self, parts: Sequence[bytes], gone: Collection[int] = ()) -> bytes:
        """What `compilation.merge` gives. Raises UnreadableMessageError where a part is none, ExtractionFailure."""
        return self._ask(_Question(parts=[*parts], gone=[*gone]), 10 * self._patience_s)

    def close(self) -> None:
        """End the process, whatever it does; who waits for an answer gets ExtractionFailure."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
        with self._lock:
            self._end()

    def _ask(self, question: _Question, patience_s: float, read: Read | None = None) -> bytes:
        asked = msgspec.msgpack.encode(question)
        with self._lock:
            for _ in range(2):
                answer = self._exchange(asked, patience_s, read)
                if answer:
                    return answer
                ended = self._end()
                if self._closed:
                    raise ExtractionFailure
                if ended:
                    break  # else it had ended by itself, idle, as we asked: another takes over
        raise UnreadableMessageError

    def _exchange(self, asked: bytes, patience_s: float, read: Read | None) -> bytes | None:
        """The answer; empty or None where there is none."""
        process = self._process or self._start()
        if not _tell(process, asked):
            return None
        until = time.monotonic() + patience_s
        while (received := _received(process, until)) is not None:
            try:
                answer = _decode_answer(received)
            except msgspec.DecodeError:
                return None
            if answer.end <= answer.start:
                return answer.content
            if read is None or answer.end - answer.start > _MOST_ASKED:  # what it reads may have got hold of it
                return None
            try:
                octets = read(answer.start, answer.end)
            except BaseException:
                self._end(kill=True)  # it waits for what does not come
                raise
            if not _tell(process, octets):
                return None
        return None

    def _start(self) -> "subprocess.Popen[bytes]":
        if self._closed:
            raise ExtractionFailure
        try:
            process = self._process = subprocess.Popen(  # noqa: S603 - this very module
                [sys.executable, "-P", "-m", "vaguemestre.mailstore.extraction", *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                bufsize=0,
            )
        except OSError as error:
            raise ExtractionFailure from error
        if _received(process, time.monotonic() + _START_S) != _READY:
            self._end()
            raise ExtractionFailure
        return process

    def _end(self, *, kill: bool = False) -> int:
        """End what is left of the process; how it ended, 0 where by itself."""
        process, self._process = self._process, None
        if process is None:
            return 0
        with process:  # closes the pipes, and waits
            if process.poll() is None and (kill or not _ending(process)):
                process.kill()
        return process.returncode


_decode_answer = msgspec.msgpack.Decoder(_Answer).decode


def _environment() -> dict[str, str]:
    """What the process needs of ours, to run the same code; nothing that could be a secret."""
    kept = {name: os.environ[name] for name in _KEPT_OF_ENVIRONMENT if name in os.environ}
    ours = str(Path(__file__).parents[2])
    return {**kept, "PYTHONPATH": os.pathsep.join([ours, *filter(None, [kept.get("PYTHONPATH")])])}


def _ending(process: "subprocess.Popen[bytes]") -> bool:
    """Whether a process has closed its end, and is about to exit."""
    assert process.stdout is not None  # noqa: S101 - a pipe
    if not select.select([process.stdout], [], [], 0)[0]:
        return False
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        return False
    return True


def _tell(process: "subprocess.Popen[bytes]", said: bytes) -> bool:
    """Say something to the process; whether it took all of it."""
    assert process.stdin is not None  # noqa: S101 - a pipe
    try:
        for view in (memoryview(_LENGTH.pack(len(said))), memoryview(said)):
            while view:
                view = view[os.write(process.stdin.fileno(), view) :]  # noqa: PLW2901
    except OSError:
        return False
    return True


def _received(process: "subprocess.Popen[bytes]", until: float) -> bytes | None:
    """What the process says next; None where it ends, or says nothing by then."""
    head = _octets(process.stdout, _LENGTH.size, until)
    length = 0 if head is None else int.from_bytes(head, "little")
    return _octets(process.stdout, length, until) if 0 < length <= _MOST_ANSWERED else None


def _octets(stream: Any, length: int, until: float) -> bytes | None:
    received = bytearray()
    while len(received) < length:
        left = until - time.monotonic()
        if left <= 0 or not select.select([stream], [], [], left)[0]:
            return None
        part = os.read(stream.fileno(), min(length - len(received), 1_048_576))
        if not part:
            return None
        received += part
    return bytes(received)


def serve(questions: BinaryIO, answers: BinaryIO, niceness: int, idle_s: float) -> None:
    """Answer until nobody asks any more. What a reader raises is an empty answer; what kills it, none."""
    os.nice(niceness)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    decode = msgspec.msgpack.Decoder(_Question).decode

    def read(start: int, end: int) -> bytes:
        """Ask back. What comes is as long as what was asked for, or the message is cut short there."""
        if start >= end:
            return b""
        _say(answers, _Answer(b"", start, end))
        found = _heard(questions)
        if found is None:
            raise EOFError
        return found

    _say(answers, _READY)
    while select.select([questions], [], [], idle_s)[0]:
        asked = _heard(questions)
        if asked is None:
            return
        try:
            answer = _answer(decode(asked), read)
        except EOFError:
            return
        except Exception:  # whatever it is, the message cannot be read
            answer = b""
        _say(answers, _Answer(answer))


def _heard(questions: BinaryIO) -> bytes | None:
    head = questions.read(_LENGTH.size)
    return questions.read(*_LENGTH.unpack(head)) if len(head) == _LENGTH.size else None


def _answer(question: _Question, read: Read) -> bytes:
    attached = question.with_attachments
    if question.parts:
        _limit_processor(_MERGE_PROCESSOR_S)
        return compilation.merge(question.parts, frozenset(question.gone))
    if question.size:
        _limit_processor(PROCESSOR_S)
        found = passages.of_stream(question.size, read, with_attachments=attached)
        return compilation.build([(question.message_id, found)])
    return compilation.build(
        (message_id, _passages(content, with_attachments=attached)) for message_id, content in question.contents
    )


def _passages(content: bytes, *, with_attachments: bool) -> list[Passages]:
    _limit_processor(PROCESSOR_S)
    return passages.of_content(content, with_attachments=with_attachments)


def _limit_processor(seconds: int) -> None:
    """Let the system kill this process once it has worked this long from now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _say(answers: BinaryIO, said: bytes | _Answer) -> None:
    octets = said if isinstance(said, bytes) else msgspec.msgpack.encode(said)
    answers.write(_LENGTH.pack(len(octets)))
    answers.write(octets)
    answers.flush()


def _main() -> None:
    """Answer on what was standard output; what a library prints there goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    serve(sys.stdin.buffer, answers, int(sys.argv[1]), float(sys.argv[2]))


if __name__ == "__main__":
    _main()
