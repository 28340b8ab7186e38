"""SASL messages: what the standards show is read, what they forbid is refused, and nothing that was sent is repeated."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.protocols import sasl
from vaguemestre.protocols.sasl import Bearer, Exchange, Plain, SaslError, UnknownMechanismError

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
BAL = "marie.curie@hopital.mssante.fr"
names = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=",="), min_size=1, max_size=50)


def test_plain_is_read_as_in_its_standard() -> None:
    assert sasl.parse("PLAIN", b"\0tim\0tanstaaftanstaaf") == Plain("", "tim", "tanstaaftanstaaf")
    assert sasl.parse("PLAIN", b"Ursel\0Kurt\0xipj3plmq") == Plain("Ursel", "Kurt", "xipj3plmq")


def test_plain_of_software_may_have_no_password() -> None:
    assert sasl.parse("PLAIN", f"\0{BAL}\0".encode()) == Plain("", BAL, "")


def test_xoauth2_is_read_as_the_operators_specification_shows() -> None:
    response = f"user={BAL}\1auth=Bearer {TOKEN}\1\1".encode()
    assert sasl.parse("XOAUTH2", response) == Bearer(BAL, TOKEN)


@pytest.mark.parametrize(
    "response",
    [
        f"n,a={BAL},\1host=server.example.com\1port=143\1auth=Bearer {TOKEN}\1\1",
        f"y,a={BAL},\1auth=bearer {TOKEN}\1\1",
        f"n,a={BAL},\1auth=Bearer  {TOKEN} \1x=\1\1",
    ],
)
def test_oauthbearer_is_read_as_in_its_standard(response: str) -> None:
    assert sasl.parse("OAUTHBEARER", response.encode()) == Bearer(BAL, TOKEN)


def test_oauthbearer_may_leave_the_account_to_the_token() -> None:
    assert sasl.parse("OAUTHBEARER", f"n,,\1auth=Bearer {TOKEN}\1\1".encode()) == Bearer("", TOKEN)


def test_a_comma_and_an_equals_sign_in_a_name_are_spelled_out() -> None:
    assert sasl.parse("OAUTHBEARER", f"n,a=a=2Cb=3Dc,\1auth=Bearer {TOKEN}\1\1".encode()) == Bearer("a,b=c", TOKEN)


@pytest.mark.parametrize(
    ("mechanism", "response"),
    [
        ("PLAIN", b""),
        ("PLAIN", b"tim"),
        ("PLAIN", b"\0tim"),
        ("PLAIN", b"\0\0secret"),
        ("PLAIN", b"\0tim\0a\0b"),
        ("PLAIN", b"\0t\nim\0secret"),
        ("PLAIN", b"\0\xfftim\0secret"),
        ("PLAIN", b"\0tim\0\xff"),
        ("PLAIN", b"\0" + b"t" * 256 + b"\0secret"),
        ("PLAIN", b"\0tim\0" + b"s" * 256),
        ("XOAUTH2", b""),
        ("XOAUTH2", b"user=\1auth=Bearer abc\1\1"),
        ("XOAUTH2", b"user=a@b\1auth=Bearer abc\1"),
        ("XOAUTH2", b"user=a@b\1auth=Bearer abc\1\1\1"),
        ("XOAUTH2", b"user=a@b\1auth=Basic abc\1\1"),
        ("XOAUTH2", b"user=a@b\1auth=Bearer \1\1"),
        ("XOAUTH2", b"user=a@b\1auth=Bearer a b\1\1"),
        ("XOAUTH2", b"user=a@b\1Bearer abc\1\1"),
        ("XOAUTH2", b"user=a@b^Aauth=Bearer abc^A^A"),
        ("XOAUTH2", b"auth=Bearer abc\1user=a@b\1\1"),
        ("XOAUTH2", b"user=a@b\1auth=Bearer a\xc3\xa9\1\1"),
        ("OAUTHBEARER", b"\1"),
        ("OAUTHBEARER", b"n,a=a@b,\1\1"),
        ("OAUTHBEARER", b"n,a=a@b\1auth=Bearer abc\1\1"),
        ("OAUTHBEARER", b"n,b=a@b,\1auth=Bearer abc\1\1"),
        ("OAUTHBEARER", b"n,a=,\1auth=Bearer abc\1\1"),
        ("OAUTHBEARER", b"n,a=a=b,\1auth=Bearer abc\1\1"),
        ("OAUTHBEARER", b"p=tls-exporter,a=a@b,\1auth=Bearer abc\1\1"),
        ("OAUTHBEARER", b"n,a=a@b,x\1auth=Bearer abc\1\1"),
        ("OAUTHBEARER", b"n,a=a@b,\1auth=Bearer abc\1auth=Bearer abd\1\1"),
        ("OAUTHBEARER", b"n,a=a@b,\1host\1auth=Bearer abc\1\1"),
        ("OAUTHBEARER", b"n,a=a@b,\1auth=Bearer abc\1"),
        ("XOAUTH2", b"user=a@b\1auth=Bearer " + b"a" * sasl.MOST_OCTETS + b"\1\1"),
    ],
)
def test_a_malformed_message_is_refused_and_not_repeated(mechanism: str, response: bytes) -> None:
    with pytest.raises(SaslError) as refused:
        sasl.parse(mechanism, response)
    assert refused.value.fr != refused.value.en
    for word in ("tim", "secret", "a@b", "abc"):
        assert word not in refused.value.en + refused.value.fr


def test_a_secret_does_not_show() -> None:
    shown = repr([Plain("", "tim", "tanstaaf"), Bearer("tim", "vF9dft4")])
    assert "tanstaaf" not in shown
    assert "vF9dft4" not in shown


def test_login_asks_for_the_name_then_for_the_password() -> None:
    exchange = Exchange("login")
    assert exchange.start(None) == b"Username:"
    assert exchange.receive(b"tim") == b"Password:"
    assert exchange.receive(b"tanstaaf") == Plain("", "tim", "tanstaaf")
    assert exchange.refusal() is None


def test_login_takes_the_name_at_once() -> None:
    exchange = Exchange("LOGIN")
    assert exchange.start(b"tim") == b"Password:"
    assert exchange.receive(b"") == Plain("", "tim", "")


@pytest.mark.parametrize("name", [b"", b"a\nb", b"\xff", b"a" * 400])
def test_login_refuses_a_name_that_is_none(name: bytes) -> None:
    with pytest.raises(SaslError):
        Exchange("LOGIN").start(name)


@pytest.mark.parametrize("mechanism", ["PLAIN", "XOAUTH2", "OAUTHBEARER"])
def test_without_an_initial_response_the_challenge_is_empty(mechanism: str) -> None:
    assert Exchange(mechanism).start(None) == b""


@pytest.mark.parametrize("mechanism", ["EXTERNAL", "CRAM-MD5", "GSSAPI", "", "PLAIN "])
def test_an_unknown_mechanism_is_refused(mechanism: str) -> None:
    with pytest.raises(UnknownMechanismError):
        Exchange(mechanism)
    with pytest.raises(UnknownMechanismError):
        sasl.parse(mechanism, b"")


def test_bearer_mechanisms_say_why_in_json_before_the_refusal() -> None:
    assert Exchange("OAUTHBEARER").refusal() == b'{"status":"invalid_token"}'
    told = Exchange("OAUTHBEARER").refusal("https://a/.well-known/openid-configuration")
    assert told == b'{"status":"invalid_token","openid-configuration":"https://a/.well-known/openid-configuration"}'
    assert Exchange("XOAUTH2").refusal() == b'{"status":"401","schemes":"bearer","scope":"openid"}'
    assert Exchange("PLAIN").refusal() is None


def test_base64_is_read_strictly_and_an_equals_sign_is_nothing() -> None:
    assert sasl.decode(b"=") == b""
    assert sasl.decode(b"") == b""
    assert sasl.decode(b"AHRpbQBzZWNyZXQ=") == b"\0tim\0secret"
    for bad in (b"AHRpbQBzZWNyZXQ", b"AH Rp", b"AHRp\r\n", b"==", b"A===", b"\xff\xff\xff\xff", b"A" * 20_000):
        with pytest.raises(SaslError):
            sasl.decode(bad)


@given(names, st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=60), names)
def test_what_plain_was_made_of_comes_back(user: str, password: str, other: str) -> None:
    response = f"{other}\0{user}\0{password}".encode()
    assert sasl.parse("PLAIN", sasl.decode(base64.b64encode(response))) == Plain(other, user, password)


@given(names, st.from_regex(r"[A-Za-z0-9._~+/-]{1,200}={0,2}", fullmatch=True))
def test_what_bearers_were_made_of_comes_back(user: str, token: str) -> None:
    assert sasl.parse("XOAUTH2", f"user={user}\1auth=Bearer {token}\1\1".encode()) == Bearer(user, token)
    assert sasl.parse("OAUTHBEARER", f"n,a={user},\1auth=Bearer {token}\1\1".encode()) == Bearer(user, token)
