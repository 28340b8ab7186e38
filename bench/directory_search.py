"""Typing searches of the directory, beside what an operator would use instead: PostgreSQL with pg_trgm and unaccent.

Twenty people type names, towns and professions of the register letter by letter, with a pause of a hand between letters
and a mistake in one text of ten; then the same without pauses. Ours answers over HTTP, records ranked and told apart; the
peer is asked in SQL by a client of its own, without HTTP, for the ten first of what has all words as beginnings, and for
the ten most similar where that is nobody. It is asked from the third letter on only, as applications on it do.

The index is made from the register alone: on which store that stands makes no difference to a search.
"""

import argparse
import asyncio
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from bench.row import Row
from vaguemestre.directory.fictitious import edition
from vaguemestre.directory.fictitious.population import Fiction
from vaguemestre.directory.register import Place
from vaguemestre.directory.search import building, index
from vaguemestre.directory.search.index import Shelf
from vaguemestre.directory.search.records import STRUCTURES, Person, decode
from vaguemestre.documents.words import fold
from vaguemestre.servers.directory_search import SearchFace, Terms, application
from vaguemestre.servers.http import HttpServer
from vaguemestre.servers.search_process import SearchProcess

SEARCHERS = 20
SECONDS = 20.0
PAUSE = (0.1, 0.2)
MISTAKES = 0.1
FEWEST_LETTERS = 3  # of what the peer is asked
KEY = bytes(range(32))
_PROFESSIONS = ("dentiste", "medecin", "infirmier", "kine", "pharmacien", "sage femme")
_SERVER = "bench.directory_search"
Ask = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Measure:
    """Times of one load, in milliseconds: every keystroke, and those that both are asked."""

    all: list[float]
    shared: list[float]
    seconds: float


