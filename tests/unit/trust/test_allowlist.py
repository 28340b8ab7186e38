"""The allow-list's format: read exactly, harmless to read, looked up exactly."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from vaguemestre.trust import allowlist, names
from vaguemestre.trust.allowlist import EmptyListError, Entry, MalformedListError, UnsafeListError

DN = "CN=a.test,OU=1,O=A,ST=Paris (75),C=FR"
GENERATED = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def plain(entries: list[Entry]) -> str:
    """The small list, unsigned."""
    return allowlist.render(entries, GENERATED).decode()


def test_the_full_size_is_read_whole(full_size: bytes) -> None:
    listed = allowlist.parse(full_size)
    assert len(listed.entries) == 6494
    assert len(listed.names) == 4944
    assert len({item.name_text for item in listed.entries}) == 391
    assert listed.unreadable == ()
    assert listed.generated == datetime(2025, 2, 28, 15, 42, 7, tzinfo=UTC)
    assert max(len(found) for found in listed.names.values()) > 1


def test_the_official_quirks_are_read(full_size: bytes) -> None:
    if b"cert-expire-audit" not in full_size:
        pytest.skip("the official entries are not at hand")
    listed = allowlist.parse(full_size)
    expired = "CN=cert-expire-audit.espacedeconfiance.mssante.fr,OU=300000000099622,O=GIP - TEST9962,L=Paris (75),C=FR"
    apicrypt = "CN=mailin.interop-mssante.apicrypt.org,OU=343975235300037,O=APICEM,ST=Nord (59),C=FR"
    cadillac = "CN=mss.ch-cadillac.fr,OU=1330781295,O=C.H. DE CADILLAC,ST=Gironde (33),C=FR"
    assert names.parse(expired) in (listed.names_for("cert-expire-audit.espacedeconfiance.mssante.fr") or ())
    assert names.parse(apicrypt) in (listed.names_for("interop-mssante.apicrypt.org") or ())
    assert "ch-cadillac.mssante.fr" in listed.domains_of(names.parse(cadillac))
    assert len(listed.names_for("15-20.mssante.fr") or ()) == 5


def test_a_domain_is_looked_up_exactly_and_in_any_case(plain: str) -> None:
    listed = allowlist.parse(plain.encode())
    assert listed.names_for("A.mssante.FR") == listed.names_for("a.mssante.fr") != None  # noqa: E711
    for stranger in ("mssante.fr", "x.a.mssante.fr", "a.mssante.fr.", "a.mssante.fr ", "", "*.mssante.fr"):
        assert listed.names_for(stranger) is None


def test_a_foreign_letter_that_folds_to_an_ascii_one_is_another_domain() -> None:
    listed = allowlist.assemble([allowlist.entry("kine.mssante.fr", DN)], GENERATED)
    assert listed.names_for("kine.mssante.fr")
    assert listed.names_for("\u212aine.mssante.fr") is None
    assert allowlist.entry("\u212aine.mssante.fr", DN).domain != "kine.mssante.fr"


def test_one_unreadable_entry_is_set_aside_and_never_matches() -> None:
    broken = [allowlist.entry("b.mssante.fr", "pas un nom"), allowlist.entry("*.mssante.fr", DN)]
    listed = allowlist.parse(allowlist.render([allowlist.entry("a.mssante.fr", DN), *broken], GENERATED))
    assert [item.domain for item in listed.unreadable] == ["b.mssante.fr", "*.mssante.fr"]
    assert listed.names_for("b.mssante.fr") is None
    assert listed.names_for("*.mssante.fr") is None
    assert listed.names_for("a.mssante.fr") == {names.parse(DN)}


def test_what_is_rendered_reads_back_the_same() -> None:
    written = [
        allowlist.entry("a.mssante.fr", 'CN=a,O="X & <Y>",C=FR', description="é & ]]>", updated=GENERATED),
        allowlist.entry("a.mssante.fr", DN, description="_", responsible="01, x@y", support=" s ", updated=GENERATED),
    ]
    assert list(allowlist.parse(allowlist.render(written, GENERATED)).entries) == written


def test_an_entry_that_xml_cannot_hold_is_not_rendered() -> None:
    with pytest.raises(MalformedListError):
        allowlist.render([allowlist.entry("a.mssante.fr", DN, description="a\x0bb")], GENERATED)


def test_an_empty_list_is_refused() -> None:
    empty = (
        f'<ListeBlancheMSSante xmlns="{allowlist.NAMESPACE}"><DateDeGeneration>2026-03-01T12:00:00Z</DateDeGeneration>'
        "<ListeDomaines/></ListeBlancheMSSante>"
    )
    with pytest.raises(EmptyListError):
        allowlist.parse(empty.encode())
    with pytest.raises(EmptyListError):
        allowlist.render([], GENERATED)
    with pytest.raises(EmptyListError):
        allowlist.assemble([allowlist.entry("a.mssante.fr", "illisible")], GENERATED)


_BOMB = (
    '<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)


def _with(prolog: str) -> Callable[[str], bytes]:
    return lambda plain: (prolog + re.sub(r"<\?xml.*?\?>", "", plain)).encode()


@pytest.mark.parametrize(
    "spoil",
    [
        _with(_BOMB),
        _with('<!DOCTYPE l SYSTEM "file:///etc/passwd">'),
        _with('<?xml version="1.0"?><!DOCTYPE l [<!ENTITY x SYSTEM "http://127.0.0.1:1/">]>'),
        _with('<!DOCTYPE l [<!ENTITY % p SYSTEM "file:///dev/zero">%p;]>'),
        _with("<!-- --><!DOCTYPE l>"),
        _with('<?xml version="1.0" encoding="UTF-7"?>'),
        _with('<?xml version="1.0" encoding="ISO-8859-1"?>'),
        _with('<?xml version="1.1"?>'),
        lambda plain: plain.replace("UTF-8", "UTF-16").encode("utf-16"),
        lambda plain: plain.encode("utf-16-be"),
        lambda plain: plain.encode("utf-32"),
        lambda plain: plain.encode() + b"\0",
        lambda plain: b"  " + plain.encode(),
        lambda _: b"",
        lambda _: b"PK\x03\x04",
        lambda plain: plain.encode() + b" " * allowlist.MAX_BYTES,
    ],
)
def test_dangerous_bytes_are_refused_unread(plain: str, spoil: Callable[[str], bytes]) -> None:
    with pytest.raises(UnsafeListError) as refused:
        allowlist.parse(spoil(plain))
    assert refused.value.fr != refused.value.en


@pytest.mark.parametrize(
    "spoil",
    [
        lambda plain: plain.replace("<Nom>", "<Nom/><Nom>", 1),
        lambda plain: re.sub(r"<Description>.*?</Description>", "", plain, count=1),
        lambda plain: re.sub(r"(?s)(<Nom>.*?</Nom>)\s*(<Description>.*?</Description>)", r"\2\1", plain, count=1),
        lambda plain: plain.replace("</DateMAJ>", "</DateMAJ><Autre/>", 1),
        lambda plain: plain.replace("<Nom>a", "<Nom>a<b/>", 1),
        lambda plain: plain.replace("<Nom>a.", "<Nom>evil.<?pi?>", 1),
        lambda plain: plain.replace("</ListeDomaines>", "</ListeDomaines><ListeDomaines/>"),
        lambda plain: plain.replace("<ListeDomaines>", "<ListeDomaines><Intrus/>"),
        lambda plain: plain.replace("</ListeDomaines>", "<Intrus/></ListeDomaines>"),
        lambda plain: plain.replace("<ListeDomaines>", "<X><ListeDomaines>").replace(
            "</ListeDomaines>", "</ListeDomaines></X>"
        ),
        lambda plain: plain.replace(allowlist.NAMESPACE, "https://example.org/"),
        lambda plain: plain.replace("ListeBlancheMSSante", "ListeBlanche"),
        lambda plain: plain.replace("2026-03-01T12:00:00Z</DateDeGeneration>", "hier</DateDeGeneration>"),
        lambda plain: re.sub(r"<DateDeGeneration>.*?</DateDeGeneration>", "", plain),
        lambda plain: plain.replace("<Nom>", "&inconnue;<Nom>", 1),
        lambda plain: plain[: len(plain) // 2],
        lambda plain: plain + plain,
        lambda plain: "<a>" * 100_000,
        lambda _: f'<Domaine xmlns="{allowlist.NAMESPACE}"/>',
    ],
)
def test_another_format_is_refused(plain: str, spoil: Callable[[str], str]) -> None:
    assert spoil(plain) != plain
    with pytest.raises(MalformedListError) as refused:
        allowlist.parse(spoil(plain).encode())
    assert "format officiel" in refused.value.fr


def test_a_look_up_takes_under_ten_microseconds(full_size: bytes) -> None:
    listed = allowlist.parse(full_size)
    domains = list(listed.names)
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        for domain in domains:
            listed.names_for(domain)
        best = min(best, (time.perf_counter() - started) / len(domains))
    assert best < 10e-6
