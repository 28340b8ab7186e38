"""What breaks around an operator: the disk, the keys, the store, the clock. It says so, loses nothing, and goes on.

At the start, what cannot work ends the process with code 2 and a sentence in each language; while it runs, peers are
told to try again later. What the store itself does is in tests/storage; the list and the CRLs, in test_trust_outages.
"""

import json
import os
import resource
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from simulators.caller import Answer, Caller, letter
from simulators.operators import Operator, OperatorFactory
from simulators.patience import until
from simulators.space import DAY, NORTH, SOUTH, TrustSpace
from vaguemestre.servers import smtp
from vaguemestre.storage import database, keys

AUTHOR, TO = NORTH.address("claire"), SOUTH.address("claire")
SMALL, LARGE = 20_000, 400_000  # the large go through the spool to the object store

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")


def send(space: TrustSpace, south: Operator, subject: str, size: int = SMALL) -> Answer:
    """The answer to the content of one message from a good peer."""
    text = "\n".join(["x" * 76] * (size // 78))
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        return caller.send(AUTHOR, [TO], letter(AUTHOR, TO, subject, text))


def subjects(south: Operator) -> list[str]:
    """What stands in the inbox, oldest first."""
    return [message.summary.subject for message in reversed(south.messages("claire"))]


def refused_start(south: Operator) -> str:
    """What `serve` says when it ends at once, in both languages, French first."""
    ended = south.process("serve")
    said: list[str] = ended.stderr.strip().splitlines()
    assert ended.returncode == 2, ended.stderr
    assert len(said) == 2, "two sentences, and no traceback"
    return said[0]


def starts(space: TrustSpace, south: Operator, subject: str = "Revenu") -> None:
    """It starts again, takes a message, and nothing in the store is damaged."""
    south.close()
    south.start_process()
    assert send(space, south, subject).code == 250
    south.stop()
    assert subjects(south)[-1] == subject
    assert south.command("db", "check").exit_code == 0


@pytest.fixture
def ran(space: TrustSpace, operator: OperatorFactory) -> Operator:
    """An operator that ran, took one message and stopped; nobody holds its store open."""
    south = operator(SOUTH).start()
    assert send(space, south, "Avant").code == 250
    south.close()
    return south


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[Path, str], None]]:
    """Mounts a file system in memory, with these options; unmounts all afterwards."""
    places: list[Path] = []

    def mount(place: Path, options: str) -> None:
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
        places.append(place)

    yield mount
    for place in reversed(places):
        subprocess.run(["umount", "--lazy", place], check=False)


@as_root
def test_a_full_disk_puts_off_what_it_cannot_keep_and_keeps_the_rest(
    space: TrustSpace, tmp_path: Path, mounted: Callable[[Path, str], None]
) -> None:
    disk = tmp_path / "disk"
    mounted(disk, "size=32m")
    south = Operator(space, disk / "south", SOUTH, ("claire",))
    try:
        south.close()
        south.start_process()
        room = disk / "room"
        room.write_bytes(bytes(8 << 20))
        kept = _until_full(space, south)
        filler = disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        answer = send(space, south, "Trop")
        assert answer.status == "451 4.3.0"
        assert "Incident de notre cote" in answer.text
        assert subjects(south) == kept, "what was acknowledged is there, what was put off is not"
        filler.unlink()
        room.unlink()
        until(lambda: send(space, south, "Ensuite").code == 250, "there is room again")
        south.stop()
        assert [each for each in subjects(south) if each != "Ensuite"] == kept
        assert subjects(south).count("Ensuite") == 1
        assert south.command("db", "check").exit_code == 0
    finally:
        south.close()


def _until_full(space: TrustSpace, south: Operator) -> list[str]:
    kept = []
    for number in range(100):
        answer = send(space, south, f"Lettre {number}", (SMALL, LARGE)[number % 2])
        if answer.code != 250:
            return kept
        kept.append(f"Lettre {number}")
    raise AssertionError("the disk never filled up")


def test_a_file_that_may_not_grow_puts_off_what_it_cannot_keep(space: TrustSpace, ran: Operator) -> None:
    """The kernel's limit on file sizes fails writes as a full disk does, without root."""
    ran.start_process()
    everything = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    _limit_files(ran, (1, everything[1]))
    for size in (SMALL, LARGE):
        answer = send(space, ran, "Trop", size)
        assert answer.status == "451 4.3.0"
        assert "Incident de notre cote" in answer.text
    _limit_files(ran, everything)
    until(lambda: send(space, ran, "Ensuite").code == 250, "files may grow again")
    ran.stop()
    assert subjects(ran) == ["Avant", "Ensuite"]
    assert ran.command("db", "check").exit_code == 0


