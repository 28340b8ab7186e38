"""What mail programs do leaves traces, and what they are refused too, without a mailbox's name or a word of a message.

CONF.17 and CONF.18.
"""

import ssl
from collections.abc import Iterator

import pytest

from simulators.imap_peer import ImapPeer, Login
from simulators.letters import letter
from simulators.operators import Operator
from simulators.patience import until
from simulators.space import SOUTH, TrustSpace
from vaguemestre.identity.model import Rights
from vaguemestre.identity.permissions import ADMINISTRATOR
from vaguemestre.identity.traces import Trace
from vaguemestre.mailstore import accounts, sharing
from vaguemestre.mailstore.model import AccountKind


@pytest.fixture(scope="module")
def south(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator that serves mail programs."""
    imap = {"listen": "127.0.0.1:0", "listen_tls": "127.0.0.1:0"}
    folder = tmp_path_factory.mktemp("south")
    running = Operator(space, folder, SOUTH, ("karim", "awa"), imap=imap, identity={"app_passwords": True}).start()
    yield running
    running.close()


def traces(south: Operator, address: str, count: int) -> list[Trace]:
    """An account's traces, oldest first, once there are so many."""

    def kept() -> list[Trace]:
        found: list[Trace] = south.read(sharing.traces_of, address, 0, None, 100)
        return found

    return until(lambda: len(kept()) >= count and kept(), f"{count} traces") or []


def program(south: Operator, space: TrustSpace, login: Login) -> ImapPeer:
    peer = ImapPeer.connect(
        south.ports["imaps"], ssl.create_default_context(cafile=str(space.authorities)), implicit=True
    )
    peer.login(login)
    return peer


def test_acts_and_refused_acts_leave_traces_and_no_names(south: Operator, space: TrustSpace) -> None:
    login = Login(*south.let_in("karim"))
    with program(south, space, login) as peer:
        peer.ok("CREATE Dupont")
        peer.refused("CREATE Dupont", code="ALREADYEXISTS")
        peer.append(letter("Secret medical"))
        peer.refused("APPEND Durand ", letter("Secret medical"), code="TRYCREATE")
        peer.refused("SELECT Durand", code="NONEXISTENT")
        peer.select(read_only=True)
        peer.refused(r"UID STORE 1 +FLAGS (\Seen)", code="READ-ONLY")
        peer.refused("UID COPY 1 Durand", code="TRYCREATE")
        peer.refused("FETCH 1 (SECRET", status="BAD")
        peer.refused('SEARCH CHARSET KLINGON TEXT "secret"', code="BADCHARSET")
        peer.refused("RENAME Durand Dupuis", code="NONEXISTENT")
        peer.refused("SECRET", status="BAD")  # no command, no act
        peer.refused("NOOP secret", status="BAD")
        peer.ok("UID SEARCH ALL")
        peer.body(1)
        peer.ok("RENAME Dupont Dupuis")
        peer.ok("DELETE Dupuis")
    kept = traces(south, login.user, 14)
    assert [(each.action, each.request, each.outcome) for each in kept] == [
        ("create", "CREATE", "ok"),
        ("create", "CREATE", "NO ALREADYEXISTS"),
        ("append", "APPEND", "ok"),
        ("append", "APPEND", "NO TRYCREATE"),
        ("open", "SELECT", "NO NONEXISTENT"),
        ("store", "STORE", "NO READ-ONLY"),
        ("copy", "COPY", "NO TRYCREATE"),
        ("read", "FETCH", "BAD"),
        ("search", "SEARCH", "NO BADCHARSET"),
        ("rename", "RENAME", "NO NONEXISTENT"),
        ("search", "SEARCH", "ok"),
        ("read", "FETCH", "ok"),
        ("rename", "RENAME", "ok"),
        ("delete", "DELETE", "ok"),
    ]
    assert {each.name for each in kept} == {"karim"}
    said = repr(kept).lower()
    assert not any(word in said for word in ("secret", "dupont", "durand", "dupuis"))


def test_what_a_delegate_may_not_do_is_traced_to_them(south: Operator, space: TrustSpace) -> None:
    address = SOUTH.address("accueil")
    south.write(accounts.create, AccountKind.ORG, address, "Accueil")
    south.write(sharing.grant, address, "810000000001", "Jean", Rights.READ, ADMINISTRATOR)
    secret = south.write(sharing.add_app_password, address, "810000000001", "poste", ADMINISTRATOR).secret
    with program(south, space, Login(address, secret)) as peer:
        peer.refused("CREATE Tri", code="NOPERM")
        peer.refused("APPEND INBOX ", letter("Bonjour"), code="NOPERM")
    kept = traces(south, address, 2)
    assert [(each.name, each.action, each.outcome) for each in kept] == [
        ("Jean", "create", "NO NOPERM"),
        ("Jean", "append", "NO NOPERM"),
    ]