def run(arguments: argparse.Namespace) -> Iterator[Row]:
    """Make a register, its index, and the peer's table; have them searched in turns."""
    with ExitStack() as stack:
        kept = getattr(arguments, "kept", None)
        folder = Path(kept or stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-directory-")))
        place = Place(folder / "register", KEY)
        if not place.exists():
            edition.make(place, Fiction(getattr(arguments, "people", 2_000_000)))
        yield from searches(place, Shelf(folder / "index", KEY), arguments.runs)


def searches(place: Place, shelf: Shelf, runs: int = 3) -> Iterator[Row]:
    """Every case on a register that stands."""
    if shelf.current() is None:
        register = place.open()
        start = time.perf_counter()
        made = building.refresh(register, shelf)
        yield _row(f"search index of {made.records} built", time.perf_counter() - start, "s", 120.0)
        register.close()
    path = shelf.current()
    assert path is not None
    yield _row("search index", path.stat().st_size / 1e6, "MB", 1_500.0)
    reader = index.open_reader(path, KEY)
    texts = _texts(reader, 4000)
    with _peer(reader) as where, _ours(shelf) as (port, process):
        reader.close()
        yield from _compared(texts, where, port, process, runs)


def _compared(texts: list[str], where: str, port: int, process: psutil.Process, runs: int) -> Iterator[Row]:
    async def ours(pause: bool) -> Measure:
        return await _typing(texts, lambda: _http(port), pause=pause, fewest=1)

    async def peer(pause: bool) -> Measure:
        return await _typing(texts, lambda: _sql(where), pause=pause, fewest=FEWEST_LETTERS)

    for pause, name in ((True, "typing"), (False, "without pauses")):
        found: list[tuple[Measure, Measure]] = []
        before, count = _processor(process), 0
        for _ in range(runs):
            mine = asyncio.run(ours(pause))
            count += len(mine.all)
            found.append((mine, asyncio.run(peer(pause))))
        used = (_processor(process) - before) / count * 1000
        p50, p99 = (statistics.median(_quantile(mine.all, q) for mine, _ in found) for q in (0.5, 0.99))
        if pause:
            yield _row(f"{name}, {SEARCHERS} at once: p50", p50, "ms", 5.0)
            yield _row(f"{name}, {SEARCHERS} at once: p99", p99, "ms", 20.0)
        yield _row(f"{name}: processor a search", used, "ms", 3.0)
        for q, label in ((0.5, "p50"), (0.99, "p99")):
            mine_ms, peer_ms = (statistics.median(_quantile(pair[side].shared, q) for pair in found) for side in (0, 1))
            yield _row(f"{name}, {FEWEST_LETTERS} letters or more: {label}", mine_ms, "ms", 1.0, peer_ms)
        if not pause:
            rates = [statistics.median(len(pair[side].all) / pair[side].seconds for pair in found) for side in (0, 1)]
            yield _row(f"{name}: searches a second", rates[0], "/s", 1.0, rates[1], at_least=True)
    for name, few in (("two beginnings", _two_beginnings(texts)), ("a mistake", _mistaken(texts))):
        mine, other = asyncio.run(_one_by_one(few, port, where))
        for q, label in ((0.5, "p50"), (0.99, "p99")):
            yield _row(f"{name}, one at a time: {label}", _quantile(mine, q), "ms", 1.0, _quantile(other, q))


# What is typed


def _texts(reader: object, count: int) -> list[str]:
    """What people look for: names of the register with a town, a given name or a profession; some with a mistake."""
    chance = random.Random(7)
    texts: list[str] = []
    execute = reader.execute  # type: ignore[attr-defined]
    last = execute("SELECT max(thing) FROM records WHERE thing < ?", (STRUCTURES,)).fetchone()[0]
    while len(texts) < count:
        row = execute("SELECT content FROM records WHERE thing = ?", (chance.randint(1, last),)).fetchone()
        person = decode(row[0]) if row and row[0] else None
        if not isinstance(person, Person) or not person.active or (not person.mailboxes and chance.random() < 0.7):
            continue
        town = person.places[0].city if person.places else ""
        text = chance.choice(
            (
                person.family,
                f"{person.family} {person.given}",
                f"{person.given} {person.family}",
                f"{person.family} {town}",
                f"{person.family} {chance.choice(_PROFESSIONS)}",
            )
        ).strip()
        texts.append(_mistake(text.lower(), chance) if chance.random() < MISTAKES else text.lower())
    return texts


def _mistake(text: str, chance: random.Random) -> str:
    place = chance.randrange(1, max(2, len(text) - 1))
    letter = chance.choice("aeioulnrst")
    rest = text[place:]
    return text[:place] + chance.choice((rest[1:], letter + rest, letter + rest[1:], rest[1:2] + rest[:1] + rest[2:]))


def _two_beginnings(texts: Sequence[str]) -> list[str]:
    both = (text.split() for text in texts if " " in text)
    return [f"{words[0][:3]} {words[-1][:3]}" for words in both if len(words[0]) > 3][:300]


def _mistaken(texts: Sequence[str]) -> list[str]:
    chance = random.Random(8)
    return [_mistake(text.split()[0], chance) for text in texts if len(text.split()[0]) > 6][:300]


async def _typing(texts: list[str], connect: "Callable[[], object]", *, pause: bool, fewest: int) -> Measure:
    """SEARCHERS people typing for SECONDS, each on a connection of its own."""
    found = Measure([], [], SECONDS)
    end = time.perf_counter() + SECONDS

    async def one(number: int) -> None:
        chance = random.Random(number)
        async with connect() as ask:  # type: ignore[attr-defined]
            while True:
                text = chance.choice(texts)
                for length in range(1, len(text) + 1):
                    if pause:
                        await asyncio.sleep(chance.uniform(*PAUSE))
                    if time.perf_counter() > end:
                        return
                    if len(text[:length].strip()) < fewest:
                        continue
                    start = time.perf_counter()
                    await ask(text[:length])
                    took = 1000 * (time.perf_counter() - start)
                    found.all.append(took)
                    if len(text[:length].strip()) >= FEWEST_LETTERS:
                        found.shared.append(took)

    await asyncio.gather(*(one(number) for number in range(SEARCHERS)))
    return found


async def _one_by_one(texts: Sequence[str], port: int, where: str) -> tuple[list[float], list[float]]:
    times: tuple[list[float], list[float]] = ([], [])
    async with _http(port) as ours, _sql(where) as peer:
        for text in texts:
            for ask, into in ((ours, times[0]), (peer, times[1])):
                start = time.perf_counter()
                await ask(text)
                into.append(1000 * (time.perf_counter() - start))
    return times


# Ours


@contextmanager
def _ours(shelf: Shelf) -> Iterator[tuple[int, psutil.Process]]:
    serving = subprocess.Popen(
        [sys.executable, "-m", _SERVER, str(shelf.folder)], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        assert serving.stdout is not None
        yield int(serving.stdout.readline()), psutil.Process(serving.pid)
    finally:
        serving.terminate()
        serving.wait()


async def _serve(folder: str) -> None:
    process = SearchProcess(Shelf(Path(folder), KEY))
    process.begin()
    face = SearchFace(process, Terms(trusted=[ip_network("127.0.0.0/8")], rate=0))
    print(await HttpServer(application(face), "127.0.0.1", 0, life=3600).start(), flush=True)
    await asyncio.Event().wait()


@asynccontextmanager
async def _http(port: int) -> AsyncIterator[Ask]:
    """A client that costs next to nothing: the machine measured is also its own."""
    incoming, outgoing = await asyncio.open_connection("127.0.0.1", port)

    async def ask(text: str) -> None:
        outgoing.write(f"GET /directory/search?q={quote(text)} HTTP/1.1\r\nHost: directory\r\n\r\n".encode())
        head = (await incoming.readuntil(b"\r\n\r\n")).lower()
        assert b" 200 " in head[:20], head
        await incoming.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))

    yield ask
    outgoing.close()


