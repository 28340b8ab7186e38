"""`vaguemestre doctor`: what is wrong with an installation, and how to mend it."""

import json
from typing import Any

import typer

from vaguemestre.cli.presentation import AsJson, ConfigFile, load, refusals
from vaguemestre.diagnosis import examination
from vaguemestre.diagnosis.findings import Finding, Level

_MARKS = {Level.GOOD: "✓", Level.WARNING: "!", Level.PROBLEM: "✗"}
_COLOURS = {Level.GOOD: typer.colors.GREEN, Level.WARNING: typer.colors.YELLOW, Level.PROBLEM: typer.colors.RED}


def doctor(config: ConfigFile, as_json: AsJson = False) -> None:
    """Look at everything mail needs here; exit 0 when all is well, 1 when a problem stops or will stop mail."""
    with refusals(as_json):
        loaded = load(config)
    found = []
    for finding in examination.examine(loaded):
        found.append(finding)
        if not as_json:
            _show(finding)
    problems, warnings = (sum(each.level is level for each in found) for level in (Level.PROBLEM, Level.WARNING))
    ok = not problems
    if as_json:
        print(json.dumps({"ok": ok, "findings": [_facts(finding) for finding in found]}, ensure_ascii=False))
    else:
        print(f"\n{problems} problème(s), {warnings} avertissement(s) / {problems} problem(s), {warnings} warning(s)")
    if not ok:
        raise typer.Exit(1)


def _show(finding: Finding) -> None:
    typer.secho(f"{_MARKS[finding.level]} {finding.said.fr}", fg=_COLOURS[finding.level])
    print(f"  {finding.said.en}")
    if finding.mend is not None:
        print(f"  → {finding.mend.fr}\n  → {finding.mend.en}")


def _facts(finding: Finding) -> dict[str, Any]:
    mend = finding.mend
    return {
        "check": finding.check,
        "level": str(finding.level),
        "fr": finding.said.fr,
        "en": finding.said.en,
        "mend_fr": mend.fr if mend else "",
        "mend_en": mend.en if mend else "",
    }
