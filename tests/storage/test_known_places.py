"""Where somebody signs in from, on both stores: new once, known after, forgotten by age."""

from collections.abc import Iterator

import pytest

from vaguemestre import clock
from vaguemestre.identity import flows, known_places
from vaguemestre.storage.database import Database

DAY = 86_400_000
HOME = ("Firefox, Linux", "192.0.2.1")


class Watch:
    """The clock of the rooms under test."""

    def __init__(self) -> None:
        self.now = clock.now_ms()


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch]:
    found = Watch()
    for room in (known_places, flows):
        monkeypatch.setattr(room, "now_ms", lambda: found.now)
    return found


def _is_new(database: Database, person_id: int, device: str, network: str) -> bool:
    return database.write(known_places.note, person_id, device, network)


def test_a_first_sign_in_is_nothing_new_and_others_are_once(database: Database, watch: Watch) -> None:
    assert not _is_new(database, 1, *HOME)
    assert not _is_new(database, 1, *HOME)
    assert _is_new(database, 1, "Chrome, Windows", HOME[1])
    assert not _is_new(database, 1, "Chrome, Windows", HOME[1])
    assert _is_new(database, 1, HOME[0], "198.51.100.7")
    assert not _is_new(database, 2, "Safari, iPhone", "203.0.113.9")  # somebody else's first


@pytest.mark.parametrize(
    ("first", "second", "new"),
    [
        ("192.0.2.1", "192.0.77.5", False),
        ("192.0.2.1", "192.1.2.1", True),
        ("2001:db8:1:2::/64", "2001:db8:9:9::/64", False),
        ("2001:db8:1:2::/64", "2001:db9:1:2::/64", True),
        ("testclient", "testclient", False),
    ],
)
def test_a_network_is_what_a_provider_gives_around_a_place(
    database: Database, watch: Watch, first: str, second: str, *, new: bool
) -> None:
    _is_new(database, 1, "x", first)
    assert _is_new(database, 1, "x", second) is new


def test_what_was_not_used_for_half_a_year_is_new_again(database: Database, watch: Watch) -> None:
    _is_new(database, 1, *HOME)
    for _ in range(4):
        watch.now += 100 * DAY
        assert not _is_new(database, 1, *HOME)  # each use renews it
    watch.now += 200 * DAY
    database.write(flows.keep, "passkey", {})  # which forgets what is too old
    assert _is_new(database, 1, *HOME)
