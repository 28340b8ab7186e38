"""What a command's coroutine returns: the words of its tagged OK."""

from collections.abc import Generator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """A tagged OK, with its response code (without brackets). `news`: then tell first what else changed."""

    text: str
    code: bytes = b""


DEFERRED = Answer("")
"""A command that is answered later, or was already."""


class _Turn:
    """Awaited by a command that takes long, so that the other sessions have their turn."""

    def __await__(self) -> Generator[None, None, None]:
        yield


TURN = _Turn()
