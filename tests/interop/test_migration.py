"""Mail leaves Dovecot for us, over IMAP, and leaves us for Dovecot, as a Maildir and a zip: the same octets, marks and dates."""

import imaplib
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulators.dovecot import PASSWORD, Dovecot
from simulators.operators import Operator, answer_of
from simulators.space import SOUTH, TrustSpace
from vaguemestre.mailstore import accounts, changes, mailboxes
from vaguemestre.mailstore.model import AccountKind, Flag

FOLDERS = {"INBOX": "INBOX", "Sent": "Envoyés", "Patients/&AOk-t&AOk- 2025": "Patients/été 2025", "a&-b": "a&b"}
MANY = 600
Kept = tuple[str, bytes, Flag, frozenset[str], int]


@pytest.fixture(scope="module")
def dovecot(space: TrustSpace) -> Iterator[Dovecot]:
    """Another operator's server."""
    identity = space.identity(SOUTH)
    running = Dovecot(identity.certificate, identity.key, storage="maildir", durable=False)
    try:
        yield running.start()
    finally:
        running.close()


@pytest.fixture
def keeper(space: TrustSpace, tmp_path: Path) -> Iterator[Operator]:
    """An operator of ours, that is not running, with claire."""
    made = Operator(space, tmp_path / "operator", SOUTH, ("claire",))
    yield made
    made.close()


def signed_in(dovecot: Dovecot, space: TrustSpace, user: str) -> imaplib.IMAP4_SSL:
    context = ssl.create_default_context(cafile=str(space.authorities))
    line = imaplib.IMAP4_SSL("localhost", dovecot.tls_port, ssl_context=context)
    line.login(user, PASSWORD)
    return line


