"""When the allow-list or the CRLs are missing, damaged, old or replaced: refused for now, never let through, and mended.

Spec trust-space §1 [I]: keep the last good list, refuse an older one, alarm, never fail open.
"""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from simulators.caller import Answer, Caller, letter
from simulators.notices import read_notice
from simulators.operators import Operator, OperatorFactory
from simulators.patience import until
from simulators.peer import ScriptedPeer
from simulators.ports import free_port
from simulators.space import NORTH, SOUTH, THIRD, TrustSpace
from vaguemestre.protocols.smtp.replies import Reply
from vaguemestre.transport.submission import RecipientRefusedError
from vaguemestre.trust import allowlist
from vaguemestre.trust.publisher import Authority

AUTHOR, TO = NORTH.address("claire"), SOUTH.address("claire")
OFTEN = 0.1


@pytest.fixture
def sources(space: TrustSpace, tmp_path: Path) -> Path:
    """A folder that a test may damage: `list.xml` is not there yet, the CRLs are."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for name in ("root.crl", "issuing.crl"):
        shutil.copy(space.folder / "authority" / name, folder)
    return folder


def receiver(operator: OperatorFactory, sources: Path, **trust: Any) -> Operator:
    """An operator that reads its list and CRLs from `sources`, ten times a second."""
    crls = [str(sources / name) for name in ("root.crl", "issuing.crl")]
    return operator(SOUTH, trust={"list": str(sources / "list.xml"), "crls": crls, "refresh": OFTEN, **trust})


def publish(sources: Path, data: bytes, name: str = "list.xml") -> None:
    """Put a file in place at once, as a web server would serve it: whole."""
    fresh = sources / "fresh"
    fresh.write_bytes(data)
    fresh.replace(sources / name)


def asked(space: TrustSpace, south: Operator) -> Answer:
    """What the operator answers to a good peer's MAIL."""
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        return caller.say(f"MAIL FROM:<{AUTHOR}>")


def admits(space: TrustSpace, south: Operator) -> None:
    """Wait until a good peer is admitted, and deliver a message."""
    until(lambda: asked(space, south).code == 250, "the peer is admitted")
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        assert caller.send(AUTHOR, [TO], letter(AUTHOR, TO)).code == 250


def test_without_a_list_nobody_is_admitted_until_there_is_one(
    space: TrustSpace, operator: OperatorFactory, sources: Path
) -> None:
    south = receiver(operator, sources).start()
    answer = asked(space, south)
    assert answer.status == "451 4.7.1"
    assert "n'a pas de liste blanche MSSante a jour" in answer.text
    assert "Reessayez plus tard" in answer.text
    assert "no up-to-date MSSante allow-list" in answer.text
    until(lambda: south.journal("peer-refusal", "no-current-list"), "the refusal is journalled")
    until(lambda: south.journal("list-refusal", "fetch-failed"), "the failed refresh is journalled")
    with pytest.raises(RecipientRefusedError) as refusal:
        south.send("claire", [AUTHOR])
    assert "n'a pas de liste blanche" in refusal.value.fr
    publish(sources, space.signed())
    admits(space, south)
    assert south.journal("list-update")[0].facts["signer"]


def _altered(good: bytes) -> bytes:
    return good.replace(b"<Nom>nord.mssante.fr", b"<Nom>nard.mssante.fr")


def _unsigned(good: bytes) -> bytes:
    start, end = good.index(b"<ds:Signature" if b"<ds:Signature" in good else b"<Signature"), good.rindex(b"</Liste")
    return good[:start] + good[end:]


