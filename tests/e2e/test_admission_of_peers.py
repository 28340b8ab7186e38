"""ANS's negative suite, as the server that peers call: six kinds of peer refused, the control accepted.

Spec trust-space §1 "ANS probe domains".
"""

from collections.abc import Callable

import pytest

from simulators.caller import Caller, letter
from simulators.operators import Operator
from simulators.patience import until
from simulators.space import NORTH, SOUTH, Identity, TrustSpace

Choose = Callable[[TrustSpace], Identity | None]

# The probe, the certificate it shows, the rule that refuses it, words of both sentences.
PROBES: list[tuple[str, Choose, str, str, str]] = [
    ("expired", lambda space: space.expired, "certificate-expired", "a expire le", "expired on"),
    ("revoked", lambda space: space.revoked, "certificate-revoked", "a ete revoque", "was revoked"),
    (
        "not of IGC",
        lambda space: space.foreign(NORTH.dn),
        "unknown-authority",
        "aucune autorite",
        "no trusted authority",
    ),
    (
        "not listed",
        lambda space: space.issue("CN=mail.inconnu.fr,OU=1000000009,O=INCONNU,ST=Nord (59),C=FR"),
        "name-not-listed",
        "n'est pas dans la liste blanche",
        "is not in the MSSante allow-list",
    ),
    (
        "another name than the listed one",
        lambda space: space.issue(NORTH.dn.replace("CN=mail.nord", "CN=autre.nord")),
        "name-not-listed",
        "exactement ce nom",
        "exactly this name",
    ),
    (
        "listed for another domain",
        lambda space: space.identity(SOUTH),
        "name-listed-for-other-domain",
        "mais pas pour nord.mssante.fr",
        "but not for nord.mssante.fr",
    ),
    ("no certificate", lambda space: None, "no-certificate", "aucun certificat", "no certificate"),
]


@pytest.mark.parametrize(("choose", "rule", "fr", "en"), [p[1:] for p in PROBES], ids=[p[0] for p in PROBES])
def test_a_peer_that_may_not_speak_for_its_domain_is_refused_with_the_reason(
    space: TrustSpace, south: Operator, choose: Choose, rule: str, fr: str, en: str
) -> None:
    with Caller.secured(south.port, choose(space), space.authorities) as caller:
        answer = caller.say(f"MAIL FROM:<{NORTH.address('claire')}>")
        assert answer.status == "550 5.7.1"
        assert fr in answer.text
        assert en in answer.text
        # Refused means refused: nothing that follows, pipelined or not, gets further.
        assert caller.say(f"RCPT TO:<{SOUTH.address('claire')}>").code == 503
        assert caller.say("DATA").code == 503
        assert caller.say("QUIT").code == 221
    (entry, *_) = until(lambda: south.journal("peer-refusal", rule), f"a journal entry of rule {rule}")
    assert entry.personal is not None
    assert entry.personal["from"] == NORTH.address("claire")
    assert entry.facts["tls"].startswith("TLSv1.3 ")
    assert south.messages("claire") == []


def test_a_peer_without_tls_is_refused_before_it_can_name_anybody(space: TrustSpace, south: Operator) -> None:
    with Caller(south.port) as caller:
        assert caller.say("EHLO sans-tls.example").code == 250
        for command in (f"MAIL FROM:<{NORTH.address('claire')}>", f"RCPT TO:<{SOUTH.address('claire')}>", "DATA"):
            answer = caller.say(command)
            assert answer.status == "530 5.7.0"
            assert "STARTTLS" in answer.text
            assert "certificat client" in answer.text
            assert "mutual TLS only" in answer.text
    until(lambda: south.journal("peer-refusal", "no-tls"), "a journal entry of rule no-tls")


def test_the_control_is_accepted(space: TrustSpace, south: Operator) -> None:
    sender, to = NORTH.address("claire"), SOUTH.address("karim")
    with Caller.secured(south.port, space.identity(NORTH), space.authorities) as caller:
        answer = caller.send(sender, [to], letter(sender, to))
        assert answer.status == "250 2.0.0"
        # It stands in the inbox before the peer reads 250.
        (message,) = south.messages("karim")
        assert message.summary.subject == "Bonjour"


def test_an_operator_that_was_refused_may_still_speak_for_its_own_domain(space: TrustSpace, south: Operator) -> None:
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        assert caller.say(f"MAIL FROM:<{SOUTH.address('claire')}>").code == 550
        assert caller.say(f"MAIL FROM:<{NORTH.address('claire')}>").code == 250


def test_a_domain_that_nobody_listed_is_refused(space: TrustSpace, south: Operator) -> None:
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        answer = caller.say("MAIL FROM:<claire@example.org>")
        assert answer.status == "550 5.7.1"
        assert "example.org n'est pas dans la liste blanche" in answer.text
        # Being listed for a domain says nothing of what stands under it.
        assert caller.say("MAIL FROM:<claire@sous.nord.mssante.fr>").status == "550 5.7.1"
        assert caller.say("MAIL FROM:<claire>").code == 501


def test_the_null_reverse_path_needs_a_listed_certificate_and_no_more(space: TrustSpace, south: Operator) -> None:
    to = SOUTH.address("awa")
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        assert caller.send("", [to], letter("postmaster@nord.mssante.fr", to, "Avis de remise")).code == 250
    with Caller.secured(south.port, space.expired) as caller:
        assert caller.say("MAIL FROM:<>").status == "550 5.7.1"
    unlisted = space.issue("CN=mail.inconnu.fr,OU=1000000009,O=INCONNU,ST=Nord (59),C=FR")
    with Caller.secured(south.port, unlisted) as caller:
        assert caller.say("MAIL FROM:<>").status == "550 5.7.1"
    assert south.content(south.messages("awa")[0]).startswith(b"Return-Path: <>\r\n")
