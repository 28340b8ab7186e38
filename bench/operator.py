"""An operator of ours to measure: a trust space of two names, accounts u1…, served by `vaguemestre serve`."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO

from tests.simulators.operators import answer_of, run_command

from vaguemestre import app as composition
from vaguemestre import clock, config
from vaguemestre.mailstore import accounts
from vaguemestre.mailstore.model import AccountKind
from vaguemestre.trust import names
from vaguemestre.trust.allowlist import Entry
from vaguemestre.trust.publisher import SIGNER_CN, Authority

SERVER, CLIENT = "server.example", "client.example"
_NAME = "CN=localhost,OU=1{0:09d},O=BENCH {0},ST=Paris (75),C=FR"


@dataclass(frozen=True, slots=True)
class Measured:
    """A running operator: where it listens, its process, its files."""

    port: int
    process: int
    folder: Path
    config: Path
    ca: Path
    certificate: Path
    key: Path

    def delivered(self, users: int) -> int:
        """Messages visible in the inboxes, read through the store as a mailbox reader does."""
        with composition.open_stores(config.load(self.config, {})) as stores:
            return sum(stores.database.read(accounts.get, f"u{user}@{SERVER}").messages for user in range(1, users + 1))


def prepare(folder: Path, users: int, settings: str = "", quota: int = 1 << 50) -> None:
    """Make the space, the operator's configuration and its accounts in an empty folder."""
    now = clock.now()
    life = now - timedelta(days=1), now + timedelta(days=30)
    authority = Authority.create(folder / "authority", now - timedelta(days=1))
    entries = []
    for number, (who, domain) in enumerate((("server", SERVER), ("client", CLIENT))):
        name = names.parse(_NAME.format(number))
        authority.issue(name, ["localhost"], life).write(
            folder / f"{who}.pem", folder / f"{who}.key", [authority.issuing.certificate]
        )
        entries.append(Entry(domain, str(name), name, updated=now))
    authority.publish_crls(now)
    authority.publish(now, add=entries)
    (folder / "vaguemestre.toml").write_text(
        f'''hostname = "localhost"
domains = ["{SERVER}"]
data = "data"
log_level = "WARNING"
[tls]
certificate = "server.pem"
key = "server.key"
[trust]
authorities = ["authority/authorities.pem"]
list = "{folder}/authority/allow-list.xml"
signer = "{SIGNER_CN}"
crls = ["{folder}/authority/root.crl", "{folder}/authority/issuing.crl"]
[smtp]
listen = "127.0.0.1:{free_port()}"
connections_per_address = 1000
{settings}
''',
        "utf-8",
    )
    loaded = config.load(folder / "vaguemestre.toml", {})
    composition.migrate(loaded)
    with composition.open_stores(loaded) as stores:
        for user in range(1, users + 1):
            address = f"u{user}@{SERVER}"
            stores.database.write(
                lambda connection, address=address: accounts.create(
                    connection, AccountKind.PER, address, address, quota=quota
                )
            )


def passwords(folder: Path, users: int) -> list[tuple[str, str]]:
    """An app password for each account that `prepare` made: pairs of address and secret."""
    found = []
    for user in range(1, users + 1):
        address = f"u{user}@{SERVER}"
        place = ("--config", str(folder / "vaguemestre.toml"), "--json")
        run_command("account", "holder", address, "--national-id", f"9{user:08d}", "--name", address, *place)
        made = run_command("account", "password", "add", address, "--label", "bench", *place)
        if made.exit_code:
            raise RuntimeError(f"no app password for {address}: {made.stderr}")
        found.append((address, str(answer_of(made)["secret"])))
    return found


@contextmanager
def running(folder: Path, output: IO[bytes] | None = None, also: Sequence[int] = ()) -> Iterator[Measured]:
    """Serve what `prepare` made, in a process of its own, once it listens for peers and on `also`."""
    path = folder / "vaguemestre.toml"
    port = config.address(config.load(path, {}).smtp.listen)[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "vaguemestre", "serve", "--config", str(path)],
        stderr=output or (folder / "serve.log").open("wb"),
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        for each in (port, *also):
            await_port(each, process)
        authorities = folder / "authority" / "authorities.pem"
        yield Measured(port, process.pid, folder, path, authorities, folder / "client.pem", folder / "client.key")
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def await_port(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a process listens. Raises RuntimeError where it ends first."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the operator did not start; see serve.log")
