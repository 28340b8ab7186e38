"""Distinguished names as LDAP writes them (RFC 4514)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.protocols.ldap import names
from vaguemestre.protocols.ldap.names import DnSyntaxError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("", ()),
        ("o=annuaire", ((("o", "annuaire"),),)),
        (" UID = 1 , ou=People ", ((("uid", "1"),), (("ou", "People"),))),
        ("2.5.4.11=x+cn=y", ((("cn", "y"), ("ou", "x")),)),
        (r"cn=Lef\C3\A8vre\, Zo\c3\a9,o=x", ((("cn", "Lefèvre, Zoé"),), (("o", "x"),))),
        (r"cn=\ a\ ", ((("cn", " a "),),)),
        ("cn=#0403616263", ((("cn", "abc"),),)),
        ("organizationalUnitName=x", ((("ou", "x"),),)),
        ("cn=a=b", ((("cn", "a=b"),),)),
        ("cn=", ((("cn", ""),),)),
        ("cn=a;o=b", ((("cn", "a"),), (("o", "b"),))),  # as LDAPv2 wrote it
    ],
)
def test_names_are_read(text: str, name: names.Name) -> None:
    assert names.parse(text) == name


@pytest.mark.parametrize(
    "text",
    ["x", "=x", "cn", "cn=a,", "cn=a,,o=b", r"cn=\x", r"cn=\C3", 'cn="a"', "cn=#04", "cn=#zz", "cn=a<b", "c" * 3000],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(DnSyntaxError):
        names.parse(text)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60))
def test_an_escaped_value_is_read_back(value: str) -> None:
    assert names.parse(f"cn={names.escape(value)},o=x") == ((("cn", value),), (("o", "x"),))


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_an_error(text: str) -> None:
    with contextlib.suppress(DnSyntaxError):
        names.parse(text)
