"""The last good list serves, never an older one, whole on disk, and not for ever."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from vaguemestre.trust import allowlist, names, trusted_set
from vaguemestre.trust.allowlist import AllowListError, EmptyListError
from vaguemestre.trust.certificates import Authorities
from vaguemestre.trust.publisher import SIGNER_CN, SIGNER_NAME, Authority, Credential
from vaguemestre.trust.signatures import MissingSignatureError, UntrustedSignerError
from vaguemestre.trust.trusted_set import ConflictingListError, FutureListError, RolledBackListError, TrustedSet

DAY = timedelta(days=1)
Dated = Callable[[datetime], bytes]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "trust"


def _open(authority: Authority, folder: Path, grace: timedelta = 7 * DAY) -> TrustedSet:
    return TrustedSet(authority.authorities, SIGNER_CN, folder, grace)


def _date(trusted: TrustedSet) -> datetime | None:
    return trusted.in_force.allow_list.generated if trusted.in_force else None


def test_a_newer_list_replaces_and_the_same_one_confirms(
    authority: Authority, dated: Dated, at: datetime, folder: Path
) -> None:
    trusted = _open(authority, folder)
    first = trusted.load(dated(at - DAY), at)
    assert first.changed
    assert first.previous_generated is None
    generation = trusted.generation
    assert not trusted.load(authority.sign(dated(at - DAY)), at + DAY).changed
    assert trusted.generation == generation
    second = trusted.load(dated(at), at + DAY)
    assert second.changed
    assert second.previous_generated == at - DAY
    assert trusted.generation > generation
    assert _date(trusted) == at
    assert len(list(folder.glob("list-*.xml"))) == 1


def test_an_older_list_is_refused(authority: Authority, dated: Dated, at: datetime, folder: Path) -> None:
    trusted = _open(authority, folder)
    trusted.load(dated(at), at)
    with pytest.raises(RolledBackListError):
        trusted.load(dated(at - timedelta(seconds=1)), at)
    assert _date(trusted) == at


def test_an_older_list_is_refused_after_a_restart_even_if_the_newer_one_was_lost(
    authority: Authority, dated: Dated, at: datetime, folder: Path
) -> None:
    _open(authority, folder).load(dated(at), at)
    with pytest.raises(RolledBackListError):
        _open(authority, folder).load(dated(at - DAY), at)
    for path in folder.glob("list-*.xml"):
        path.unlink()
    again = _open(authority, folder)
    assert again.in_force is None
    assert again.damage is not None
    with pytest.raises(RolledBackListError):
        again.load(dated(at - DAY), at)
    assert again.load(dated(at), at).changed
    assert again.damage is None


def test_two_lists_of_one_date_cannot_differ(
    authority: Authority, dated: Dated, entries: list[allowlist.Entry], at: datetime, folder: Path
) -> None:
    trusted = _open(authority, folder)
    trusted.load(dated(at), at)
    with pytest.raises(ConflictingListError):
        trusted.load(authority.sign(allowlist.render(entries[:2], at)), at)
    assert trusted.in_force is not None
    assert len(trusted.in_force.allow_list.entries) == 3


def test_a_list_from_the_future_is_refused(authority: Authority, dated: Dated, at: datetime, folder: Path) -> None:
    trusted = _open(authority, folder)
    with pytest.raises(FutureListError):
        trusted.load(dated(at + 2 * DAY), at)
    trusted.load(dated(at + timedelta(hours=2)), at)


def test_a_refused_list_changes_nothing(authority: Authority, dated: Dated, at: datetime, folder: Path) -> None:
    trusted = _open(authority, folder)
    trusted.load(dated(at), at)
    before = trusted.snapshot, trusted.usable_until, sorted(path.name for path in folder.iterdir())
    empty = f'<ListeBlancheMSSante xmlns="{allowlist.NAMESPACE}"><DateDeGeneration>{at + DAY:%Y-%m-%dT%H:%M:%SZ}'
    empty += "</DateDeGeneration><ListeDomaines/></ListeBlancheMSSante>"
    for data, error in (
        (dated(at)[:-10], AllowListError),
        (authority.sign(empty.encode()), EmptyListError),
        (empty.encode(), MissingSignatureError),
    ):
        with pytest.raises(error):
            trusted.load(data, at + DAY)
    assert before == (trusted.snapshot, trusted.usable_until, sorted(path.name for path in folder.iterdir()))


def test_a_restart_verifies_the_kept_list_as_of_its_acceptance(
    authority: Authority, entries: list[allowlist.Entry], other_authority: Authority, at: datetime, folder: Path
) -> None:
    brief = authority.issue_signer(names.parse(SIGNER_NAME), (at - DAY, at + DAY))
    trusted = _open(authority, folder)
    trusted.load(authority.sign(allowlist.render(entries, at), brief), at)
    again = _open(authority, folder)
    assert _date(again) == at
    assert again.usable(at + 5 * DAY)
    assert again.usable_until == trusted.usable_until
    stranger = TrustedSet(other_authority.authorities, SIGNER_CN, folder)
    assert stranger.in_force is None
    assert isinstance(stranger.damage, UntrustedSignerError)


def test_a_damaged_kept_list_is_not_in_force_and_says_so(
    authority: Authority, dated: Dated, at: datetime, folder: Path
) -> None:
    _open(authority, folder).load(dated(at), at)
    (path,) = folder.glob("list-*.xml")
    path.write_bytes(path.read_bytes().replace(b"a.mssante.fr", b"e.mssante.fr"))
    trusted = _open(authority, folder)
    alarm = trusted.alarm(at)
    assert trusted.in_force is None
    assert alarm is not None
    assert alarm.stopped
    assert "modifiée après sa signature" in alarm.fr


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"sha256": "../../x"}', b"\xff"])
def test_a_damaged_state_leaves_no_list_and_the_next_refresh_mends_it(
    authority: Authority, dated: Dated, at: datetime, folder: Path, content: bytes
) -> None:
    _open(authority, folder).load(dated(at), at)
    (folder / "state.json").write_bytes(content)
    trusted = _open(authority, folder)
    assert trusted.in_force is None
    assert trusted.damage is not None
    trusted.load(dated(at), at)
    assert _date(_open(authority, folder)) == at


def test_a_crash_between_list_and_state_leaves_the_former_list(
    authority: Authority, dated: Dated, at: datetime, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = _open(authority, folder)
    trusted.load(dated(at - DAY), at)
    genuine = trusted_set.keep

    def crash(path: Path, content: bytes) -> None:
        if path.name == "state.json":
            raise OSError(28, "No space left on device")
        genuine(path, content)

    monkeypatch.setattr(trusted_set, "keep", crash)
    with pytest.raises(OSError, match="No space"):
        trusted.load(dated(at), at)
    assert _date(trusted) == at - DAY
    monkeypatch.undo()
    again = _open(authority, folder)
    assert _date(again) == at - DAY
    again.load(dated(at), at)
    assert len(list(folder.glob("list-*.xml"))) == 1


def test_the_grace_ends_and_a_success_prolongs_it(
    authority: Authority, dated: Dated, at: datetime, folder: Path
) -> None:
    trusted = _open(authority, folder, grace=2 * DAY)
    assert not trusted.usable(at)
    trusted.load(dated(at), at)
    assert trusted.usable(at + 2 * DAY - timedelta(seconds=1))
    assert not trusted.usable(at + 2 * DAY)
    trusted.load(dated(at), at + DAY)
    assert trusted.usable(at + 2 * DAY)
    assert not trusted.usable(at + 3 * DAY)


def test_the_alarm_sounds_before_mail_stops(authority: Authority, dated: Dated, at: datetime, folder: Path) -> None:
    trusted = _open(authority, folder)
    none_yet = trusted.alarm(at)
    assert none_yet is not None
    assert none_yet.stopped
    trusted.load(dated(at), at)
    assert trusted.alarm(at) is None
    trusted.note_failure(MissingSignatureError("It is not signed.", "Elle n'est pas signée."))
    for opened in (trusted, _open(authority, folder)):
        alarm = opened.alarm(at + DAY)
        assert alarm is not None
        assert not alarm.stopped
        assert "Elle n'est pas signée." in alarm.fr
        assert "08/03/2026" in alarm.fr
        stopped = opened.alarm(at + 8 * DAY)
        assert stopped is not None
        assert stopped.stopped
    trusted.load(dated(at), at + DAY)
    assert trusted.alarm(at + DAY) is None


def test_an_expired_crl_raises_the_alarm(trusted: TrustedSet, authority: Authority, at: datetime) -> None:
    assert trusted.alarm(at) is None
    trusted.add_crl(authority.publish_crls(at, at + DAY)[1], at)
    alarm = trusted.alarm(at + 2 * DAY)
    assert alarm is not None
    assert "TEST AC IGC-SANTE ELEMENTAIRE ORGANISATIONS" in alarm.fr


def test_a_clock_set_back_decides_nothing(trusted: TrustedSet, at: datetime) -> None:
    assert trusted.usable(at - timedelta(hours=1))
    assert not trusted.usable(at - 2 * DAY)
    alarm = trusted.alarm(at - 2 * DAY)
    assert alarm is not None
    assert "horloge" in alarm.fr


def test_a_revoked_signer_is_refused_but_what_it_signed_before_survives_a_restart(
    authority: Authority, dated: Dated, at: datetime, folder: Path
) -> None:
    trusted = _open(authority, folder)
    trusted.load(dated(at), at)
    authority.revoke(authority.signer.certificate, at + timedelta(hours=1))
    trusted.add_crl(authority.publish_crls(at + timedelta(hours=1))[1], at + timedelta(hours=1))
    with pytest.raises(UntrustedSignerError) as refused:
        trusted.load(dated(at + timedelta(hours=1)), at + timedelta(hours=2))
    assert "révoqué" in refused.value.fr
    assert _date(_open(authority, folder)) == at


def test_the_generation_grows_with_what_is_known_of_revocations(
    trusted: TrustedSet, authority: Authority, operator_a: Credential, at: datetime
) -> None:
    generation = trusted.generation
    assert trusted.add_crl(authority.crls[0], at) is None
    assert trusted.generation == generation
    assert trusted.add_crl(authority.publish_crls(at)[1], at) is not None
    assert trusted.generation == generation + 1
    assert trusted.in_force is not None


def test_kept_files_are_private_and_the_state_is_readable(
    authority: Authority, dated: Dated, at: datetime, folder: Path
) -> None:
    _open(authority, folder).load(dated(at), at)
    assert folder.stat().st_mode & 0o777 == 0o700
    state = json.loads((folder / "state.json").read_bytes())
    assert state["accepted_at"] == at.isoformat()
    assert (folder / f"list-{state['sha256']}.xml").stat().st_mode & 0o777 == 0o600


def test_no_authority_means_no_list(dated: Dated, at: datetime) -> None:
    with pytest.raises(UntrustedSignerError):
        TrustedSet(Authorities(()), SIGNER_CN).load(dated(at), at)


_MEASURE = """
import datetime, pathlib, sys
from vaguemestre.trust import certificates, trusted_set
ca = certificates.load_authorities(pathlib.Path(sys.argv[1]).read_bytes())
trusted = trusted_set.TrustedSet(ca, sys.argv[3])
data = pathlib.Path(sys.argv[2]).read_bytes()
def peak():
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM"))
before = peak()
trusted.load(data, datetime.datetime.fromisoformat(sys.argv[4]))
print((peak() - before) // 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_refresh_of_the_full_size_takes_bounded_memory(
    authority: Authority, full_size: bytes, at: datetime, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.authorities_pem)
    (tmp_path / "list.xml").write_bytes(authority.sign(full_size))
    arguments = [str(tmp_path / "ca.pem"), str(tmp_path / "list.xml"), SIGNER_CN, at.isoformat()]
    measured = subprocess.run(
        [sys.executable, "-c", _MEASURE, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(measured.stdout) < 100  # MB; 73 when written, most of it signxml's copies of the tree
