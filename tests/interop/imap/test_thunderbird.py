"""Thunderbird sets itself up from a name, an address and a password, by autoconfiguration alone, and reads the mail.

Screenshots go to the folder that THUNDERBIRD_PICTURES names, if any.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulators.imap_peer import Login
from simulators.letters import NESTED, letter
from simulators.mail_servers import MailServer
from simulators.patience import until
from simulators.space import SOUTH, TrustSpace
from simulators.thunderbird import Thunderbird, configuration

_PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="{domain}">
    <domain>{domain}</domain>
    <displayName>{domain}</displayName>
    <displayShortName>{domain}</displayShortName>
    <incomingServer type="imap">
      <hostname>{host}</hostname>
      <port>{port}</port>
      <socketType>STARTTLS</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </incomingServer>
    <outgoingServer type="smtp">
      <hostname>{host}</hostname>
      <port>587</port>
      <socketType>STARTTLS</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </outgoingServer>
  </emailProvider>
</clientConfig>
"""


@contextmanager
def autoconfiguration(mail: MailServer, space: TrustSpace) -> Iterator[int]:
    """The port of the web server that tells of this server: its own, or else one made for it."""
    if mail.web_port:
        yield mail.web_port
        return
    page = _PAGE.format(domain=SOUTH.domain, host=SOUTH.host, port=mail.starttls_port)
    identity = space.issue(SOUTH.dn, "web", [f"autoconfig.{SOUTH.domain}"])
    with configuration(identity, page.encode()) as (port, asked):
        yield port
    assert asked[0].startswith(f"https://autoconfig.{SOUTH.domain}/mail/config-v1.1.xml")


def test_an_address_and_a_password_are_enough(mail: MailServer, space: TrustSpace, ca: Path, tmp_path: Path) -> None:
    login = mail.newcomer()
    address = login.user if "@" in login.user else SOUTH.address(login.user)
    peer = mail.open(Login(address, login.password))
    peer.append(letter("Bonjour Thunderbird"))
    peer.append(NESTED)
    hosts = [SOUTH.host, f"autoconfig.{SOUTH.domain}"]
    with autoconfiguration(mail, space) as port, Thunderbird(tmp_path, ca, hosts, port) as thunderbird:
        thunderbird.set_up("Dr Claire Martin", address, login.password, tmp_path)
        settings = thunderbird.settings()
        assert (settings["host"], settings["port"]) == (SOUTH.host, mail.starttls_port)
        assert settings["user"] == address
        assert settings["security"] == 2  # STARTTLS, and nothing less
        assert sorted(thunderbird.read_inbox()) == ["Bonjour Thunderbird", "Radio de contrôle"]
        thunderbird.screenshot(tmp_path / "inbox.png")
        peer.select()
        until(lambda: peer.search("SEEN"), "what was displayed is marked as read")
    if "THUNDERBIRD_PICTURES" in os.environ:
        for each in tmp_path.glob("*.png"):
            shutil.copy(each, os.environ["THUNDERBIRD_PICTURES"])
