"""ANS's negative suite, as the server that relays: what a bad server hears of a message is nothing at all.

The message waits, its author is told at once and in French, and it leaves as soon as the server is mended.
"""

from collections.abc import Callable

import pytest

from simulators.notices import read_notice
from simulators.operators import Operator, OperatorFactory
from simulators.patience import until
from simulators.peer import ScriptedPeer
from simulators.space import NORTH, SOUTH, THIRD, Identity, TrustSpace
from vaguemestre.mailstore.model import Role

Choose = Callable[[TrustSpace], Identity]
TO = THIRD.address("awa")
OUR_WORDS = {b"EHLO mail.nord.mssante.fr\r\n", b"STARTTLS\r\n", b"QUIT\r\n"}

PROBES: list[tuple[str, Choose, str, str]] = [
    ("expired", lambda space: space.expired, "certificate-expired", "a expiré le"),
    ("revoked", lambda space: space.revoked, "certificate-revoked", "a été révoqué"),
    ("not of IGC", lambda space: space.foreign(THIRD.dn), "unknown-authority", "ne mène à aucune autorité reconnue"),
    (
        "not listed",
        lambda space: space.issue("CN=mail.inconnu.fr,OU=1000000009,O=INCONNU,ST=Nord (59),C=FR"),
        "name-not-listed",
        "n'est pas dans la liste blanche",
    ),
    (
        "another name than the listed one",
        lambda space: space.issue(THIRD.dn.replace("CN=mail.tiers", "CN=autre.tiers")),
        "name-not-listed",
        "exactement ce nom",
    ),
    (
        "listed for another domain",
        lambda space: space.identity(SOUTH),
        "name-listed-for-other-domain",
        "mais pas pour tiers.mssante.fr",
    ),
]


def sender(operator: OperatorFactory, peer: ScriptedPeer) -> Operator:
    """A running operator whose mail for the third one goes to `peer`; tries again after 60 ms, then 120 ms…"""
    return operator(NORTH, ("claire",), queue={"routes": {THIRD.domain: peer.route}, "pause_scale": 0.001}).start()


@pytest.mark.parametrize(("choose", "rule", "why"), [p[1:] for p in PROBES], ids=[p[0] for p in PROBES])
def test_a_server_that_may_not_speak_for_the_domain_hears_nothing_of_the_message(
    space: TrustSpace, operator: OperatorFactory, choose: Choose, rule: str, why: str
) -> None:
    with ScriptedPeer(choose(space)) as bad:
        north = sender(operator, bad)
        north.send("claire", [TO], "Secret")
        until(lambda: north.journal("deferral", rule), f"the message waits, for rule {rule}")
        heard = bad.heard.replace(b"\r\n", b"\r\n\0").split(b"\0")
        assert set(heard) <= OUR_WORDS | {b""}
        port = bad.port
        notice = read_notice(north.only_message("claire"))
        assert notice.subject == "Message retardé (Delayed message) : Secret"
        assert why in notice.french
        assert "tenté de nouveau automatiquement" in notice.french
        assert (notice.fields["Action"], notice.fields["Status"]) == ("delayed", "4.7.5")
        (entry, *_) = until(lambda: north.journal("peer-refusal", rule), f"a journal entry of rule {rule}")
        assert entry.facts["direction"] == "out"
        assert entry.facts["domain"] == THIRD.domain
        assert len(north.queued()) == 1
    with ScriptedPeer(space.identity(THIRD), port=port) as mended:
        (taken,) = mended.takes()
        assert taken.reverse_path == NORTH.address("claire")
        until(lambda: not north.queued(), "the queue is empty")
    assert len(north.messages("claire")) == 1  # told once, however many attempts there were


def test_a_server_without_tls_hears_nothing_of_the_message(space: TrustSpace, operator: OperatorFactory) -> None:
    with ScriptedPeer(space.identity(THIRD), offers_not=["STARTTLS"]) as bad:
        north = sender(operator, bad)
        north.send("claire", [TO], "Secret")
        until(lambda: north.journal("deferral", "no-tls"), "the message waits")
        assert set(bad.heard.replace(b"\r\n", b"\r\n\0").split(b"\0")) <= OUR_WORDS | {b""}
        notice = read_notice(north.only_message("claire"))
        assert "ne propose pas STARTTLS" in notice.french
        assert notice.fields["Status"] == "4.7.4"
        until(lambda: north.journal("peer-refusal", "no-tls"), "the refusal is journalled")


def test_a_certificate_is_judged_for_the_domain_of_each_message(space: TrustSpace, operator: OperatorFactory) -> None:
    """Two domains routed to one server, which is listed for one of them only: an open line gives the other nothing."""
    with ScriptedPeer(space.identity(THIRD)) as peer:
        routes = {THIRD.domain: peer.route, SOUTH.domain: peer.route}
        north = operator(NORTH, ("claire",), queue={"routes": routes}).start()
        north.send("claire", [TO], "Pour vous")
        peer.takes()
        north.send("claire", [SOUTH.address("karim")], "Pour un autre")
        until(lambda: north.journal("deferral", "name-listed-for-other-domain"), "the second waits")
        assert peer.connections == 1
        assert b"karim" not in peer.heard
        assert len(peer.taken) == 1


def test_what_leaves_for_a_good_server_leaves_under_tls_alone(space: TrustSpace, operator: OperatorFactory) -> None:
    """The control: mutual TLS, then the message, whole; the journal says to whom and how."""
    with ScriptedPeer(space.identity(THIRD)) as peer:
        north = sender(operator, peer)
        sent = north.send("claire", [TO], "Bonjour")
        (taken,) = peer.takes()
        copy = north.only_message("claire", Role.SENT)
        assert taken.content == copy
        assert taken.reverse_path == NORTH.address("claire")
        (entry,) = until(lambda: north.journal("relay"), "the relay is journalled")
    assert entry.subject == sent.id
    assert entry.facts["tls"] == "TLSv1.3 TLS_AES_256_GCM_SHA384"
    assert entry.facts["peer"] == THIRD.dn
    assert entry.facts["domain"] == THIRD.domain
    assert entry.personal is not None
    assert entry.personal["to"] == TO
