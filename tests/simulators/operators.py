"""Whole operators under test: in a thread of the test, or as the process that an administrator starts.

What holds here: an operator runs from a configuration file, by the same composition root either way; what a test sees of
it (mailboxes, queue, journal) is read from its store, as another process would read it.
"""

import asyncio
import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog
import uvloop
from typer.testing import CliRunner, Result

from simulators.patience import DEADLINE_S, until
from simulators.space import Place, TrustSpace
from vaguemestre import app as composition
from vaguemestre import clock, config
from vaguemestre.app import Stores
from vaguemestre.cli.program import program
from vaguemestre.documents.compose import Attachment, compose
from vaguemestre.evidence import journal
from vaguemestre.evidence.journal import Recorded
from vaguemestre.identity import app_passwords, grants, persons
from vaguemestre.identity.model import ALL_RIGHTS
from vaguemestre.identity.permissions import ADMINISTRATOR, Part
from vaguemestre.mailstore import accounts, mailboxes, messages
from vaguemestre.mailstore.model import AccountKind, Listed, Role
from vaguemestre.transport import queue
from vaguemestre.transport.envelope import Envelope, Recipient
from vaguemestre.transport.queue import Queued
from vaguemestre.transport.submission import Submitted

_READY = re.compile(r"ready \((.*?smtp \d+.*?)\)")


class Operator:
    """One operator. `close` it, whatever happened."""

    def __init__(
        self,
        space: TrustSpace,
        folder: Path,
        place: Place,
        people: Sequence[str] = (),
        **sections: dict[str, Any],
    ) -> None:
        """`people`: local parts of its accounts; `sections`: what its configuration has besides (see TrustSpace)."""
        self.place = place
        self.folder = folder
        self.port = 0
        self.ports: dict[str, int] = {}
        self.config_file = space.install(folder, place, **sections)
        self._stack = ExitStack()
        self._stores: Stores | None = None
        self._thread: _InThread | None = None
        self._process: _Process | None = None
        for person in people:
            self.write(accounts.create, AccountKind.PER, place.address(person), f"Dr {person.title()}")

    # Running

    def start(self) -> "Operator":
        """Run in a thread of this process; returns once it listens."""
        self._thread = _InThread(config.load(self.config_file, {}))
        self.ports = self._thread.start()
        self.port = self.ports["smtp"]
        return self

    def start_process(self) -> "Operator":
        """Run as `vaguemestre serve`; returns once it says that it is ready."""
        self._process = _Process(self.config_file, self.folder / "serve.log")
        self.ports = self._process.start()
        self.port = self.ports["smtp"]
        return self

    def stop(self) -> None:
        """Stop gracefully and wait until it has."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            thread.stop()
        if self._process is not None:
            process, self._process = self._process, None
            process.stop(signal.SIGTERM)

    @property
    def process_id(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.id

    def ask_to_stop(self) -> None:
        """Ask the process to stop, without waiting."""
        assert self._process is not None
        self._process.ask(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process, as a power cut would."""
        assert self._process is not None
        process, self._process = self._process, None
        process.stop(signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill the process and all that it started, at one stroke."""
        assert self._process is not None
        process, self._process = self._process, None
        process.stop_all()

    def kill_a_worker(self) -> None:
        """Kill one of the processes that serve peers, the oldest; the whole must then end by itself."""
        assert self._process is not None
        process, self._process = self._process, None
        process.stop_by_a_worker()

    def close(self) -> None:
        """Stop it, and let go of its store."""
        try:
            self.stop()
        finally:
            self._stores = None
            self._stack.close()

    def let_in(self, person: str) -> tuple[str, str]:
        """Give a person an app password for their account; returns its address and the secret."""
        address = self.place.address(person)

        def made(connection: sa.Connection) -> str:
            account = accounts.get(connection, address)
            holder = persons.keep(connection, f"9{account.id % 10**12:012d}", person)
            grants.give(connection, account.id, holder, Part.HOLDER, ALL_RIGHTS, "", ADMINISTRATOR)
            return app_passwords.make(connection, account.id, holder, "test", ADMINISTRATOR).secret

        return address, str(self.write(made))

    # What it keeps

    @property
    def stores(self) -> Stores:
        """Its store, opened beside it."""
        if self._stores is None:
            self._stores = self._stack.enter_context(composition.open_stores(config.load(self.config_file, {})))
        return self._stores

    def read(self, fn: Callable[..., Any], *args: Any) -> Any:
        """What a function of the store's rooms reads."""
        return self.stores.database.read(fn, *args)

    def write(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Run a function that writes."""
        return self.stores.database.write(fn, *args)

    def messages(self, person: str, role: Role = Role.INBOX) -> list[Listed]:
        """What a mailbox of a person (local part) shows, newest first."""
        found: list[Listed] = self.read(_messages, self.place.address(person), role)
        return found

    def content(self, message: Listed) -> bytes:
        """The whole source of a message."""
        return bytes(self.read(self.stores.blobs.open, message.blob_id).read())

    def only_message(self, person: str, role: Role = Role.INBOX) -> bytes:
        """The source of the one message of a mailbox, awaited."""
        until(lambda: self.messages(person, role), f"a message for {person}")
        (message,) = self.messages(person, role)
        return self.content(message)

    def journal(self, event: str = "", rule: str = "") -> list[Recorded]:
        """Its journal's entries, of one event and of one rule where given."""
        entries: list[Recorded] = self.read(_journal)
        return [
            entry
            for entry in entries
            if entry.event == (event or entry.event) and (not rule or entry.facts.get("rule") == rule)
        ]

    def queued(self) -> list[Queued]:
        """What waits in its queue."""
        found: list[Queued] = self.read(queue.listing)
        return found

    # What its people and its administrator do

    def send(
        self,
        person: str,
        to: Sequence[str | Recipient],
        subject: str = "Bonjour",
        attachments: Sequence[Attachment] = (),
        returned: str = "",
        envelope_id: str = "",
        keep_copy: bool = True,
    ) -> Submitted:
        """A person of this operator sends a letter; it is accepted, or the refusal is raised."""
        recipients = tuple(each if isinstance(each, Recipient) else Recipient(each) for each in to)
        author = self.place.address(person)
        content = compose(
            author=("", author),
            to=[("", each.address) for each in recipients],
            subject=subject,
            text="Cher confrère,\n\n.\nBien à vous.\n",
            at=clock.now(),
            attachments=attachments,
        )
        envelope = Envelope(author, recipients, returned=returned, envelope_id=envelope_id)
        return self.submit(envelope, content, keep_copy=keep_copy)

    def submit(self, envelope: Envelope, content: bytes, *, keep_copy: bool = True) -> Submitted:
        """A whole message, as it is."""
        loaded = config.load(self.config_file, {})
        submission = composition.submission(loaded, self.stores, composition.trusted_set(loaded))
        return submission.submit(envelope, [content], keep_copy=keep_copy)

    def command(self, *args: str, stdin: str | None = None) -> Result:
        """A `vaguemestre` command on this operator, in this process: exit code, standard output and error."""
        return run_command(args[0], *_with_config(args[1:], self.config_file), stdin=stdin)

    def process(self, *args: str) -> "subprocess.CompletedProcess[str]":
        """The same as a process of its own."""
        command = [sys.executable, "-m", "vaguemestre", args[0], *_with_config(args[1:], self.config_file)]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=DEADLINE_S)


def _with_config(args: Sequence[str], file: Path) -> list[str]:
    sub = list(takewhile(lambda arg: not arg.startswith("-") and "@" not in arg, args))
    return [*sub, "--config", str(file), *args[len(sub) :]]


OperatorFactory = Callable[..., Operator]


def run_command(*args: str, stdin: str | None = None) -> Result:
    """A `vaguemestre` command in this process. A traceback instead of an answer fails the test."""
    try:
        result = CliRunner().invoke(program, args, input=stdin)
    finally:
        structlog.reset_defaults()  # the command's log would go on to a standard error that is closed
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def answer_of(result: Result) -> dict[str, Any]:
    """The one JSON object of a command's standard output."""
    value: dict[str, Any] = json.loads(result.stdout)
    return value


class _InThread:
    def __init__(self, loaded: config.Config) -> None:
        self._config = loaded
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._ports: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name=f"operator {loaded.hostname}")

    def start(self) -> dict[str, int]:
        self._thread.start()
        assert self._ready.wait(DEADLINE_S), "the operator does not start"
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self._ports

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "the operator does not stop"
        gc.unfreeze()  # what stood for good for this operator does not for the next test
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except BaseException as failure:
            self._failure = failure
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with composition.running(self._config) as parts:
            self._ports = parts.ports
            self._ready.set()
            await self._stopping.wait()


