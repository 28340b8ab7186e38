"""Dates of a search: a prefix, and a date of any precision, as a span of time.

Rules: a date without a time zone is UTC; what is compared is an instant. `ap` is within a tenth of the time between the
date and now, and at least within the date itself.

R4 search §2.21.1.4.3 (date), §2.21.1.5 (prefixes).
"""

import re
from datetime import UTC, datetime, timedelta, timezone

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
_DATE = re.compile(
    r"(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:\d{2})?)?)?)?", re.ASCII
)
_EVER = (-(2**62), 2**62)
Span = tuple[int, int]


def spans(text: str, now: int) -> tuple[Span, ...]:
    """The instants meant, as spans in Unix milliseconds, each from its first to before its second.

    `now`: Unix milliseconds. Raises ValueError.
    """
    prefix = text[:2] if text[:2] in PREFIXES else "eq"
    low, high = _span(text.removeprefix(prefix) if text[:2] == prefix else text)
    least, most = _EVER
    if prefix == "ap":
        slack = max(abs(now - low), abs(now - high)) // 10
        return ((low - slack, high + slack),)
    return {
        "eq": ((low, high),),
        "ne": ((least, low), (high, most)),
        "gt": ((high, most),),
        "sa": ((high, most),),
        "ge": ((low, most),),
        "lt": ((least, low),),
        "eb": ((least, low),),
        "le": ((least, high),),
    }[prefix]


def _span(text: str) -> Span:
    found = _DATE.fullmatch(text.strip().replace(" ", "+"))  # a plus sign in a URL reads as a space
    if found is None:
        raise ValueError(text)
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    start = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), tzinfo=_zone(zone))
    start += timedelta(seconds=min(int(second or 0), 60))
    if fraction is not None:
        step = timedelta(milliseconds=10 ** max(0, 3 - len(fraction)))
        start += timedelta(milliseconds=int(fraction[:3].ljust(3, "0")))
        return _milliseconds(start), _milliseconds(start + step)
    if day is None:
        year_, month_ = start.year, start.month
        end = (year_ + 1, 1) if month is None or month_ == 12 else (year_, month_ + 1)
        return _milliseconds(start), _milliseconds(start.replace(year=end[0], month=end[1])) if end[
            0
        ] < 10_000 else _EVER[1]
    step = timedelta(days=1) if hour is None else timedelta(minutes=1) if second is None else timedelta(seconds=1)
    return _milliseconds(start), _milliseconds(start) + int(step.total_seconds() * 1000)


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[4:6]))
    return timezone(-offset if text[0] == "-" else offset)


def _milliseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
