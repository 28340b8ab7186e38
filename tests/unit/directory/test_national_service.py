"""Calls to the national service: their pace, their patience, and where they go."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.national_directory import KEY, NationalDirectory, practitioner, serving
from vaguemestre.directory import national_api
from vaguemestre.directory.national_api import CALLS_A_SECOND, NationalServiceError, Pace, Service


class Clock:
    """Time that passes only when slept."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@given(st.lists(st.floats(0, 0.3), min_size=20, max_size=120))
def test_no_second_sees_more_calls_than_allowed(works: list[float]) -> None:
    clock = Clock()
    pace, begun = Pace(CALLS_A_SECOND, clock.sleep, clock.now), []

    async def run() -> None:
        for work in works:
            await pace.turn()
            begun.append(clock.at)
            clock.at += work

    asyncio.run(run())
    for moment in begun:
        assert sum(moment <= other < moment + 0.999 for other in begun) <= CALLS_A_SECOND


def test_the_service_s_limit_is_never_met() -> None:
    nation = NationalDirectory(rate=18)  # the simulator counts over any second, to the last call
    nation.put(*(practitioner(number, "X", "Y") for number in range(25)))

    async def run(base: str) -> int:
        async with Service(base, KEY) as service:
            asked, count = service.search("Practitioner", {}, 1), 0
            while asked:
                page = await service.page(asked)
                asked, count = page.following, count + len(page.resources)
            return count

    with serving(nation) as base:
        start = time.monotonic()
        assert asyncio.run(run(base)) == 25
    assert time.monotonic() - start >= 24 / CALLS_A_SECOND
    assert len(nation.calls) == 25


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://gateway.api.esante.gouv.fr/fhir/v2/_page?id=a%2Bb%3D", "_page?id=a%2Bb%3D"),
        ("https://elsewhere.example/_page?id=x", "_page?id=x"),
        ("/fhir/v2/_page?id=x", "_page?id=x"),
        ("_page?id=x", "_page?id=x"),
        ("?id=x", ""),
        ("", ""),
    ],
)
def test_what_is_next_is_asked_of_our_own_base(url: str, asked: str) -> None:
    assert Service("http://127.0.0.1:1/fhir/v2", KEY).following(url) == asked


def test_waits_are_what_the_service_asks_or_longer_each_time() -> None:
    service = Service("http://127.0.0.1:1", KEY, chance=random.Random(3))
    assert 7 <= service._wait(0, 7) <= 8
    assert service._wait(0, 1e9) < 302
    waits = [[service._wait(attempt, None) for _ in range(50)] for attempt in range(10)]
    for attempt, several in enumerate(waits):
        assert min(2**attempt, 60) * 0.5 <= min(several)
        assert max(several) <= min(2**attempt, 60) * 1.5
        assert len(set(several)) > 40  # never all at once


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (200, b"<html>", "no JSON"),
        (200, b"[]", "no resource"),
        (200, b'{"resourceType":"Patient"}', "no Bundle"),
        (
            400,
            b'{"issue":[{"diagnostics":"Parameter x not found\\nfor Practitioner"}]}',
            "400 Parameter x not found for",
        ),
        (302, b"", "302"),
        (412, b"[1]", "412"),
    ],
)
def test_what_is_no_answer_is_told_with_what_was_asked(status: int, content: bytes, words: str) -> None:
    async def run() -> None:
        async with Service("http://nation.example", KEY) as service:
            service._client = httpx.AsyncClient(
                transport=httpx.MockTransport(lambda _: httpx.Response(status, content=content))
            )
            await service.page("Practitioner?_count=1")

    with pytest.raises(NationalServiceError, match=words) as refused:
        asyncio.run(run())
    assert "about Practitioner" in refused.value.en


def test_no_more_is_read_than_an_answer_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(national_api, "_MOST_OCTETS", 1 << 20)
    read = 0

    async def flood() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1 << 16
            yield bytes(1 << 16)

    async def run() -> None:
        async with Service("http://nation.example", KEY) as service:
            service._client = httpx.AsyncClient(
                transport=httpx.MockTransport(lambda _: httpx.Response(200, content=flood()))
            )
            await service.page("Practitioner?_count=1")

    with pytest.raises(NationalServiceError, match="more than 1 MB"):
        asyncio.run(run())
    assert read < 4 << 20
