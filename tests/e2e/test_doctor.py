"""`vaguemestre doctor` on installations that are well, and on ones that are broken in one way each."""

import os
import shutil
import socket
import threading
import time
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from simulators.openid_provider import CLIENT, SECRET, OpenIdProvider
from simulators.operators import Operator, answer_of
from simulators.ports import free_port
from simulators.space import DAY, NORTH, SOUTH, TrustSpace
from vaguemestre import app as composition
from vaguemestre import clock, config
from vaguemestre.diagnosis import machine, programs
from vaguemestre.evidence import journal
from vaguemestre.transport import queue
from vaguemestre.transport.envelope import Envelope, Recipient


@pytest.fixture(autouse=True)
def no_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """What DNS says of made-up domains is nobody's business here: no query leaves the machine."""

    async def silent(*_: object) -> list[Any]:
        raise TimeoutError

    async def nothing(*_: str) -> list[str]:
        return []

    monkeypatch.setattr(machine.Router, "hosts", silent)
    monkeypatch.setattr(programs, "answers_to", nothing)


@pytest.fixture
def well(operator: Any) -> Operator:
    """An installation with its postmaster, that ran once and stopped."""
    made: Operator = operator(SOUTH, ("claire", "postmaster"))
    made.start().close()
    return made


def _examined(operator: Operator) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and of each check its worst finding."""
    result = operator.command("doctor", "--json")
    answer = answer_of(result)
    order = ["good", "warning", "problem"]
    findings = sorted(answer["findings"], key=lambda each: order.index(each["level"]))
    assert answer["ok"] is (result.exit_code == 0)
    return result.exit_code, {each["check"]: each for each in findings}


def _the_problem(operator: Operator, check: str) -> dict[str, str]:
    """The one problem of a broken installation, which must be this check's, in two languages."""
    code, found = _examined(operator)
    problems = {name: each for name, each in found.items() if each["level"] == "problem"}
    assert code == 1
    assert list(problems) == [check]
    assert problems[check]["fr"] != problems[check]["en"]
    return problems[check]


def _set(operator: Operator, before: str, after: str) -> None:
    text = operator.config_file.read_text()
    assert before in text
    operator.config_file.write_text(text.replace(before, after))


