"""Signing in over SMTP: each means, what is refused and in which words, and how sessions end."""

import time
from collections.abc import Iterator
from functools import partial

import pytest

from simulators.caller import Caller, letter
from simulators.mail_program import MailProgram, encoded
from simulators.openid_provider import AUDIENCE, PERSON, OpenIdProvider
from simulators.operators import Operator, OperatorFactory
from simulators.patience import until
from simulators.space import SOUTH, TrustSpace
from vaguemestre import mail_parts
from vaguemestre.identity.client_certificates import Presented
from vaguemestre.identity.permissions import ADMINISTRATOR
from vaguemestre.mailstore import accounts, sharing
from vaguemestre.mailstore.model import AccountKind, AccountState
from vaguemestre.servers import listener
from vaguemestre.servers.limits import ServerLimits
from vaguemestre.trust import names

PEOPLE = ("claire", "karim", "awa", "lucie", "hugo", "ines", "paul", "rose", "sami", "zoe")
ROBOT_DN = "CN=robot.labo.exemple.fr,OU=318751275100020,O=LABO,ST=Var (83),C=FR"


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdProvider]:
    made = OpenIdProvider()
    yield made
    made.close()


@pytest.fixture(scope="module")
def south(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory, provider: OpenIdProvider) -> Iterator[Operator]:
    """An operator whose people send; each test signs in as a person of its own."""
    identity = {"app_passwords": True, "issuer": provider.issuer, "audience": [AUDIENCE]}
    listen = {"listen": "127.0.0.1:0", "listen_tls": "127.0.0.1:0"}
    folder = tmp_path_factory.mktemp("south")
    running = Operator(space, folder, SOUTH, PEOPLE, identity=identity, submission=listen).start()
    yield running
    running.close()


def sends(program: Caller, sender: str) -> bool:
    return program.send(sender, [SOUTH.address("claire")], letter(sender, SOUTH.address("claire"))).code == 250


def test_in_clear_nothing_is_offered_to_sign_in_with_and_no_secret_is_taken(south: Operator) -> None:
    user, secret = south.let_in("karim")
    with MailProgram(south.ports["submission"]) as program:
        offered = program.say("EHLO poste.example").lines
        assert "STARTTLS" in offered
        assert not any(line.startswith("AUTH") for line in offered)
        refused = program.plain(user, secret)
        assert refused.status == "538 5.7.11"
        assert "Changez un mot de passe envoye en clair" in refused.text
        assert program.say(f"MAIL FROM:<{user}>").status == "530 5.7.0"


def test_over_tls_the_means_of_this_operator_are_offered(south: Operator) -> None:
    with MailProgram.connected(south) as program:
        offered = program.say("EHLO poste.example").lines[1:]
        assert set(offered) == {
            "PIPELINING",
            f"SIZE {50 * 1024 * 1024}",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
            "CHUNKING",
            "ENHANCEDSTATUSCODES",
            "AUTH OAUTHBEARER XOAUTH2 PLAIN LOGIN",
        }
        refused = program.say(f"MAIL FROM:<{SOUTH.address('claire')}>")
        assert refused.status == "530 5.7.0"
        assert "Connexion requise" in refused.text


def test_tls_from_the_start(south: Operator) -> None:
    """RFC 8314 §3.3."""
    user, secret = south.let_in("awa")
    with MailProgram(south.ports["submissions"], tls_first=True) as program:
        assert program.banner.code == 220
        assert "STARTTLS" not in program.say("EHLO poste.example").lines
        assert program.plain(user, secret).code == 235
        assert sends(program, user)


def test_a_wrong_password_then_the_right_one_on_the_same_connection(south: Operator) -> None:
    user, secret = south.let_in("lucie")
    with MailProgram.connected(south) as program:
        refused = program.plain(user, "aaaa-bbbb-cccc-dddd")
        assert refused.status == "535 5.7.8"
        assert "mot de passe d'application" in refused.text
        assert "app password" in refused.text
        assert program.say(f"MAIL FROM:<{user}>").status == "530 5.7.0"
        assert [answer.status for answer in program.login(user, secret)] == ["334", "334", "235 2.7.0"]
        assert program.plain(user, secret).status == "503 5.5.1"
        assert sends(program, user)
    (entry,) = until(lambda: south.journal("sign-in-refusal", "bad-secret"), "the refusal is journalled")
    assert (entry.facts["protocol"], (entry.personal or {})["mailbox"]) == ("submission", user)


def test_an_unknown_account_and_a_bad_secret_are_refused_alike(south: Operator) -> None:
    user, _ = south.let_in("hugo")
    with MailProgram.connected(south) as program:
        known = program.plain(user, "aaaa-bbbb-cccc-dddd")
        unknown = program.plain(SOUTH.address("personne"), "aaaa-bbbb-cccc-dddd")
    assert known == unknown