def _limit_files(south: Operator, limits: tuple[int, int]) -> None:
    main = south.process_id
    for process in (main, *map(int, Path(f"/proc/{main}/task/{main}/children").read_text().split())):
        resource.prlimit(process, resource.RLIMIT_FSIZE, limits)


def test_a_store_locked_by_another_process_puts_off_and_goes_on(
    space: TrustSpace, ran: Operator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.1)
    ran.start()
    hold = f"""
import sys
from pathlib import Path
from vaguemestre.servers import smtp
from vaguemestre.storage import database, keys
data = Path({str(ran.folder / "data")!r})
opened = database.open_sqlcipher(data / "vaguemestre.db", keys.load(data / "operator.keys").database)
opened.write(lambda connection: (print("held", flush=True), sys.stdin.read()) and None)
opened.close()
"""
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        answer = send(space, ran, "Pendant")
        assert answer.status == "451 4.3.0"
        assert answer.lines == (
            "Incident de notre cote ; rien n'est perdu, reessayez plus tard.",
            "Trouble on our side; nothing is lost, try again later.",
        )
        assert "database is locked" in "".join(capsys.readouterr()), "what peers need not know, the log says"
        assert subjects(ran) == ["Avant"], "reading goes on"
        holder.communicate()
    until(lambda: send(space, ran, "Pendant").code == 250, "the store is free again")
    assert subjects(ran) == ["Avant", "Pendant"]


