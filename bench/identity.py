"""Signing in and enrolling over HTTPS, everything on, while mail comes in: how long people wait, how many get a mailbox.

Each person is a browser at an address of its own, with a device that keeps a passkey; Pro Santé Connect is the pretend one, a
process beside the operator's, and the machine's processors are shared by all of them and by the load. An enrolment is the
whole of it: sign-in with Pro Santé Connect, the offer, the choice, a passkey, recovery codes. A sign-in is both its requests,
challenge and answer; no password is hashed in it. Letters of 5 kB come by SMTP all the while.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import ssl
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from tests.simulators import register
from tests.simulators.authenticator import Authenticator
from tests.simulators.browser import Browser
from tests.simulators.load import Letter, Tally, press
from tests.simulators.pretend import CLIENT, SECRET, Pretend, pretend

from bench import operator
from bench.operator import Measured
from bench.row import Row
from vaguemestre.pretend.professionals import professional
from vaguemestre.protocols import tls

PEOPLE = 240
AT_ONCE = 4
SIGN_INS = 1_200
LOOK_UPS = 2_400
LETTERS_A_SECOND = 20
USERS = 10
_SIZE = 5_000
_PER_CONNECTION = 50
_FAMILIES = ("MARTIN", "BERNARD", "PETIT", "DURAND", "LEROY", "MOREAU", "SIMON", "LAURENT", "ROUX", "FONTAINE")
_GIVEN = ("CLAIRE", "KARIM", "ANNE", "PAUL", "INES", "HUGO", "LEA", "MARC")


def run(arguments: argparse.Namespace) -> Iterator[Row]:
    """Enrol everybody, then have them come back."""
    del arguments  # a tail needs many samples, not many runs
    with tempfile.TemporaryDirectory(prefix="bench-identity-") as name, ExitStack() as stack:
        folder, port = Path(name), operator.free_port()
        origin = f"https://localhost:{port}"
        names = [(_number(each), _FAMILIES[each % 10] + _letters(each), _GIVEN[each % 8]) for each in range(PEOPLE)]
        known = [professional(number[1:], family, given) for number, family, given in names]
        theirs = stack.enter_context(pretend(folder, f"{origin}/sign-in/back", people=known))
        (folder / "secret").write_text(SECRET, "utf-8")
        operator.prepare(folder, USERS, _settings(theirs, origin, port))
        register.fill(folder / "vaguemestre.toml", names)
        ours = stack.enter_context(operator.running(folder, also=(port,)))
        trusting = ssl.create_default_context(cafile=str(ours.ca))
        visitors = [
            (stack.enter_context(Browser(origin, address=f"127.1.{each >> 8}.{1 + each % 250}", tls=trusting)), number)
            for each, (number, _, _) in enumerate(names)
        ]
        with _mail(ours):
            began = time.perf_counter()
            with ThreadPoolExecutor(AT_ONCE) as crowd:
                devices = list(crowd.map(lambda each: _enrol(each[0], theirs, each[1]), visitors))
            rate = PEOPLE / (time.perf_counter() - began) * 3600
            yield _row("enrolments alongside mail", rate, "an hour", 1_000, at_least=True)
            back = [(browser, device) for (browser, _), device in zip(visitors, devices, strict=True)]
            yield from _tail("sign-in by passkey", SIGN_INS, lambda each: _touch(*back[each % PEOPLE]))
            yield from _tail("session looked up", LOOK_UPS, lambda each: _look(back[each % PEOPLE][0]))


def _settings(theirs: Pretend, origin: str, port: int) -> str:
    return f'''
[identity]
issuer = "{theirs.issuer}"
authorize = "{theirs.authorize}"
client = "{CLIENT}"
client_secret = "secret"
[web]
listen = "127.0.0.1:{port}"
origin = "{origin}"
[enrolment]
terms = "1"
[enrolment.domains]
"40" = "{operator.SERVER}"
'''


def _enrol(browser: Browser, theirs: Pretend, person: str) -> Authenticator:
    """Open a mailbox; the device that keeps its passkey."""
    browser.sign_in(theirs, person)
    offer = browser.get("/api/enrolment")
    browser.post("/api/enrolment", {"address": offer["addresses"][0], "terms": offer["terms"]})
    device = Authenticator(origin=browser.origin)
    browser.add_passkey(device)
    browser.post("/api/recovery-codes")
    return device


def _touch(browser: Browser, device: Authenticator) -> float:
    """Seconds of a sign-in, in a browser where nobody is signed in; what the device does is not counted."""
    browser.client.cookies.clear()
    began = time.perf_counter()
    options = browser.post("/api/sign-in/passkey/options", {}, 200)
    asked = time.perf_counter()
    answer = {"credential": device.prove(options)}
    proved = time.perf_counter()
    if browser.ask("POST", "/api/sign-in/passkey", answer).status_code != 200:
        raise RuntimeError("a passkey was refused")
    return asked - began + time.perf_counter() - proved


def _look(browser: Browser) -> float:
    began = time.perf_counter()
    browser.get("/api/session")
    return time.perf_counter() - began


def _tail(case: str, times: int, do: Callable[[int], float]) -> Iterator[Row]:
    parts = statistics.quantiles((1000 * do(each) for each in range(times)), n=100)
    yield _row(f"{case}, p50", parts[49], "ms", 100)
    yield _row(f"{case}, p99", parts[98], "ms", 100)


@contextmanager
def _mail(ours: Measured) -> Iterator[None]:
    """Letters come in, at an even pace, from a process of their own, before anything is measured and until all is."""
    context = multiprocessing.get_context("spawn")
    begun, stop = context.Event(), context.Event()
    load = context.Process(target=_send, args=(ours, begun, stop))
    load.start()
    try:
        if not begun.wait(60):
            raise RuntimeError("no mail comes through")
        yield
    finally:
        stop.set()
        load.join(60)
    if load.exitcode != 0:
        raise RuntimeError("the mail did not come through")


def _send(ours: Measured, begun: Event, stop: Event) -> None:
    tally = Tally()

    def paced() -> Iterator[Letter]:
        began, number = time.monotonic(), 0
        while not stop.wait(max(0.0, began + number / LETTERS_A_SECOND - time.monotonic())):
            to = f"u{number % USERS + 1}@{operator.SERVER}"
            yield Letter(f"identity-{time.time_ns()}", f"sender@{operator.CLIENT}", to, _SIZE)
            number += 1
            begun.set()  # the letter before was accepted

    letters, context = paced(), tls.client_context(ours.certificate, ours.key)
    while not stop.is_set():
        asyncio.run(press(ours.port, context, tally, 1, itertools.islice(letters, _PER_CONNECTION)))
    if tally.refused or tally.unanswered:
        raise RuntimeError(f"letters were refused: {tally.refused[:1]}")


def _number(each: int) -> str:
    """A made-up national identifier, its check digit right (Luhn)."""
    number = f"99900{each:05}"
    doubled = (int(digit) * 2 if place % 2 == 0 else int(digit) for place, digit in enumerate(reversed(number)))
    return f"8{number}{-sum(value // 10 + value % 10 for value in doubled) % 10}"


def _letters(each: int) -> str:
    return "".join(chr(ord("A") + each // power % 26) for power in (676, 26, 1))


def _row(case: str, ours: float, unit: str, target: float, *, at_least: bool = False) -> Row:
    found: dict[str, Any] = {"bench": "identity", "case": case, "peer": None, "unit": unit, "ratio": None}
    met = ours >= target if at_least else ours < target
    return Row(**found, ours=round(ours, 1), target=target, met=met)
