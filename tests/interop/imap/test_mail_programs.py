"""Mail programs of Debian at work on a mailbox: mbsync, offlineimap, mutt, curl, Python's imaplib.

Each does its work the same way on every server, and must end with the same result.
"""

import collections
import contextlib
import imaplib
import mailbox
import os
import pty
import random
import re
import select
import subprocess
import time
from pathlib import Path

from simulators.imap_peer import Login
from simulators.letters import NESTED, letter
from simulators.mail_servers import MailServer
from simulators.software import program

LETTERS = int(os.environ.get("MBSYNC_LETTERS", "10000"))
_FOLDERS = ("INBOX", "Archives", "Archives/2025", "Comptes rendus", "&AMk-t&AOk-")
_FLAGS = {"D": "\\Draft", "F": "\\Flagged", "R": "\\Answered", "S": "\\Seen", "T": "\\Deleted"}

Snapshot = dict[str, collections.Counter[tuple[bytes, str]]]


class Maildirs:
    """A tree of Maildirs, as mbsync keeps one: a folder a mailbox, sub-folders inside."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names = 0

    def add(self, folder: str, content: bytes, flags: str) -> Path:
        """A letter that another program put there; its lines end with LF alone."""
        place = self.root / folder
        for each in ("cur", "new", "tmp"):
            (place / each).mkdir(parents=True, exist_ok=True)
        self._names += 1
        path = place / "cur" / f"{1_700_000_000 + self._names}.{self._names}.here:2,{''.join(sorted(flags))}"
        path.write_bytes(content.replace(b"\r\n", b"\n"))
        return path

    def files(self, folder: str) -> list[Path]:
        """Its letters, in no order."""
        return [*(self.root / folder / "cur").iterdir(), *(self.root / folder / "new").iterdir()]

    def snapshot(self) -> Snapshot:
        """Letters and flags by mailbox, without what mbsync adds to either."""
        found: Snapshot = {}
        for cur in self.root.rglob("cur"):
            folder = str(cur.parent.relative_to(self.root))
            pairs = ((_plain(path.read_bytes()), _flags_of(path)) for path in self.files(folder))
            found[folder] = collections.Counter(pairs)
        return found


def _plain(content: bytes) -> bytes:
    return re.sub(rb"^X-TUID: .*\n", b"", content.replace(b"\r\n", b"\n"), flags=re.MULTILINE)


def _flags_of(path: Path) -> str:
    return "".join(sorted(path.name.partition(":2,")[2]))


def mbsync(mail: MailServer, login: Login, folder: Path, *, ca: Path) -> None:
    """Synchronise a tree of Maildirs with an account, both ways: letters, flags, expunges, folders."""
    rc = folder / "mbsyncrc"
    rc.write_text(
        f"""
FSync no

IMAPAccount there
Host localhost
Port {mail.tls_port}
User "{login.user}"
Pass "{login.password}"
SSLType IMAPS
CertificateFile {ca}

IMAPStore there
Account there

MaildirStore here
Path {folder}/mail/
Inbox {folder}/mail/INBOX
SubFolders Verbatim