class _Process:
    def __init__(self, config_file: Path, log: Path) -> None:
        self._log = log
        self._seen = log.stat().st_size if log.exists() else 0
        environment = {key: value for key, value in os.environ.items() if not key.startswith("VAGUEMESTRE_")}
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vaguemestre", "serve", "--config", str(config_file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                process_group=0,
            )

    def start(self) -> dict[str, int]:
        try:
            parts = until(self._ready_line, "the operator's process is ready")[1]
        except AssertionError:
            self.stop(signal.SIGKILL)
            raise
        return {part: int(port) for part, _, port in (each.rpartition(" ") for each in parts.split(", "))}

    @property
    def id(self) -> int:
        return self._process.pid

    def ask(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        try:
            code = self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        assert code == (0 if number is signal.SIGTERM else -number), self._log.read_text()[-2000:]

    def stop_all(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        assert self._process.wait(DEADLINE_S) == -signal.SIGKILL, self._log.read_text()[-2000:]

    def stop_by_a_worker(self) -> None:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        try:
            assert self._process.wait(DEADLINE_S) == 1
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise

    def _ready_line(self) -> "re.Match[str] | None":
        said = self._log.read_bytes()[self._seen :].decode()
        assert self._process.poll() is None, f"it ended at once: {said}"
        return _READY.search(said)


def _messages(connection: sa.Connection, address: str, role: Role) -> list[Listed]:
    account = accounts.get(connection, address)
    return messages.listing(connection, mailboxes.with_role(connection, account.id, role).id, limit=1000)


def _journal(connection: sa.Connection) -> list[Recorded]:
    return journal.log(connection, limit=100_000)
