"""Search over HTTP: who may, what is answered, what is refused and in which words."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from simulators.searched_registers import KEY, address, build, organization, practitioner, searched, stamped
from vaguemestre.directory import register
from vaguemestre.directory.model import Origin
from vaguemestre.directory.register import Place
from vaguemestre.directory.search.index import Shelf
from vaguemestre.errors import VaguemestreError
from vaguemestre.servers import search_process
from vaguemestre.servers.directory_search import PATH, SearchFace, Terms, application
from vaguemestre.servers.http import HttpServer
from vaguemestre.servers.search_process import SearchProcess

_KEY = "a key of a webmail"
_TERMS = Terms(keys={hashlib.sha256(_KEY.encode()).hexdigest(): "webmail"})


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """An index of three people and a hospital."""
    folder = tmp_path_factory.mktemp("search")
    things = (
        organization(1, "CHU DE LYON", "LYON", "69003", finess="690000013"),
        practitioner(1, "DUPONT", "Marie"), practitioner(2, "MARTIN", "Jean"), practitioner(3, "MARTIN", "Jean", "60"),
        address(1, "marie.dupont@dentistes.mssante.fr", 1), address(2, "rouge@dentistes.mssante.fr", 2, red_list=True),
    )  # fmt: skip
    with searched(Place(folder / "register", KEY), folder, *things) as found:
        yield found.shelf


async def _ask(
    face: SearchFace, *, headers: dict[str, str] | None = None, client: str = "203.0.113.9", **query: Any
) -> httpx.Response:
    transport = httpx.ASGITransport(application(face), client=(client, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://directory") as session:
        return await session.get(PATH, params=query, headers={"ESANTE-API-KEY": _KEY} if headers is None else headers)


@contextlib.asynccontextmanager
async def _facing(index: Shelf, terms: Terms = _TERMS) -> AsyncIterator[tuple[SearchFace, SearchProcess]]:
    process = SearchProcess(index)
    try:
        yield SearchFace(process, terms), process
    finally:
        await process.close()


def _one(index: Shelf, terms: Terms = _TERMS, **asked: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with _facing(index, terms) as (face, _):
            return await _ask(face, **asked)

    return asyncio.run(ask())


def test_a_search_is_answered_with_what_makes_people_certain(index: Shelf) -> None:
    answer = _one(index, q="dup mar", near="69003", limit="5")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "private, no-store"
    (found,) = answer.json()["results"]
    assert found["name"] == "Dr Marie DUPONT"
    assert found["rpps"] == "99700000001"
    assert found["professions"] == [{"code": "40", "label": "Chirurgien-Dentiste"}]
    assert found["addresses"][0]["address"] == "marie.dupont@dentistes.mssante.fr"
    assert found["addresses"][0]["publisher"] == "dentistes.mssante.fr"


def test_namesakes_are_told_and_red_listed_addresses_are_not(index: Shelf) -> None:
    answer = _one(index, q="jean martin").json()
    assert [found["namesakes"] for found in answer["results"]] == [{"count": 1, "told_apart_by": ["profession"]}] * 2
    assert "rouge" not in str(answer)


def test_criteria_are_parameters(index: Shelf) -> None:
    found = _one(index, q="martin", profession="infirmier").json()["results"]
    assert [each["professions"][0]["code"] for each in found] == ["60"]
    assert [each["what"] for each in _one(index, organization="690000013", q="chu").json()["results"]] == ["structure"]


@pytest.mark.parametrize("headers", [{}, {"ESANTE-API-KEY": "another"}, {"Authorization": "Bearer another"}])
def test_nobody_searches_without_a_key(index: Shelf, headers: dict[str, str]) -> None:
    answer = _one(index, q="dupont", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["rule"] == "no-key"
    assert "clé d'API" in answer.json()["fr"]


def test_a_bearer_s_key_is_a_key(index: Shelf) -> None:
    assert _one(index, q="dupont", headers={"Authorization": f"Bearer {_KEY}"}).status_code == 200


@pytest.mark.parametrize(
    ("client", "status"), [("127.0.0.1", 200), ("::ffff:127.0.0.1", 200), ("203.0.113.9", 401), ("x", 401)]
)
def test_a_trusted_network_needs_no_key(index: Shelf, client: str, status: int) -> None:
    assert (
        _one(
            index, Terms(trusted=[ip_network("127.0.0.0/8"), ip_network("::1")]), q="dupont", headers={}, client=client
        ).status_code
        == status
    )


def test_without_keys_or_networks_nobody_may(index: Shelf) -> None:
    assert _one(index, Terms(), q="dupont", headers={}, client="127.0.0.1").status_code == 401


@pytest.mark.parametrize(
    ("query", "rule"),
    [({"limit": "0"}, "limit"), ({"limit": "x"}, "limit"), ({"limit": "9" * 400}, "limit"), ({"nom": "x"}, "unknown-parameter"),
     ({"q": "x" * 501}, "too-long")],
)  # fmt: skip
def test_what_cannot_be_asked_is_said(index: Shelf, query: dict[str, str], rule: str) -> None:
    answer = _one(index, **query)
    assert (answer.status_code, answer.json()["rule"]) == (400, rule)
    assert answer.json()["fr"] != answer.json()["en"]


def test_searches_are_counted(index: Shelf) -> None:
    async def ask() -> list[httpx.Response]:
        async with _facing(index, Terms(_TERMS.keys, rate=0.001, burst=3)) as (face, _):
            return [await _ask(face, q="dupont") for _ in range(4)]

    answers = asyncio.run(ask())
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    assert answers[-1].headers["retry-after"] == "1"


def test_without_an_index_it_says_so(tmp_path: Path) -> None:
    answer = _one(Shelf(tmp_path, KEY), q="dupont")
    assert (answer.status_code, answer.json()["rule"]) == (503, "unavailable")


def test_a_keystroke_overtaken_before_its_turn_is_not_searched(index: Shelf) -> None:
    async def ask() -> list[httpx.Response]:
        async with _facing(index) as (face, _):
            # The first starts the process, which takes longer than all of these take to be typed.
            asking = []
            for text in ("d", "du", "dup", "dupo", "dupon"):
                asking.append(asyncio.create_task(_ask(face, q=text, typing="field-1")))
                await asyncio.sleep(0.01)
            other = asyncio.create_task(_ask(face, q="martin", typing="field-2"))
            return await asyncio.gather(*asking, other)

    answers = asyncio.run(ask())
    assert [each.status_code for each in answers] == [200, 204, 204, 204, 200, 200]
    assert [found["name"] for found in answers[4].json()["results"]] == ["Dr Marie DUPONT"]


def test_a_process_that_dies_is_started_again(index: Shelf) -> None:
    async def ask() -> list[int]:
        async with _facing(index) as (face, process):
            codes = [(await _ask(face, q="dupont")).status_code]
            assert process._process is not None
            process._process.kill()
            return [*codes, (await _ask(face, q="dupont")).status_code, (await _ask(face, q="martin")).status_code]

    assert asyncio.run(ask()) == [200, 200, 200]


def test_who_goes_away_leaves_no_answer_to_the_next(index: Shelf) -> None:
    async def ask() -> str:
        async with _facing(index) as (face, _):
            await _ask(face, q="x")
            leaving = asyncio.create_task(_ask(face, q="martin"))
            await asyncio.sleep(0)
            leaving.cancel()
            return str((await _ask(face, q="dupont")).json()["results"][0]["family"])

    assert asyncio.run(ask()) == "DUPONT"


def test_the_index_is_refreshed_in_a_process_of_its_own(tmp_path: Path) -> None:
    place = Place(tmp_path / "register", KEY)
    build(place, practitioner(1, "DUPONT"))
    shelf = Shelf(tmp_path / "index", KEY)
    assert asyncio.run(search_process.refresh(place, shelf)) == "built"
    assert asyncio.run(search_process.refresh(place, shelf)) == "unchanged"
    assert _one(shelf, q="dupont").json()["results"][0]["family"] == "DUPONT"
    with pytest.raises(VaguemestreError, match="no register yet"):
        asyncio.run(search_process.refresh(Place(tmp_path / "nowhere", KEY), shelf))


def test_an_address_put_on_the_red_list_is_soon_forgotten(tmp_path: Path) -> None:
    place, shelf = Place(tmp_path / "register", KEY), Shelf(tmp_path / "index", KEY)
    following = search_process.Follower(place, shelf)

    async def follow() -> None:
        await following.turn()  # nothing yet, and nothing is said
        build(place, practitioner(1, "DUPONT"), address(1, "d@pro.mssante.fr", 1))
        await following.turn()
        await following.turn()

    asyncio.run(follow())
    first = shelf.current()
    assert "d@pro.mssante.fr" in _one(shelf, q="dupont").text
    opened = place.open()
    opened.write(hide)
    opened.close()
    asyncio.run(following.turn())
    assert "d@pro.mssante.fr" not in _one(shelf, q="dupont").text
    assert shelf.current() == first


def hide(connection: sa.Connection) -> None:
    """Put an address on the red list, as a revision of its own."""
    revision = register.begin(connection, Origin.OPERATOR)
    register.put(connection, stamped(address(1, "d@pro.mssante.fr", 1, red_list=True), revision))


def test_an_answer_does_not_wait_for_the_client_s_acknowledgement(index: Shelf) -> None:
    async def ask() -> float:
        async with _facing(index, Terms(trusted=[ip_network("127.0.0.0/8")])) as (face, _):
            server = HttpServer(application(face), "127.0.0.1", 0)
            incoming, outgoing = await asyncio.open_connection("127.0.0.1", await server.start())
            took = []
            for _ in range(30):
                start = time.perf_counter()
                outgoing.write(b"GET /directory/search?q=dupont HTTP/1.1\r\nHost: directory\r\n\r\n")
                head = await incoming.readuntil(b"\r\n\r\n")
                await incoming.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                took.append(time.perf_counter() - start)
            outgoing.close()
            await server.stop()
            return min(took[15:])  # by then the system acknowledges late

    assert asyncio.run(ask()) < 0.035
