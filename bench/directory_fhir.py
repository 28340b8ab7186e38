"""Reads of the directory over FHIR at national size: 2 M people, 2 M activities, 2 M places, 550,000 addresses.

What is measured is an answer over loopback, HTTP and JSON included, one client at a time; the 99th percentile counts. There
is no peer: the national server (MongoDB behind a gateway) and HAPI are not to be had here. What clients ask for is drawn at
random from the register, so that little of it is in memory. `--people` makes a smaller one; with `DIRECTORY_REGISTER`, the
folder of a register made before (key of zeros), none is made.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from starlette.applications import Starlette

from bench.row import Row
from simulators.web import served
from vaguemestre.directory.fictitious import edition
from vaguemestre.directory.fictitious.population import Fiction
from vaguemestre.directory.register import Place, Registers
from vaguemestre.servers import fhir

PEOPLE = 2_000_000
REQUESTS = 200
TARGET_MS = 20.0
_SAMPLE = 400
Draw = Callable[[dict[str, list[Any]], random.Random], str]

CASES: tuple[tuple[str, Draw], ...] = (
    ("read by id", lambda known, rng: f"Practitioner/003-{rng.choice(known['people']).id}"),
    ("identifier", lambda known, rng: f"Practitioner?identifier={rng.choice(known['people']).rpps}"),
    (
        "identifier, activities and places included",
        lambda known, rng: f"Practitioner?identifier={rng.choice(known['people']).rpps}"
        "&_revinclude=PractitionerRole:practitioner&_include:iterate=PractitionerRole:organization",
    ),
    ("family name", lambda known, rng: f"Practitioner?family={rng.choice(known['people']).family}"),
    ("family and given name", lambda known, rng: _both(rng.choice(known["people"]))),
    ("name, profession, activities", lambda known, rng: f"Practitioner?name={rng.choice(known['people']).family}"
     "&qualification-code=10&active=true&_revinclude=PractitionerRole:practitioner"),
    ("a text anywhere in a name", lambda known, rng: f"Practitioner?name:contains={rng.choice(known['people']).family[1:6]}"),
    ("activities of a person, places included", lambda known, rng:
     f"PractitionerRole?practitioner=003-{rng.choice(known['people']).id}&_include=PractitionerRole:organization"),
    ("activities at a place, people included", lambda known, rng:
     f"PractitionerRole?organization=001-{rng.choice(known['places']).id}&_include=*"),
    ("place by identifier", lambda known, rng: f"Organization?identifier={rng.choice(known['places']).technical_id}"),
    ("place by name and town", lambda known, rng: _place(rng.choice(known["places"]))),
    ("a domain's mailboxes", lambda known, rng: f"Practitioner?mailbox-mss:contains=@{rng.choice(known['domains']).domain}"),
    ("a mailbox", lambda known, rng: f"Practitioner?mailbox-mss={rng.choice(known['addresses']).address}"),
    ("a page of all physicians", lambda _, __: "Practitioner?qualification-code=10&active=true"),
    ("who changed since a day", lambda _, __: "Practitioner?_lastUpdated=ge2026-11-25"),
)  # fmt: skip


def run(arguments: argparse.Namespace) -> Iterator[Row]:
    """Make a register, ask it."""
    with tempfile.TemporaryDirectory(prefix="bench-fhir-") as name:
        place = Place(Path(os.environ.get("DIRECTORY_REGISTER") or name), bytes(32))
        if "DIRECTORY_REGISTER" not in os.environ:
            edition.make(place, Fiction(getattr(arguments, "people", PEOPLE) or PEOPLE, lone=1.0))
        registers = Registers(place)
        reading = fhir.Reading(registers, fhir.Terms(rate=0.0), bytes(32))
        try:
            known = registers.current().read(_known)
            with (
                served(Starlette(routes=fhir.application(reading))) as port,
                httpx.Client(base_url=f"http://127.0.0.1:{port}/fhir/v2/", trust_env=False, timeout=30) as client,
            ):
                for case, draw in CASES:
                    yield _row(case, _times(client, known, draw))
        finally:
            registers.close()


def _both(person: Any) -> str:
    return f"Practitioner?family={person.family}&given={person.given}"


def _place(place: Any) -> str:
    return f"Organization?name={place.name[:12]}&address-city={place.city}"


def _known(connection: sa.Connection) -> dict[str, list[Any]]:
    """What clients may ask for, drawn from the register."""
    asked = {
        "people": "SELECT id, rpps, family, given FROM practitioners WHERE rpps <> '' AND id % {step} = 1",
        "places": "SELECT id, technical_id, name, city FROM organizations WHERE name <> '' AND id % {step} = 1",
        "addresses": "SELECT address FROM addresses WHERE id % {step} = 1",
        "domains": "SELECT domain FROM addresses WHERE id % {step} = 2 GROUP BY domain",
    }
    last = connection.exec_driver_sql("SELECT max(id) FROM practitioners").scalar_one()
    step = max(3, last // 4 // _SAMPLE)
    return {name: list(connection.exec_driver_sql(text.format(step=step))) for name, text in asked.items()}


def _times(client: httpx.Client, known: dict[str, list[Any]], draw: Draw) -> list[float]:
    """Milliseconds of each request, the least first."""
    rng = random.Random(1)
    for _ in range(3):
        client.get(draw(known, rng)).raise_for_status()
    times = []
    for _ in range(REQUESTS):
        path = draw(known, rng).replace("+", "%2B").replace("#", "%23")
        start = time.perf_counter()
        client.get(path).raise_for_status()
        times.append((time.perf_counter() - start) * 1000)
    return sorted(times)


def _row(case: str, times: list[float]) -> Row:
    """The 99th percentile; the median stands in the case's name, since it has no place of its own."""
    high, middle = times[int(len(times) * 0.99) - 1], times[len(times) // 2]
    return {
        "bench": "directory_fhir", "case": f"{case} (p50 {middle:.1f})", "ours": round(high, 1), "peer": None, "unit": "ms",
        "ratio": None, "target": TARGET_MS, "met": high <= TARGET_MS,
    }  # fmt: skip
