"""A private Dovecot: the IMAP server that ours is compared with, and that proves the checks before they judge ours.

Any name may sign in, with the password `secret`; each has a store of its own, empty at first. Everything is in a folder of
its own, and it listens on 127.0.0.1 only. It keeps its durable defaults, unless it is told to be quick.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from simulators.patience import until
from simulators.ports import free_port
from simulators.software import program

PASSWORD = "secret"
_CONFIGURATION = """\
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = yes
mail_fsync = {fsync}
mail_location = {storage}:{folder}/mail/%n
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
first_valid_gid = 1
mail_max_userip_connections = 2000
imap_id_log = *
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Drafts {{
    special_use = \\Drafts
    auto = create
  }}
  mailbox Sent {{
    special_use = \\Sent
    auto = create
  }}
  mailbox Trash {{
    special_use = \\Trash
    auto = create
  }}
}}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail/%n allow_all_users=yes
}}
service imap-login {{
  service_count = 0
  client_limit = 4000
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
}}
service imap {{
  process_limit = 2000
}}
service anvil {{
  client_limit = 6000
}}
service auth {{
  client_limit = 6000
}}
{plugins}
"""
_PLUGINS = """\
mail_plugins = quota
protocol imap {
  mail_plugins = quota imap_quota imap_zlib
}
plugin {
  quota = count:User quota
  quota_rule = *:storage=1G
  quota_vsizes = yes
}
"""


class Dovecot:
    """`port` takes STARTTLS, `tls_port` TLS at once. With `plugins` it has quotas and compression too.

    It is `durable`, or quick.
    """

    def __init__(
        self, certificate: Path, key: Path, *, plugins: bool = False, durable: bool = True, storage: str = "mdbox"
    ) -> None:
        assert os.geteuid() == 0, "Dovecot only starts as root: run this test as root (in a container, for example)"
        self._dovecot = program("dovecot", "dovecot-imapd")
        self.port, self.tls_port = free_port(), free_port()
        # Not under pytest's folder: Dovecot's processes have users of their own, who may not enter it.
        self.folder = Path(tempfile.mkdtemp(prefix="vaguemestre-dovecot-"))
        self.folder.chmod(0o755)
        for name, owner in (("run", "root"), ("mail", "nobody")):
            (self.folder / name).mkdir(mode=0o755)
            shutil.chown(self.folder / name, owner)
        self._file = self.folder / "dovecot.conf"
        self._file.write_text(
            _CONFIGURATION.format(
                folder=self.folder,
                certificate=certificate,
                key=key,
                fsync="optimized" if durable else "never",
                storage=storage,
                password=PASSWORD,
                port=self.port,
                tls_port=self.tls_port,
                plugins=_PLUGINS if plugins else "",
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it; returns once it listens."""
        with (self.folder / "start.log").open("wb") as said:
            self._process = subprocess.Popen(
                [self._dovecot, "-F", "-c", self._file], stdin=subprocess.DEVNULL, stdout=said, stderr=said
            )
        until(lambda: _listens(self.port) and _listens(self.tls_port), f"Dovecot listens: {self.log}")
        return self

    def restart(self) -> None:
        """Stop it and start it again, its store as it was."""
        self._stop()
        self.start()

    @property
    def process_id(self) -> int:
        """Of the master, whose children do the work."""
        assert self._process is not None
        return self._process.pid

    def close(self) -> None:
        """Stop it and remove what it made."""
        try:
            self._stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self) -> str:
        """What it logged."""
        return "".join(each.read_text("utf-8", "replace") for each in sorted(self.folder.glob("*.log")))

    def _stop(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0
