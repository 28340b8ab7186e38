"""The commands an administrator types: exit codes 0, 1 and 2, words for people, one JSON object on request."""

import json
import signal
import smtplib
import ssl
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulators.imap_peer import ImapPeer, Login
from simulators.notices import read_notice
from simulators.operators import Operator, OperatorFactory, answer_of, run_command
from simulators.patience import until
from simulators.ports import free_port
from simulators.space import NORTH, SOUTH
from vaguemestre import demonstration
from vaguemestre.cli.program import program
from vaguemestre.mailstore import indexing

CLAIRE, KARIM = NORTH.address("claire"), NORTH.address("karim")
FAR = SOUTH.address("karim")


@pytest.fixture
def north(operator: OperatorFactory) -> Operator:
    """An operator that ran once, so that it has a list, and is stopped; mail for others waits in its queue."""
    made = operator(NORTH, ("claire", "karim"))
    made.start()
    made.stop()
    return made


def test_send_accept_list_show(north: Operator, tmp_path: Path) -> None:
    (tmp_path / "radio.png").write_bytes(bytes(3000))
    sent = north.command(
        "send",
        "-f",
        CLAIRE,
        "-s",
        "Été",
        "-t",
        "Cher confrère",
        "-a",
        str(tmp_path / "radio.png"),
        KARIM,
        FAR,
        "--json",
    )
    assert sent.exit_code == 0
    facts = answer_of(sent)
    assert (facts["delivered"], facts["queued"]) == ([KARIM], [FAR])
    (message,) = answer_of(north.command("mailbox", "list", KARIM, "-m", "INBOX", "--json"))["messages"]
    assert (message["subject"], message["id"], message["attachments"]) == ("Été", facts["id"], True)
    boxes = answer_of(north.command("mailbox", "list", KARIM, "--json"))["mailboxes"]
    assert {"name": "INBOX", "role": "inbox", "total": 1, "unseen": 1}.items() <= boxes[0].items()
    shown = north.command("mailbox", "show", KARIM, "1", "--json")
    assert answer_of(shown)["subject"] == "Été"
    source = north.command("mailbox", "show", KARIM, "1", "--save", "-")
    assert source.stdout_bytes.startswith(b"Received: by mail.nord.mssante.fr")
    north.command("mailbox", "show", KARIM, "1", "--save", str(tmp_path / "copy.eml"))
    assert (tmp_path / "copy.eml").read_bytes() == source.stdout_bytes
    assert north.command("mailbox", "show", KARIM, "1", "--save", str(tmp_path / "no" / "copy.eml")).exit_code == 2
    assert north.command("mailbox", "show", KARIM, "2").exit_code == 1
    assert "Il n'y a pas de message 2" in north.command("mailbox", "show", KARIM, "2").stderr
    assert north.command("mailbox", "list", KARIM, "-m", "Rien").exit_code == 1
    people = north.command("send", "-f", CLAIRE, "-t", "Un mot", KARIM, FAR)
    assert "remis / delivered" in people.stdout
    assert "en route / on its way" in people.stdout
    listed = north.command("mailbox", "list", KARIM, "-m", "INBOX")
    assert "Été" in listed.stdout
    assert len(north.queued()) == 2


@pytest.mark.parametrize(
    ("to", "fr", "en"),
    [
        (
            "dupont@gmail.com",
            "Message non envoyé. dupont@gmail.com : Le domaine gmail.com n'est pas inscrit dans l'espace de confiance "
            "MSSanté : le courrier sécurisé ne peut pas y être envoyé. Demandez à votre correspondant son adresse MSSanté, "
            "ou cherchez-la dans l'annuaire.",
            "Not sent.",
        ),
        (NORTH.address("personne"), f"Il n'y a pas de boîte {NORTH.address('personne')} ici.", "There is no mailbox"),
    ],
)
def test_a_recipient_who_cannot_be_written_to_is_refused_in_plain_words(
    north: Operator, to: str, fr: str, en: str
) -> None:
    refused = north.command("send", "-f", CLAIRE, "-t", "Un mot", KARIM, to)
    assert refused.exit_code == 1
    assert fr in " ".join(refused.stderr.split())
    assert en in refused.stderr
    assert refused.stdout == ""
    as_json = north.command("send", "-f", CLAIRE, "-t", "Un mot", KARIM, to, "--json")
    assert as_json.exit_code == 1
    assert answer_of(as_json)["ok"] is False
    assert fr in answer_of(as_json)["fr"]
    assert north.messages("karim") == []  # refused for one, refused for all
    assert north.queued() == []