@pytest.mark.parametrize("step", ["_admit", "_destined", "_accepted", "_flush"])
def test_a_defect_hangs_no_peer_and_loses_no_message(
    space: TrustSpace, ran: Operator, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Wherever it is met, in a command's handling or in what follows a wait for the store."""
    ran.start()
    content = letter(AUTHOR, TO, "Pendant")

    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    with Caller.secured(ran.port, space.identity(NORTH)) as caller, monkeypatch.context() as patched:
        patched.setattr(smtp.Session, step, broken)
        caller.write(f"MAIL FROM:<{AUTHOR}>\r\nRCPT TO:<{TO}>\r\nBDAT {len(content)} LAST\r\n".encode() + content)
        said = caller._file.readlines()  # to the end: the line is closed
    assert step == "_flush" or said[-1].startswith(b"451 4.3.0 Trouble on our side")
    assert not any(line.startswith(b"250 2.0.0") for line in said)
    with Caller.secured(ran.port, space.identity(NORTH)) as caller:
        assert caller.send(AUTHOR, [TO], content).code == 250
    assert subjects(ran) == ["Avant", "Pendant"]


def test_a_wrong_key_stops_the_start_and_harms_nothing(space: TrustSpace, ran: Operator) -> None:
    ring = ran.folder / "data" / "operator.keys"
    good = ring.read_bytes()
    ring.unlink()
    keys.create(ring)
    assert "La clé n'ouvre pas la base de données" in refused_start(ran)
    ring.write_bytes(good)
    starts(space, ran)
    assert subjects(ran)[0] == "Avant"


def test_a_missing_key_file_stops_the_start_and_is_never_made_anew(space: TrustSpace, ran: Operator) -> None:
    ring = ran.folder / "data" / "operator.keys"
    aside = ring.rename(ring.with_suffix(".aside"))
    assert "Remettez sa copie" in refused_start(ran)
    assert ran.command("db", "migrate").exit_code == 2
    assert not ring.exists(), "a new key would make the mail unreadable for good"
    aside.rename(ring)
    starts(space, ran)


def test_a_missing_database_is_never_taken_for_an_empty_one(space: TrustSpace, ran: Operator) -> None:
    store = ran.folder / "data" / "vaguemestre.db"
    aside = store.rename(store.with_suffix(".aside"))
    assert "Il n'y a pas de base de données" in refused_start(ran)
    assert not store.exists()
    aside.rename(store)
    starts(space, ran)


def test_damaged_pages_are_said_and_a_backup_mends_them(space: TrustSpace, ran: Operator) -> None:
    assert ran.command("db", "backup", str(ran.folder / "copy")).exit_code == 0
    ran.close()
    store = ran.folder / "data" / "vaguemestre.db"
    _damage(store, 8192)
    assert "base de données" in refused_start(ran)
    store.unlink()
    for part in ("packs", "objects"):
        shutil.rmtree(ran.folder / "data" / part)
    restored = ran.command("db", "restore", str(ran.folder / "copy"))
    assert restored.exit_code == 0, restored.output
    starts(space, ran)
    assert subjects(ran) == ["Avant", "Revenu"]


def _damage(store: Path, start: int) -> None:
    with store.open("r+b") as file:
        file.seek(start)
        file.write(os.urandom(store.stat().st_size - start))


@as_root
@pytest.mark.parametrize(("part", "passing"), [("objects", (SMALL,)), ("packs", (LARGE,)), ("spool", (SMALL,))])
def test_a_folder_that_cannot_be_written_to_puts_off_what_belongs_there(
    space: TrustSpace, ran: Operator, mounted: Callable[[Path, str], None], part: str, passing: tuple[int, ...]
) -> None:
    mounted(ran.folder / "data" / part, "ro")
    ran.start_process()
    try:
        for size in (SMALL, LARGE):
            answer = send(space, ran, f"Taille {size}", size)
            assert answer.status == ("250 2.0.0" if size in passing else "451 4.3.0")
    finally:
        subprocess.run(["umount", "--lazy", ran.folder / "data" / part], check=True)
    until(lambda: send(space, ran, "Ensuite", LARGE).code == 250, "the folder is there again")
    ran.stop()
    assert subjects(ran) == ["Avant", *(f"Taille {size}" for size in passing), "Ensuite"]
    assert ran.command("db", "check").exit_code == 0


@pytest.mark.parametrize("part", ["objects", "packs", "spool"])
def test_a_file_in_the_place_of_a_folder_stops_the_start(space: TrustSpace, ran: Operator, part: str) -> None:
    folder = ran.folder / "data" / part
    aside = folder.rename(folder.with_suffix(".aside"))
    folder.touch()
    said = refused_start(ran)
    assert str(folder) in said
    assert "port" not in said
    folder.unlink()
    aside.rename(folder)
    starts(space, ran)


def test_a_certificate_that_cannot_be_read_stops_the_start(space: TrustSpace, ran: Operator) -> None:
    text = ran.config_file.read_text()
    ran.config_file.write_text(text.replace(str(space.identity(SOUTH).key), "nowhere.key"))
    assert "nowhere.key" in refused_start(ran)
    ran.config_file.write_text(text)
    starts(space, ran)


def test_authorities_that_cannot_be_read_stop_the_start(space: TrustSpace, ran: Operator) -> None:
    text = ran.config_file.read_text()
    ran.config_file.write_text(text.replace(str(space.authorities), "nowhere.pem"))
    assert "nowhere.pem" in refused_start(ran)
    ran.config_file.write_text(text)
    starts(space, ran)


def test_a_clock_set_back_admits_nobody_until_it_is_right(space: TrustSpace, ran: Operator, tmp_path: Path) -> None:
    """The list was accepted in what is now the future; and its source, which could settle it, is away."""
    text = ran.config_file.read_text()
    ran.config_file.write_text(text.replace(str(space.list_file), str(tmp_path / "away.xml")))
    state = ran.folder / "data" / "trust" / "state.json"
    right = state.read_bytes()
    values = json.loads(right)
    for name in ("accepted_at", "last_success"):
        values[name] = (datetime.fromisoformat(values[name]) + 10 * DAY).isoformat()
    state.write_text(json.dumps(values))
    ran.start()
    with Caller.secured(ran.port, space.identity(NORTH)) as caller:
        answer = caller.say(f"MAIL FROM:<{AUTHOR}>")
    assert answer.status == "451 4.7.1"
    ran.close()
    assert "mettez-la à l'heure" in ran.command("doctor").output
    ran.close()
    state.write_bytes(right)
    starts(space, ran)


def test_nothing_is_said_in_clear_in_the_middle_of_a_handshake(space: TrustSpace, ran: Operator) -> None:
    """Not even that the server stops: the peer would take it for a broken handshake, or for an attack."""
    ran.start_process()
    hello = ssl.MemoryBIO()
    handshake = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="x")
    with suppress(ssl.SSLWantReadError):
        handshake.do_handshake()
    with Caller(ran.port) as caller:
        assert caller.say("EHLO caller.example").code == 250
        assert caller.say("STARTTLS").code == 220
        caller.write(hello.read())
        ran.stop()
        heard = caller._file.read()
    assert b"421" not in heard
