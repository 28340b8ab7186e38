"""Another operator's server that lies, breaks the line or sends without end costs its own messages, and nothing else."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from simulators.imap_script import Answer, ScriptedImap
from simulators.operators import Operator, OperatorFactory
from simulators.space import SOUTH, TrustSpace
from vaguemestre.mailstore.transfer import importation, remote
from vaguemestre.mailstore.transfer.imap_line import LineLostError, RemoteError, Server
from vaguemestre.mailstore.transfer.model import Report, SourceError
from vaguemestre.mailstore.transfer.remote import Notes, RemoteSource

Script = Callable[[str], Answer]
BODIES = {uid: b"Subject: %d\r\n\r\n" % uid for uid in (1, 2, 3)}


def well_behaved(command: str) -> Answer:
    """A server with three messages in INBOX."""
    name, _, rest = command.partition(" ")
    match name:
        case "CAPABILITY":
            return b"* CAPABILITY IMAP4REV1 AUTH=PLAIN\r\n"
        case "LIST":
            return b'* LIST () "/" INBOX\r\n'
        case "STATUS":
            return b"* STATUS INBOX (MESSAGES 3)\r\n"
        case "EXAMINE":
            return b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\n"
        case "UID":
            return _fetched(rest)
    return b""


def _fetched(rest: str) -> bytes:
    asked = [int(number) for number in re.findall(r"\d+", rest.split(" ")[1])]
    uids = [uid for uid in BODIES if "*" in rest or asked[0] <= uid <= asked[-1]]
    if "BODY" in rest:
        return b"".join(
            b"* %d FETCH (UID %d BODY[] {%d}\r\n%b)\r\n" % (uid, uid, len(BODIES[uid]), BODIES[uid]) for uid in uids
        )
    if "SIZE" in rest:
        told = b"* %d FETCH (UID %d FLAGS () RFC822.SIZE %d)\r\n"
        return b"".join(told % (uid, uid, len(BODIES[uid])) for uid in uids)
    return b"".join(b"* %d FETCH (UID %d)\r\n" % (uid, uid) for uid in uids)


class Migration:
    """Runs against a script, again and again on the same notes."""

    def __init__(self, space: TrustSpace, operator: Operator, folder: Path) -> None:
        self._space = space
        self._operator = operator
        self._folder = folder
        self._servers: list[ScriptedImap] = []

    def run(self, script: Script) -> Report:
        identity = self._space.identity(SOUTH)
        server = ScriptedImap(identity.certificate, identity.key, script)
        self._servers.append(server)
        where = Server("localhost", server.port, True, "claire", "secret", ca=str(self._space.authorities))
        stores = self._operator.stores
        with closing(RemoteSource(where, Notes(self._folder / "notes", "account"))) as source:
            return importation.run(stores.database, stores.blobs, SOUTH.address("claire"), source)

    @property
    def heard(self) -> list[str]:
        """What the last server was asked."""
        return self._servers[-1].heard

    @property
    def subjects(self) -> list[str]:
        return sorted(message.summary.subject for message in self._operator.messages("claire"))

    def close(self) -> None:
        for server in self._servers:
            server.close()


@pytest.fixture
def migration(
    space: TrustSpace, operator: OperatorFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Migration]:
    monkeypatch.setattr(remote, "_PAUSE_S", 0.001)
    made = Migration(space, operator(SOUTH), tmp_path)
    yield made
    made.close()


def test_a_good_server_is_asked_once_for_each_message(migration: Migration) -> None:
    assert migration.run(well_behaved).whole
    assert migration.subjects == ["1", "2", "3"]
    report = migration.run(well_behaved)
    assert report.whole
    assert report.folders[0].present == 3
    assert not [command for command in migration.heard if "BODY" in command]


@pytest.mark.parametrize(
    "bad",
    [
        None,
        b"NO [SERVERBUG] damaged",
        b"* 2 FETCH (UID 2 BODY[] {4000000000}\r\n",
        b"* 2 FETCH (UID 2 BODY[] {5}\r\nhello" + b"(" * 50 + b")\r\n",
        b"* 2 FETCH (FLAGS ())\r\n",
        b"* 9 FETCH (UID 9 BODY[] {5}\r\nhello)\r\n",
        b"* 2 FETCH (UID 2)\r\n",
        b"+ what?\r\n",
    ],
    ids=["cut", "refused", "huge literal", "deep", "no uid", "another", "no body", "continuation"],
)
def test_one_message_that_cannot_be_had_is_set_aside_and_the_others_come(migration: Migration, bad: Answer) -> None:
    def script(command: str) -> Answer:
        if "BODY" in command and re.search(r"FETCH (?:1:3|2|1,2.*) ", command):
            return bad
        return well_behaved(command)

    report = migration.run(script)
    assert migration.subjects == ["1", "3"]
    assert [each.place for each in report.set_aside] == ["UID 2"]
    assert migration.run(well_behaved).whole
    assert migration.subjects == ["1", "2", "3"]


def test_a_line_that_breaks_is_made_anew(migration: Migration) -> None:
    count = iter(range(100))

    def script(command: str) -> Answer:
        return None if command.startswith("UID") and next(count) % 2 else well_behaved(command)

    assert migration.run(script).whole
    assert migration.subjects == ["1", "2", "3"]


def test_a_server_that_goes_away_ends_the_run_and_the_next_goes_on(migration: Migration) -> None:
    gone = []

    def script(command: str) -> Answer:
        if "BODY" in command or gone:
            gone.append(command)
            return None
        return well_behaved(command)

    with pytest.raises(LineLostError):
        migration.run(script)
    assert migration.subjects == []
    assert migration.run(well_behaved).whole
    assert migration.subjects == ["1", "2", "3"]


def test_a_server_that_sends_without_end_is_left(migration: Migration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaguemestre.mailstore.transfer.imap_line._LARGEST_ANSWER", 100_000)

    def script(command: str) -> Answer:
        return b"* OK more\r\n" * 20_000 if command.startswith("EXAMINE") else well_behaved(command)

    with pytest.raises(LineLostError):
        migration.run(script)


def test_new_numbers_are_not_taken_for_the_old_ones(migration: Migration) -> None:
    assert migration.run(well_behaved).whole

    def renumbered(command: str) -> Answer:
        answer = well_behaved(command)
        return answer.replace(b"UIDVALIDITY 7", b"UIDVALIDITY 8") if answer else answer

    report = migration.run(renumbered)
    assert report.whole
    assert (report.folders[0].created, report.folders[0].present) == (0, 3)  # fetched again, and known by content
    assert [command for command in migration.heard if "BODY" in command]
    assert migration.subjects == ["1", "2", "3"]


def test_numbers_that_change_under_the_run_end_it(migration: Migration) -> None:
    examined = iter(range(100))

    def script(command: str) -> Answer:
        if command.startswith("EXAMINE"):
            return b"* 3 EXISTS\r\n* OK [UIDVALIDITY %d] valid\r\n" % next(examined)
        return None if "BODY" in command else well_behaved(command)

    with pytest.raises(SourceError):
        migration.run(script)


def test_sizes_are_not_believed(migration: Migration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_LARGE", 5)

    def script(command: str) -> Answer:
        piece = re.search(r"FETCH (\d) .*<(\d+)\.(\d+)>", command)
        if piece:
            uid, start, length = map(int, piece.groups())
            body = BODIES[uid][start : start + length]
            return b"* 1 FETCH (UID %d BODY[]<%d> {%d}\r\n%b)\r\n" % (uid, start, len(body), body)
        answer = well_behaved(command) or b""
        return re.sub(rb"SIZE \d+", b"SIZE 0", answer) if "SIZE" in command else answer

    assert migration.run(script).whole
    assert migration.subjects == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("LIST", b"NO not today"),
        ("LIST", b'* LIST ((((((((((((((((((((((((((() "/" a\r\n'),
        ("AUTHENTICATE", b"NO who?"),
    ],
)
def test_a_server_that_refuses_is_told_of_in_words(migration: Migration, command: str, answer: bytes) -> None:
    def script(asked: str) -> Answer:
        return answer if asked.startswith(command) else well_behaved(asked)

    with pytest.raises(RemoteError) as refused:
        migration.run(script)
    assert refused.value.fr != refused.value.en
    assert "secret" not in refused.value.en.replace("the secret", "")


def test_notes_cut_short_or_of_another_account_are_no_harm(migration: Migration, tmp_path: Path) -> None:
    assert migration.run(well_behaved).whole
    notes = tmp_path / "notes"
    content = notes.read_bytes()
    for damaged in (content[:-10], content + b'["INBOX",7,', b"{}\n" + content, b"", b"\xff\n"):
        notes.write_bytes(damaged)
        assert migration.run(well_behaved).whole
        assert migration.subjects == ["1", "2", "3"]
    assert b'"secret"' not in notes.read_bytes()


def test_what_the_person_moved_or_deleted_since_does_not_come_back(
    migration: Migration, operator: OperatorFactory
) -> None:
    from vaguemestre.mailstore import placements

    assert migration.run(well_behaved).whole
    held = migration._operator
    inbox = held.messages("claire")
    mailbox_id = held.read(_inbox)
    held.write(lambda connection: placements.expunge(connection, mailbox_id, [inbox[0].uid], only_deleted=False))
    report = migration.run(well_behaved)
    assert report.whole
    assert (report.folders[0].present, report.folders[0].moved) == (2, 1)
    assert len(migration.subjects) == 2


def _inbox(connection: object) -> int:
    from vaguemestre.mailstore import accounts, mailboxes
    from vaguemestre.mailstore.model import Role

    account = accounts.get(connection, SOUTH.address("claire"))  # type: ignore[arg-type]
    return mailboxes.with_role(connection, account.id, Role.INBOX).id  # type: ignore[arg-type]
