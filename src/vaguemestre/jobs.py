"""Periodic work: a name, a period, a function. What fails is logged and tried again at the next turn, never silently.

The first turn comes at once; each pause varies by a tenth, so that the operators of a space do not all ask at once.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from vaguemestre import log
from vaguemestre.errors import VaguemestreError

_chance = random.Random()  # noqa: S311 - jitter is no secret
_log = log.get("jobs")


@dataclass(frozen=True, slots=True)
class Job:
    """Work to do every `period` seconds."""

    name: str
    period: float
    run: Callable[[], Awaitable[None]]


async def run(jobs: Sequence[Job]) -> None:
    """Run jobs side by side until cancelled."""
    async with asyncio.TaskGroup() as group:
        for job in jobs:
            group.create_task(_repeat(job), name=job.name)


async def _repeat(job: Job) -> None:
    while True:
        try:
            await job.run()
        except VaguemestreError as error:
            _log.error("job failed", job=job.name, error=error.en)
        except Exception as error:  # a defect in one job must not end the others
            _log.error("job failed", job=job.name, error=type(error).__name__, exc_info=True)
        await asyncio.sleep(job.period * _chance.uniform(0.9, 1.1))
