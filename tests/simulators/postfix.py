"""A private Postfix: an operator of the trust space that runs somebody else's software.

It takes mail for its domain from peers with a certificate, into one Maildir a person, and relays mail of its own people
over TLS that it verifies. Everything is in a folder of its own, and it listens on 127.0.0.1 only.
"""

import os
import pwd
import shutil
import smtplib
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from simulators.patience import until
from simulators.ports import free_port
from simulators.software import program
from simulators.space import Identity, Place

_SERVICES = """\
127.0.0.1:{own_port} inet n - n - - smtpd
127.0.0.1:{port} inet n - n - - smtpd
  -o smtpd_tls_security_level=encrypt -o smtpd_tls_req_ccert=yes -o mynetworks=
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
expired unix - - n - - smtp
  -o smtp_tls_cert_file={expired_certificate} -o smtp_tls_key_file={expired_key}
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """`port` is for peers, with a certificate; `people` have a mailbox; `routes` maps a domain, or an address, to a
    transport of Postfix, for example `smtp:[localhost]:2525`; the transport `expired` shows an expired certificate."""

    def __init__(
        self, place: Place, identity: Identity, expired: Identity, authorities: Path, people: Sequence[str]
    ) -> None:
        assert os.geteuid() == 0, "Postfix only starts as root: run this test as root (in a container, for example)"
        self._postfix = program("postfix")
        self.place = place
        self.port, self._own_port = free_port(), free_port()
        # Not under pytest's folder: Postfix's processes have users of their own, who may not enter it.
        self._folder = Path(tempfile.mkdtemp(prefix="vaguemestre-postfix-"))
        self._folder.chmod(0o755)
        self._log = self._folder / "mail.log"
        for name, owner in (("etc", "root"), ("spool", "root"), ("data", "postfix"), ("mail", "nobody")):
            (self._folder / name).mkdir()
            shutil.chown(self._folder / name, owner)
        services = _SERVICES.format(
            own_port=self._own_port, port=self.port, expired_certificate=expired.certificate, expired_key=expired.key
        )
        (self._folder / "etc" / "master.cf").write_text(services)
        nobody = pwd.getpwnam("nobody")
        mailboxes = " ".join(f"{{{place.address(person)} = {person}/}}" for person in people)
        self._settings = {
            "compatibility_level": "3.6",
            "queue_directory": self._folder / "spool",
            "data_directory": self._folder / "data",
            "maillog_file": self._log,
            "maillog_file_prefixes": self._folder,
            "myhostname": place.host,
            "mydestination": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.1/32",
            "smtpd_relay_restrictions": "permit_mynetworks reject_unauth_destination",
            "virtual_mailbox_domains": place.domain,
            "virtual_mailbox_base": self._folder / "mail",
            "virtual_mailbox_maps": f"inline:{{ {mailboxes} }}",
            "virtual_uid_maps": f"static:{nobody.pw_uid}",
            "virtual_gid_maps": f"static:{nobody.pw_gid}",
            "virtual_mailbox_limit": "0",
            "message_size_limit": "50000000",
            "smtp_host_lookup": "native",
            "smtp_tls_security_level": "verify",
            "smtp_tls_verify_cert_match": "hostname",
            "smtp_tls_loglevel": "1",
            "smtpd_tls_loglevel": "1",
            "minimal_backoff_time": "2s",
            "queue_run_delay": "2s",
        }
        for side in ("smtp", "smtpd"):
            self._settings |= {
                f"{side}_tls_cert_file": identity.certificate,
                f"{side}_tls_key_file": identity.key,
                f"{side}_tls_CAfile": authorities,
            }

    @property
    def route(self) -> str:
        """Its address for an operator's `[queue.routes]`."""
        return f"127.0.0.1:{self.port}"

    def start(self, routes: Mapping[str, str]) -> Self:
        """Start it, to relay by these routes."""
        transports = " ".join(f"{{{where} = {route}}}" for where, route in routes.items())
        settings = {**self._settings, "transport_maps": f"inline:{{ {transports} }}"}
        (self._folder / "etc" / "main.cf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        self._command("start")
        until(lambda: _listens(self.port) and _listens(self._own_port), "Postfix listens")
        return self

    def close(self) -> None:
        """Stop it and remove what it made."""
        try:
            self._command("stop")
        finally:
            shutil.rmtree(self._folder)

    def send(self, person: str, to: Sequence[str], content: bytes) -> None:
        """One of its people writes."""
        with smtplib.SMTP("127.0.0.1", self._own_port, timeout=30) as line:
            line.sendmail(self.place.address(person), list(to), content)

    def messages(self, person: str) -> list[bytes]:
        """What stands in a person's Maildir, with LF for line ends, oldest first."""
        found = (self._folder / "mail" / person / "new").glob("*")
        return [each.read_bytes() for each in sorted(found, key=lambda path: path.stat().st_mtime_ns)]

    @property
    def log(self) -> str:
        """What it logged."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def _command(self, verb: str) -> None:
        # Nothing of ours is left open in the daemon: it would hold a pipe of the test run for ever.
        with tempfile.TemporaryFile() as said:
            code = subprocess.run(
                [self._postfix, "-c", str(self._folder / "etc"), verb],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=60,
            ).returncode
            said.seek(0)
            assert code == 0, f"postfix {verb}: {said.read().decode()} {self.log}"


def _listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0
