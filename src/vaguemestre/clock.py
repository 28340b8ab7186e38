"""Time, as the rest of the code takes it: aware UTC datetimes at the edges, Unix milliseconds in the store.

Code whose rules depend on the time takes it as an argument (`at`) or takes a `Clock`, so that tests choose it.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

Clock = Callable[[], datetime]


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def now_ms() -> int:
    """The current time in Unix milliseconds, as the store keeps it."""
    return time.time_ns() // 1_000_000


def to_ms(moment: datetime) -> int:
    """Unix milliseconds of an aware datetime."""
    return int(moment.timestamp() * 1000)


def from_ms(milliseconds: int) -> datetime:
    """The aware UTC datetime of Unix milliseconds."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def rfc5322(moment: datetime) -> str:
    """The date as mail headers write it, to the second (RFC 5322 §3.3)."""
    return _written(moment.replace(microsecond=0))


@lru_cache(16)
def _written(moment: datetime) -> str:
    return format_datetime(moment)
