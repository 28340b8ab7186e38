"""Periodic work: at once, again and again, each job for itself, and a failure only delays it."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from vaguemestre import jobs
from vaguemestre.errors import StorageFailure
from vaguemestre.jobs import Job


class Pauses:
    """Notes the pauses that jobs ask for and makes them short."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    """Jobs pause for nothing; the pauses asked for are noted."""
    found = Pauses()
    monkeypatch.setattr(jobs, "asyncio", SimpleNamespace(sleep=found.sleep, TaskGroup=asyncio.TaskGroup))
    return found


def run_until(enough: Callable[[], bool], *given: Job) -> None:
    """Run jobs until a condition holds, then cancel them."""

    async def watch() -> None:
        running = asyncio.create_task(jobs.run(given))
        async with asyncio.timeout(30):
            while not enough() and not running.done():  # noqa: ASYNC110 - any condition, no event of its own
                await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(watch())


def turns(count: int, error: Exception | None = None, period: float = 10) -> tuple[list[int], Job]:
    """A job that counts its turns and may fail at each."""
    done: list[int] = []

    async def turn() -> None:
        done.append(len(done))
        if error is not None:
            raise error

    return done, Job(f"job of {count}", period, turn)


def test_the_first_turn_comes_before_any_pause(pauses: Pauses) -> None:
    asked_at_turn: list[int] = []

    async def turn() -> None:
        asked_at_turn.append(len(pauses.asked))

    run_until(lambda: len(asked_at_turn) >= 3, Job("job", 10, turn))
    assert asked_at_turn[:3] == [0, 1, 2]


def test_pauses_vary_by_a_tenth_around_the_period(pauses: Pauses) -> None:
    done, job = turns(200, period=100)
    run_until(lambda: len(done) >= 200, job)
    assert all(90 <= seconds <= 110 for seconds in pauses.asked)
    assert min(pauses.asked) < 95
    assert max(pauses.asked) > 105


@pytest.mark.parametrize("error", [StorageFailure("The disk is full."), ValueError("a defect"), OSError(28, "full")])
def test_a_turn_that_fails_is_logged_and_comes_again(
    pauses: Pauses, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    done, job = turns(5, error)
    run_until(lambda: len(done) >= 5, job)
    assert "job failed" in "".join(capsys.readouterr())


def test_a_job_that_fails_stops_no_other(pauses: Pauses) -> None:
    failing, one = turns(5, ValueError("a defect"))
    fine, other = turns(5)
    run_until(lambda: len(failing) >= 5 and len(fine) >= 5, one, other)


def test_cancelling_ends_a_turn_that_is_under_way() -> None:
    ended: list[str] = []
    begun: list[str] = []

    async def long() -> None:
        begun.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    run_until(lambda: bool(begun), Job("long", 10, long))
    assert ended == ["ended"]


def test_no_jobs_is_nothing_to_do() -> None:
    asyncio.run(jobs.run([]))
