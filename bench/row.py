"""The shape of a result."""

from typing import TypedDict


class Row(TypedDict):
    """One case. `ratio` is ours to the peer's; None without a peer, and where the target is absolute. `target` bounds the
    ratio, or `ours` without one."""

    bench: str
    case: str
    ours: float
    peer: float | None
    unit: str
    ratio: float | None
    target: float
    met: bool
