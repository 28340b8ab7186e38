"""Thunderbird on a screen nobody sees, driven as a person would: the assistant's fields and buttons, then its windows.

It has a fresh profile that knows the authority of the trust space, finds every host named below on this machine, and its
HTTPS on the port given: nothing else tells it where the mail is. It is driven through Marionette, Firefox's own test port,
whose answers are waited for; nothing sleeps for luck.
"""

import base64
import contextlib
import json
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from types import TracebackType
from typing import Any, Self

from simulators.patience import until
from simulators.ports import free_port
from simulators.software import program
from simulators.space import Identity

# What is shown of the assistant: `shown` names its page, `by` finds an element by its id, through all shadow roots.
_ASSISTANT = """
const window = Services.wm.getMostRecentWindow("mail:3pane");
const hub = window?.document.querySelector("account-hub-container");
function all(root) {
  let found = [];
  for (const each of root.querySelectorAll("*")) {
    found.push(each);
    if (each.shadowRoot) found = found.concat(all(each.shadowRoot));
  }
  return found;
}
const elements = hub ? all(hub.shadowRoot ?? hub) : [];
const by = id => elements.find(each => each.id == id && each.checkVisibility());
function type(id, text) {
  const field = by(id);
  field.focus();
  field.value = text;
  for (const name of ["input", "change"])
    field.dispatchEvent(new window.Event(name, {bubbles: true, composed: true}));
}
"""
_INBOX = """
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const account = MailServices.accounts.accounts.find(each => each.incomingServer.type == "imap");
const inbox = account?.incomingServer.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
const window = Services.wm.getMostRecentWindow("mail:3pane");
const pages = window.document.getElementById("tabmail");
"""


class Thunderbird:
    """One Thunderbird with a fresh profile. `close` it, whatever happened."""

    def __init__(self, folder: Path, authorities: Path, hosts: Sequence[str], https_port: int) -> None:
        """`hosts` are on this machine, HTTPS of any host on `https_port`."""
        self._stack = ExitStack()
        self._profile = folder / "profile"
        self._profile.mkdir(parents=True)
        self._port = free_port()
        self._trust(folder, authorities)
        preferences = {
            "network.dns.localDomains": ",".join(hosts),
            "network.socket.forcePort": f"443={https_port}",
            "network.proxy.type": 0,
            "mailnews.auto_config_url": "",
            "marionette.port": self._port,
            "intl.locale.requested": "fr",
            "mail.shell.checkDefaultClient": False,
            "mailnews.start_page.enabled": False,
            "mail.rights.version": 1,
            "mail.spotlight.firstRunDone": True,
            "app.update.enabled": False,
            "datareporting.policy.dataSubmissionEnabled": False,
            "app.donation.eoy.version.viewed": 999,
            "security.OCSP.enabled": 0,
        }
        lines = (f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in preferences.items())
        (self._profile / "user.js").write_text("".join(lines))
        self._home = folder
        self._marionette: _Marionette | None = None

    def __enter__(self) -> Self:
        try:
            display = self._stack.enter_context(_screen())
            environment = {
                **os.environ,
                "HOME": str(self._home),
                "DISPLAY": display,
                "LANG": "C.UTF-8",
                "MOZ_CRASHREPORTER_DISABLE": "1",
            }
            words = ["--profile", self._profile, "--no-remote", "--marionette", "--remote-allow-system-access"]
            said = self._stack.enter_context((self._home / "thunderbird.log").open("wb"))
            process = subprocess.Popen(
                [program("thunderbird"), *words], env=environment, stdout=said, stderr=said, start_new_session=True
            )
            self._stack.callback(_end, process)
            until(lambda: _answers(self._port), "Thunderbird answers", 90)
            self._marionette = self._stack.enter_context(contextlib.closing(_Marionette(self._port)))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(self, script: str) -> Any:
        """Run a script with all of Thunderbird in reach; what it returns."""
        assert self._marionette is not None
        return self._marionette.run(script)

    def screenshot(self, file: Path) -> None:
        """What a person would see now, as PNG."""
        assert self._marionette is not None
        file.write_bytes(self._marionette.screenshot())

    # The assistant

    def set_up(self, name: str, address: str, password: str, pictures: Path) -> None:
        """Add an account as a person does, who knows a name, an address and a password. Screenshots go to `pictures`."""
        self._await("by('realName')", "the assistant asks for a name")
        self._assistant(f"type('realName', {json.dumps(name)}); type('email', {json.dumps(address)});")
        self._forward()
        self._await("by('editConfiguration')", "the settings are found")
        self.screenshot(pictures / "found.png")
        self._forward()
        self._await("by('password')", "the assistant asks for the password")
        self._assistant(f"type('password', {json.dumps(password)});")
        self._forward()
        until(self._has_account, "the account is made", 60)
        # It looks for address books and calendars, and offers to go on; a person would close it now.
        self._assistant("window.document.querySelector('account-hub-container')?.remove(); window.focus();")

    def _has_account(self) -> bool:
        return bool(self.run(_INBOX + "return Boolean(account && inbox);"))

    def _forward(self) -> None:
        self._await("by('forward') && !by('forward').disabled", "the assistant lets one go on")
        self._assistant("by('forward').click();")

    def _assistant(self, script: str) -> Any:
        return self.run(_ASSISTANT + script)

    def _await(self, condition: str, what: str) -> None:
        until(lambda: self._assistant(f"return Boolean({condition});"), what, 60)

    # Mail

    def settings(self) -> dict[str, Any]:
        """What the assistant made of what it was told."""
        found: dict[str, Any] = self.run(
            _INBOX
            + """
            const incoming = account.incomingServer;
            const outgoing = MailServices.outgoingServer?.defaultServer ?? MailServices.smtp.defaultServer;
            const uri = outgoing.serverURI;
            return {host: incoming.hostName ?? incoming.hostname, port: incoming.port, security: incoming.socketType,
                    user: incoming.username, authentication: incoming.authMethod,
                    outgoing: `${uri.host}:${uri.port}`, outgoing_security: outgoing.socketType};
            """
        )
        return found

    def read_inbox(self) -> list[str]:
        """Open the inbox, get what is new, show the newest message; the subjects that are listed."""
        self.run(_INBOX + "inbox.updateFolder(null); pages.currentAbout3Pane.displayFolder(inbox.URI);")
        until(
            lambda: self.run(_INBOX + "return pages.currentAbout3Pane.gDBView?.rowCount ?? 0;"), "messages are listed"
        )
        rows = "Array.from({length: view.rowCount}, (_, row) => view.getMsgHdrAt(row).mime2DecodedSubject)"
        found: list[str] = self.run(_INBOX + f"const view = pages.currentAbout3Pane.gDBView; return {rows};")
        self.run(
            _INBOX + "pages.currentAbout3Pane.threadTree.selectedIndex = pages.currentAbout3Pane.gDBView.rowCount - 1;"
        )
        until(lambda: self.run(_INBOX + _DISPLAYED), "the message is displayed")
        return found

    def _trust(self, folder: Path, authorities: Path) -> None:
        certutil, store = program("certutil", "libnss3-tools"), f"sql:{self._profile}"
        subprocess.run([certutil, "-N", "-d", store, "--empty-password"], check=True)
        end = "-----END CERTIFICATE-----\n"
        for number, each in enumerate(filter(str.strip, authorities.read_text().split(end))):
            file = folder / f"authority-{number}.pem"
            file.write_text(each + end)
            subprocess.run([certutil, "-A", "-d", store, "-n", f"a{number}", "-t", "C,C,", "-i", file], check=True)