def test_what_is_no_address_is_misuse(north: Operator) -> None:
    refused = north.command("send", "-f", CLAIRE, "-t", "Un mot", "dupont")
    assert refused.exit_code == 2
    assert "nom@domaine" in refused.stderr


def test_nobody_writes_as_somebody_else(north: Operator) -> None:
    for sender in (FAR, NORTH.address("personne")):
        refused = north.command("send", "-f", sender, "-t", "Un mot", KARIM)
        assert refused.exit_code == 1
    north.command("account", "suspend", CLAIRE)
    refused = north.command("send", "-f", CLAIRE, "-t", "Un mot", KARIM)
    assert refused.exit_code == 1
    assert "suspendu ou fermé" in refused.stderr


def test_a_whole_message_is_sent_from_a_file_or_standard_input(north: Operator, tmp_path: Path) -> None:
    source = f"From: {CLAIRE}\nTo: {KARIM}\nSubject: Tel quel\n\n.\nFin sans fin de ligne"
    (tmp_path / "message.eml").write_text(source)
    assert north.command("send", "-f", CLAIRE, "--message", str(tmp_path / "message.eml"), KARIM).exit_code == 0
    assert north.command("send", "-f", CLAIRE, "--message", "-", KARIM, stdin=source).exit_code == 0
    for message in north.messages("karim"):
        assert north.content(message).endswith(source.replace("\n", "\r\n").encode() + b"\r\n")
    missing = north.command("send", "-f", CLAIRE, "--message", str(tmp_path / "rien.eml"), KARIM)
    assert missing.exit_code == 1
    assert "ne peut pas être lu" in missing.stderr


def test_an_empty_file_is_a_message_without_content(north: Operator, tmp_path: Path) -> None:
    (tmp_path / "empty.eml").touch()
    assert north.command("send", "-f", CLAIRE, "--message", str(tmp_path / "empty.eml"), KARIM).exit_code == 0


def test_text_is_read_from_a_file(north: Operator, tmp_path: Path) -> None:
    (tmp_path / "lettre.txt").write_text("Cher confrère,\n", "utf-8")
    assert north.command("send", "-f", CLAIRE, "-t", f"@{tmp_path / 'lettre.txt'}", KARIM).exit_code == 0
    assert b"Cher=20confr=C3=A8re,\r\n" in north.only_message("karim")
    assert north.command("send", "-f", CLAIRE, "-t", "@/nulle/part", KARIM).exit_code == 1
    assert north.command("send", "-f", CLAIRE, "-a", "/nulle/part", KARIM).exit_code == 2


def test_accounts(north: Operator) -> None:
    new = NORTH.address("lucie")
    added = north.command("account", "add", new, "--name", "Lucie", "--kind", "cab", "--quota-mb", "5", "--json")
    assert added.exit_code == 0
    assert {"address": new, "kind": "CAB", "quota": 5_000_000, "state": "active"}.items() <= answer_of(added).items()
    taken = north.command("account", "add", new)
    assert taken.exit_code == 1
    assert "déjà attribuée" in taken.stderr
    elsewhere = north.command("account", "add", FAR)
    assert elsewhere.exit_code == 1
    assert "n'est pas dans un domaine de cet opérateur" in elsewhere.stderr
    assert north.command("account", "add", "lucie@").exit_code == 2
    assert north.command("account", "add", new, "--kind", "ROI").exit_code == 2
    other = NORTH.address("cabinet")
    assert north.command("account", "alias", new, other).exit_code == 0
    assert north.command("account", "alias", new, FAR).exit_code == 1
    assert north.command("account", "alias", new, CLAIRE).exit_code == 1
    for verb, state in (("suspend", "suspended"), ("close", "closed"), ("reopen", "active")):
        changed = north.command("account", verb, other, "--json")
        assert (changed.exit_code, answer_of(changed)["state"]) == (0, state)
    assert answer_of(north.command("account", "quota", new, "--quota-mb", "9", "--json"))["quota"] == 9_000_000
    assert north.command("account", "quota", NORTH.address("personne"), "--quota-mb", "9").exit_code == 1
    listed = answer_of(north.command("account", "list", "--json"))["accounts"]
    assert [each["address"] for each in listed] == [CLAIRE, KARIM, new]
    assert "lucie" in north.command("account", "list").stdout


