"""Following the national directory by its API: everything once, then what changed, put into the register in one change.

What it keeps true: readers see the register from before a pull or the one after; a pull that is cut, by the service or by
us, goes on where it was.

Rules:
1. Changes are asked for from the service's time at the beginning of the last pull, and some minutes before, since they
   overlap harmlessly. The service keeps no changes older than 30 days: after 29, everything is pulled.
2. Everything that is fetched stands on disk (`harvest`) before the register is touched (`absorption`).
3. What changed resources refer to and nothing here knows is asked for one by one.

Spec directory §1.1, §1.5.
"""

import asyncio
from collections.abc import Callable

from vaguemestre import clock
from vaguemestre.directory import absorption, register
from vaguemestre.directory.absorption import Pulled, read
from vaguemestre.directory.harvest import KINDS, Harvest, State
from vaguemestre.directory.national_api import PAGE, PageGoneError, Service
from vaguemestre.directory.register import Place
from vaguemestre.documents.fhir import reading
from vaguemestre.storage.database import Database

OVERLAP_MS = 600_000
KEPT_MS = 29 * 86_400_000
_STALE_MS = 86_400_000  # a run cut longer ago than that is begun anew: its snapshot is gone
_MOST_ASKED = 2000  # resources that others refer to and no page gave

Progress = Callable[[str, int], None]  # the kind, and how many resources of it came so far


async def pull(
    place: Place,
    service: Service,
    *,
    everything: bool = False,
    withdrawal_limit: float = 0.05,
    progress: Progress = lambda kind, count: None,
    count: int = PAGE,
) -> Pulled:
    """Follow the service. Raises NationalServiceError, ConfigurationError, WithdrawalsError, StorageFailure, OSError.

    `everything`: though changes would do. `withdrawal_limit`: the share of what is there that may go; 1 allows all.
    """
    with place.alone():
        harvest = Harvest(place.folder / "pull")
        edition, cursor = await asyncio.to_thread(_standing, place)
        state = await asyncio.to_thread(_resume, harvest, edition, cursor, everything)
        await _fetch(service, harvest, state, progress, count)
        if state.since:
            await _fetch_missing(place, service, harvest, state)
        done = await asyncio.to_thread(_apply, place, harvest, state, withdrawal_limit)
        await asyncio.to_thread(harvest.clear)
        return done


def _standing(place: Place) -> tuple[str, int]:
    """The register's edition and the time of the last pull into it; empty and 0 where there is none."""
    if not place.exists():
        return "", 0
    opened = place.open()
    try:
        return opened.read(register.edition), opened.read(absorption.cursor)
    finally:
        opened.close()


def _resume(harvest: Harvest, edition: str, cursor: int, everything: bool) -> State:
    now = clock.now_ms()
    since = cursor - OVERLAP_MS if cursor and now - cursor < KEPT_MS and not everything else 0
    state = harvest.open()
    alive = state is not None and state.edition == edition and state.began > max(cursor, now - _STALE_MS)
    if state is not None and alive and bool(state.since) == bool(since):
        return state
    state = State(since, edition)
    harvest.begin(state)
    return state


async def _fetch(service: Service, harvest: Harvest, state: State, progress: Progress, count: int) -> None:
    """Fetch what is not there yet, page by page; a kind whose pages are gone is begun anew, some times."""
    begun_anew = 0
    while not state.done:
        kind = state.kind
        parameters = {"_lastUpdated": f"ge{_instant(state.since)}"} if state.since else {}
        try:
            page = await service.page(state.following or service.search(kind, parameters, count))
        except PageGoneError:
            begun_anew += 1
            if not state.following or begun_anew > len(KINDS):
                raise
            await asyncio.to_thread(harvest.restart, state, kind)
            continue
        state.began = state.began or page.at
        state.following = page.following
        if not page.following:
            state.at += 1
        ours = [each for each in page.resources if each.get("resourceType") == kind]
        await asyncio.to_thread(harvest.add, state, kind, ours)
        progress(kind, state.counts.get(kind, 0))


async def _fetch_missing(place: Place, service: Service, harvest: Harvest, state: State) -> None:
    """Fetch what changed resources refer to and the register has never seen."""
    wanted = await asyncio.to_thread(_missing, place, harvest)
    for kind, technical_id in wanted[:_MOST_ASKED]:
        found = await service.resource(kind, technical_id)
        if found is not None:
            await asyncio.to_thread(harvest.add, state, kind, [found])


def _missing(place: Place, harvest: Harvest) -> list[tuple[str, str]]:
    there: dict[str, set[str]] = {"Practitioner": set(), "Organization": set()}
    for kind, known in there.items():
        known.update(str(each.get("id")) for each in harvest.read(kind))
    wanted: dict[tuple[str, str], None] = {}
    for role in read(harvest, "PractitionerRole", reading.practitioner_role, None):
        for kind, technical_id in (("Practitioner", role.practitioner), ("Organization", role.organization)):
            if technical_id and technical_id not in there[kind]:
                wanted[kind, technical_id] = None
    for structure in read(harvest, "Organization", reading.organization, None):
        if structure.parent and structure.parent not in there["Organization"]:
            wanted["Organization", structure.parent] = None
    if not place.exists():
        return list(wanted)
    opened = place.open()
    try:
        known_ids = {
            kind: opened.read(absorption.counterparts, kind, [each for of, each in wanted if of == kind])
            for kind in there
        }
    finally:
        opened.close()
    return [each for each in wanted if each[1] not in known_ids[each[0]]]


def _apply(place: Place, harvest: Harvest, state: State, withdrawal_limit: float) -> Pulled:
    if place.exists():
        opened = place.open()
        try:
            return opened.write(absorption.take, harvest, state, withdrawal_limit)
        finally:
            opened.close()
    place.abandon()
    built = place.next()
    try:
        done = _first(built, harvest, state)
    except BaseException:
        built.close()
        place.abandon()
        raise
    place.replace(built)
    return done


def _first(built: Database, harvest: Harvest, state: State) -> Pulled:
    built.write(register.index)
    return built.write(absorption.take, harvest, state, 1.0)


def _instant(milliseconds: int) -> str:
    return f"{clock.from_ms(milliseconds):%Y-%m-%dT%H:%M:%S}Z"
