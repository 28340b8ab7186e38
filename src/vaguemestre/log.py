"""Technical logging: one JSON object a line on standard error, or readable lines on a terminal.

Rule: no secret, no message content, no patient datum. Addresses are personal (a patient's holds their national
identifier), so logs carry message identifiers, domains and certificate names; who wrote to whom stands in the journal.
"""

import logging
import sys
from typing import Any

import structlog


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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get(room: str) -> Any:
    """The logger of a room, for example `log.get("transport.relay")`."""
    return structlog.get_logger(room=room)