Channel all
Far :there:
Near :here:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
"""
    )
    done = subprocess.run(
        [program("mbsync", "isync"), "-c", rc, "all"],
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr[-2000:]


def _tree(folder: Path, count: int) -> Maildirs:
    chance = random.Random(7)
    maildirs = Maildirs(folder / "mail")
    words = [f"mot{number}" for number in range(500)]
    for number in range(count):
        text = "".join(" ".join(chance.choices(words, k=8)) + "\r\n" for _ in range(chance.randint(2, 25)))
        flags = "".join(flag for flag in "DFRS" if chance.random() < 0.3)
        content = letter(f"Lettre {number}", text, Message_ID=f"<{number}@mbsync>")
        maildirs.add(_FOLDERS[number % len(_FOLDERS)], content, flags)
    maildirs.add("INBOX", NESTED, "S")
    return maildirs


def test_mbsync_both_ways(mail: MailServer, login: Login, ca: Path, tmp_path: Path) -> None:
    """Ten thousand letters go up; a second computer gets them; then both sides change, and agree again."""
    first, second = tmp_path / "first", tmp_path / "second"
    for each in (first, second):
        (each / "mail").mkdir(parents=True)
    here, there = _tree(first, LETTERS), Maildirs(second / "mail")
    wanted = here.snapshot()
    mbsync(mail, login, first, ca=ca)
    mbsync(mail, login, second, ca=ca)
    assert _without_empty(there.snapshot()) == wanted
    _change(here, there)
    mbsync(mail, login, first, ca=ca)
    mbsync(mail, login, second, ca=ca)
    mbsync(mail, login, first, ca=ca)
    changed = _changed(wanted)
    assert _without_empty(here.snapshot()) == changed
    assert _without_empty(there.snapshot()) == changed
    peer = mail.open(login)
    assert peer.select("INBOX").exists == sum(changed["INBOX"].values())
    flags = collections.Counter(
        "".join(sorted(k for k, v in _FLAGS.items() if v in each)) for each in peer.flags().values()
    )
    assert flags == collections.Counter(pair[1] for pair in changed["INBOX"].elements())


def _without_empty(snapshot: Snapshot) -> Snapshot:
    return {folder: letters for folder, letters in snapshot.items() if letters}


def _number(content: bytes) -> int:
    found = re.search(rb"^Subject: Lettre (\d+)$", content, re.MULTILINE)
    return int(found[1]) if found else -1


def _change(here: Maildirs, there: Maildirs) -> None:
    """One side marks every seventh and deletes every eleventh; the other adds a hundred letters, and unmarks."""
    for folder in _FOLDERS:
        for path in here.files(folder):
            number = _number(path.read_bytes())
            if number % 11 == 5:
                path.unlink()
            elif number % 7 == 3:
                path.rename(path.with_name(path.name.partition(":2,")[0] + ":2," + _toggled(_flags_of(path), "F")))
        for path in there.files(folder):
            number = _number(path.read_bytes())
            if number % 13 == 4 and number % 11 != 5 and number % 7 != 3:
                # mbsync leaves what is new to it in new/, and what has flags belongs in cur/.
                name = path.name.partition(":2,")[0] + ":2," + _toggled(_flags_of(path), "S")
                path.rename(path.parents[1] / "cur" / name)
    for number in range(100):
        there.add("Archives", letter(f"Lettre {1_000_000 + number}", Message_ID=f"<plus{number}@mbsync>"), "S")


def _changed(before: Snapshot) -> Snapshot:
    found: Snapshot = {folder: collections.Counter() for folder in before}
    for folder, letters in before.items():
        for content, flags in letters.elements():
            number = _number(content)
            if number % 11 == 5:
                continue
            if number % 7 == 3:
                found[folder][content, _toggled(flags, "F")] += 1
            elif number % 13 == 4:
                found[folder][content, _toggled(flags, "S")] += 1
            else:
                found[folder][content, flags] += 1
    for number in range(100):
        content = letter(f"Lettre {1_000_000 + number}", Message_ID=f"<plus{number}@mbsync>")
        found["Archives"][content.replace(b"\r\n", b"\n"), "S"] += 1
    return found


def _toggled(flags: str, flag: str) -> str:
    return "".join(sorted(set(flags) ^ {flag}))


def test_offlineimap(mail: MailServer, login: Login, ca: Path, tmp_path: Path) -> None:
    """A Maildir of offlineimap gets what is there, and what is put into it gets there."""
    peer = mail.open(login)
    peer.ok("CREATE Dossier")
    for number in range(20):
        peer.append(letter(f"Lettre {number}"), "Dossier" if number % 2 else "INBOX", "\\Seen")
    rc = tmp_path / "offlineimaprc"
    rc.write_text(
        f"""