def test_who_goes_on_failing_is_sent_away(south: Operator) -> None:
    with MailProgram.connected(south) as program:
        answers = [program.plain(SOUTH.address(f"inconnu{number}"), "x").status for number in range(6)]
        assert answers == ["535 5.7.8"] * 5 + ["421 4.7.0"]
        assert program.closed()


def test_giving_up_and_nonsense_leave_the_connection_usable(south: Operator) -> None:
    user, secret = south.let_in("ines")
    with MailProgram.connected(south) as program:
        assert program.say("AUTH PLAIN").code == 334
        assert program.say("*").code == 501
        assert program.say("AUTH GSSAPI").status == "504 5.5.4"
        assert program.say("AUTH PLAIN").code == 334
        assert program.say("!!!").status == "501 5.5.2"
        assert program.say(f"AUTH PLAIN {encoded('no nul here')}").status == "501 5.5.2"
        assert program.say("AUTH PLAIN").code == 334
        assert program.say(encoded(f"\0{user}\0{secret}")).code == 235


def test_a_token_of_pro_sante_connect_opens_its_holder_s_mailbox(south: Operator, provider: OpenIdProvider) -> None:
    user = SOUTH.address("paul")
    south.write(sharing.bind_holder, user, PERSON, "Dr Paul", ADMINISTRATOR)
    with MailProgram.connected(south) as program:
        expired = program.xoauth2(user, provider.token(exp=int(time.time()) - 600))
        assert expired.code == 334  # why, for software; its answer to that says nothing
        assert expired.text
        assert program.say("").status == "535 5.7.8"
        assert program.xoauth2(user, provider.token()).code == 235
        assert sends(program, user)
    with MailProgram.connected(south) as program:
        bearer = encoded(f"n,a={user},\1auth=Bearer {provider.token()}\1\1")
        assert program.say("AUTH OAUTHBEARER").code == 334
        assert program.say(bearer).code == 235


def test_a_provider_that_fails_is_no_wrong_password(operator: OperatorFactory, provider: OpenIdProvider) -> None:
    listen = {"listen": "127.0.0.1:0", "listen_tls": ""}
    identity = {"issuer": provider.issuer, "audience": [AUDIENCE]}
    south = operator(SOUTH, ("claire",), submission=listen, identity=identity).start()
    user = SOUTH.address("claire")
    south.write(sharing.bind_holder, user, PERSON, "Dr Claire", ADMINISTRATOR)
    with MailProgram.connected(south) as program:
        with provider.down():  # and it is counted against nobody
            assert {program.xoauth2(user, provider.token()).status for _ in range(7)} == {"454 4.7.0"}
        assert program.say("NOOP").code == 250


def test_software_enters_with_its_certificate_and_plain(space: TrustSpace, south: Operator) -> None:
    """ECO.1.3.1: the login is the mailbox, and the password counts for nothing."""
    robot = SOUTH.address("robot")
    south.write(accounts.create, AccountKind.APP, robot, "Labo")
    south.write(sharing.add_certificate, robot, Presented(names.parse(ROBOT_DN), "00" * 32), ADMINISTRATOR)
    with MailProgram.connected(south, space.issue(ROBOT_DN)) as program:
        assert program.plain(robot, "").code == 235
        assert sends(program, robot)
    with MailProgram.connected(south) as program:
        assert program.plain(robot, "").status == "535 5.7.8"


@pytest.mark.parametrize("when", ["idle", "envelope", "content"])
def test_a_suspended_account_sends_no_more_even_within_a_message(south: Operator, when: str) -> None:
    person = {"idle": "sami", "envelope": "zoe", "content": "claire"}[when]
    user, secret = south.let_in(person)
    to = SOUTH.address("rose")
    before = len(south.messages("rose"))
    with MailProgram.signed_in(south, (user, secret)) as program:
        if when != "idle":
            program.envelope(user, to)
        if when == "content":
            assert program.say("DATA").code == 354
            program.write(letter(user, to))
        south.write(accounts.change_state, user, AccountState.SUSPENDED)
        answer = program.answer()
        assert answer.status == "421 4.7.0"
        assert "suspendue" in answer.text
        assert program.closed()
    assert len(south.messages("rose")) == before
    with MailProgram.connected(south) as program:
        assert program.plain(user, secret).status == "535 5.7.8"


def test_who_does_not_sign_in_keeps_no_place_whatever_it_says(
    operator: OperatorFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_parts, "ServerLimits", partial(ServerLimits, stranger=1.0))
    monkeypatch.setattr(listener, "_SWEEP_S", 0.05)
    listen = {"listen": "127.0.0.1:0", "listen_tls": ""}
    south = operator(SOUTH, ("claire",), submission=listen, identity={"app_passwords": True}).start()
    assert "submissions" not in south.ports
    with MailProgram.signed_in(south, south.let_in("claire")) as known:
        with MailProgram.connected(south) as program:
            until(lambda: program.say("NOOP").code == 421, "it is told good-bye")
            assert program.closed()
        assert known.say("NOOP").code == 250