def test_all_is_well_while_it_runs(well: Operator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    _set(well, "127.0.0.1:0", f"127.0.0.1:{port}")
    well.start()
    code, found = _examined(well)
    assert code == 0
    assert {name: each["level"] for name, each in found.items()} == {
        "configuration": "good",
        "space": "good",
        "database": "good",
        "journal": "good",
        "allow-list": "good",
        "source": "good",
        "revocation": "good",
        "certificate": "good",
        "admission": "good",
        "names": "warning",  # there is no DNS here
        "port": "good",
        "accounts": "good",
        "queue": "good",
        "spool": "good",
        "clock": "good",
    }
    shown = well.command("doctor")
    assert shown.exit_code == 0
    assert "✓ Le service répond sur 127.0.0.1" in shown.output
    assert "0 problème(s), 1 avertissement(s)" in shown.output


def test_before_the_first_start_it_judges_by_what_the_sources_give(operator: Any) -> None:
    code, found = _examined(operator(SOUTH, ("postmaster",)))
    assert code == 0
    assert found["source"]["level"] == found["admission"]["level"] == "good"
    assert "allow-list" not in found


def test_a_configuration_that_cannot_be_read_is_misuse(well: Operator) -> None:
    _set(well, "[smtp]", "[smpt]")
    result = well.command("doctor", "--json")
    assert result.exit_code == 2
    assert "smpt" in answer_of(result)["fr"]


def test_a_configuration_without_an_operator_is_a_problem(well: Operator) -> None:
    well.config_file.write_text('hostname = "x"\n')
    assert "hostname, domains, [tls] et [trust]" in _the_problem(well, "configuration")["mend_fr"]


def test_a_key_file_open_to_others(well: Operator) -> None:
    (well.folder / "data" / "operator.keys").chmod(0o644)
    assert "chmod 600" in _the_problem(well, "database")["fr"]


def test_a_missing_key_file(well: Operator) -> None:
    (well.folder / "data" / "operator.keys").unlink()
    assert "manque" in _the_problem(well, "database")["fr"]


def test_a_data_folder_that_others_may_write_to(well: Operator) -> None:
    (well.folder / "data").chmod(0o777)
    assert "chmod 700" in _the_problem(well, "data")["mend_fr"]


def test_a_database_of_another_version(well: Operator) -> None:
    well.write(lambda connection: connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'"))
    well.close()
    assert "db migrate" in _the_problem(well, "database")["fr"]


def test_a_disk_nearly_full(well: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(well.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000_000))
    assert "Libérez de la place" in _the_problem(well, "space")["mend_fr"]


@pytest.mark.parametrize(("days", "level"), [(29, "warning"), (31, "good")])
def test_a_certificate_soon_to_expire_is_told_a_month_ahead(
    space: TrustSpace, well: Operator, days: int, level: str
) -> None:
    soon = space.issue(
        SOUTH.dn, f"soon-{days}", [SOUTH.host], (space.now - DAY, clock.now() + timedelta(days=days, hours=1))
    )
    _use(well, space, soon)
    code, found = _examined(well)
    assert (code, found["certificate"]["level"]) == (0, level)
    assert f"{days} jours" in found["certificate"]["fr"]


def test_an_expired_certificate(space: TrustSpace, well: Operator) -> None:
    _use(well, space, space.issue(SOUTH.dn, "expired-south", [SOUTH.host], (space.now - 20 * DAY, space.now - DAY)))
    code, found = _examined(well)
    assert code == 1
    assert "a expiré" in found["certificate"]["fr"]
    assert found["admission"]["level"] == "problem"


def test_a_revoked_certificate(space: TrustSpace, operator: Any) -> None:
    made: Operator = operator(NORTH, ("postmaster",))
    _use(made, space, space.revoked, NORTH)
    assert "révoqué" in _the_problem(made, "admission")["fr"]


def test_the_certificate_of_another_domain(space: TrustSpace, well: Operator) -> None:
    _use(well, space, space.identity(NORTH))
    found = _the_problem(well, "admission")
    assert NORTH.domain in found["fr"]
    _, found_by_check = _examined(well)
    assert SOUTH.host in found_by_check["certificate"]["fr"], "its names are not the host's either"


def test_a_key_that_is_not_the_certificates(space: TrustSpace, well: Operator) -> None:
    _set(well, str(space.identity(SOUTH).key), str(space.identity(NORTH).key))
    assert "clé privée" in _the_problem(well, "certificate")["fr"]


def test_a_certificate_that_is_not_there(space: TrustSpace, well: Operator) -> None:
    _set(well, str(space.identity(SOUTH).certificate), "nowhere.pem")
    assert "nowhere.pem" in _the_problem(well, "certificate")["fr"]


def test_a_certificate_without_its_issuer_deserves_a_look(space: TrustSpace, well: Operator) -> None:
    identity = space.identity(SOUTH)
    _set(well, str(identity.certificate), str(identity.alone))
    code, found = _examined(well)
    assert (code, found["certificate"]["level"]) == (0, "warning")
    assert "émetteur" in found["certificate"]["fr"]


def test_authorities_that_cannot_be_read(space: TrustSpace, well: Operator) -> None:
    _set(well, str(space.authorities), "nowhere.pem")
    assert "nowhere.pem" in _the_problem(well, "authorities")["fr"]


def test_a_list_source_that_fails_is_a_problem_only_once_no_list_serves(operator: Any, well: Operator) -> None:
    _set(well, "list.xml", "gone.xml")
    code, found = _examined(well)
    assert (code, found["source"]["level"]) == (0, "warning")
    shutil.rmtree(well.folder / "data" / "trust")
    assert "gone.xml" in _the_problem(well, "source")["fr"]


def test_a_list_past_its_grace(well: Operator) -> None:
    _set(well, "[trust]", "[trust]\ngrace = 0.001")
    assert "délai de grâce" in _the_problem(well, "allow-list")["fr"]


def test_a_port_taken_by_another_program(well: Operator) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        _set(well, "127.0.0.1:0", f"127.0.0.1:{other.getsockname()[1]}")

        def greet() -> None:
            line, _ = other.accept()
            with line:
                line.sendall(b"220 other.example ESMTP\r\n")

        greeting = threading.Thread(target=greet)
        greeting.start()
        assert "autre programme" in _the_problem(well, "port")["fr"]
        greeting.join()


def test_a_missing_postmaster(operator: Any) -> None:
    assert "account add postmaster@sud.mssante.fr" in _the_problem(operator(SOUTH), "accounts")["mend_fr"]


def test_what_waits_too_long_deserves_a_look(well: Operator) -> None:
    envelope = Envelope(SOUTH.address("claire"), (Recipient(NORTH.address("claire")),))
    well.write(queue.enqueue, 1, 10, envelope, clock.now_ms() - 5 * 3_600_000, 86_400_000)
    well.close()
    code, found = _examined(well)
    assert (code, found["queue"]["level"]) == (0, "warning")
    assert "queue list" in found["queue"]["mend_fr"]


def test_what_was_left_half_received_deserves_a_look(well: Operator) -> None:
    left = well.folder / "data" / "spool" / "left"
    left.touch()
    _, found = _examined(well)
    assert found["spool"]["level"] == "good", "it may be coming in just now"
    os.utime(left, (time.time() - 7200,) * 2)
    _, found = _examined(well)
    assert found["spool"]["level"] == "warning"


def test_a_clock_that_runs_behind_its_own_files(well: Operator) -> None:
    os.utime(well.folder / "data" / "operator.keys", (time.time() + 86_400,) * 2)
    assert "NTP" in _the_problem(well, "clock")["mend_fr"]


def test_a_clock_that_runs_behind_its_own_journal(well: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    (last,) = well.read(lambda connection: journal.log(connection, newest=True, limit=1))
    well.close()
    earlier = clock.from_ms(last.at) - timedelta(hours=1)
    monkeypatch.setattr(clock, "now", lambda: earlier)
    _, found = _examined(well)
    assert "en retard" in found["clock"]["fr"]


@pytest.fixture
def serving(operator: Any, space: TrustSpace) -> Operator:
    """An installation that serves mail programs, of which all is well, not started."""
    first = free_port(6)
    web = space.issue(SOUTH.dn, "web", [SOUTH.host, f"autoconfig.{SOUTH.domain}"])
    made: Operator = operator(
        SOUTH,
        ("postmaster",),
        smtp={"listen": f"127.0.0.1:{first}", "workers": 0},
        identity={"app_passwords": True},
        imap={"listen": f"127.0.0.1:{first + 1}", "listen_tls": f"127.0.0.1:{first + 2}"},
        submission={"listen": f"127.0.0.1:{first + 3}", "listen_tls": f"127.0.0.1:{first + 4}"},
        autoconfiguration={
            "listen": f"127.0.0.1:{first + 5}",
            "certificate": str(web.certificate),
            "key": str(web.key),
            "authentication": ["password-cleartext"],
        },
    )
    return made


def test_all_is_well_for_mail_programs_while_it_runs(serving: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    async def published(name: str, kind: str) -> list[str]:
        found = composition.zone_records(config.load(serving.config_file, {}), SOUTH.domain)
        return [each.value for each in found if (each.name, each.type) == (name, kind)]

    monkeypatch.setattr(programs, "answers_to", published)
    serving.start()
    code, found = _examined(serving)
    assert code == 0
    checks = ("mail-programs", "autoconfiguration", "identity", "records", "certificate")
    assert {each: found[each]["level"] for each in checks} == dict.fromkeys(checks, "good")
    answer = answer_of(serving.command("doctor", "--json"))
    assert sum(each["check"] == "mail-programs" for each in answer["findings"]) == 4


def test_a_port_of_mail_programs_taken_by_another_program(serving: Operator) -> None:
    loaded = config.load(serving.config_file, {})
    assert loaded.imap is not None
    with socket.create_server(config.address(loaded.imap.listen_tls)) as other:

        def hang_up() -> None:
            line, _ = other.accept()
            line.close()

        hanging_up = threading.Thread(target=hang_up)
        hanging_up.start()
        assert "listen_tls dans [imap]" in _the_problem(serving, "mail-programs")["mend_fr"]
        hanging_up.join()


def test_a_service_that_does_not_run_is_said_not_to(serving: Operator) -> None:
    code, found = _examined(serving)
    assert (code, found["mail-programs"]["level"], found["autoconfiguration"]["level"]) == (0, "warning", "warning")
    assert "ne tourne pas" in found["mail-programs"]["fr"]


def test_nobody_who_can_sign_in_deserves_a_look(serving: Operator) -> None:
    _set(serving, "app_passwords = true", "app_passwords = false")
    code, found = _examined(serving)
    assert (code, found["identity"]["level"]) == (0, "warning")
    assert "issuer" in found["identity"]["mend_fr"]


def test_what_programs_are_told_and_cannot_do_deserves_a_look(serving: Operator) -> None:
    _set(serving, '["password-cleartext"]', '["password-cleartext", "OAuth2"]')
    answer = answer_of(serving.command("doctor", "--json"))
    (told,) = (each for each in answer["findings"] if "OAuth2" in each["fr"])
    assert (told["check"], told["level"]) == ("autoconfiguration", "warning")
    assert "issuer" in told["mend_fr"]


def test_hosts_that_certificates_do_not_name_deserve_a_look(serving: Operator, space: TrustSpace) -> None:
    web = space.issue(SOUTH.dn, "web", [])
    _set(serving, str(web.certificate), str(space.identity(SOUTH).certificate))
    _set(serving, str(web.key), str(space.identity(SOUTH).key))
    _set(serving, "[autoconfiguration]", '[autoconfiguration]\nimap = "imap.sud.mssante.fr"')
    answer = answer_of(serving.command("doctor", "--json"))
    said = {(each["check"], each["level"]) for each in answer["findings"] if "ne nomme pas" in each["fr"]}
    assert said == {("certificate", "warning"), ("autoconfiguration", "warning")}


def test_a_web_certificate_that_cannot_be_read(serving: Operator, space: TrustSpace) -> None:
    _set(serving, str(space.issue(SOUTH.dn, "web", []).certificate), "nowhere.pem")
    assert "nowhere.pem" in _the_problem(serving, "autoconfiguration")["fr"]


def test_records_that_are_not_published_deserve_a_look(serving: Operator) -> None:
    _, found = _examined(serving)
    assert found["records"]["level"] == "warning"
    for missing in ("_imaps._tcp.sud.mssante.fr.", "_submission._tcp.sud.mssante.fr.", "autoconfig.sud.mssante.fr."):
        assert missing in found["records"]["fr"]
    assert "vaguemestre dns sud.mssante.fr" in found["records"]["mend_fr"]


def test_the_provider_of_identity_is_asked_for_its_keys(serving: Operator) -> None:
    with closing(OpenIdProvider()) as provider:
        _set(serving, "[identity]", f'[identity]\nissuer = "{provider.issuer}"')
        _, found = _examined(serving)
        assert found["provider"]["level"] == "good"
        assert provider.asked.total() == 1
        with provider.down():
            assert "503" in _the_problem(serving, "provider")["fr"]
        provider.published = []
        assert "no usable key" in _the_problem(serving, "provider")["fr"]


def test_the_provider_of_identity_is_asked_about_a_token_of_nobody(serving: Operator) -> None:
    secret = serving.folder / "secret"
    secret.write_text(SECRET)
    with closing(OpenIdProvider()) as provider:
        asking = f'introspection = "{provider.introspection}"\nclient = "{CLIENT}"\nclient_secret = "{secret}"'
        _set(serving, "[identity]", f'[identity]\nissuer = "{provider.issuer}"\n{asking}')
        _, found = _examined(serving)
        assert found["provider"]["level"] == "good"
        secret.write_text("autre")
        assert "client_secret" in _the_problem(serving, "provider")["mend_fr"]
        secret.unlink()
        assert "secret" in _the_problem(serving, "identity")["fr"]


def _use(operator: Operator, space: TrustSpace, identity: Any, place: Any = SOUTH) -> None:
    good = space.identity(place)
    _set(operator, str(good.certificate), str(identity.certificate))
    _set(operator, str(good.key), str(identity.key))
