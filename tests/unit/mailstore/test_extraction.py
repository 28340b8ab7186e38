"""Extraction: what a message does to its reader costs that message's text, and nothing else."""

import base64
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from vaguemestre.documents import compilation, passages
from vaguemestre.documents.concordance import Concordance
from vaguemestre.documents.passages import Chapter
from vaguemestre.mailstore import extraction
from vaguemestre.mailstore.extraction import MEMORY, ExtractionFailure, Extractor, UnreadableMessageError
from vaguemestre.storage.sealing import UnsealingFailure

LETTER = b"Subject: Bilan\r\n\r\nRadio panoramique\r\n"
Until = Callable[[Callable[[], bool]], None]


@pytest.fixture
def extractor() -> Iterator[Extractor]:
    """A process of this test's own."""
    found = Extractor(niceness=1)
    yield found
    found.close()


def _finds(content: bytes, word: bytes, chapter: Chapter = Chapter.BODY) -> set[int]:
    def fetch(ranges: object) -> list[bytes]:
        return [content[start:end] for start, end in ranges]  # type: ignore[attr-defined]

    return Concordance(fetch).having(fetch, [chapter], [word])


def _process(extractor: Extractor) -> int:
    assert extractor._process is not None
    return extractor._process.pid


def test_it_reads_messages_and_merges_concordances(extractor: Extractor) -> None:
    first, second = extractor.read(1, LETTER), extractor.read(2, LETTER)
    assert _finds(first, b"anoram") == {1}
    assert _finds(first, b"bilan", Chapter.SUBJECT) == {1}
    merged = extractor.merge([first, second])
    assert merged == compilation.merge([first, second])
    assert _finds(extractor.merge([first, second], {1}), b"radio") == {2}


def test_messages_read_together_are_as_if_each_were_read_alone(extractor: Extractor) -> None:
    contents = [(number, f"Subject: Bilan {number}\r\n\r\nMot{number} commun\r\n".encode()) for number in range(20)]
    alone = [extractor.read(number, content) for number, content in contents]
    assert extractor.read_together(contents) == compilation.merge(alone)