def test_the_queue(north: Operator) -> None:
    assert "vide" in north.command("queue", "list").stdout
    assert north.command("queue", "retry").exit_code == 1
    for _ in range(2):
        north.command("send", "-f", CLAIRE, "-t", "Un mot", FAR)
    first, second = answer_of(north.command("queue", "list", "--json"))["queue"]
    assert first["to"] == FAR
    assert first["attempts"] == 0
    held = north.command("queue", "hold", first["id"], "--json")
    assert (held.exit_code, answer_of(held)["count"]) == (0, 1)
    assert [each["held"] for each in answer_of(north.command("queue", "list", "--json"))["queue"]] == [True, False]
    assert answer_of(north.command("queue", "release", "--json"))["count"] == 2
    assert answer_of(north.command("queue", "retry", "--json"))["count"] == 2
    assert answer_of(north.command("queue", "cancel", second["id"], "--json"))["ok"] is True
    assert north.command("queue", "cancel", second["id"]).exit_code == 1
    assert north.command("queue", "cancel", "n'importe quoi").exit_code == 1
    assert "identifiant" in north.command("queue", "cancel", "!").stderr
    (left,) = north.queued()
    assert first["to"] in north.command("queue", "list").stdout
    assert "Un administrateur l'a annulé" in read_notice(north.only_message("claire")).french
    assert left.recipient.address == FAR


def test_the_journal(north: Operator) -> None:
    sent = answer_of(north.command("send", "-f", CLAIRE, "-t", "Un mot", KARIM, "--json"))["id"]
    lines = [
        json.loads(line) for line in north.command("evidence", "log", "--message", sent, "--json").stdout.splitlines()
    ]
    assert [entry["event"] for entry in lines] == ["submission", "delivery"]
    assert sent in north.command("evidence", "log").stdout
    whole = north.command("evidence", "verify", "--json")
    assert whole.exit_code == 0
    assert answer_of(whole)["ok"] is True
    entries = answer_of(whole)["entries"]
    newest = north.command("evidence", "log", "--limit", "1", "--json").stdout
    assert json.loads(newest)["seq"] == entries
    oldest = north.command("evidence", "log", "--after", "0", "--limit", "1", "--json").stdout
    assert json.loads(oldest)["seq"] == 1


def test_erasing_the_people_of_a_message_from_the_journal(north: Operator) -> None:
    sent, other = (
        answer_of(north.command("send", "-f", CLAIRE, "-t", "Un mot", KARIM, "--json"))["id"] for _ in range(2)
    )

    def entries(message: str) -> list[dict[str, Any]]:
        said = north.command("evidence", "log", "--message", message, "--json").stdout
        return [json.loads(line) for line in said.splitlines()]

    before = entries(sent)
    unsure = north.command("evidence", "erase", sent)
    assert unsure.exit_code == 1
    assert "2 entrées" in unsure.stderr
    assert "--yes" in unsure.stderr
    assert entries(sent) == before, "nothing without a confirmation"
    erased = north.command("evidence", "erase", sent.upper(), "--yes", "--json")
    assert (erased.exit_code, answer_of(erased)) == (0, {"ok": True, "entries": 2})
    *old, new = entries(sent)
    assert [each["personal"] for each in old] == [None, None]
    assert [(each["facts"], each["hash"]) for each in old] == [(each["facts"], each["hash"]) for each in before]
    assert (new["event"], new["facts"], new["personal"]) == ("erasure", {"entries": 2}, {})
    assert CLAIRE not in north.command("evidence", "log", "--message", sent).stdout
    assert all(each["personal"] for each in entries(other))
    assert answer_of(north.command("evidence", "verify", "--json"))["ok"] is True
    again = north.command("evidence", "erase", sent, "--yes", "--json")
    assert (again.exit_code, answer_of(again)) == (1, {"ok": False, "entries": 0})
    assert len(entries(sent)) == len(before) + 1
    for wrong in ("", "n'importe quoi"):  # entries about no message have no subject: none may be erased so
        assert north.command("evidence", "erase", "--yes", "--", wrong).exit_code == 1
    assert all(each["personal"] for each in entries(other))


