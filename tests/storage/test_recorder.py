"""The recorder: refusals are journalled without making anybody wait, and cannot fill the journal."""

import asyncio
import types
from collections.abc import Callable

import pytest

from vaguemestre.evidence import journal, recorder
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.evidence.journal import Recorded
from vaguemestre.evidence.recorder import Recorder
from vaguemestre.storage.database import Database


class Watch:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """The recorder's clock."""
    found = Watch()
    monkeypatch.setattr(recorder, "time", types.SimpleNamespace(monotonic=found.monotonic))
    return found


def refusal(peer: str = "somebody") -> Entry:
    return Entry(Event.PEER_REFUSAL, "", {"peer": peer})


def recorded(database: Database, do: Callable[[Recorder], None]) -> list[Recorded]:
    """What stands in the journal once `do` has recorded and everything was written."""

    async def run() -> None:
        do(Recorder(database))
        await database.write_async(lambda connection: None)  # whatever was recorded before is written by now

    asyncio.run(run())
    return database.read(journal.log)


def test_what_is_recorded_stands_in_the_journal(database: Database) -> None:
    found = recorded(database, lambda to: to.record("a", refusal("a")))
    assert [(each.event, each.facts) for each in found] == [("peer-refusal", {"peer": "a"})]


def test_one_cause_gets_a_few_entries_a_minute_then_their_count(database: Database, watch: Watch) -> None:
    def do(to: Recorder) -> None:
        for _ in range(100):
            to.record("a", refusal())
        watch.seconds += 59
        to.record("a", refusal())
        watch.seconds += 2
        for _ in range(3):
            to.record("a", refusal())

    found = recorded(database, do)
    assert len(found) == 20 + 3
    assert [each.facts.get("unrecorded") for each in found[20:]] == [81, None, None]
    assert all("unrecorded" not in each.facts for each in found[:20])


def test_causes_do_not_share_their_limit(database: Database, watch: Watch) -> None:
    found = recorded(database, lambda to: [to.record(str(n % 5), refusal(str(n % 5))) for n in range(150)] and None)
    assert len(found) == 5 * 20


def test_quiet_causes_are_never_said_to_be_unrecorded(database: Database, watch: Watch) -> None:
    def do(to: Recorder) -> None:
        for _ in range(20):
            to.record("a", refusal())
        watch.seconds += 61
        to.record("a", refusal())

    found = recorded(database, do)
    assert len(found) == 21
    assert all("unrecorded" not in each.facts for each in found)


def test_causes_without_end_take_no_memory_without_end(
    database: Database, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_MOST_CAUSES", 10)

    def do(to: Recorder) -> None:
        for n in range(50):
            to.record(str(n), refusal())
            assert len(to._causes) <= 10

    assert len(recorded(database, do)) == 50


def test_a_closing_database_stops_no_refusal(database: Database) -> None:
    async def run() -> None:
        Recorder(database).record("a", refusal())

    database.close()
    asyncio.run(run())


def test_an_entry_that_cannot_be_written_is_logged_and_the_next_one_is(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    def do(to: Recorder) -> None:
        to.record("a", Entry(Event.PEER_REFUSAL, "", {"peer": object()}))
        to.record("b", refusal("b"))

    assert [each.facts for each in recorded(database, do)] == [{"peer": "b"}]
    assert "could not be recorded" in "".join(capsys.readouterr())