[general]
accounts = a
metadata = {tmp_path}/metadata
[Account a]
localrepository = here
remoterepository = there
[Repository here]
type = Maildir
localfolders = {tmp_path}/mail
[Repository there]
type = IMAP
remotehost = localhost
remoteport = {mail.tls_port}
remoteuser = {login.user}
remotepass = {login.password}
ssl = yes
sslcacertfile = {ca}
"""
    )

    def synchronise() -> None:
        done = subprocess.run(
            [program("offlineimap", "offlineimap3"), "-c", rc, "-o", "-u", "basic"],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "HOME": str(tmp_path), "PYTHONWARNINGS": "ignore"},
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    synchronise()
    inbox = mailbox.Maildir(tmp_path / "mail" / "INBOX", create=False)
    assert sorted(str(each["Subject"]) for each in inbox) == sorted(f"Lettre {number}" for number in range(0, 20, 2))
    added = mailbox.MaildirMessage(letter("Venue d'ici"))
    added.set_flags("F")
    mailbox.Maildir(tmp_path / "mail" / "Dossier", create=False).add(added)
    synchronise()
    peer.select("Dossier")
    assert peer.search('SUBJECT "Venue d\'ici" FLAGGED') == [11]


def test_curl(mail: MailServer, login: Login, ca: Path, tmp_path: Path) -> None:
    """curl lists, reads by UID and by section, searches and uploads."""
    peer = mail.open(login)
    peer.append(letter("Premier"), flags="\\Flagged")
    peer.append(NESTED)
    base = f"imaps://localhost:{mail.tls_port}"

    def curl(*words: str | Path) -> bytes:
        command = [
            program("curl"),
            "--silent",
            "--show-error",
            "--cacert",
            ca,
            "--user",
            f"{login.user}:{login.password}",
        ]
        return subprocess.run([*command, *words], check=True, capture_output=True, timeout=60).stdout

    assert b"INBOX" in curl(f"{base}/")
    assert curl(f"{base}/INBOX;UID=1") == letter("Premier")
    assert curl(f"{base}/INBOX;UID=2;SECTION=3") == b"JVBERi0xLjQ="
    assert curl(f"{base}/INBOX?FLAGGED") == b"* SEARCH 1\r\n"
    assert b"EXISTS" not in curl(f"{base}/INBOX", "--request", "FETCH 1:2 (UID FLAGS)")
    sent = tmp_path / "lettre.eml"
    sent.write_bytes(letter("Par curl"))
    curl(f"{base}/INBOX", "--upload-file", sent)
    assert curl(f"{base}/INBOX;UID=3") == letter("Par curl")
    wrong = subprocess.run(
        [program("curl"), "--silent", "--cacert", ca, "--user", f"{login.user}:wrong", f"{base}/INBOX"],
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert wrong.returncode == 67  # "Login denied"


def test_mutt(mail: MailServer, login: Login, ca: Path, tmp_path: Path) -> None:
    """mutt opens the inbox, copies all letters to a file, flags one and leaves."""
    peer = mail.open(login)
    for number in range(30):
        peer.append(letter(f"Lettre {number}"))
    kept = tmp_path / "kept"
    rc = tmp_path / "muttrc"
    rc.write_text(
        f"""
set imap_user="{login.user}"
set imap_pass="{login.password}"
set ssl_force_tls=yes
set certificate_file="{ca}"
set header_cache=""
set mbox_type=mbox
set confirmcreate=no
set confirmappend=no
set delete=yes
set quit=yes
set folder="{tmp_path}"
set spoolfile="imaps://localhost:{mail.tls_port}/INBOX"
push "<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>{kept}<enter><untag-pattern>~A<enter>\
<limit>~s 'Lettre 7$'<enter><flag-message><limit>all<enter><quit>"
"""
    )
    _on_a_terminal([program("mutt"), "-n", "-F", str(rc)], tmp_path)
    with contextlib.closing(mailbox.mbox(kept, create=False)) as letters:
        found = [str(each["Subject"]) for each in letters]
    assert sorted(found) == sorted(f"Lettre {number}" for number in range(30))
    peer.select()
    assert peer.search("FLAGGED") == [8]


def _on_a_terminal(command: list[str], home: Path, seconds: float = 60.0) -> None:
    """Run a program that wants a terminal, to its end."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(TERM="xterm", HOME=str(home), LANG="C.UTF-8")
        os.execvp(command[0], command)
    said, end = b"", time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.5)[0]:
                try:
                    said += os.read(terminal, 65_536)
                except OSError:
                    break  # it closed the terminal
        else:
            os.kill(process, 9)
    finally:
        os.close(terminal)
        _, status = os.waitpid(process, 0)
    assert status == 0, said[-3000:]


def test_imaplib(mail: MailServer, login: Login) -> None:
    """Python's own client."""
    with imaplib.IMAP4_SSL("localhost", mail.tls_port, ssl_context=mail.context) as line:
        line.login(login.user, login.password)
        assert line.create("essai")[0] == "OK"
        assert (
            line.append("essai", "(\\Seen)", imaplib.Time2Internaldate(time.time()), letter("Par imaplib"))[0] == "OK"
        )
        assert line.select("essai") == ("OK", [b"1"])
        assert line.uid("search", None, "SUBJECT", '"imaplib"') == ("OK", [b"1"])
        kind, found = line.fetch("1", "(FLAGS BODY.PEEK[])")
        assert kind == "OK"
        assert isinstance(found[0], tuple)
        assert found[0][1] == letter("Par imaplib")
        assert line.store("1", "+FLAGS", "\\Deleted")[0] == "OK"
        assert line.expunge() == ("OK", [b"1"])
        assert line.close()[0] == "OK"
        assert line.delete("essai")[0] == "OK"
        assert line.namespace()[0] == "OK"
        if "ENABLE" in line.capabilities and "UTF8=ACCEPT" in line.capabilities:
            assert line.enable("UTF8=ACCEPT")[0] == "OK"