def test_the_database(north: Operator, tmp_path: Path) -> None:
    north.command("send", "-f", CLAIRE, "-t", "Un mot", KARIM)
    assert answer_of(north.command("db", "migrate", "--json"))["ok"] is True
    checked = north.command("db", "check", "--json")
    assert (checked.exit_code, answer_of(checked)["ok"]) == (0, True)
    saved = north.command("db", "backup", str(tmp_path / "copy"), "--json")
    assert (saved.exit_code, answer_of(saved)["ok"]) == (0, True)
    again = north.command("db", "backup", str(tmp_path / "copy"))
    assert again.exit_code in (1, 2)
    assert again.stderr.strip()
    over = north.command("db", "restore", str(tmp_path / "copy"))
    assert over.exit_code in (1, 2)
    north.close()
    database = north.folder / "data" / "vaguemestre.db"
    for file in database.parent.glob("vaguemestre.db*"):
        file.unlink()
    gone = north.command("account", "list")
    assert gone.exit_code == 2
    assert "Il n'y a pas de base de données" in gone.stderr
    assert answer_of(north.command("db", "restore", str(tmp_path / "copy"), "--json"))["ok"] is True
    assert len(north.messages("karim")) == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("hostname", "hostnom"),
        lambda text: text + "\n[smtp2]\n",
        lambda text: "= vide",
        lambda text: text.replace('listen = "127.0.0.1:0"', 'listen = "127.0.0.1"'),
    ],
    ids=["unknown key", "unknown table", "not TOML", "no port"],
)
def test_a_wrong_configuration_is_misuse(north: Operator, damage: Any) -> None:
    north.config_file.write_text(damage(north.config_file.read_text()))
    for answer in (north.process("serve"),):
        assert answer.returncode == 2
        assert "La configuration" in answer.stderr or "n'est pas une adresse" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_a_missing_configuration_and_a_wrong_key_are_misuse(north: Operator, tmp_path: Path) -> None:
    missing = run_command("account", "list", "--config", str(tmp_path / "rien.toml"))
    assert missing.exit_code == 2
    assert "Il n'y a pas de fichier de configuration" in missing.stderr
    north.close()
    key = north.folder / "data" / "operator.keys"
    key.rename(tmp_path / "kept")
    for contents in (None, b"garbage"):
        if contents is not None:
            key.write_bytes(contents)
            key.chmod(0o600)
        refused = north.command("account", "list")
        assert refused.exit_code == 2
        assert refused.stderr.strip()


def test_misuse_is_exit_code_2() -> None:
    for words in (["inconnu"], ["send"], ["queue", "cancel"], ["mailbox", "show", "x", "zéro"]):
        assert run_command(*words).exit_code == 2, words
    assert run_command("--help").exit_code == 0


def test_every_command_explains_itself() -> None:
    import typer

    root: Any = typer.main.get_command(program)
    for name, command in root.commands.items():
        for words in ([name, *([sub] if sub else [])] for sub in getattr(command, "commands", {"": None})):
            helped = run_command(*words, "--help")
            assert helped.exit_code == 0
            assert len(helped.stdout.split("\n\n")) > 1, words


def test_the_command_runs_as_a_module_and_as_a_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vaguemestre", "queue", "list", "--config", "/nulle/part.toml", "--json"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["rule"] == "ConfigurationError"
    assert done.stderr == ""