def _large(size: int) -> bytes:
    """A message with so many octets of noise before its text, a PDF and another text, one long."""
    report = (files("vaguemestre.samples") / "report.pdf").read_bytes()
    noise = base64.encodebytes(random.Random(1).randbytes(size // 4 * 3))
    parts = [
        b"Content-Type: application/zip\nContent-Transfer-Encoding: base64\n\n" + noise,
        b"Content-Type: text/plain\n\nRadio panoramique\n",
        b"Content-Type: application/pdf; name=bilan.pdf\nContent-Transfer-Encoding: base64\n\n"
        + base64.encodebytes(report),
        b"Content-Type: text/plain; name=suite.txt\n\n" + b"mot " * 400_000 + b"\nfin\n",
    ]
    head = b"Subject: Bilan\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n"
    return head + b"".join(b"\n--x\n" + part for part in parts) + b"\n--x--\n"


@pytest.mark.parametrize("size", [0, passages.WINDOW, 3_000_000])
def test_a_message_read_by_parts_is_as_if_it_were_read_whole(extractor: Extractor, size: int) -> None:
    content = _large(size)
    asked: list[tuple[int, int]] = []

    def read(start: int, end: int) -> bytes:
        asked.append((start, end))
        return content[start:end]

    found = extractor.read_by_parts(5, len(content), read)
    assert found == extractor.read(5, content)
    assert _finds(found, b"panoramique") == _finds(found, b"lilas") == _finds(found, b"suite") == {5}
    assert max(end - start for start, end in asked) <= extraction._MOST_ASKED
    assert sum(end - start for start, end in asked) < len(content) + 6_000_000


def test_a_pdf_that_is_too_large_is_not_asked_for(extractor: Extractor) -> None:
    name = b"Content-Type: application/pdf; name=scanner.pdf\r\n\r\n"
    size = len(name) + passages.PDF_LIMIT + 1
    asked: list[int] = []

    def read(start: int, end: int) -> bytes:
        asked.append(end - start)
        return (name if start == 0 else b"") + b"x" * (end - start - (len(name) if start == 0 else 0))

    assert _finds(extractor.read_by_parts(5, size, read), b"scanner") == {5}
    assert sum(asked) < size + 2 * passages.WINDOW


def test_what_the_store_says_while_a_message_is_read_by_parts_is_said(extractor: Extractor) -> None:
    def fail(start: int, end: int) -> bytes:
        if start:
            raise UnsealingFailure
        return bytes(end - start)

    for _ in range(2):
        with pytest.raises(UnsealingFailure):
            extractor.read_by_parts(5, 3 * passages.WINDOW, fail)
    assert _finds(extractor.read(3, LETTER), b"radio") == {3}


@pytest.mark.parametrize(
    "said",
    [
        b"\xff" * 20,
        msgspec.msgpack.encode(extraction._Answer(b"", 0, extraction._MOST_ASKED + 1)),
        msgspec.msgpack.encode([b"", -(2**60), "x"]),
    ],
)
def test_a_process_that_says_what_it_should_not_is_not_believed(
    extractor: Extractor, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor.read(1, LETTER)
    received = extraction._received

    def lying(process: object, until: float) -> bytes | None:
        true = received(process, until)  # type: ignore[arg-type]
        return true if true == extraction._READY else said

    with monkeypatch.context() as patched:
        patched.setattr(extraction, "_received", lying)
        with pytest.raises(UnreadableMessageError):
            extractor.read_by_parts(5, 3 * passages.WINDOW, lambda start, end: pytest.fail("read"))
    assert _finds(extractor.read(3, LETTER), b"radio") == {3}


def test_the_process_is_bounded_and_holds_nothing_of_ours(extractor: Extractor, tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as ours:
        os.set_inheritable(ours.fileno(), True)
        extractor.read(1, LETTER)
        process = Path("/proc") / str(_process(extractor))
        held = {str(each.readlink()) for each in (process / "fd").iterdir()}
    assert str(tmp_path / "secret") not in held
    assert not any("socket" in each for each in held)
    limits = (process / "limits").read_text()
    assert f"Max address space         {MEMORY}" in limits
    assert "Max cpu time              unlimited" not in limits
    assert "Max core file size        0 " in limits
    assert "Max file size             0 " in limits
    assert os.getpriority(os.PRIO_PROCESS, _process(extractor)) > os.getpriority(os.PRIO_PROCESS, 0)


def test_no_secret_of_the_environment_goes_along(extractor: Extractor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAGUEMESTRE_STORAGE_DATABASE", "postgresql://user:secret@host/db")
    extractor.read(1, LETTER)
    assert b"secret" not in (Path("/proc") / str(_process(extractor)) / "environ").read_bytes()


def test_a_reader_that_dies_costs_one_message(extractor: Extractor, until: Until) -> None:
    extractor.read(1, LETTER)
    process = _process(extractor)
    os.kill(process, signal.SIGSTOP)
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            extractor._ask(extraction._Question([(2, LETTER)]), 30)
        except UnreadableMessageError as error:
            failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    until(extractor._lock.locked)
    os.kill(process, signal.SIGKILL)
    asking.join()
    assert failed
    assert _finds(extractor.read(3, LETTER), b"radio") == {3}
    assert _process(extractor) != process


def test_a_reader_that_hangs_is_killed_and_replaced() -> None:
    extractor = Extractor(niceness=1, patience_s=0.3)
    extractor.merge([compilation.build([])])
    os.kill(_process(extractor), signal.SIGSTOP)
    with pytest.raises(UnreadableMessageError):
        extractor._ask(extraction._Question([(2, LETTER)]), 0.3)
    assert extractor.merge([compilation.build([])])
    extractor.close()


def test_where_what_is_attached_kills_the_reader_the_text_remains(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = extractor._ask

    def choking(question: extraction._Question, *others: object) -> bytes:
        if question.with_attachments:
            raise UnreadableMessageError
        return ask(question, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(extractor, "_ask", choking)
    assert _finds(extractor.read(1, LETTER), b"radio") == {1}


def test_an_idle_process_ends_and_another_answers_the_next_question(until: Until) -> None:
    extractor = Extractor(niceness=1, idle_s=0.05)
    extractor.read(1, LETTER)
    first = extractor._process
    assert first is not None
    until(lambda: first.poll() is not None)
    assert first.returncode == 0
    assert _finds(extractor.read(2, LETTER), b"radio") == {2}
    extractor.close()


def test_a_message_that_takes_all_memory_costs_itself(extractor: Extractor) -> None:
    with pytest.raises(UnreadableMessageError):
        extractor.merge([compilation.HEAD.pack(2**32 - 1, *[2**31] * 24)])
    assert _finds(extractor.read(3, LETTER), b"radio") == {3}


def test_a_process_that_does_not_start_is_a_failure_and_no_message_s_fault(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", "/bin/false")
        with pytest.raises(ExtractionFailure):
            extractor.read(1, LETTER)
    assert _finds(extractor.read(1, LETTER), b"radio") == {1}


def test_closing_ends_who_waits(extractor: Extractor, until: Until) -> None:
    extractor.read(1, LETTER)
    os.kill(_process(extractor), signal.SIGSTOP)
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            extractor.read(2, LETTER)
        except ExtractionFailure as error:
            failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    until(extractor._lock.locked)
    extractor.close()
    asking.join()
    assert failed
    with pytest.raises(ExtractionFailure):
        extractor.read(3, LETTER)


def test_the_process_ends_with_its_parent(until: Until) -> None:
    script = (
        "from vaguemestre.mailstore.extraction import Extractor\n"
        "import os\nfound = Extractor()\nfound.read(1, b'Subject: x')\n"
        "print(found._process.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    import subprocess

    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = Path("/proc") / parent.stdout.readline().strip()
    until(lambda: not process.exists() or "Z" in (process / "stat").read_text().split(") ")[1][:1])
