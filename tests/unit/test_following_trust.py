"""A front process follows what is trusted: in order, never in silence, and the last change stays."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from vaguemestre import app
from vaguemestre.config import Config
from vaguemestre.errors import ConfigurationError
from vaguemestre.trust.certificates import Authorities
from vaguemestre.trust.judge import Judge
from vaguemestre.trust.trusted_set import TrustedSet


class Disk:
    """What is trusted on disk: `read` gives the set as it stands then, or raises; a reading may be held back."""

    def __init__(self) -> None:
        self.now = self.fresh()
        self.failure: Exception | None = None
        self.readings = 0
        self.held = threading.Event()
        self.held.set()

    @staticmethod
    def fresh() -> TrustedSet:
        return TrustedSet(Authorities(()), "signer")

    def read(self, _: Config) -> TrustedSet:
        self.readings += 1
        found, failure = self.now, self.failure
        assert self.held.wait(30)
        if failure is not None:
            raise failure
        return found


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Stands for what `trusted_set` reads."""
    found = Disk()
    monkeypatch.setattr(app, "trusted_set", found.read)
    return found


def follow(story: Callable[[Judge, asyncio.Event], Any], disk: Disk) -> None:
    """Run a story beside the task that follows."""

    async def both() -> None:
        judging, changed = Judge(disk.now), asyncio.Event()
        following = asyncio.create_task(app._follow_trust(Config(), judging, changed))
        try:
            async with asyncio.timeout(30):
                await story(judging, changed)
        finally:
            disk.held.set()
            following.cancel()

    asyncio.run(both())


async def comes(condition: Callable[[], bool]) -> None:
    """Wait for what the task brings about."""
    while not condition():  # noqa: ASYNC110 - any condition, no event of its own
        await asyncio.sleep(0.001)


def test_a_change_during_a_reading_is_read_after_it(disk: Disk) -> None:
    async def story(judging: Judge, changed: asyncio.Event) -> None:
        disk.held.clear()
        changed.set()
        await comes(lambda: disk.readings == 1)
        disk.now = disk.fresh()
        changed.set()
        changed.set()
        disk.held.set()
        await comes(lambda: judging.trusted is disk.now)
        assert disk.readings == 2

    follow(story, disk)


@pytest.mark.parametrize("failure", [ConfigurationError("No file.", "Pas de fichier."), ValueError("a defect")])
def test_a_failed_reading_is_logged_and_tried_again(
    disk: Disk, failure: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "_RENEW_AGAIN_S", 0.01)

    async def story(judging: Judge, changed: asyncio.Event) -> None:
        before, disk.now, disk.failure = disk.now, disk.fresh(), failure
        changed.set()
        await comes(lambda: disk.readings >= 3)
        assert judging.trusted is before
        disk.failure = None
        await comes(lambda: judging.trusted is disk.now)

    follow(story, disk)
    assert "trust not renewed" in "".join(capsys.readouterr())


def test_a_damaged_set_replaces_no_good_one(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_RENEW_AGAIN_S", 0.01)

    async def story(judging: Judge, changed: asyncio.Event) -> None:
        before, disk.now = disk.now, disk.fresh()
        disk.now.damage = ConfigurationError("Cut short.", "Tronqué.")
        changed.set()
        await comes(lambda: disk.readings >= 3)
        assert judging.trusted is before
        disk.now = disk.fresh()
        await comes(lambda: judging.trusted is disk.now)

    follow(story, disk)


def test_a_later_change_does_not_wait_for_the_next_try(disk: Disk) -> None:
    async def story(judging: Judge, changed: asyncio.Event) -> None:
        disk.failure = ValueError("a defect")
        changed.set()
        await comes(lambda: disk.readings == 1 and not changed.is_set())
        disk.now, disk.failure = disk.fresh(), None
        async with asyncio.timeout(app._RENEW_AGAIN_S / 2):
            while judging.trusted is not disk.now:
                changed.set()
                await asyncio.sleep(0.01)

    follow(story, disk)