_DISPLAYED = """
const message = pages.currentAboutMessage?.getMessagePaneBrowser()?.contentDocument;
return Boolean(message?.body?.textContent.trim());
"""


class _Marionette:
    """The test port: a request, its answer, one after the other."""

    def __init__(self, port: int) -> None:
        self._line = socket.create_connection(("127.0.0.1", port), 60)
        self._count = 0
        self._read()
        self._ask("WebDriver:NewSession", {"capabilities": {}})
        self._ask("Marionette:SetContext", {"value": "chrome"})

    def run(self, script: str) -> Any:
        return self._ask("WebDriver:ExecuteScript", {"script": script, "args": []})["value"]

    def screenshot(self) -> bytes:
        return base64.b64decode(self._ask("WebDriver:TakeScreenshot", {"full": True})["value"])

    def close(self) -> None:
        self._line.close()

    def _ask(self, name: str, parameters: dict[str, Any]) -> Any:
        self._count += 1
        data = json.dumps([0, self._count, name, parameters]).encode()
        self._line.sendall(b"%d:%s" % (len(data), data))
        _, number, error, result = self._read()
        assert number == self._count
        assert error is None, error
        return result

    def _read(self) -> Any:
        head = b""
        while not head.endswith(b":"):
            head += self._take(1)
        return json.loads(self._take(int(head[:-1])))

    def _take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._line.recv(size - len(data))
            assert more, "Thunderbird is gone"
            data += more
        return data


@contextmanager
def configuration(identity: Identity, page: bytes) -> Iterator[tuple[int, list[str]]]:
    """A web server that tells mail programs where the mail is, for a server that has none: its port, and the pages asked."""
    asked: list[str] = []

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"https://{self.headers['Host']}{self.path}")
            found = self.path.startswith("/mail/config-v1.1.xml")
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/xml")
            self.end_headers()
            self.wfile.write(page if found else b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _screen() -> Iterator[str]:
    """A display of its own, that nobody sees."""
    with tempfile.TemporaryFile() as said:
        read, write = os.pipe()
        command = [program("Xvfb", "xvfb"), "-displayfd", str(write), "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
        process = subprocess.Popen(command, stdout=said, stderr=said, pass_fds=[write])
        os.close(write)
        try:
            with os.fdopen(read) as number:
                display = number.readline().strip()
            assert display, "Xvfb does not start"
            yield f":{display}"
        finally:
            _end(process)


def _answers(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
