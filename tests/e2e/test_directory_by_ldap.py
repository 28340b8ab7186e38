"""An operator's directory by LDAP: what many searches, slow programs and impatient ones get (RFC 4511, RFC 3909)."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from simulators import small_register
from simulators.ldap_client import LIBRARY, LdapClient, extended, holds, search, written
from simulators.operators import Operator
from simulators.patience import until
from simulators.small_register import address, organization, practitioner
from simulators.space import SOUTH, TrustSpace
from vaguemestre import config, directory_parts
from vaguemestre.directory import register
from vaguemestre.directory.model import Origin
from vaguemestre.directory.register import Place, Registers
from vaguemestre.servers.ldap.readers import digest
from vaguemestre.servers.ldap.tree import Tree

READER, PASSWORD = "cn=lecteur,o=annuaire", "un secret de lecture"
WHO_AM_I = "1.3.6.1.4.1.4203.1.11.3"
MANY = 6000
EVERYTHING = ("present", b"mail")
LONG = ("not", holds("postalAddress", "lilas"))  # no index helps, and all match


def place(operator: Operator) -> Place:
    return directory_parts.place(config.load(operator.config_file, {}))


@pytest.fixture(scope="module")
def south(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator whose register has some thousand addresses."""
    ldap = {
        **{"listen": "127.0.0.1:0", "listen_tls": "127.0.0.1:0", "readers": {READER: digest(PASSWORD)}},
        **{"most": 2 * MANY, "seconds": 20},
    }
    running = Operator(space, tmp_path_factory.mktemp("south"), SOUTH, directory={"ldap": ldap})
    people = [practitioner(number, f"Zoé{number}", f"MARTIN{number}") for number in range(1, MANY + 1)]
    boxes = [address(number, f"zoe{number}", of=number) for number in range(1, MANY + 1)]
    small_register.build(place(running), [organization(1, "CABINET", "LYON"), *people, *boxes])
    yield running.start()
    running.close()


@pytest.fixture
def client(space: TrustSpace, south: Operator) -> Iterator[LdapClient]:
    """A program that has signed in, once the index is there."""
    made = LdapClient(south.ports["ldaps"], space.authorities)
    assert made.bind(READER, PASSWORD) == 0

    def ready() -> bool:
        made.send(search(2, holds("cn", "martin1"), most=1))
        while (answer := made.read())[1] != "searchResDone":
            pass
        return bool(answer[2]["resultCode"] != 51)

    until(ready, "the index is there")
    yield made
    made.close()


def finished(client: LdapClient, number: int) -> tuple[int, int]:
    """How many entries a search gave, and its code."""
    entries = 0
    while True:
        found, kind, value = client.read()
        if found == number and kind == "searchResDone":
            return entries, value["resultCode"]
        entries += found == number


def test_everything_is_given_within_the_limit(client: LdapClient) -> None:
    client.send(search(3, EVERYTHING))
    assert finished(client, 3) == (MANY, 0)
    client.send(search(4, LONG, most=10))
    assert finished(client, 4) == (10, 4)


def test_a_search_stops_at_its_time(client: LdapClient, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Tree._judge

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.4)
        return judge(*arguments)

    monkeypatch.setattr(Tree, "_judge", slowly)
    client.send(search(3, ("not", EVERYTHING), seconds=1))
    began = time.monotonic()
    assert finished(client, 3) == (3, 3)  # the base and its branches, which are no addresses
    assert 0.9 < time.monotonic() - began < 4


def test_an_abandoned_search_is_not_answered(client: LdapClient) -> None:
    client.send(search(3, EVERYTHING), written(4, "abandonRequest", 3), extended(5, WHO_AM_I))
    assert client.read()[:2] == (5, "extendedResp")
    client.send(search(6, EVERYTHING))
    assert client.read()[0] == 6  # it has begun
    client.send(written(7, "abandonRequest", 6), extended(8, WHO_AM_I))
    while (answer := client.read())[0] == 6:
        assert answer[1] == "searchResEntry"
    assert answer[0] == 8