def test_the_demo_s_letter_arrives(tmp_path: Path) -> None:
    """`make demo ARGS=--check`: the journey of the letter as JSON, exit code 0."""
    place = ["--data", str(tmp_path / "demo"), "--port-base", str(free_port(1000)), "--people", "2000"]
    done = subprocess.run(
        [sys.executable, "-m", "vaguemestre", "demo", *place, "--check"],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    journey = json.loads(done.stdout)
    assert journey["ok"] is True
    assert journey["attachments"] == {"panoramic.jpg": True, "report.pdf": True}
    assert [hop["event"] for hop in journey["hops"]] == ["submission", "acceptance", "delivery", "relay"]
    assert journey["register"]["practitioners"] == 2002  # and those who have a mailbox here
    assert journey["register"]["addresses"] > 300


def test_the_demo_serves_the_mail_programs_that_it_says(tmp_path: Path) -> None:
    space = demonstration.Space(tmp_path / "demo", free_port(1000))
    command = ["demo", "--data", str(space.folder), "--port-base", str(space.port_base), "--people", "10"]
    with subprocess.Popen(
        [sys.executable, "-m", "vaguemestre", *command], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        said = ""
        while "Ctrl-C" not in said and (line := running.stdout.readline()):
            said += line
        try:
            context = ssl.create_default_context(cafile=str(space.authorities))
            reader = demonstration.logins(space)[1]
            for login in demonstration.logins(space):
                ports = space.program_ports(login.place)
                assert f"{login.address}  {login.password}" in said
                assert all(str(port) in said for port in ports)
                for port, implicit in ((ports.imap, False), (ports.imaps, True)):
                    with ImapPeer.connect(port, context, implicit=implicit) as peer:
                        peer.login(Login(login.address, login.password))
                        assert peer.select().exists == (login == reader)
                with smtplib.SMTP("localhost", ports.submission) as sending:
                    sending.starttls(context=context)
                    sending.login(login.address, login.password)
        finally:
            running.send_signal(signal.SIGINT)
    assert running.returncode == 0
    assert stat.S_IMODE((space.folder / "app-passwords").stat().st_mode) == 0o600


def test_mail_is_found_by_its_words_before_and_after_it_is_indexed(north: Operator) -> None:
    def found(address: str, *more: str) -> list[tuple[str, str]]:
        answer = answer_of(north.command("mailbox", "search", address, *more, "--json"))
        assert answer["count"] == len(answer["messages"])
        return [(message["mailbox"], message["subject"]) for message in answer["messages"]]

    north.command("send", "-f", CLAIRE, "-s", "Résultats", "-t", "Créatinine normale", KARIM)
    north.command("send", "-f", CLAIRE, "-s", "Facture", "-t", "Ci-joint", KARIM)
    for _ in range(2):
        assert found(KARIM, "CREATININE") == [("INBOX", "Résultats")]
        assert found(KARIM, "claire", "--in", "from") == [("INBOX", "Facture"), ("INBOX", "Résultats")]
        assert found(CLAIRE, "creatinine") == [("Envoyés", "Résultats")]
        done = answer_of(north.command("db", "reindex", "--json"))
        assert (done["ok"], done["messages"], done["waiting"]) == (True, 4, 0)
    listed = north.command("mailbox", "search", KARIM, "nord", "--limit", "1")
    assert "Facture" in listed.stdout
    assert "2 messages" in listed.stdout
    assert "Aucun message" in north.command("mailbox", "search", KARIM, "introuvable").stdout
    assert answer_of(north.command("db", "reindex", KARIM, "--json"))["messages"] == 2
    assert north.command("db", "reindex", "personne@nord.mssante.fr").exit_code == 1
    assert north.command("mailbox", "search", "personne@nord.mssante.fr", "x").exit_code == 1


def test_a_running_operator_indexes_what_comes(north: Operator) -> None:
    north.command("send", "-f", CLAIRE, "-s", "Avis", "-t", "Panoramique", KARIM)
    north.start()
    until(lambda: north.read(indexing.pending) == 0, "the message is indexed")
    assert answer_of(north.command("mailbox", "search", KARIM, "anoram", "--json"))["count"] == 1
    north.stop()
