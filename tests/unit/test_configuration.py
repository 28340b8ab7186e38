"""The configuration: defaults, paths from its own folder, the environment over the file, and mistakes named."""

from pathlib import Path
from typing import Any

import pytest

from vaguemestre import config
from vaguemestre.config import Config
from vaguemestre.errors import ConfigurationError

OPERATOR = """
domains = ["a.mssante.fr"]
[tls]
certificate = "tls/cert.pem"
key = "/etc/vaguemestre/key.pem"
[trust]
authorities = ["igc.pem", "/etc/igc.pem"]
list = "https://list.example/list.xml"
"""


def load(folder: Path, text: str = "", **environment: str) -> Config:
    """The configuration of a file in `folder`, under an environment."""
    path = folder / "operator.toml"
    path.write_text(text, "utf-8")
    return config.load(path, environment)


def test_an_empty_file_gives_every_default(tmp_path: Path) -> None:
    assert load(tmp_path) == Config(data=tmp_path / "data")


def test_paths_are_those_of_the_file_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    found = load(tmp_path, OPERATOR + '[storage]\nobjects = "large"\nkeys = "keys/operator.keys"\n')
    assert found.data == tmp_path / "data"
    assert found.tls is not None
    assert found.trust is not None
    assert (found.tls.certificate, found.tls.key) == (tmp_path / "tls/cert.pem", Path("/etc/vaguemestre/key.pem"))
    assert found.trust.authorities == [tmp_path / "igc.pem", Path("/etc/igc.pem")]
    assert found.storage.keys == tmp_path / "keys/operator.keys"
    assert found.storage.objects == str(tmp_path / "large")


def test_a_file_named_from_here_has_its_paths_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "operator.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert config.load(Path("operator.toml"), {}).data == tmp_path / "data"


def test_addresses_of_lists_and_objects_stay_as_they_are(tmp_path: Path) -> None:
    text = OPERATOR + 'crls = ["http://crl.example/1.crl", "local.crl"]\n[storage]\nobjects = "s3://bucket/prefix"\n'
    found = load(tmp_path, text)
    assert found.trust is not None
    assert found.trust.list == "https://list.example/list.xml"
    assert found.trust.crls == ("http://crl.example/1.crl", str(tmp_path / "local.crl"))
    assert found.storage.objects == "s3://bucket/prefix"


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        OPERATOR + '[smtp]\nlisten = "0.0.0.0:25"\nrecipients = 10\n',
        VAGUEMESTRE_SMTP_LISTEN="127.0.0.1:2525",
        VAGUEMESTRE_SMTP_MESSAGE_SIZE="1000",
        VAGUEMESTRE_QUEUE_PAUSE_SCALE="0.5",
        VAGUEMESTRE_HOSTNAME="mail.a.test",
        VAGUEMESTRE_LOG_LEVEL="debug",
        VAGUEMESTRE_DOMAINS='["b.mssante.fr"]',
        VAGUEMESTRE_DATA="elsewhere",
        VAGUEMESTRE_QUEUE_ROUTES='{"b.mssante.fr" = "127.0.0.1:2526"}',
        VAGUEMESTRE_STORAGE_DATABASE="postgresql+psycopg://mail@db/mail",
        VAGUEMESTRE_TRUST_LIST="list.xml",
        HOME="/root",
    )
    assert (found.smtp.listen, found.smtp.message_size, found.smtp.recipients) == ("127.0.0.1:2525", 1000, 10)
    assert (found.queue.pause_scale, found.queue.routes) == (0.5, {"b.mssante.fr": "127.0.0.1:2526"})
    assert (found.hostname, found.log_level, found.domains) == ("mail.a.test", "debug", ("b.mssante.fr",))
    assert (found.data, found.storage.database) == (tmp_path / "elsewhere", "postgresql+psycopg://mail@db/mail")
    assert found.trust is not None
    assert found.trust.list == str(tmp_path / "list.xml")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("hostnam = 'x'", "hostnam"),
        ("[smtp]\nlisten_on = 'x'", "listen_on"),
        ("[smpt]\nlisten = 'x'", "smpt"),
        ("hostname = 3", "hostname"),
        ("domains = 'a.fr'", "domains"),
        ("smtp = 3", "smtp"),
        ("[tls]\nkey = 'k'", "certificate"),
        ("[trust]\nlist = 'x'", "authorities"),
        ("[smtp]\nmessage_size = 0", "message_size"),
        ("[smtp]\nconnections = -1", "connections"),
        ("[smtp]\nrecipients = 1.5", "recipients"),
        ("[queue]\nconcurrency = 0", "concurrency"),
        ("[queue]\nconcurrency_per_domain = 0", "concurrency_per_domain"),
        ("[queue]\npause_scale = 0", "pause_scale"),
        ("[queue]\nroutes = ['x']", "routes"),
        ("[trust]\nauthorities = []\nlist = 'x'\nrefresh = 0", "refresh"),
        ("[storage]\ninline_limit = -1", "inline_limit"),
        ("log_level = 'loud'", "log_level"),
        ("a = 1\na = 2\nb = 3", "line 2"),
        ("[smtp\nb = 3", "line 1"),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(tmp_path, text)
    for words in (refused.value.en, refused.value.fr):
        assert named in words
        assert str(tmp_path / "operator.toml") in words


@pytest.mark.parametrize(
    "environment",
    [{"VAGUEMESTRE_SMTP_LISTENS": "x"}, {"VAGUEMESTRE_SMPT_LISTEN": "x"}, {"VAGUEMESTRE_SMTP_RECIPIENTS": "many"}],
)
def test_a_mistake_in_the_environment_is_an_error(tmp_path: Path, environment: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        load(tmp_path, **environment)


def test_a_section_that_is_no_section_is_an_error_also_under_the_environment(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="smtp"):
        load(tmp_path, "smtp = 3", VAGUEMESTRE_SMTP_LISTEN="127.0.0.1:25")


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no configuration file"):
        config.load(tmp_path / "operator.toml", {})


def test_what_is_no_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes("hostname = 'é'".encode("latin-1"))
    for path in (tmp_path / "latin.toml", tmp_path):
        with pytest.raises(ConfigurationError, match="is wrong"):
            config.load(path, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:25", ("127.0.0.1", 25)),
        ("mail.a.test:65535", ("mail.a.test", 65_535)),
        ("[::1]:2525", ("::1", 2525)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
    ],
)
def test_an_address_has_a_host_and_a_port(text: str, expected: tuple[str, int]) -> None:
    assert config.address(text) == expected


@pytest.mark.parametrize("text", ["", "localhost", "127.0.0.1:", "127.0.0.1:65536", "host:-1", "host:25x", "host:²"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="host:port"):
        config.address(text)


def test_a_configuration_does_not_change(tmp_path: Path) -> None:
    found: Any = load(tmp_path)
    with pytest.raises(AttributeError):
        found.hostname = "other"
