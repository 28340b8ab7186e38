"""The technical log never stops what it tells about."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from vaguemestre import log


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Each test sets it up for itself."""
    yield
    structlog.reset_defaults()


def test_a_line_that_cannot_be_written_is_lost_and_the_next_ones_pass(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = tmp_path / "log"
    stream = written.open("w", buffering=1)
    write, full = stream.write, True

    def write_unless_full(text: str) -> int:
        if full:
            raise OSError(28, "No space left on device")
        return write(text)

    monkeypatch.setattr(sys, "stderr", stream)
    log.configure()
    monkeypatch.setattr(stream, "write", write_unless_full)
    log.get("here").error("lost")
    full = False
    log.get("here").error("kept")
    stream.close()
    log.get("here").error("nobody reads")
    assert "lost" not in written.read_text()
    assert '"event": "kept"' in written.read_text()


def test_a_full_device_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115 - its closing fails, as everything else
    monkeypatch.setattr(sys, "stderr", full)
    log.configure()
    for _ in range(10_000):
        log.get("here").error("lost")
    with suppress(OSError):
        full.close()
