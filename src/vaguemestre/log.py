"""Technical logging: one JSON object a line on standard error, or readable lines on a terminal.

What it keeps true: a line that cannot be written, since the disk is full or nobody reads any more, is lost, and stops
nothing: least of all the thread that was about to tell peers why it refuses their mail.

Rule: no secret, no message content, no patient datum. Addresses are personal (a patient's holds their national
identifier), so logs carry message identifiers, domains and certificate names; who wrote to whom stands in the journal.
"""

import logging
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog


class _Lossy:
    """A stream that loses what it cannot write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: it was closed
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def configure(level: str = "INFO", *, json: bool | None = None) -> None:
    """Set up logging for the process. `json` defaults to true when standard error is not a terminal."""
    as_json = not sys.stderr.isatty() if json is None else json
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Lossy(sys.stderr))),
        cache_logger_on_first_use=False,
    )


def get(room: str) -> Any:
    """The logger of a room, for example `log.get("transport.relay")`."""
    return structlog.get_logger(room=room)