def fill(dovecot: Dovecot, space: TrustSpace, user: str, count: int, large: int = 0) -> "Counter[Kept]":
    """Put so many messages there; what must come of them here."""
    chance, expected = random.Random(3), Counter[Kept]()
    line = signed_in(dovecot, space, user)
    for name in FOLDERS:
        line.create(f'"{name}"')
    for number in range(count):
        body = f"Subject: Lettre {number}\r\n\r\n{'é' * chance.randrange(600)}\r\n".encode()
        if number == 7:
            body += (b"z" * 76 + b"\r\n") * (large // 78)
        name = chance.choice(list(FOLDERS))
        flags, keywords = chance.choice(
            [
                (Flag(0), ()),
                (Flag.SEEN | Flag.ANSWERED, ()),
                (Flag.FLAGGED | Flag.DELETED, ("$Forwarded", "Perso")),
                (Flag.DRAFT, ("Perso",)),
            ]
        )
        at = 1_700_000_000 + number * 1000
        marks = " ".join([*(f"\\{flag.name}" for flag in Flag if flag in flags), *keywords])
        date = time.strftime('"%d-%b-%Y %H:%M:%S +0000"', time.gmtime(at))
        assert line.append(f'"{name}"', f"({marks})", date, body)[0] == "OK"
        expected[FOLDERS[name], body, flags, frozenset(keywords), at * 1000] += 1
    line.logout()
    return expected


def kept(operator: Operator, address: str) -> "Counter[Kept]":
    found: Counter[Kept] = Counter()
    account = operator.read(accounts.get, address)
    for mailbox in operator.read(mailboxes.listing, account.id):
        loaded = operator.read(changes.load, mailbox.id)
        for place, blob_id in enumerate(loaded.blob_ids):
            content = operator.read(operator.stores.blobs.open, blob_id).read()
            words = frozenset(loaded.keywords[place].split())
            found[mailbox.name, content, Flag(loaded.flags[place]), words, loaded.received_at[place]] += 1
    return found


def arguments(dovecot: Dovecot, space: TrustSpace, user: str, secret: Path, *more: str) -> list[str]:
    where = ["--host", "localhost", "--port", str(dovecot.tls_port), "--user", user, "--secret-file", str(secret)]
    return [SOUTH.address("claire"), *where, "--ca", str(space.authorities), *more]


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text(f"{PASSWORD}\n")
    return tmp_path / "secret"


def test_everything_comes_over_and_later_only_what_is_new(
    dovecot: Dovecot, keeper: Operator, space: TrustSpace, secret: Path
) -> None:
    expected = fill(dovecot, space, "claire", 80, large=3_000_000)
    command = arguments(dovecot, space, "claire", secret, "--json")
    report = answer_of(keeper.command("account", "migrate", *command))
    assert report["ok"], report
    assert kept(keeper, SOUTH.address("claire")) == expected
    assert all(folder["digest"] == folder["found_digest"] for folder in report["folders"])
    new = fill(dovecot, space, "claire", 5)
    again = answer_of(keeper.command("account", "migrate", *command))
    assert again["ok"]
    assert sum(folder["created"] for folder in again["folders"]) == 5
    assert sum(folder["present"] for folder in again["folders"]) == 80
    assert kept(keeper, SOUTH.address("claire")) == expected + new
    afresh = answer_of(keeper.command("account", "migrate", *command, "--afresh"))
    assert afresh["ok"]
    assert sum(folder["created"] for folder in afresh["folders"]) == 0
    assert kept(keeper, SOUTH.address("claire")) == expected + new


def test_subscriptions_come_over_once_and_are_the_person_s_afterwards(
    dovecot: Dovecot, keeper: Operator, space: TrustSpace, secret: Path
) -> None:
    def subscribed() -> dict[str, bool]:
        account = keeper.read(accounts.get, SOUTH.address("claire"))
        return {each.name: each.subscribed for each in keeper.read(mailboxes.listing, account.id) if each.role is None}

    fill(dovecot, space, "abonne", 1)
    line = signed_in(dovecot, space, "abonne")
    for name in ("INBOX", "Patients/&AOk-t&AOk- 2025"):
        line.subscribe(f'"{name}"')
    line.logout()
    command = arguments(dovecot, space, "abonne", secret, "--json")
    assert answer_of(keeper.command("account", "migrate", *command))["ok"]
    assert subscribed() == {"Patients": False, "Patients/été 2025": True, "a&b": False}
    account = keeper.read(accounts.get, SOUTH.address("claire"))
    keeper.write(mailboxes.unsubscribe, account.id, "Patients/été 2025")
    keeper.write(mailboxes.subscribe, account.id, "a&b")
    assert answer_of(keeper.command("account", "migrate", *command))["ok"]
    assert subscribed() == {"Patients": False, "Patients/été 2025": False, "a&b": True}


def test_where_nothing_is_subscribed_to_all_is_shown(
    dovecot: Dovecot, keeper: Operator, space: TrustSpace, secret: Path
) -> None:
    fill(dovecot, space, "autre", 1)
    assert answer_of(keeper.command("account", "migrate", *arguments(dovecot, space, "autre", secret, "--json")))["ok"]
    account = keeper.read(accounts.get, SOUTH.address("claire"))
    shown = {each.name for each in keeper.read(mailboxes.listing, account.id) if each.subscribed}
    assert shown >= {"INBOX", "Envoyés", "Patients/été 2025", "a&b"}


def test_starttls_does_as_well(dovecot: Dovecot, keeper: Operator, space: TrustSpace, secret: Path) -> None:
    expected = fill(dovecot, space, "karim", 10)
    command = arguments(dovecot, space, "karim", secret, "--json", "--starttls")
    command[command.index(str(dovecot.tls_port))] = str(dovecot.port)
    assert answer_of(keeper.command("account", "migrate", *command))["ok"]
    assert kept(keeper, SOUTH.address("claire")) == expected


def test_who_is_not_let_in_or_is_not_to_be_trusted_is_told_so(
    dovecot: Dovecot, keeper: Operator, space: TrustSpace, secret: Path, tmp_path: Path
) -> None:
    secret.write_text("wrong-secret\n")
    for more in ((), ("--token",)):
        refused = keeper.command("account", "migrate", *arguments(dovecot, space, "claire", secret, *more))
        assert refused.exit_code == 1
        assert "a refusé l'identifiant ou le secret" in refused.stderr
        assert "wrong-secret" not in refused.stderr
    other = TrustSpace(tmp_path / "other")
    refused = keeper.command("account", "migrate", *arguments(dovecot, other, "claire", secret))
    assert refused.exit_code == 1
    assert "n'est pas digne de confiance" in refused.stderr
    plain = arguments(dovecot, space, "claire", secret)
    plain[plain.index(str(dovecot.tls_port))] = str(dovecot.port)
    assert "injoignable" in keeper.command("account", "migrate", *plain).stderr


@pytest.mark.timeout(600)
def test_killed_at_any_moment_it_goes_on(dovecot: Dovecot, keeper: Operator, space: TrustSpace, secret: Path) -> None:
    expected = fill(dovecot, space, "awa", MANY, large=3_000_000)
    keeper.close()
    address, *options = arguments(dovecot, space, "awa", secret, "--json")
    command = [
        sys.executable,
        "-m",
        "vaguemestre",
        "account",
        "migrate",
        "-c",
        str(keeper.config_file),
        address,
        *options,
    ]
    chance, killed = random.Random(os.urandom(4)), 0
    for _ in range(6):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.6, 1.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += process.returncode == -signal.SIGKILL
        assert not kept(keeper, address) - expected
        keeper.close()
    assert killed
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert kept(keeper, address) == expected


def test_dovecot_reads_our_maildir_as_we_wrote_it(
    dovecot: Dovecot, keeper: Operator, space: TrustSpace, secret: Path
) -> None:
    expected = fill(dovecot, space, "lucie", 30)
    assert answer_of(keeper.command("account", "migrate", *arguments(dovecot, space, "lucie", secret, "--json")))["ok"]
    home = dovecot.folder / "mail" / "hugo"
    exported = keeper.command("account", "export", SOUTH.address("claire"), str(home), "--format", "maildir")
    assert exported.exit_code == 0, exported.stdout
    for path in (home, *home.rglob("*")):
        shutil.chown(path, "nobody", "nogroup")
    line, found = signed_in(dovecot, space, "hugo"), Counter[Any]()
    for name in FOLDERS.values():
        wire = {"Envoyés": "Envoy&AOk-s", "Patients/été 2025": "Patients/&AOk-t&AOk- 2025", "a&b": "a&-b"}.get(
            name, name
        )
        said, (count,) = line.select(f'"{wire}"', readonly=True)
        assert said == "OK", (wire, count)
        if int(count or 0):
            for text, body in line.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")[1][::2]:  # type: ignore[misc]
                flags = {flag.decode() for flag in imaplib.ParseFlags(text)} - {"\\Recent"}
                at = imaplib.Internaldate2tuple(text)
                assert at is not None
                marks = frozenset(flag for flag in flags if not flag.startswith("\\"))
                own = Flag(sum(flag for flag in Flag if f"\\{str(flag.name).title()}" in flags))
                found[name, body, own, marks, int(time.mktime(at)) * 1000] += 1
    line.logout()
    assert found == expected


def test_our_own_formats_carry_it_further(
    dovecot: Dovecot, keeper: Operator, space: TrustSpace, secret: Path, tmp_path: Path
) -> None:
    expected = fill(dovecot, space, "ines", 30)
    assert answer_of(keeper.command("account", "migrate", *arguments(dovecot, space, "ines", secret, "--json")))["ok"]
    for format_ in ("zip", "mbox", "maildir"):
        address = SOUTH.address(f"other-{format_}")
        keeper.write(accounts.create, AccountKind.PER, address, "Other")
        keeper.command("account", "export", SOUTH.address("claire"), str(tmp_path / format_), "--format", format_)
        assert answer_of(keeper.command("account", "import", address, str(tmp_path / format_), "--json"))["ok"]
        assert kept(keeper, address) == expected
