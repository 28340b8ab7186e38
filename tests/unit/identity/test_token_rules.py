"""The rules that a token's claims must meet, whoever proved its origin: each broken alone, and the dates to the second."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.identity import tokens
from vaguemestre.identity.tokens import Claims, Policy, TokenError

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = int(AT.timestamp())
ISSUER = "https://auth.example/auth/realms/esante-wallet"
POLICY = Policy(ISSUER, skew=timedelta(seconds=30))
GOOD = {"iss": ISSUER, "exp": NOW + 120, "iat": NOW, "typ": "Bearer", "azp": "lgc", "SubjectNameID": "899700366240"}


def _explained(refused: TokenError) -> str:
    assert refused.en != refused.fr
    assert refused.rule.startswith("token-")
    return refused.rule


def judged(policy: Policy = POLICY, **changes: Any) -> Claims | str:
    """The claims, or the rule that was broken; None leaves a claim out."""
    claims = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    try:
        return tokens.judge(claims, policy, AT)
    except TokenError as refused:
        return _explained(refused)


def test_a_good_token_names_its_person_and_its_client() -> None:
    found = judged()
    assert isinstance(found, Claims)
    assert (found.national_id, found.client, found.expires) == ("899700366240", "lgc", AT + timedelta(seconds=120))
    assert "899700366240" not in repr(found.all) or "all" not in repr(found)


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("token-issuer", {"iss": ISSUER + "/"}),
        ("token-issuer", {"iss": ISSUER.upper()}),
        ("token-issuer", {"iss": [ISSUER]}),
        ("token-issuer", {"iss": None}),
        ("token-expired", {"exp": None}),
        ("token-expired", {"exp": NOW - 30}),
        ("token-malformed", {"exp": str(NOW + 120)}),
        ("token-malformed", {"exp": True}),
        ("token-malformed", {"exp": 1e300}),
        ("token-malformed", {"exp": float("nan")}),
        ("token-malformed", {"exp": 10**400}),
        ("token-not-yet-valid", {"nbf": NOW + 31}),
        ("token-not-yet-valid", {"iat": NOW + 31}),
        ("token-kind", {"typ": "ID"}),
        ("token-kind", {"typ": "Refresh"}),
        ("token-kind", {"typ": 3}),
        ("token-person", {"SubjectNameID": None}),
        ("token-person", {"SubjectNameID": ""}),
        ("token-person", {"SubjectNameID": 899700366240}),
        ("token-person", {"SubjectNameID": "' OR 1=1"}),
    ],
)
def test_each_rule_refuses_alone(rule: str, changes: dict[str, Any]) -> None:
    assert judged(**changes) == rule


@pytest.mark.parametrize(
    "changes", [{"exp": NOW - 29}, {"nbf": NOW + 30}, {"iat": NOW + 30.0}, {"typ": None}, {"iat": None}]
)
def test_clocks_may_differ_by_the_skew_and_no_more(changes: dict[str, Any]) -> None:
    assert isinstance(judged(**changes), Claims)


def test_a_skew_that_would_make_dates_mean_nothing_is_refused() -> None:
    for skew in (timedelta(minutes=6), timedelta(seconds=-1)):
        with pytest.raises(ValueError, match="skew"):
            Policy(ISSUER, skew=skew)


@pytest.mark.parametrize(
    ("audience", "meant"),
    [
        ("operator", True),
        (["account", "operator"], True),
        ("account", False),
        ([], False),
        (None, False),
        ([["operator"]], False),
    ],
)
def test_a_configured_audience_is_asked_for(audience: Any, meant: bool) -> None:
    assert (judged(Policy(ISSUER, audiences=frozenset({"operator"})), aud=audience) == "token-audience") != meant


@pytest.mark.parametrize(("client", "known"), [("lgc", True), ("other", False), (None, False), ("", False)])
def test_a_configured_client_is_asked_for(client: Any, known: bool) -> None:
    assert (judged(Policy(ISSUER, clients=frozenset({"lgc"})), azp=client) == "token-client") != known


def test_the_person_is_the_name_given_by_the_register_first() -> None:
    one = judged(SubjectNameID="899700366240", preferred_username="810000000001")
    other = judged(SubjectNameID=None, preferred_username="810000000001")
    assert isinstance(one, Claims)
    assert isinstance(other, Claims)
    assert (one.national_id, other.national_id) == ("899700366240", "810000000001")


@given(
    st.dictionaries(
        st.sampled_from(["iss", "exp", "nbf", "iat", "aud", "azp", "typ", "SubjectNameID", "preferred_username"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_any_claims_are_judged_without_a_surprise(changes: dict[str, Any]) -> None:
    policy = Policy(ISSUER, audiences=frozenset({"operator"}), clients=frozenset({"lgc"}))
    try:
        tokens.judge({**GOOD, **changes}, policy, AT)
    except TokenError as refused:
        _explained(refused)