def _processor(process: psutil.Process) -> float:
    """Seconds of processor that a process and those it started have used."""
    used = 0.0
    for each in (process, *process.children(recursive=True)):
        times = each.cpu_times()
        used += times.user + times.system
    return used


# The peer

_TABLE = """
CREATE EXTENSION pg_trgm; CREATE EXTENSION unaccent;
CREATE TABLE people (id bigint, words text, name text, facts text, address text)
"""
_INDEXES = """
CREATE INDEX people_words ON people USING gin (words gin_trgm_ops);
ANALYZE people
"""
_EXACT = (
    "SELECT id, name, facts, address FROM people WHERE {words}"
    " ORDER BY address IS NULL, similarity(words, %(text)s) DESC LIMIT 10"
)
_SIMILAR = (
    "SELECT id, name, facts, address FROM people WHERE %(text)s <%% words"
    " ORDER BY word_similarity(%(text)s, words) DESC, address IS NULL LIMIT 10"
)


@contextmanager
def _peer(reader: object) -> Iterator[str]:
    """A PostgreSQL server with the same people, in a folder of its own; gives what connects to it."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[4]))[
        -1
    ].parent
    folder = Path(tempfile.mkdtemp(prefix="bench-pg-"))
    user = "postgres" if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    subprocess.run(
        [programs / "initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale"],
        user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    settings = ["shared_buffers=1GB", "work_mem=64MB", "maintenance_work_mem=1GB", "max_wal_size=8GB", "jit=off"]
    options = [
        part for each in (*settings, "listen_addresses=", f"unix_socket_directories={folder}") for part in ("-c", each)
    ]
    server = subprocess.Popen(
        [programs / "postgres", "-D", folder / "data", *options], user=user, cwd=folder, stderr=subprocess.DEVNULL
    )
    where = f"host={folder} user=postgres dbname=postgres"
    try:
        _fill(where, reader)
        yield where
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _fill(where: str, reader: object) -> None:
    for _ in range(100):
        try:
            connection = psycopg.connect(where, autocommit=True)
            break
        except psycopg.OperationalError:
            time.sleep(0.1)
    with connection, connection.cursor() as cursor:
        cursor.execute(_TABLE)
        rows = reader.execute("SELECT content FROM records WHERE content <> ''")  # type: ignore[attr-defined]
        with cursor.copy("COPY people FROM STDIN") as copy:
            for (content,) in rows:
                record = decode(content)
                if not record.active:
                    continue
                place = record.places[0] if record.places else None
                where_ = f"{place.city} {place.postcode}" if place else ""
                if isinstance(record, Person):
                    name = f"{record.family} {record.given}"
                    said = " ".join(_PROFESSION_WORDS.get(code, "") for code in record.professions)
                else:
                    name, said = record.places[0].name, ""
                words = " " + fold(f"{name} {said} {where_}").replace("-", " ").replace("'", " ")
                address = record.mailboxes[0].address if record.mailboxes else None
                copy.write_row((record.thing, words, name, where_, address))
        cursor.execute(_INDEXES)


_PROFESSION_WORDS = {
    "40": "chirurgien dentiste", "10": "medecin", "60": "infirmier", "70": "masseur kinesitherapeute",
    "21": "pharmacien", "50": "sage femme",
}  # fmt: skip


@asynccontextmanager
async def _sql(where: str) -> AsyncIterator[Ask]:
    async with await psycopg.AsyncConnection.connect(where, autocommit=True) as connection:
        await connection.execute("SET pg_trgm.word_similarity_threshold = 0.5")

        async def ask(text: str) -> None:
            words = fold(text).replace("-", " ").replace("'", " ").split()
            asked: dict[str, object] = {f"w{place}": f"% {word}%" for place, word in enumerate(words)}
            clause = " AND ".join(f"words LIKE %(w{place})s" for place in range(len(words)))
            asked["text"] = " ".join(words)
            found = await (await connection.execute(_EXACT.format(words=clause), asked)).fetchall()  # type: ignore[arg-type]
            if not found:
                await (await connection.execute(_SIMILAR, asked)).fetchall()

        yield ask


def _quantile(times: Sequence[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _row(case: str, ours: float, unit: str, target: float, peer: float | None = None, *, at_least: bool = False) -> Row:
    ratio = None if peer is None else ours / peer
    bound = ours if ratio is None else ratio
    return {
        "bench": "directory",
        "case": case,
        "ours": round(ours, 2),
        "peer": None if peer is None else round(peer, 2),
        "unit": unit,
        "ratio": None if ratio is None else round(ratio, 3),
        "target": target,
        "met": bound >= target if at_least else bound <= target,
    }


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
