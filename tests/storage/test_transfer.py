"""Mail goes out and comes in whole, on both stores: every octet, flag, keyword, date and folder, however often it is done."""

import errno
import os
import stat
import struct
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaguemestre import clock, ids
from vaguemestre.documents.headers import summary
from vaguemestre.evidence import journal
from vaguemestre.mailstore import accounts, changes, integrity, mailboxes, messages
from vaguemestre.mailstore.model import (
    Account,
    AccountClosedError,
    AccountKind,
    AccountState,
    Flag,
    NewMessage,
    Role,
    UnknownMailboxError,
)
from vaguemestre.mailstore.transfer import exportation, filing, formats, importation, manifest, model
from vaguemestre.mailstore.transfer.archive import ArchiveSink
from vaguemestre.mailstore.transfer.formats import Format
from vaguemestre.mailstore.transfer.model import Report, SourceError, TargetError
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database

AT = 1_772_366_400_123
FORMATS = list(Format)
SEPARATOR = b"From claire@nord.mssante.fr Sun Mar  1 12:00:00 2026\n"


class Letter(NamedTuple):
    """A message as it must come back."""

    folder: str
    content: bytes
    flags: Flag = Flag(0)
    keywords: frozenset[str] = frozenset()
    received_at: int = AT


class Operator:
    """A store and what its people have in it."""

    def __init__(self, database: Database, store: BlobStore) -> None:
        self.database = database
        self.store = store
        self._count = 0

    def account(self, letters: Sequence[Letter] = (), quota: int = 10**9) -> Account:
        self._count += 1
        address = f"claire{self._count}@nord.mssante.fr"
        made: Account = self.database.write(
            lambda connection: accounts.create(connection, AccountKind.PER, address, "Claire", quota=quota)
        )
        if letters:
            self.database.write(self._put, made, letters)
        return made

    def _put(self, connection: sa.Connection, account: Account, letters: Sequence[Letter]) -> None:
        for letter in letters:
            sealed = self.store.seal(letter.content)
            self.store.insert(connection, [sealed])
            new = NewMessage(
                account.id,
                self._mailbox(connection, account, letter.folder),
                sealed.id,
                sealed.size,
                letter.received_at,
                summary(letter.content),
                letter.flags,
                letter.keywords,
            )
            messages.append(connection, [new])

    def _mailbox(self, connection: sa.Connection, account: Account, name: str) -> int:
        try:
            return mailboxes.named(connection, account.id, name).id
        except UnknownMailboxError:
            return mailboxes.create(connection, account.id, name).id

    def letters(self, account: Account) -> Counter[Letter]:
        """Everything an account has."""
        found: Counter[Letter] = Counter()
        for mailbox in self.database.read(mailboxes.listing, account.id):
            loaded = self.database.read(changes.load, mailbox.id)
            for place, blob_id in enumerate(loaded.blob_ids):
                content = self.database.read(self.store.open, blob_id).read()
                keywords = frozenset(loaded.keywords[place].split())
                letter = Letter(mailbox.name, content, Flag(loaded.flags[place]), keywords, loaded.received_at[place])
                found[letter] += 1
        return found

    def folders(self, account: Account) -> set[str]:
        return {mailbox.name for mailbox in self.database.read(mailboxes.listing, account.id)}

    def export(self, account: Account, target: Path, format_: Format) -> Report:
        return exportation.run(
            self.database,
            self.store,
            account.address,
            formats.sink(target, format_, account.address),
            lambda: formats.source(target, format_),
        )

    def take_in(self, account: Account, source: Path, format_: Format | None = None, into: str = "INBOX") -> Report:
        with closing(formats.source(source, format_, into)) as opened:
            return importation.run(self.database, self.store, account.address, opened)

    def events(self, account: Account, event: str) -> list[dict[str, Any]]:
        return [each.facts for each in self.database.read(journal.log) if each.event == event]

    def sound(self) -> bool:
        return not any(self.database.read(integrity.check, self.store, lambda _: None).values())


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody pulls the plug here, and forcing the whole machine's files to disk waits for everybody's."""
    monkeypatch.setattr(os, "sync", lambda: None)


@pytest.fixture
def operator(database: Database, blob_store: BlobStore) -> Operator:
    return Operator(database, blob_store)


def letter(number: int, folder: str = "INBOX", text: bytes = b"", **more: Any) -> Letter:
    return Letter(folder, b"Subject: Lettre %d\r\n\r\n%b\r\n" % (number, text), **more)


SAMPLES = [
    letter(1),
    letter(1),  # a twin is a message of its own
    letter(1, "Envoyés"),
    letter(2, "Projets/été.2025/..", b"From here\r\n>From there", flags=Flag.SEEN | Flag.ANSWERED),
    letter(3, "a&b \\ c:d", b"x" * 5000, keywords=frozenset({"$Forwarded", "NonJunk", "b"})),
    letter(4, "INBOX/Sent", b"\xff\x80\r\n.\r\n", flags=Flag.DRAFT | Flag.FLAGGED | Flag.DELETED, received_at=0),
    Letter("Sent", b"no header, no end"),
    Letter("Brouillons", b"\r\n\r\n\r\n"),
]  # fmt: skip


@pytest.mark.parametrize("format_", FORMATS)
def test_everything_comes_back_and_doing_it_again_doubles_nothing(
    operator: Operator, tmp_path: Path, format_: Format
) -> None:
    one, other, target = operator.account(SAMPLES), operator.account(), tmp_path / "export"
    operator.database.write(mailboxes.create, one.id, "Vide/Dedans")
    out = operator.export(one, target, format_)
    assert out.whole
    assert sum(folder.created for folder in out.folders) == len(SAMPLES)
    for created in (len(SAMPLES), 0):
        done = operator.take_in(other, target)
        assert done.whole
        assert sum(folder.created for folder in done.folders) == created
        assert sum(folder.present for folder in done.folders) == len(SAMPLES) - created
        assert operator.letters(other) == operator.letters(one) == Counter(SAMPLES)
        assert operator.folders(other) == operator.folders(one)
    assert sum(folder.created for folder in operator.take_in(one, target).folders) == 0
    assert operator.letters(one) == Counter(SAMPLES)
    assert operator.sound()


@pytest.mark.parametrize("format_", FORMATS)
def test_whatever_a_mailbox_holds_comes_back(operator: Operator, format_: Format) -> None:
    line = st.sampled_from(
        [b"From ", b">From x", b"", SEPARATOR[:-1], b"Status: R", b"X-Vaguemestre: received=1", b"\xe9\0"]
    )
    written = st.builds(
        Letter,
        st.sampled_from(
            ["INBOX", "Corbeille", "é/.x.", "CON", "a%b".replace("%", "~"), "." * 3, "x.mbox", "manifest.json"]
        ),
        st.builds(
            lambda lines, end: b"\r\n".join(lines) + end,
            st.lists(line, min_size=1, max_size=5),
            st.sampled_from([b"\r\n", b"."]),
        ),
        st.integers(0, 31).map(Flag),
        st.sets(
            st.sampled_from(["$Forwarded", "a", "Z", "$label1"]) | st.integers(1, 40).map("k{}".format), max_size=35
        ).map(frozenset),
        st.integers(0, 4_000_000_000_000),
    )

    @settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(st.lists(written, max_size=6))
    def check(letters: list[Letter]) -> None:
        one, other = operator.account(letters), operator.account()
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "export"
            assert operator.export(one, target, format_).whole
            assert operator.take_in(other, target).whole
        assert operator.letters(other) == operator.letters(one)

    check()


@pytest.mark.parametrize("format_", FORMATS)
def test_an_export_is_for_its_owner_alone_and_stands_in_the_journal(
    operator: Operator, tmp_path: Path, format_: Format
) -> None:
    one, target = operator.account(SAMPLES), tmp_path / "export"
    operator.export(one, target, format_)
    for path in (target, *target.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    begun, done = operator.events(one, "export")
    assert begun == {"to": str(format_), "mailboxes": len(operator.folders(one))}
    assert done.items() >= {"messages": len(SAMPLES), "refused": 0, "whole": True}.items()
    assert b"Lettre" not in str((begun, done)).encode()


@pytest.mark.parametrize("format_", FORMATS)
def test_an_export_goes_to_no_place_that_holds_something_else(
    operator: Operator, tmp_path: Path, format_: Format
) -> None:
    one, other, target = operator.account(SAMPLES), operator.account(), tmp_path / "export"
    operator.export(one, target, format_)
    with pytest.raises(TargetError):
        operator.export(other, target, format_)
    if format_ is Format.ZIP:
        with pytest.raises(TargetError):
            operator.export(one, target, format_)
    else:
        assert operator.export(one, target, format_).whole
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "INBOX.mbox").write_bytes(b"mine")
        with pytest.raises(TargetError):
            operator.export(one, tmp_path / "mine", format_)
        assert (tmp_path / "mine" / "INBOX.mbox").read_bytes() == b"mine"


@pytest.mark.parametrize("format_", FORMATS)
def test_an_export_that_was_killed_is_taken_up(
    operator: Operator, tmp_path: Path, format_: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, target = operator.account(SAMPLES), tmp_path / "export"
    sink = formats.sink(target, format_, one.address)
    put, left = sink.put, iter([True] * 4)

    def killed(kept: model.Kept, content: model.Content) -> None:
        if not next(left, False):
            raise KeyboardInterrupt
        put(kept, content)

    monkeypatch.setattr(sink, "put", killed)
    monkeypatch.setattr(sink, "abandon", lambda: None)  # a killed process tidies nothing
    with pytest.raises(KeyboardInterrupt):
        exportation.run(operator.database, operator.store, one.address, sink, lambda: formats.source(target, format_))
    _let_go(sink)
    assert operator.export(one, target, format_).whole
    other = operator.account()
    operator.take_in(other, target)
    assert operator.letters(other) == Counter(SAMPLES)


def _let_go(sink: Any) -> None:
    """Close what a killed process leaves to the system to close, as it is."""
    if isinstance(sink, ArchiveSink):
        sink._zip._didModify = False  # type: ignore[attr-defined] # else closing would write the list that is missing
        sink._zip.close()
        sink._lines.close()
        sink._draft.leave()
    else:
        sink._listing.leave()
        draft = getattr(sink, "_draft", None)
        if draft is not None:
            draft.leave()


def test_a_maildir_export_is_brought_up_to_date_without_doubles(operator: Operator, tmp_path: Path) -> None:
    one, target = operator.account(SAMPLES), tmp_path / "export"
    operator.export(one, target, Format.MAILDIR)
    before = {path.name for path in (target / "cur").iterdir()}
    assert len(before) == 2
    operator.database.write(
        lambda connection: connection.execute(sa.text("UPDATE placements SET flags = 1 WHERE uid = 1"))
    )
    operator.export(one, target, Format.MAILDIR)
    after = {path.name for path in (target / "cur").iterdir()}
    assert len(after) == 2
    assert len([name for name in after if name.endswith(":2,S")]) == 1


@pytest.mark.parametrize("format_", FORMATS)
def test_content_that_does_not_open_is_named_and_the_others_go_out(
    operator: Operator, tmp_path: Path, format_: Format
) -> None:
    one = operator.account([letter(1), letter(2, text=b"y" * 300_000), letter(3)])
    (path,) = (tmp_path / "objects").glob(f"*/{operator.database.read(_large_object, one)}")
    with path.open("r+b") as file:
        file.seek(200_000)
        file.write(b"damage")
    report = operator.export(one, tmp_path / "export", format_)
    assert report.refused == 1
    assert [folder.whole for folder in report.folders] == [True] * len(report.folders)
    assert "altéré" in report.set_aside[0].fr
    other = operator.account()
    assert operator.take_in(other, tmp_path / "export").whole
    assert operator.letters(other) == Counter([letter(1), letter(3)])


def _large_object(connection: sa.Connection, account: Account) -> str:
    inbox = mailboxes.with_role(connection, account.id, Role.INBOX)
    loaded = changes.load(connection, inbox.id)
    return ids.to_text(next(blob for blob, size in zip(loaded.blob_ids, loaded.sizes, strict=True) if size > 100_000))


# Coming in


def test_files_of_other_programs_are_taken_in(operator: Operator, tmp_path: Path) -> None:
    thunderbird = tmp_path / "Mail"
    (thunderbird / "Inbox.sbd").mkdir(parents=True)
    (thunderbird / "Apple.mbox").mkdir()
    one = SEPARATOR + b"X-Mozilla-Status: 0001\nSubject: a\n\nb\n\n"
    (thunderbird / "Inbox").write_bytes(one + SEPARATOR + b"X-Mozilla-Status: 0008\nSubject: deleted\n\n")
    (thunderbird / "Inbox.msf").write_bytes(b"// index")
    (thunderbird / "Sent").write_bytes(one)
    (thunderbird / "Inbox.sbd" / "Patients").write_bytes(one)
    (thunderbird / "Apple.mbox" / "mbox").write_bytes(one)
    (thunderbird / "Vide.mbox").write_bytes(b"")
    account = operator.account()
    report = operator.take_in(account, thunderbird)
    content = b"X-Mozilla-Status: 0001\r\nSubject: a\r\n\r\nb\r\n"
    expected = [
        Letter(folder, content, Flag.SEEN, received_at=AT - 123)
        for folder in ("INBOX", "Envoyés", "INBOX/Patients", "Apple")
    ]
    assert operator.letters(account) == Counter(expected)
    assert "Vide" in operator.folders(account)
    assert report.refused == 1
    assert "supprimé" in report.set_aside[0].fr


def test_a_maildir_of_dovecot_is_taken_in(operator: Operator, tmp_path: Path) -> None:
    root = tmp_path / "Maildir"
    for folder in ("", ".Sent", ".Projets.&AOk-t&AOk-", "Verbatim/Dedans"):
        for where in ("cur", "new", "tmp"):
            (root / folder / where).mkdir(parents=True)
    (root / "dovecot-keywords").write_text("0 $label1\n1 Perso\n99 no\nrubbish\n")
    (root / "cur" / "1700000000.M1P1.host,S=20:2,FRSTDPab").write_bytes(b"Subject: a\n\nb\n")
    (root / "new" / "1700000001.M1P1.host").write_bytes(b"Subject: b\n\nb\n")
    (root / "tmp" / "1700000002.M1P1.host").write_bytes(b"Subject: half\n")
    (root / ".Sent" / "cur" / "2:2,S").write_bytes(b"Subject: c\r\n\r\nb\r\n")
    (root / ".Projets.&AOk-t&AOk-" / "cur" / "3").write_bytes(b"Subject: d\n\n")
    (root / "Verbatim" / "Dedans" / "new" / "4").write_bytes(b"Subject: e\n\n")
    for path in root.rglob("*"):
        os.utime(path, ns=(AT * 1_000_000, AT * 1_000_000))
    account = operator.account()
    assert operator.take_in(account, root).whole
    every = Flag.FLAGGED | Flag.ANSWERED | Flag.SEEN | Flag.DELETED | Flag.DRAFT
    assert operator.letters(account) == Counter(
        [
            Letter("INBOX", b"Subject: a\r\n\r\nb\r\n", every, frozenset({"$Forwarded", "$label1", "Perso"})),
            Letter("INBOX", b"Subject: b\r\n\r\nb\r\n"),
            Letter("Envoyés", b"Subject: c\r\n\r\nb\r\n", Flag.SEEN),
            Letter("Projets/été", b"Subject: d\r\n\r\n"),
            Letter("Verbatim/Dedans", b"Subject: e\r\n\r\n"),
        ]
    )


def test_only_files_are_read_and_only_those_within(operator: Operator, tmp_path: Path) -> None:
    root, secret = tmp_path / "Maildir", tmp_path / "secret"
    for where in ("cur", "new"):
        (root / where).mkdir(parents=True)
    (tmp_path / "elsewhere" / "cur").mkdir(parents=True)
    (tmp_path / "elsewhere" / "cur" / "1").write_bytes(b"Subject: secret\n\n")
    secret.write_bytes(b"Subject: secret\n\n")
    (root / "cur" / "1:2,S").symlink_to(secret)
    os.mkfifo(root / "cur" / "2:2,S")
    (root / "cur" / "3:2,S").mkdir()
    (root / "cur" / "4:2,S").write_bytes(b"Subject: d\r\n\r\n")
    (root / ".Ailleurs").symlink_to(tmp_path / "elsewhere")
    (root / "dovecot-keywords").symlink_to(secret)
    account = operator.account()
    report = operator.take_in(account, root)
    assert [each.content for each in operator.letters(account)] == [b"Subject: d\r\n\r\n"]
    assert report.refused == 3
    assert not report.whole
    assert "Ailleurs" not in operator.folders(account)


def test_a_plain_zip_of_messages_is_taken_in_and_its_names_lead_nowhere(operator: Operator, tmp_path: Path) -> None:
    path = tmp_path / "mail.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("first.eml", b"Date: Sun, 1 Mar 2026 13:00:00 +0100\n\nb\n")
        archive.writestr("../../../tmp/escaped.EML", b"Subject: b\n\n")
        archive.writestr("/etc/absolute.eml", b"Subject: c\n\n")
        archive.writestr("Envoyés/d.eml", b"Subject: d\n\n")
        archive.writestr("notes.txt", b"not a message")
        archive.writestr("__MACOSX/._first.eml", b"\0")
        archive.writestr("manifest.json", b'{"version": 1}')
        archive.writestr("empty/e.eml", b"")
    path.write_bytes(path.read_bytes().replace(b"\0\0\x08\0\0", b"\0\0\0\0\0").replace(b"\x14\0\0\x08", b"\x14\0\0\0"))
    account = operator.account()
    report = operator.take_in(account, path)
    found = {letter.content: letter for letter in operator.letters(account)}
    assert found[b"Date: Sun, 1 Mar 2026 13:00:00 +0100\r\n\r\nb\r\n"].received_at == AT - 123
    assert {each.content: each.folder for each in found.values()} == {
        b"Date: Sun, 1 Mar 2026 13:00:00 +0100\r\n\r\nb\r\n": "INBOX",
        b"Subject: b\r\n\r\n": "tmp",
        b"Subject: c\r\n\r\n": "etc",
        b"Subject: d\r\n\r\n": "Envoyés",
    }
    assert [(each.place, each.fr) for each in report.set_aside] == [("empty/e.eml", "Ce message est vide.")]
    assert abs(found[b"Subject: b\r\n\r\n"].received_at - clock.now_ms()) < 60_000


def test_a_bomb_gives_no_more_than_is_wanted(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filing, "LARGEST", 1_000_000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.eml", b"Subject: a\r\n\r\n")
        archive.writestr("bomb.eml", bytes(300_000_000))
        archive.writestr("c.eml", b"Subject: c\r\n\r\n")
    account = operator.account()
    report = operator.take_in(account, path)
    assert sorted(each.content for each in operator.letters(account)) == [b"Subject: a\r\n\r\n", b"Subject: c\r\n\r\n"]
    assert ["dépasse" in each.fr for each in report.set_aside] == [True]


def _damaged(path: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change the stored content of an entry."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(name)
    data = bytearray(path.read_bytes())
    lengths = struct.unpack_from("<HH", data, entry.header_offset + 26)
    start = entry.header_offset + 30 + sum(lengths)
    data[start : start + entry.compress_size] = change(bytes(data[start : start + entry.compress_size]))
    path.write_bytes(bytes(data))


def test_damaged_encrypted_altered_and_missing_entries_are_set_aside(operator: Operator, tmp_path: Path) -> None:
    one, path = (
        operator.account([letter(number, text=bytes([65 + number]) * 50) for number in range(6)]),
        tmp_path / "x.zip",
    )
    operator.export(one, path, Format.ZIP)
    again = tmp_path / "again.zip"
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(again, "w") as other:
        names = [name for name in archive.namelist() if name.endswith(".eml")]
        for name in archive.namelist():
            content = archive.read(name)
            if name == names[1]:
                content = content.replace(b"BBB", b"bbb")  # a good entry, and not what was exported
            if name != names[2]:
                other.writestr(name, content, zipfile.ZIP_BZIP2 if name == names[3] else zipfile.ZIP_STORED)
    _damaged(again, names[0], lambda content: content[:-4] + b"oops")
    data = bytearray(again.read_bytes())
    with zipfile.ZipFile(again) as archive:
        encrypted = archive.getinfo(names[4])
    data[encrypted.header_offset + 6] |= 1
    central = data.rindex(names[4].encode()) - 46
    data[central + 8] |= 1
    again.write_bytes(bytes(data))
    account = operator.account()
    report = operator.take_in(account, again)
    assert operator.letters(account) == Counter([letter(5, text=b"F" * 50)])
    assert sorted(each.place for each in report.set_aside) == sorted(names[:5])
    assert report.refused == 5


def test_what_is_no_archive_no_mbox_and_no_maildir_is_refused_in_words(operator: Operator, tmp_path: Path) -> None:
    account = operator.account()
    (tmp_path / "text").write_bytes(b"hello")
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4" + bytes(100))
    (tmp_path / "empty").mkdir()
    for name in ("text", "cut.zip", "empty", "missing"):
        with pytest.raises(SourceError) as refused:
            operator.take_in(account, tmp_path / name)
        assert refused.value.fr != refused.value.en
    for format_ in (Format.ZIP, Format.MAILDIR, Format.MBOX):
        with pytest.raises((SourceError, OSError)):
            operator.take_in(account, tmp_path / "empty", format_)


def test_a_single_mbox_goes_where_it_is_told(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(SEPARATOR + b"Status: RO\nX-Keywords: a(b ok\nSubject: a\n\n")
    account = operator.account()
    report = operator.take_in(account, tmp_path / "old", into="Archives/2019")
    (found,) = operator.letters(account)
    assert (found.folder, found.flags, found.keywords) == ("Archives/2019", Flag.SEEN, {"ok"})
    assert report.folders[0].dropped_keywords == 1


def test_the_quota_is_kept_to_and_smaller_messages_still_come(operator: Operator, tmp_path: Path) -> None:
    letters = [letter(number, text=b"z" * size) for number, size in enumerate([100, 30_000, 100, 3000, 100])]
    one, path = operator.account(letters), tmp_path / "x.zip"
    operator.export(one, path, Format.ZIP)
    account = operator.account(quota=1000)
    report = operator.take_in(account, path)
    assert operator.letters(account) == Counter([letters[0], letters[2], letters[4]])
    assert report.refused == 2
    assert all("pleine" in each.fr for each in report.set_aside)
    operator.database.write(accounts.change_quota, account.address, 10**6)
    again = operator.take_in(account, path)
    assert again.whole
    assert operator.letters(account) == Counter(letters)
    assert operator.sound()


def test_too_many_keywords_cost_keywords_and_no_message(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "many").write_bytes(
        b"".join(
            SEPARATOR
            + b"X-Keywords: %b\nSubject: %d\n\n" % (b" ".join(b"k%d-%d" % (number, each) for each in range(60)), number)
            for number in range(3)
        )
    )
    account = operator.account()
    report = operator.take_in(account, tmp_path / "many")
    assert sorted(len(letter.keywords) for letter in operator.letters(account)) == [0, 0, 60]
    assert report.whole
    assert report.folders[0].dropped_keywords == 120


def test_a_closed_account_takes_nothing(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(SEPARATOR + b"Subject: a\n\n")
    account = operator.account()
    operator.database.write(accounts.change_state, account.address, AccountState.CLOSED)
    with pytest.raises(AccountClosedError):
        operator.take_in(account, tmp_path / "old")


def test_what_came_in_stands_in_the_journal_by_counts(operator: Operator, tmp_path: Path) -> None:
    one, path = operator.account(SAMPLES), tmp_path / "x.zip"
    operator.export(one, path, Format.ZIP)
    account = operator.account()
    operator.take_in(account, path)
    *batches, end = operator.events(account, "import")
    assert sum(facts["messages"] for facts in batches) == len(SAMPLES)
    assert end == {"from": "zip", "created": len(SAMPLES), "present": 0, "refused": 0, "whole": True}


def test_what_is_killed_between_two_commits_goes_on(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = [letter(number, ("INBOX", "Envoyés")[number % 2]) for number in range(30)]
    one, path, account = operator.account(letters), tmp_path / "x.zip", operator.account()
    operator.export(one, path, Format.ZIP)
    monkeypatch.setattr(filing, "_MOST_TOGETHER", 4)
    write, left = operator.database.write, iter(range(6))

    def killed(fn: Any, *args: Any) -> Any:
        if fn.__name__ == "_file" and next(left, None) is None:
            raise KeyboardInterrupt
        return write(fn, *args)

    monkeypatch.setattr(operator.database, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        operator.take_in(account, path)
    monkeypatch.undo()
    assert 0 < sum(operator.letters(account).values()) < 30
    assert operator.take_in(account, path).whole
    assert operator.letters(account) == Counter(letters)


def test_mail_that_came_by_smtp_is_known_again(operator: Operator, tmp_path: Path) -> None:
    """Its digest leaves out our trace lines; the export has them."""
    account = operator.account()
    trace = b"Return-Path: <a@b.fr>\r\nReceived: from x ([192.0.2.1])\r\n\tby y (Vaguemestre) with ESMTPS id 1;\r\n\tSun\r\n"
    own = b"Received: by y (Vaguemestre) id 2;\r\n\tSun\r\n"
    rest = b"Subject: a\r\n\r\n" + b"b" * 5000

    def put(connection: sa.Connection) -> None:
        for prefix in (trace, own):
            writer = operator.store.writer()
            writer.write(prefix, digested=False)
            writer.write(rest)
            sealed = writer.finish()
            operator.store.insert(connection, [sealed])
            inbox = mailboxes.with_role(connection, account.id, Role.INBOX)
            messages.append(connection, [NewMessage(account.id, inbox.id, sealed.id, sealed.size, AT, summary(rest))])

    operator.database.write(put)
    operator.export(account, tmp_path / "x.zip", Format.ZIP)
    report = operator.take_in(account, tmp_path / "x.zip")
    assert report.whole
    assert [folder.present for folder in report.folders if folder.present] == [2]
    assert {each.content for each in operator.letters(account)} == {trace + rest, own + rest}


def test_a_disk_that_fails_under_one_message_spares_the_others(
    operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "Maildir" / "cur"
    root.mkdir(parents=True)
    for number in range(3):
        (root / f"{number}:2,").write_bytes(b"Subject: %d\r\n\r\n" % number)
    from vaguemestre.mailstore.transfer import files

    chunks = files.chunks

    def failing(path: Path) -> Iterator[bytes]:
        yield from chunks(path)
        if path.name.startswith("1"):
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files, "chunks", failing)
    account = operator.account()
    report = operator.take_in(account, root.parent)
    assert len(operator.letters(account)) == 2
    assert report.refused == 1


def test_the_manifest_of_somebody_else_is_as_good_as_none(tmp_path: Path) -> None:
    for content in (b"", b"[]", b'{"version": 2}', b"\xff", b"[" * 100_000, b'{"version": 1, "account": 3}'):
        (tmp_path / manifest.NAME).write_bytes(content)
        assert manifest.listed(tmp_path) == {}


def test_reports_stay_short_however_much_is_refused() -> None:
    report = Report("zip")
    for number in range(5000):
        report.put_aside(model.SetAside("INBOX", str(number), "en", "fr"))
    assert (len(report.set_aside), report.refused) == (1000, 5000)
