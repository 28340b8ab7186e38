"""What an administrator types about who enters accounts; and that a door made from a configuration opens accordingly."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from simulators.openid_provider import CLIENT, PERSON, SECRET, OpenIdProvider
from simulators.operators import Operator, OperatorFactory, answer_of
from simulators.space import NORTH, TrustSpace
from vaguemestre import app as composition
from vaguemestre import config
from vaguemestre.errors import ConfigurationError
from vaguemestre.identity import traces
from vaguemestre.mailstore import accounts
from vaguemestre.mailstore.access import Access
from vaguemestre.mailstore.model import AccountKind
from vaguemestre.protocols.sasl import Bearer, Credentials, Plain
from vaguemestre.servers.sign_in import Origin, SignInRefusedError

CLAIRE, CABINET, LABO = (NORTH.address(name) for name in ("claire", "cabinet", "labo"))
RPPS, OTHER = "99700366240", "10000000009"
ROBOT_DN = "CN=labo.exemple.fr,OU=318751275100020,O=LABO,ST=Var (83),C=FR"


@pytest.fixture
def north(operator: OperatorFactory) -> Operator:
    """An operator that allows app passwords, not running."""
    made = operator(NORTH, ("claire",), identity={"app_passwords": True})
    made.write(accounts.create, AccountKind.CAB, CABINET, "Cabinet")
    made.write(accounts.create, AccountKind.APP, LABO, "Labo")
    return made


def said(north: Operator, *words: str) -> dict[str, Any]:
    """The JSON of a command that succeeds; and the same command has words for people, or the answer no."""
    done = north.command("account", *words, "--json")
    assert done.exit_code == 0, done.stderr + done.stdout
    return answer_of(done)


def enter(north: Operator, credentials: Credentials, chain: tuple[bytes, ...] = ()) -> Access | None:
    """Sign in by the door that the composition root makes; None when refused."""
    loaded = config.load(north.config_file, {})

    async def within() -> Access | None:
        door = composition.sign_in(loaded, north.stores, composition.judge(loaded, composition.trusted_set(loaded)))
        try:
            return await door.authenticate(credentials, Origin("192.0.2.1", "TLSv1.3", chain, "imap"))
        except SignInRefusedError:
            return None
        finally:
            await door.close()

    return asyncio.run(within())


def test_from_an_account_to_a_device_that_enters(north: Operator) -> None:
    bound = said(north, "holder", CLAIRE, "--rpps", RPPS, "--name", "Claire Obscure")
    assert (bound["national_id"], bound["name"], bound["part"]) == ("8" + RPPS, "Claire Obscure", "holder")
    made = said(north, "password", "add", CLAIRE, "--label", "Téléphone")
    assert made["label"] == "Téléphone"
    entered = enter(north, Plain("", CLAIRE, made["secret"]))
    assert entered is not None
    assert entered.account.address == CLAIRE
    north.write(lambda _: None)  # what was noted in the background is written by then
    (listed,) = said(north, "password", "list", CLAIRE)["app_passwords"]
    assert listed["used_at"]
    assert "secret" not in listed
    assert said(north, "password", "revoke", CLAIRE, "--label", "Téléphone")["revoked"] is True
    assert enter(north, Plain("", CLAIRE, made["secret"])) is None
    assert north.command("account", "password", "revoke", CLAIRE, "--label", "Téléphone").exit_code == 1


def test_people_read_the_secret_once_and_what_to_do_with_it(north: Operator) -> None:
    north.command("account", "holder", CLAIRE, "--rpps", RPPS, "--name", "Claire")
    shown = north.command("account", "password", "add", CLAIRE, "--label", "Poste").stdout
    assert "ne sera plus montré" in shown
    secret = shown.splitlines()[1]
    assert enter(north, Plain("", CLAIRE, secret)) is not None
    for words in (("password", "list"), ("holders",)):
        again = north.command("account", *words, CLAIRE).stdout
        assert "Claire" in again
        assert secret not in again


def test_a_shared_account_from_grant_to_the_end_of_it(north: Operator) -> None:
    said(north, "holder", CABINET, "--rpps", RPPS)
    given = said(
        north, "grant", CABINET, "--rpps", OTHER, "--name", "Paul", "--rights", "read,write,send", "--label", "Dr P"
    )
    assert (given["part"], given["rights"], given["label"]) == ("delegate", "read,write,send", "Dr P")
    people = said(north, "holders", CABINET)["holders"]
    assert [each["part"] for each in people] == ["holder", "delegate"]
    assert north.command("account", "password", "add", CABINET, "--label", "Poste").exit_code == 1
    secret = said(north, "password", "add", CABINET, "--label", "Poste", "--rpps", OTHER)["secret"]
    assert enter(north, Plain("", CABINET, secret)) is not None
    assert said(north, "ungrant", CABINET, "--rpps", OTHER)["ended"] is True
    assert enter(north, Plain("", CABINET, secret)) is None
    assert north.command("account", "ungrant", CABINET, "--rpps", OTHER).exit_code == 1
    assert said(north, "sign-out", CABINET)["signed_out"] is True


def test_reading_is_shared_or_each_persons_own(north: Operator) -> None:
    said(north, "holder", CABINET, "--rpps", RPPS)
    secret = said(north, "password", "add", CABINET, "--label", "Poste", "--rpps", RPPS)["secret"]
    for switch, own in (("on", True), ("off", False)):
        assert said(north, "own-reading", CABINET, switch) == {"address": CABINET, "own_reading": own}
        entered = enter(north, Plain("", CABINET, secret))
        assert entered is not None
        assert entered.person is not None
        assert entered.reader == (entered.person.id if own else 0)
    assert north.command("account", "own-reading", CABINET, "peut-être").exit_code == 2


def test_software_by_its_certificate(north: Operator, space: TrustSpace, tmp_path: Path) -> None:
    north.start()  # once, for its CRLs
    north.stop()
    identity = space.issue(ROBOT_DN)
    chain = (identity.credential.der, space.authority.issuing.der)
    assert enter(north, Plain("", LABO, ""), chain) is None
    bound = said(north, "certificate", "add", LABO, "--certificate", str(identity.alone))
    assert bound["sha256"] == ""
    assert [each["subject"] for each in said(north, "certificate", "list", LABO)["certificates"]] == [bound["subject"]]
    entered = enter(north, Plain("", LABO, ""), chain)
    assert entered is not None
    assert entered.person is None
    assert len(said(north, "certificate", "remove", LABO, "--certificate", str(identity.alone))["removed"]) == 1
    assert enter(north, Plain("", LABO, ""), chain) is None
    again = north.command("account", "certificate", "remove", LABO, "--certificate", str(identity.alone))
    assert again.exit_code == 1
    assert said(north, "certificate", "add", LABO, "--certificate", str(identity.alone), "--exactly")["sha256"]
    (tmp_path / "no.pem").write_text("rien")
    refused = north.command("account", "certificate", "add", LABO, "--certificate", str(tmp_path / "no.pem"))
    assert refused.exit_code == 2


def test_traces_are_shown_in_local_time(north: Operator) -> None:
    account = north.read(accounts.get, CLAIRE)
    act = (account.id, 0, 7, "imap", "open", "SELECT", "12", "OK")
    north.write(traces.append, [[(act, 1_767_225_600_000, 3)]])
    (shown,) = said(north, "trace", CLAIRE)["traces"]
    assert (shown["action"], shown["request"], shown["target"], shown["outcome"], shown["times"]) == (
        "open",
        "SELECT",
        "12",
        "OK",
        3,
    )
    assert shown["at"][-6] in "+-"
    assert "SELECT" in north.command("account", "trace", CLAIRE).stdout
    assert said(north, "trace", CLAIRE, "--since", "2026-02-01")["traces"] == []
    assert said(north, "trace", CLAIRE, "--until", "2025-12-01")["traces"] == []
    assert "Aucune trace" in north.command("account", "trace", CLAIRE, "--since", "2026-02-01").stdout
    assert north.command("account", "trace", CLAIRE, "--since", "hier").exit_code == 2


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (2, ("holder", CLAIRE, "--rpps", "99700366241")),
        (2, ("holder", CLAIRE)),
        (2, ("holder", CLAIRE, "--rpps", RPPS, "--national-id", "8" + RPPS)),
        (2, ("holder", CLAIRE, "--national-id", "?")),
        (2, ("grant", CLAIRE, "--rpps", RPPS, "--rights", "admin")),
        (2, ("password", "add", CLAIRE)),
        (1, ("holder", LABO, "--rpps", RPPS)),
        (1, ("holder", "nobody@nord.mssante.fr", "--rpps", RPPS)),
        (1, ("password", "add", CLAIRE, "--label", "Poste")),
        (1, ("ungrant", CLAIRE, "--rpps", RPPS)),
        (1, ("holders", "nobody@nord.mssante.fr")),
        (1, ("trace", "nobody@nord.mssante.fr")),
    ],
)
def test_misuse_and_refusals_have_their_codes(north: Operator, code: int, words: tuple[str, ...]) -> None:
    done = north.command("account", *words)
    assert done.exit_code == code, done.stderr
    assert done.stderr.strip()
    if code == 1:
        refusal = json.loads(north.command("account", *words, "--json").stdout)
        assert refusal["fr"] != refusal["en"]


def test_app_passwords_are_off_unless_the_operator_allows_them(operator: OperatorFactory) -> None:
    south = operator(NORTH, ("claire",))
    south.command("account", "holder", CLAIRE, "--rpps", RPPS)
    refused = south.command("account", "password", "add", CLAIRE, "--label", "Poste")
    assert refused.exit_code == 1
    assert "app_passwords = true" in refused.stderr


@pytest.mark.parametrize("by", ["keys", "asking"])
def test_a_configured_issuer_lets_in_by_token(operator: OperatorFactory, tmp_path: Path, by: str) -> None:
    provider = OpenIdProvider()
    (tmp_path / "secret").write_text(SECRET + "\n")
    asking = {"introspection": provider.introspection, "client": CLIENT, "client_secret": str(tmp_path / "secret")}
    try:
        north = operator(NORTH, ("claire",), identity={"issuer": provider.issuer, **(asking if by == "asking" else {})})
        north.command("account", "holder", CLAIRE, "--national-id", PERSON)
        assert enter(north, Bearer(CLAIRE, provider.token())) is not None
        assert enter(north, Bearer(CLAIRE, provider.token(SubjectNameID="8" + OTHER))) is None
        assert enter(north, Bearer(CLAIRE, provider.unsigned())) is None
    finally:
        provider.close()


@pytest.mark.parametrize(
    "identity",
    [
        {"issuer": "http://auth.example/realm"},
        {"issuer": "https://auth.example", "jwks": "ftp://auth.example/keys"},
        {"issuer": "https://auth.example", "introspection": "https://auth.example/i"},
        {
            "issuer": "https://auth.example",
            "introspection": "https://a/i",
            "client": "c",
            "client_secret": "/nulle/part",
        },
        {"issuer": "https://auth.example", "authorities": "/nulle/part"},
    ],
)
def test_an_issuer_that_cannot_be_trusted_stops_the_start(operator: OperatorFactory, identity: dict[str, Any]) -> None:
    north = operator(NORTH, ("claire",), identity=identity)
    with pytest.raises(ConfigurationError):
        enter(north, Bearer(CLAIRE, "a.b.c"))
