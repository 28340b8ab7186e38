"""Paths are read as RFC 5321 and RFC 6531 write them; two spellings of one address compare equal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.protocols.smtp.addresses import Address, AddressError, format_path, normalised_domain, read_path


@pytest.mark.parametrize(
    ("path", "local_part", "domain", "text"),
    [
        ("<a@b.example>", "a", "b.example", "a@b.example"),
        ("<Jean.DUPONT+x@Hopital-A.MSSante.FR>", "Jean.DUPONT+x", "hopital-a.mssante.fr", None),
        ("<@r.example:a@b.example>", "a", "b.example", "a@b.example"),
        ("<@r.example,@s.example:a@b.example>", "a", "b.example", "a@b.example"),
        ('<"a"@b.example>', "a", "b.example", "a@b.example"),
        ('<"a b"@b.example>', "a b", "b.example", '"a b"@b.example'),
        ('<"a>\\"\\\\b@c"@b.example>', 'a>"\\b@c', "b.example", '"a>\\"\\\\b@c"@b.example'),
        ('<"a\\b"@b.example>', "ab", "b.example", "ab@b.example"),
        ('<".a"@b.example>', ".a", "b.example", '".a"@b.example'),
        ('<""@b.example>', "", "b.example", '""@b.example'),
        ("<a@[192.0.2.1]>", "a", "[192.0.2.1]", "a@[192.0.2.1]"),
        ("<a@[ipv6:2001:DB8:0::1]>", "a", "[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
        ("<hélène@hôpital.example>", "hélène", "xn--hpital-ixa.example", "hélène@xn--hpital-ixa.example"),
        ("<a@XN--HPITAL-IXA.example>", "a", "xn--hpital-ixa.example", "a@xn--hpital-ixa.example"),
        ("<a@localhost>", "a", "localhost", "a@localhost"),
        ("<PostMaster>", "postmaster", "", "postmaster"),
        (f"<{'x' * 65}@b.example>", "x" * 65, "b.example", None),
    ],
)
def test_path_is_read(path: str, local_part: str, domain: str, text: str | None) -> None:
    address, end = read_path(f"{path} SIZE=1")
    assert end == len(path)
    assert address == Address(local_part, domain, text or f"{local_part}@{domain}")
    if domain:
        assert read_path(format_path(address))[0] == address
        assert Address.parse(address.text) == address


def test_the_null_path_is_no_address() -> None:
    assert read_path("FROM:<>", 5) == (None, 7)
    assert format_path(None) == "<>"


@pytest.mark.parametrize(
    "path",
    [
        "", "a@b.example", "<a@b.example", "< a@b.example>", "<a@b.example >", "<a>", "<@b.example>", "<a@>", "<a@b@c>",
        "<.a@b.example>", "<a.@b.example>", "<a..b@b.example>", "<a b@b.example>", '<"a@b.example>', '<a"b"@b.example>',
        "<a@-b.example>", "<a@b-.example>", "<a@b..example>", "<a@.example>", "<a@b.example.>", "<a@b_c.example>",
        "<a@[192.0.2.256]>", "<a@[192.0.2]>", "<a@[IPv6:fe80::1%eth0]>", "<a@[IPv6:zz]>", "<a@[x:y]>", "<a@[]>",
        f"<a@{'b' * 64}.example>", f"<a@{'b.' * 126}example>", f"<{'x' * 250}@b.fr>", f"<{'é' * 126}@b.fr>",
        "<a\x00@b.example>", "<a\r\n@b.example>", '<"a\n"@b.example>', "<a\u2028@b.example>", "<a@b\u202e.example>",
        "<a\u0085@b.example>", "<@r.example>", "<@r.example:>", "<postmaster@>", "<<a@b.example>>",
    ],
)  # fmt: skip
def test_what_is_no_path_is_refused_with_words(path: str) -> None:
    with pytest.raises(AddressError) as caught:
        read_path(path)
    assert caught.value.en
    assert caught.value.fr != caught.value.en


@given(st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), max_size=30))
def test_any_printable_local_part_survives_quoting(local: str) -> None:
    quoted = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
    address = Address.parse(f"{quoted}@b.example")
    assert address.local_part == local
    assert Address.parse(address.text) == address


@given(st.text(max_size=60))
def test_reading_gives_a_path_or_an_address_error(text: str) -> None:
    try:
        address, end = read_path("<" + text)
    except AddressError:
        return
    assert end <= len(text) + 1
    assert address is None or read_path(format_path(address))[0] == address


@given(st.text(max_size=60))
def test_a_domain_normalises_to_a_fixed_point(text: str) -> None:
    try:
        domain = normalised_domain(text)
    except AddressError:
        return
    assert domain.isascii()
    assert normalised_domain(domain) == domain
