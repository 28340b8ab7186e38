"""Waiting for something to become true: asked often, bounded, and clear when it never does."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
DEADLINE_S = 45.0
_PAUSE_S = 0.02


def until(question: Callable[[], Result], what: str, deadline: float = DEADLINE_S) -> Result:
    """The first true answer to `question`. Fails, saying `what` was awaited, when there is none in `deadline` seconds."""
    end = time.monotonic() + deadline
    while not (answer := question()):
        assert time.monotonic() < end, f"never happened within {deadline:.0f} s: {what}"
        time.sleep(_PAUSE_S)
    return answer


async def until_async(question: Callable[[], Result], what: str, deadline: float = DEADLINE_S) -> Result:
    """The same, from an event loop that goes on meanwhile."""
    end = time.monotonic() + deadline
    while not (answer := question()):
        assert time.monotonic() < end, f"never happened within {deadline:.0f} s: {what}"
        await asyncio.sleep(_PAUSE_S)
    return answer
