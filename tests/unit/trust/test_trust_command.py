"""`vaguemestre trust`: 0 yes, 1 no, 2 misuse; French then English; `--json` on request."""

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vaguemestre.cli.trust import app
from vaguemestre.trust.publisher import SIGNER_CN

AT = ["--at", "2026-03-01T12:00:00Z"]


def _run(*arguments: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def files(kept_authority: Path, signed: bytes, tmp_path: Path) -> tuple[Path, list[str]]:
    """A signed list, and the options that make it good."""
    (tmp_path / "list.xml").write_bytes(signed)
    return tmp_path / "list.xml", ["--ca", str(kept_authority / "authorities.pem"), "--signer-cn", SIGNER_CN, *AT]


def test_verify_says_yes(files: tuple[Path, list[str]]) -> None:
    path, options = files
    assert "Liste blanche valable" in _run("verify", path, *options).stdout
    facts = json.loads(_run("verify", path, *options, "--json").stdout)
    assert facts["ok"] is True
    assert facts["domains"] == 3
    assert facts["signer"].startswith(f"CN={SIGNER_CN}")


def test_verify_says_no_and_why(files: tuple[Path, list[str]], full_size: bytes, tmp_path: Path) -> None:
    path, options = files
    (tmp_path / "unsigned.xml.gz").write_bytes(gzip.compress(full_size, 1))
    refused = _run("verify", tmp_path / "unsigned.xml.gz", code=1)
    french, english = refused.stderr.strip().split("\n")
    assert "n'est pas signée" in french
    assert "not signed" in english
    assert (
        json.loads(_run("verify", path, *options[:2], *AT, "--json", code=1).stdout)["rule"] == "list-signer-unexpected"
    )
    assert json.loads(_run("verify", path, *AT, "--json", code=1).stdout)["rule"] == "list-signer-untrusted"
    assert "--ca" in _run("verify", path, *AT, code=1).stderr
    late = [*options[:4], "--at", "2036-01-01"]
    assert json.loads(_run("verify", path, *late, "--json", code=1).stdout)["rule"] == "list-signer-expired"
    path.write_bytes(b"\x1f\x8bnot gzip")
    assert json.loads(_run("verify", path, *options, "--json", code=1).stdout)["rule"] == "list-malformed"


def test_verify_says_misuse(files: tuple[Path, list[str]], tmp_path: Path) -> None:
    path, _ = files
    _run("verify", tmp_path / "absent.xml", code=2)
    _run("verify", path, "--at", "hier", code=2)
    _run("verify", path, "--ca", path, code=2)


def test_show_lists_the_names_of_a_domain(files: tuple[Path, list[str]]) -> None:
    path, options = files
    shown = _run("show", "A.mssante.fr", "--list", path, *options).stdout
    assert "CN=mail.a.test" in shown
    assert "non vérifiée" not in shown
    assert "non vérifiée" in _run("show", "a.mssante.fr", "--list", path).stdout
    assert "n'est pas dans la liste" in _run("show", "gmail.com", "--list", path, code=1).stdout
    facts = json.loads(_run("show", "b.mssante.fr", "--list", path, "--json").stdout)
    assert facts["signature_checked"] is False
    assert [item["domain"] for item in facts["entries"]] == ["b.mssante.fr"]
    _run("show", "a.mssante.fr", "--list", path, *options[:2], *AT, code=1)


def test_sign_makes_a_list_that_verifies(
    kept_authority: Path, files: tuple[Path, list[str]], full_size: bytes, tmp_path: Path
) -> None:
    _, options = files
    (tmp_path / "raw.xml").write_bytes(full_size)
    key = ["--cert", kept_authority / "signer.pem", "--key", kept_authority / "signer.key"]
    _run("sign", tmp_path / "raw.xml", *key, "--out", tmp_path / "out.xml")
    assert json.loads(_run("verify", tmp_path / "out.xml", *options, "--json").stdout)["entries"] == 6494
    swapped = ["--cert", kept_authority / "signer.key", "--key", kept_authority / "signer.pem"]
    _run("sign", tmp_path / "raw.xml", *swapped, "--out", tmp_path / "no.xml", code=2)
    _run("sign", tmp_path / "raw.xml", *key, "--out", tmp_path / "absent" / "no.xml", code=2)


def test_an_authority_from_nothing_to_a_published_list(tmp_path: Path) -> None:
    folder = tmp_path / "authority"
    created = json.loads(_run("authority", "create", folder, "--json").stdout)
    _run("authority", "create", folder, code=2)
    issued = json.loads(
        _run(
            "authority", "issue", folder, "--cn", "mail.c.test", "--o", "Clinique, C", "--out", tmp_path / "c", "--json"
        ).stdout
    )
    assert Path(issued["certificate"]).exists()
    assert Path(issued["key"]).stat().st_mode & 0o777 == 0o600
    _run("authority", "issue", folder, "--out", tmp_path / "d", code=2)
    _run("authority", "issue", folder, "--dn", "rien", "--out", tmp_path / "d", code=2)
    backwards = ["--not-before", "2026-01-02", "--not-after", "2026-01-01"]
    _run("authority", "issue", folder, "--cn", "x", *backwards, "--out", tmp_path / "d", code=2)
    _run("authority", "publish", folder, "--add", f"c.mssante.fr={issued['subject']}")
    _run("authority", "publish", folder, "--add", "d.mssante.fr=rien", code=2)
    _run("authority", "publish", folder, "--remove", "c.mssante.fr", code=1)
    published = folder / "allow-list.xml"
    options = ["--ca", created["authorities"], "--signer-cn", created["signer_cn"]]
    _run("verify", published, *options)
    assert "Clinique" in _run("show", "c.mssante.fr", "--list", published, *options).stdout
    _run("authority", "publish", folder, "--import", published, "--add", f"d.mssante.fr={issued['subject']}")
    _run("authority", "revoke", folder, issued["certificate"])
    assert json.loads(_run("authority", "crl", folder, "--json").stdout)["ok"]
    _run("authority", "crl", tmp_path / "absent", code=2)