def test_a_cancelled_search_says_so(client: LdapClient) -> None:
    value = LIBRARY.encode("CancelValue", {"cancelID": 3})
    client.send(search(3, EVERYTHING), extended(4, "1.3.6.1.1.8", value))
    codes = {}
    while len(codes) < 2:
        number, kind, answer = client.read()
        if kind != "searchResEntry":
            codes[number] = answer["resultCode"]
    assert codes == {3: 118, 4: 0}
    client.send(extended(5, "1.3.6.1.1.8", value))
    assert client.read()[2]["resultCode"] == 119


def test_searches_of_one_connection_run_at_once(client: LdapClient) -> None:
    client.send(search(3, EVERYTHING), search(4, holds("cn", "martin77"), most=5))
    order = []
    while len(order) < 2:
        number, kind, _ = client.read()
        if kind == "searchResDone":
            order.append(number)
    assert order == [4, 3]


def test_more_than_it_can_do_at_once_waits(client: LdapClient) -> None:
    numbers = range(10, 110)
    client.send(*(search(number, holds("cn", f"martin{number}"), most=3) for number in numbers))
    done = set()
    while len(done) < len(numbers):
        number, kind, value = client.read()
        if kind == "searchResDone":
            assert value["resultCode"] in (0, 4)
            done.add(number)
    assert done == set(numbers)


def test_a_program_that_does_not_read_gets_all_of_it_later(
    space: TrustSpace, south: Operator, client: LdapClient
) -> None:
    slow = LdapClient(south.ports["ldaps"], space.authorities, receive_buffer=4096)
    assert slow.bind(READER, PASSWORD) == 0
    slow.send(search(3, EVERYTHING))
    time.sleep(1)
    client.send(extended(9, WHO_AM_I))
    assert client.read()[0] == 9
    assert finished(slow, 3) == (MANY, 0)
    slow.close()


def test_a_bind_ends_what_was_under_way_and_who_was_in(client: LdapClient) -> None:
    wrong = {"version": 3, "name": READER.encode(), "authentication": ("simple", b"faux")}
    client.send(search(3, EVERYTHING), written(4, "bindRequest", wrong), search(5, EVERYTHING))
    codes = []
    while len(codes) < 2:
        number, kind, value = client.read()
        if kind != "searchResEntry":
            codes.append((number, value["resultCode"]))
    assert codes == [(4, 49), (5, 50)]


def test_a_red_list_is_honoured_within_seconds(client: LdapClient, south: Operator) -> None:
    registers = Registers(place(south))

    def hide(connection: sa.Connection) -> None:
        revision = register.begin(connection, Origin.OPERATOR)
        hidden = address(4242, "zoe4242", of=4242, red_list=True, revision=revision)
        register.put(connection, hidden)

    def found() -> int:
        client.send(search(20, holds("mail", "zoe4242@")))
        return finished(client, 20)[0]

    assert found() == 1
    registers.current().write(hide)
    registers.close()
    until(lambda: found() == 0, "it is hidden", 8)


def test_stopping_says_good_bye(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory) -> None:
    ldap = {"listen": "127.0.0.1:0", "listen_tls": "127.0.0.1:0", "readers": {READER: digest(PASSWORD)}}
    operator = Operator(space, tmp_path_factory.mktemp("stopped"), SOUTH, directory={"ldap": ldap})
    operator.start()
    client = LdapClient(operator.ports["ldaps"], space.authorities)
    assert client.bind(READER, PASSWORD) == 0
    client.send(search(2, EVERYTHING))
    number, kind, value = client.read()
    assert (number, kind, value["resultCode"]) == (2, "searchResDone", 51)  # no register yet
    operator.stop()
    number, kind, value = client.read()
    assert (number, kind, value["resultCode"]) == (0, "extendedResp", 52)
    assert client.ended()
    client.close()
    operator.close()