@pytest.mark.parametrize(
    "damage",
    [
        _altered,
        _unsigned,
        lambda good: good[: len(good) // 2],
        lambda good: b"",
        lambda good: b"<html>Maintenance</html>",
    ],
    ids=["altered", "unsigned", "cut short", "empty", "another page"],
)
def test_a_damaged_list_changes_nothing_but_the_journal(
    space: TrustSpace, operator: OperatorFactory, sources: Path, damage: Any
) -> None:
    publish(sources, space.signed())
    south = receiver(operator, sources).start()
    admits(space, south)
    later = space.signed([allowlist.entry("autre.mssante.fr", THIRD.dn)], space.now + timedelta(seconds=5))
    publish(sources, damage(later))
    until(lambda: south.journal("list-refusal"), "the refusal is journalled")
    admits(space, south)
    assert len(south.journal("list-update")) == 1


def test_an_older_list_never_replaces_a_newer_one(space: TrustSpace, operator: OperatorFactory, sources: Path) -> None:
    """Somebody replays a list of before a domain was withdrawn."""
    old = space.signed([allowlist.entry("retire.mssante.fr", NORTH.dn)], space.now - timedelta(days=1))
    publish(sources, space.signed())
    south = receiver(operator, sources).start()
    admits(space, south)
    publish(sources, old)
    until(lambda: south.journal("list-refusal", "list-older"), "the old list is refused")
    south.stop()
    south.start()  # nor does a restart forget
    until(lambda: len(south.journal("list-refusal", "list-older")) >= 2, "the old list is refused again")
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        assert caller.say("MAIL FROM:<claire@retire.mssante.fr>").status == "550 5.7.1"
        assert caller.say(f"MAIL FROM:<{AUTHOR}>").code == 250


def test_past_the_grace_nobody_is_admitted_until_a_good_list_comes(
    space: TrustSpace, operator: OperatorFactory, sources: Path
) -> None:
    publish(sources, space.signed())
    south = receiver(operator, sources, grace=2.0).start()
    admits(space, south)
    (sources / "list.xml").unlink()
    until(lambda: asked(space, south).status == "451 4.7.1", "the grace is over")
    publish(sources, space.signed(at=space.now + timedelta(seconds=5)))
    admits(space, south)


def test_the_kept_list_serves_a_restart_while_its_source_is_away(
    space: TrustSpace, operator: OperatorFactory, sources: Path
) -> None:
    publish(sources, space.signed())
    south = receiver(operator, sources).start()
    admits(space, south)
    south.stop()
    shutil.rmtree(sources)
    south.start()
    admits(space, south)


def test_a_domain_withdrawn_from_the_list_gets_no_more_mail(
    space: TrustSpace, operator: OperatorFactory, sources: Path
) -> None:
    """What waits for it comes back to its author; what is written to it is refused at once."""
    leaving = "partant.mssante.fr"
    publish(sources, space.signed([allowlist.entry(leaving, THIRD.dn)]))
    with ScriptedPeer(space.identity(THIRD), always={"RCPT": Reply(450, "4.2.0", ("Later",))}) as peer:
        south = receiver(operator, sources)
        _also(south, f'[queue]\npause_scale = 0.001\n[queue.routes]\n"{leaving}" = "{peer.route}"\n')
        south.start()
        admits(space, south)
        south.send("claire", [f"awa@{leaving}"])
        peer.passes("RCPT")
        publish(sources, space.signed(at=space.now + timedelta(seconds=5)))
        until(lambda: south.journal("bounce", "domain-not-listed"), "the message comes back")
    until(lambda: len(south.messages("claire")) == 2, "the notification")
    notice = read_notice(south.content(south.messages("claire")[0]))
    assert notice.fields["Status"] == "5.7.1"
    assert f"Le domaine {leaving} n'est pas inscrit dans l'espace de confiance" in notice.french
    with pytest.raises(RecipientRefusedError) as refusal:
        south.send("claire", [f"awa@{leaving}"])
    assert "cherchez-la dans l'annuaire" in refusal.value.fr


def test_without_a_current_crl_nobody_is_admitted_until_there_is_one(
    space: TrustSpace, operator: OperatorFactory, sources: Path
) -> None:
    crl = (sources / "issuing.crl").read_bytes()
    (sources / "issuing.crl").unlink()
    publish(sources, space.signed())
    south = receiver(operator, sources).start()
    answer = asked(space, south)
    assert answer.status == "451 4.7.1"
    assert "On ne sait pas pour l'instant si le certificat" in answer.text
    publish(sources, crl, "issuing.crl")
    admits(space, south)
    (sources / "issuing.crl").unlink()  # the last one is kept until it ends
    south.stop()
    south.start()
    admits(space, south)


def test_without_a_crl_the_responder_says_who_is_admitted(
    space: TrustSpace, operator: OperatorFactory, tmp_path: Path
) -> None:
    """OCSP alone, through whole sessions; those that come together share one question, and none is put off."""
    published = Path(shutil.copytree(space.folder / "authority", tmp_path / "authority"))
    listen = f"127.0.0.1:{free_port()}"
    south = operator(
        SOUTH,
        trust={"crls": [str(published / "root.crl")], "ocsp": f"http://{listen}/ocsp"},
        authority={"folder": str(published), "listen": listen},
    ).start()
    lines = [Caller.secured(south.port, space.identity(NORTH)) for _ in range(4)]
    try:
        for caller in lines:
            caller.write(f"MAIL FROM:<{AUTHOR}>\r\n".encode())
        assert [caller.answer().code for caller in lines] == [250] * 4
    finally:
        for caller in lines:
            caller.close()
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        assert caller.send(AUTHOR, [TO], letter(AUTHOR, TO)).code == 250
    with Caller.secured(south.port, space.revoked) as caller:
        answer = caller.say(f"MAIL FROM:<{AUTHOR}>")
        assert answer.status == "550 5.7.1"
        assert "a ete revoque" in answer.text
    assert len(south.messages("claire")) == 1
    until(lambda: south.journal("peer-refusal", "certificate-revoked"), "the refusal is journalled")
    assert not south.journal("peer-refusal", "revocation-unknown")


def test_a_certificate_revoked_meanwhile_is_refused_on_an_open_connection(
    space: TrustSpace, operator: OperatorFactory, sources: Path, tmp_path: Path
) -> None:
    publish(sources, space.signed())
    south = receiver(operator, sources).start()
    mistaken = space.issue(NORTH.dn, "revoked later")
    with Caller.secured(south.port, mistaken) as caller:
        assert caller.send(AUTHOR, [TO], letter(AUTHOR, TO)).code == 250
        ours = Authority.open(Path(shutil.copytree(space.folder / "authority", tmp_path / "authority")))
        ours.revoke(mistaken.credential.certificate, space.now)
        publish(sources, ours.publish_crls(space.now)[1], "issuing.crl")
        until(lambda: caller.say("RSET") and caller.say(f"MAIL FROM:<{AUTHOR}>").code == 550, "it is refused")
        assert "a ete revoque" in caller.say(f"MAIL FROM:<{AUTHOR}>").text


def test_an_operator_refreshes_from_an_authority_over_http(
    space: TrustSpace, operator: OperatorFactory, tmp_path: Path
) -> None:
    """The list and the CRLs as `vaguemestre serve` publishes them; what changes there is in force here."""
    folder = Path(shutil.copytree(space.folder / "authority", tmp_path / "authority"))
    listen = f"127.0.0.1:{free_port()}"
    authority, base = Authority.open(folder), f"http://{listen}"
    authority.publish(space.now, add=[allowlist.entry(each.domain, each.dn) for each in (SOUTH, THIRD)])
    south = operator(
        SOUTH,
        trust={
            "list": f"{base}/listeblanchemssante.xml",
            "crls": [f"{base}/crl/root.crl", f"{base}/crl/issuing.crl"],
            "refresh": OFTEN,
        },
        authority={"folder": str(folder), "listen": listen},
    ).start()
    answer = asked(space, south)
    assert answer.status == "550 5.7.1"
    assert "nord.mssante.fr n'est pas dans la liste blanche" in answer.text
    authority.publish(space.now, add=[allowlist.entry(NORTH.domain, NORTH.dn)])
    admits(space, south)
    authority.publish(space.now, remove=[(NORTH.domain, None)])
    until(lambda: asked(space, south).code == 550, "the withdrawn domain is refused")


def test_a_new_list_is_in_force_in_every_process(space: TrustSpace, operator: OperatorFactory, sources: Path) -> None:
    """Connections are taken by processes of their own, which have no list but the one kept on disk."""
    publish(sources, space.signed())
    crls = [str(sources / name) for name in ("root.crl", "issuing.crl")]
    trust = {"list": str(sources / "list.xml"), "crls": crls, "refresh": OFTEN}
    south = operator(SOUTH, trust=trust, smtp={"workers": 2}).start_process()
    lines = [Caller.secured(south.port, space.identity(NORTH)) for _ in range(8)]
    try:
        assert {caller.say(f"MAIL FROM:<{AUTHOR}>").code for caller in lines} == {250}
        later = space.now + timedelta(seconds=5)
        publish(sources, space.authority.sign(allowlist.render([allowlist.entry(SOUTH.domain, SOUTH.dn)], later)))
        for caller in lines:
            until(
                lambda line=caller: line.say("RSET") and line.say(f"MAIL FROM:<{AUTHOR}>").code == 550, "it is refused"
            )
    finally:
        for caller in lines:
            caller.close()
    until(lambda: south.journal("peer-refusal", "domain-not-listed"), "the refusals are journalled")


def test_a_process_that_cannot_renew_its_trust_says_so_and_tries_again(
    space: TrustSpace, operator: OperatorFactory, sources: Path
) -> None:
    authorities = Path(shutil.copy(space.authorities, sources / "authorities.pem"))
    publish(sources, space.signed())
    crls = [str(sources / name) for name in ("root.crl", "issuing.crl")]
    trust = {"list": str(sources / "list.xml"), "crls": crls, "refresh": OFTEN, "authorities": [str(authorities)]}
    south = operator(SOUTH, trust=trust, smtp={"workers": 1}).start_process()
    admits(space, south)
    pem = authorities.read_bytes()
    authorities.unlink()
    later = space.now + timedelta(seconds=5)
    publish(sources, space.authority.sign(allowlist.render([allowlist.entry(SOUTH.domain, SOUTH.dn)], later)))
    until(lambda: "trust not renewed" in (south.folder / "serve.log").read_text(), "the failure is logged")
    assert asked(space, south).code == 250  # what it knew before serves meanwhile
    publish(sources, pem, "authorities.pem")
    until(lambda: asked(space, south).code == 550, "the new list is in force")


def _also(south: Operator, toml: str) -> None:
    text = south.config_file.read_text().replace("[queue]\n", "")
    south.config_file.write_text(text + toml)
