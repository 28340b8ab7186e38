"""The directory's feeds as commands: files of people who do not exist, the national API, and the figures made of both."""

import csv
import io
import json
from pathlib import Path

import pytest
from lxml import etree

from simulators.national_directory import (
    KEY,
    NationalDirectory,
    mailbox,
    organization,
    practitioner,
    practitioner_role,
    serving,
)
from simulators.operators import answer_of, run_command
from vaguemestre.storage import keys


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An installation that keeps a directory and nothing else."""
    (tmp_path / "data").mkdir()
    keys.create(tmp_path / "data" / "operator.keys")
    path = tmp_path / "directory.toml"
    path.write_text('data = "data"\n[directory]\n', "utf-8")
    return path


def test_files_are_made_taken_in_and_counted(config: Path, tmp_path: Path) -> None:
    made = answer_of(run_command("directory", "generate", str(tmp_path / "files"), "-n", "3000", "--json"))
    assert made["people"] == 3000
    paths = [each["file"] for each in made["files"]]
    assert sum(len(Path(path).read_text("utf-8").splitlines()) - 1 for path in paths) == sum(
        each["rows"] for each in made["files"]
    )
    assert "  " + paths[0] in run_command("directory", "generate", str(tmp_path / "files"), "-n", "3000").stdout
    assert run_command("directory", "import", "-c", str(config), *paths).exit_code == 0

    facts = answer_of(run_command("stats", "adoption", "-c", str(config), "--json"))
    assert facts["month"] == "2026-01"
    dentists = next(each for each in facts["figures"] if each["key"] == "40")
    assert dentists["label"] == "Chirurgien-Dentiste"
    assert dentists["share"] == pytest.approx(0.203, abs=0.02)
    assert facts["total"]["practising"] == sum(each["practising"] for each in facts["figures"])
    shown = run_command("stats", "adoption", "-c", str(config), "--by", "department", "--profession", "40").stdout
    assert "Chirurgien-Dentiste · par département" in shown
    assert "█" in shown
    operators = run_command("stats", "adoption", "-c", str(config), "--by", "operator", "--csv").stdout
    rows = list(csv.DictReader(io.StringIO(operators)))
    assert {"medecin.demo.mssante.fr", "pro.demo.mssante.fr"} <= {row["operator"] for row in rows}
    assert rows[-1]["label"] == "Total"
    chart = tmp_path / "chart.svg"
    assert run_command("stats", "adoption", "-c", str(config), "--chart", str(chart), "--csv").exit_code == 0
    assert "Chirurgien-Dentiste" in chart.read_text("utf-8")
    assert etree.parse(chart).getroot().get("role") == "img"
    out = tmp_path / "addresses.txt"
    exported = answer_of(
        run_command("directory", "export", "-c", str(config), str(out), "--profession", "40", "--json")
    )
    lines = out.read_text("utf-8").splitlines()
    assert exported["addresses"] == len(lines) - 1 > 10
    assert run_command("directory", "export", "-c", str(config), "-", "--profession", "40").stdout == out.read_text(
        "utf-8"
    )


def test_months_that_were_counted_are_told(config: Path, tmp_path: Path) -> None:
    for day in (0, 31, 60):
        folder = tmp_path / str(day)
        run_command("directory", "generate", str(folder), "-n", "400", "--day", str(day))
        files = [str(path) for path in sorted(folder.iterdir())]
        assert run_command("directory", "import", "-c", str(config), *files).exit_code == 0
        assert run_command("stats", "adoption", "-c", str(config)).exit_code == 0
    facts = answer_of(run_command("stats", "adoption", "-c", str(config), "--json"))
    assert [each["key"] for each in facts["history"]] == ["2026-01", "2026-02", "2026-03"]
    assert "Mois par mois" in run_command("stats", "adoption", "-c", str(config)).stdout
    chart = tmp_path / "chart.svg"
    run_command("stats", "adoption", "-c", str(config), "--chart", str(chart))
    assert "2026-02" in chart.read_text("utf-8")
    refused = run_command("stats", "adoption", "-c", str(config), "--month", "2020-01", "--json")
    assert (refused.exit_code, answer_of(refused)["ok"]) == (1, False)


def test_the_register_follows_the_national_service(config: Path, tmp_path: Path) -> None:
    refused = run_command("directory", "pull", "-c", str(config), "--json")
    assert refused.exit_code == 2
    assert "api_key" in answer_of(refused)["fr"]
    nation = NationalDirectory()
    hospital = organization(1, "HOPITAL")
    claire = practitioner(1, "EXEMPLE", "CLAIRE", mailbox("claire@pro.mssante.fr"))
    nation.put(hospital, claire, practitioner_role(1, claire, hospital))
    (tmp_path / "national.key").write_text(KEY + "\n", "ascii")
    with serving(nation) as base:
        config.write_text(
            f'data = "data"\n[directory]\napi = "{base}"\napi_key = "national.key"\napi_rate = 500.0\n', "utf-8"
        )
        facts = answer_of(run_command("directory", "pull", "-c", str(config), "--json"))
        assert facts["everything"] is True
        assert facts["resources"]["Practitioner"] == 1
        assert facts["addresses"] == {"created": 1, "changed": 0, "withdrawn": 0}
        said = run_command("directory", "pull", "-c", str(config)).stdout
        assert "nothing changed" in said
        (tmp_path / "national.key").write_text("another\n", "ascii")
        wrong = run_command("directory", "pull", "-c", str(config), "--json")
        assert (wrong.exit_code, answer_of(wrong)["rule"]) == (2, "ConfigurationError")
        assert KEY not in json.dumps(answer_of(wrong))
    figures = answer_of(run_command("stats", "adoption", "-c", str(config), "--json"))
    assert (figures["total"]["practising"], figures["total"]["addressed"]) == (1, 1)
