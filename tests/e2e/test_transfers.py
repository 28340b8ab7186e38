"""`account import`, `export` and `migrate` as an administrator types them; killed at any moment, and with very large mail."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from simulators.operators import Operator, OperatorFactory, answer_of
from simulators.space import SOUTH
from vaguemestre.mailstore import accounts, changes, integrity, mailboxes
from vaguemestre.mailstore.model import AccountKind

CLAIRE = SOUTH.address("claire")
SEPARATOR = b"From claire@sud.mssante.fr Sun Mar  1 12:00:00 2026\n"
ROUNDS = max(2, int(os.environ.get("KILL_ROUNDS", "50")) // 5)
MANY = 2000
_RUN = """
import sys
from vaguemestre.cli.program import program
try:
    program(sys.argv[1:])
finally:
    print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1], file=sys.stderr)
"""


@pytest.fixture
def south(operator: OperatorFactory) -> Operator:
    """An operator that is not running."""
    made: Operator = operator(SOUTH)
    return made


def contents(operator: Operator, address: str) -> "Counter[tuple[str, bytes]]":
    """What an account holds, by mailbox and content."""
    found: Counter[tuple[str, bytes]] = Counter()
    account = operator.read(accounts.get, address)
    for mailbox in operator.read(mailboxes.listing, account.id):
        for blob_id in operator.read(changes.load_contents, mailbox.id).blob_ids:
            found[mailbox.name, operator.read(operator.stores.blobs.open, blob_id).read()] += 1
    return found


def tree(folder: Path, count: int) -> "Counter[tuple[str, bytes]]":
    """A tree of mbox files with so many messages of all sizes; what must come of it."""
    chance, expected, files = random.Random(7), Counter[tuple[str, bytes]](), {}
    folder.mkdir()
    names = {"Inbox": "INBOX", "Sent": "Envoyés", "Patients": "Patients", "Trash": "Corbeille"}
    for number in range(count):
        name = chance.choice(list(names))
        size = chance.choice((100, 1000, 4000, 4000, 300_000 if number % 200 == 0 else 2000))
        body = b"Subject: Lettre %d\n\n" % number + (b"x" * 70 + b"\n") * (size // 71 + 1)
        files.setdefault(name, []).append(SEPARATOR + body + b"\n")
        expected[names[name], body.replace(b"\n", b"\r\n")] += 1
    for name, messages in files.items():
        (folder / name).write_bytes(b"".join(messages))
    return expected


def test_mail_comes_in_and_goes_out_with_a_clear_summary(south: Operator, tmp_path: Path) -> None:
    expected = tree(tmp_path / "Mail", 40)
    taken = south.command("account", "import", CLAIRE, str(tmp_path / "Mail"))
    assert taken.exit_code == 0, taken.stderr
    assert "✓ INBOX" in taken.stdout
    assert "✓ Envoyés ← Sent" in taken.stdout
    assert "Tout est là, à l'identique." in taken.stdout
    assert contents(south, CLAIRE) == expected
    again = answer_of(south.command("account", "import", CLAIRE, str(tmp_path / "Mail"), "--json"))
    assert (again["ok"], again["refused"]) == (True, 0)
    assert {folder["created"] for folder in again["folders"]} == {0}
    assert sum(folder["present"] for folder in again["folders"]) == 40
    assert all(folder["digest"] == folder["found_digest"] for folder in again["folders"])
    for format_ in ("zip", "mbox", "maildir"):
        target = tmp_path / f"out.{format_}"
        written = answer_of(south.command("account", "export", CLAIRE, str(target), "--format", format_, "--json"))
        assert written["ok"]
        address = SOUTH.address(format_)
        south.write(accounts.create, AccountKind.PER, address, format_)
        assert answer_of(south.command("account", "import", address, str(target), "--json"))["ok"]
        assert contents(south, address) == expected
    assert "zip" in south.command("evidence", "log").stdout
    assert not any(south.read(integrity.check, south.stores.blobs, lambda _: None).values())


def test_what_is_refused_is_named_and_the_command_says_no(south: Operator, tmp_path: Path) -> None:
    path = tmp_path / "mail.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Patients\x1b[2J/a.eml", b"Subject: a\r\n\r\n")
        archive.writestr("Patients\x1b[2J/b.eml", b"")
    taken = south.command("account", "import", CLAIRE, str(path))
    assert taken.exit_code == 1
    assert "Ce message est vide." in taken.stdout
    assert "Tout n'est pas passé." in taken.stdout
    assert "\x1b" not in taken.stdout
    facts = answer_of(south.command("account", "import", CLAIRE, str(path), "--json"))
    assert (facts["ok"], facts["refused"], len(facts["set_aside"])) == (False, 1, 1)
    for arguments in (
        ("import", SOUTH.address("nobody"), str(path)),
        ("import", CLAIRE, str(south.config_file)),
        ("export", SOUTH.address("nobody"), str(tmp_path / "x")),
        ("export", CLAIRE, str(path)),
    ):
        refused = south.command("account", *arguments)
        assert refused.exit_code == 1, arguments
        assert len(refused.stderr.strip().splitlines()) == 2
    assert south.command("account", "import", CLAIRE, str(tmp_path / "missing")).exit_code == 2


def test_no_secret_is_no_migration(south: Operator) -> None:
    for typed in ("", "\n"):
        refused = south.command("account", "migrate", CLAIRE, "--host", "localhost", "--port", "1", stdin=typed)
        assert refused.exit_code == 2
        assert "secret" in refused.stderr
    lost = south.command("account", "migrate", CLAIRE, "--host", "localhost", "--port", "1", stdin="very-secret\n")
    assert lost.exit_code == 1
    assert "injoignable" in lost.stderr
    assert "very-secret" not in lost.stderr + lost.stdout


def test_one_run_at_a_time(south: Operator, tmp_path: Path) -> None:
    tree(tmp_path / "Mail", 3)
    os.mkfifo(tmp_path / "pipe")
    account = south.read(accounts.get, CLAIRE)
    from vaguemestre import config
    from vaguemestre.cli import transfer
    from vaguemestre.mailstore.transfer import files

    with files.alone(transfer._lock(config.load(south.config_file, {}), account.id)):
        refused = south.command("account", "import", CLAIRE, str(tmp_path / "Mail"))
    assert refused.exit_code == 1
    assert "déjà en cours" in refused.stderr
    assert south.command("account", "import", CLAIRE, str(tmp_path / "Mail")).exit_code == 0


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("kill")
def test_killed_at_any_moment_it_goes_on_and_nothing_is_lost_or_doubled(south: Operator, tmp_path: Path) -> None:
    expected = tree(tmp_path / "Mail", MANY)
    south.close()
    chance, killed, before = random.Random(os.urandom(4)), 0, 0
    for _ in range(ROUNDS):
        process = subprocess.Popen(
            _command(south, "import", CLAIRE, str(tmp_path / "Mail"), "--json"), stdout=subprocess.PIPE
        )
        time.sleep(chance.uniform(0.5, 2.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        now = sum(contents(south, CLAIRE).values())
        assert before <= now <= MANY
        before = now
        assert not contents(south, CLAIRE) - expected
        south.close()
    assert killed
    done = json.loads(
        subprocess.run(
            _command(south, "import", CLAIRE, str(tmp_path / "Mail"), "--json"), capture_output=True, check=True
        ).stdout
    )
    assert done["ok"]
    assert contents(south, CLAIRE) == expected
    assert not any(south.read(integrity.check, south.stores.blobs, lambda _: None).values())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("format_", ["zip", "mbox", "maildir"])
def test_very_large_messages_take_little_memory(south: Operator, tmp_path: Path, format_: str) -> None:
    """A message of 150 MB, one line of it 50 MB long."""
    with (tmp_path / "old").open("wb") as file:
        file.write(SEPARATOR + b"Subject: scanner\n\n")
        for _ in range(100):
            file.write(b"y" * 500_000)
        file.write(b"\n")
        for _ in range(100):
            file.write((b"z" * 76 + b"\n") * 13_000)
        file.write(b"\n" + SEPARATOR + b"Subject: apres\n\nfin\n")
    south.write(accounts.create, AccountKind.PER, SOUTH.address("other"), "other")
    south.close()
    peaks = [
        _measured(south, "import", CLAIRE, str(tmp_path / "old")),
        _measured(south, "export", CLAIRE, str(tmp_path / "out"), "--format", format_),
        _measured(south, "import", SOUTH.address("other"), str(tmp_path / "out")),
    ]
    assert max(peaks) < 150_000, peaks  # kB, of which the program alone takes some 90


def _measured(operator: Operator, *arguments: str) -> int:
    """Run a command; the most memory it had, in kB."""
    command = [sys.executable, "-c", _RUN, "account", *_command(operator, *arguments)[4:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1])


def _command(operator: Operator, *arguments: str) -> list[str]:
    name, *others = arguments
    return [sys.executable, "-m", "vaguemestre", "account", name, "--config", str(operator.config_file), *others]
