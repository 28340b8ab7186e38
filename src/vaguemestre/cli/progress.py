"""How a long command says where it is."""

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn


class Bar:
    """Progress bars on standard error, where that is a terminal; `parts` are the words shown for each part's name."""

    def __init__(self, parts: Mapping[str, str]) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._parts = parts
        self._progress = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._progress.stop()

    def begin(self, part: str, total: int) -> None:
        """Show another bar."""
        self._task = self._progress.add_task(self._parts.get(part, part), total=max(total, 1))

    def advance(self, steps: int) -> None:
        """Move the last one on."""
        if self._task is not None:
            self._progress.advance(self._task, steps)
