"""One test authority, a few operators and a list of the real size, shared by the tests of the trust room."""

import gzip
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vaguemestre.trust import allowlist, names
from vaguemestre.trust.allowlist import Entry
from vaguemestre.trust.publisher import SIGNER_CN, Authority, Credential
from vaguemestre.trust.trusted_set import TrustedSet

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_OFFICIAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "allow-list-2025-02-28.xml.gz"
OPERATOR_A = "CN=mail.a.test,OU=1330781295,O=C.H. DE  CADILLAC,ST=Gironde (33),C=FR"
OPERATOR_B = "CN=mail.b.test,OU=341518515600056,O=Société B,ST=Bouches-du-Rhône (13),C=FR"


@pytest.fixture(scope="session")
def at() -> datetime:
    """The moment at which the tests take place."""
    return AT


@pytest.fixture(scope="session")
def kept_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority's folder, never to be changed: `authority` opens a copy."""
    folder = tmp_path_factory.mktemp("authority") / "kept"
    Authority.create(folder, AT - timedelta(days=30)).publish_crls(AT - timedelta(hours=1))
    return folder


@pytest.fixture
def authority(kept_authority: Path, tmp_path: Path) -> Authority:
    """An authority of its own for each test."""
    return Authority.open(Path(shutil.copytree(kept_authority, tmp_path / "authority")))


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority that bears the same names with other keys."""
    return Authority.create(tmp_path_factory.mktemp("authority") / "other", AT - timedelta(days=30))


@pytest.fixture(scope="session")
def operator_a(kept_authority: Path) -> Credential:
    """A listed operator's certificate."""
    return issue(Authority.open(kept_authority), OPERATOR_A)


@pytest.fixture(scope="session")
def operator_b(kept_authority: Path) -> Credential:
    """Another listed operator's certificate."""
    return issue(Authority.open(kept_authority), OPERATOR_B)


@pytest.fixture
def entries() -> list[Entry]:
    """A small list: a.mssante.fr for A, b.mssante.fr and shared.example for B."""
    return [
        allowlist.entry("a.mssante.fr", OPERATOR_A.replace("O=C.H. DE  CADILLAC", 'O="C.H. DE  CADILLAC"')),
        allowlist.entry("b.mssante.fr", OPERATOR_B),
        allowlist.entry("shared.example.org", OPERATOR_B, description="hors de mssante.fr"),
    ]


@pytest.fixture
def signed(authority: Authority, entries: list[Entry]) -> bytes:
    """The small list, signed, generated at `at`."""
    return authority.sign(allowlist.render(entries, AT))


@pytest.fixture
def dated(authority: Authority, entries: list[Entry]) -> Callable[[datetime], bytes]:
    """The small list, signed, generated at a given time."""
    return lambda generated: authority.sign(allowlist.render(entries, generated))


@pytest.fixture
def trusted(authority: Authority, signed: bytes) -> TrustedSet:
    """A set in force at `at`, in memory, with current CRLs."""
    found = TrustedSet(authority.authorities, SIGNER_CN)
    for crl in authority.crls:
        found.add_crl(crl, AT)
    found.load(signed, AT)
    return found


@pytest.fixture(scope="session")
def full_size() -> bytes:
    """The official list's entries, unsigned, where they are at hand; else a list of the same size and quirks."""
    if _OFFICIAL.exists():
        return gzip.decompress(_OFFICIAL.read_bytes())
    return allowlist.render((_made_up(number) for number in range(6494)), datetime(2025, 2, 28, 15, 42, 7, tzinfo=UTC))


def issue(authority: Authority, dn: str, begins: datetime = AT - timedelta(days=1)) -> Credential:
    """An operator certificate valid for 100 days from `begins`."""
    return authority.issue(names.parse(dn), ["localhost"], (begins, begins + timedelta(days=100)))


def _made_up(number: int) -> Entry:
    operator = number % 391
    organisation = f'"C.H.  N° {operator}"' if operator % 20 == 0 else f"HÔPITAL {operator}"
    return allowlist.entry(
        f"domaine-{number % 4944}.mssante.fr",
        f"CN=mss{operator}.example.fr,OU=1{operator:09},O={organisation},ST=Bouches-du-Rhône (13),C=FR",
        description=f"Domaine de messagerie MSSanté nº {number}",
        responsible="01 00 00 00 00, contact@example.org",
        support="01 00 00 00 00, contact@example.org",
        updated=AT,
    )
