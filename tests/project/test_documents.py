"""The documents tell the truth: what they name exists, and what must be explained is."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from checkout import ROOT, SOURCE, code_spans, documents, names_of, text

from vaguemestre import config


def spans(*, but: str = "CHANGELOG.md") -> list[tuple[Path, str]]:
    return [(path, span) for path in documents() if path.name != but for span in code_spans(text(path))]


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_make_command_named_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", text(ROOT / "Makefile"), re.MULTILINE))
    named = {(short(path), match[1]) for path, span in spans() if (match := re.match(r"make ([a-z-]+)", span))}
    assert {target for _, target in named} >= {"demo", "test", "check", "bench"}
    assert [each for each in sorted(named) if each[1] not in targets] == []


def test_every_vaguemestre_command_named_exists() -> None:
    from vaguemestre.cli.program import program

    root: Any = typer.main.get_command(program)
    unknown = []
    for path, span in spans():
        words = span.replace("…", "").split()
        if words[:1] not in (["vaguemestre"], [".venv/bin/vaguemestre"]):
            continue
        command = root
        for word in words[1:]:
            if not hasattr(command, "commands") or not word.isidentifier():
                break
            command = command.commands.get(word)
            if command is None:
                unknown.append((short(path), span))
                break
    assert unknown == []


def test_every_command_is_in_both_readmes() -> None:
    from vaguemestre.cli.program import program

    root: Any = typer.main.get_command(program)
    for readme in ("README.md", "README.fr.md"):
        named = {word for span in code_spans(text(ROOT / readme)) for word in span.split()}
        assert set(root.commands) - named == set(), readme


def test_every_test_named_exists() -> None:
    missing = []
    for path in documents():
        named = ""
        for file_named, function in re.findall(r"(tests/[\w./-]*\w)?(?:(?:(?<=[\w`])::)(\w+))?", text(path)):
            named = file_named or named  # `::test_x` alone is of the file before
            file = ROOT / named
            if not file.exists() or (
                (file_named or function.startswith("test_")) and function and function not in names_of(file)
            ):
                missing.append((short(path), named, function))
    assert missing == []


def test_each_requirement_of_the_asvs_page_is_judged_and_shown() -> None:
    """Levels 1 and 2 of chapters 6 to 9, and of 10 what a client and a resource server must do: each once, none forgotten."""
    counts = {
        "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4, "6.5": 5, "6.6": 3, "6.8": 4, "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2,
        "7.6": 2, "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1, "9.1": 3, "9.2": 4, "10.1": 2, "10.2": 2, "10.3": 4, "10.5": 5,
    }  # fmt: skip
    wanted = {f"{section}.{number}" for section, count in counts.items() for number in range(1, count + 1)}
    found: list[str] = []
    page = text(ROOT / "docs" / "asvs.md")
    rows = re.findall(
        r"^\| (\d+\.\d+)\.(\d+)(?: to \d+\.\d+\.(\d+))? ([^|]*)\| ([^|]*) \| (.*) \|$", page, re.MULTILINE
    )
    for section, first, last, what, verdict, shown in rows:
        assert verdict in ("met", "partial", "not met", "n/a"), (section, first)
        if "(level 3)" not in what:
            found += [f"{section}.{number}" for number in range(int(first), int(last or first) + 1)]
        elsewhere = re.search(
            r"\b(above|the same|there are none|library|without any|as \d+\.\d+\.\d+)\b|`an?_\w+`", shown
        )
        assert verdict in ("n/a", "not met") or "tests/" in shown or elsewhere or verdict == "partial", (section, first)
    assert sorted(found) == sorted(wanted)


def test_the_scenarios_of_the_asvs_page_are_played() -> None:
    named = set(re.findall(r"`(an?_\w+|another_\w+|what_was_\w+)`", text(ROOT / "docs" / "asvs.md")))
    assert named
    assert named <= set(names_of(ROOT / "tests" / "simulators" / "openid_scenarios.py"))


def test_every_link_between_documents_leads_somewhere() -> None:
    links = [(path, link) for path in documents() for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text(path))]
    inside = [(path, link) for path, link in links if "://" not in link]
    assert inside
    assert [(short(path), link) for path, link in inside if not (path.parent / link).exists()] == []


def test_every_file_of_the_project_named_exists() -> None:
    named = [(path, span) for path, span in spans() if re.fullmatch(r"(docs|src|tools|bench)/[\w./-]+", span)]
    assert [(short(path), span) for path, span in named if not (ROOT / span).exists()] == []


def test_every_room_named_by_a_decision_or_a_flow_exists() -> None:
    rooms = "|".join(path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "samples")
    named = [
        (path, match[1])
        for path, span in spans()
        if (match := re.fullmatch(rf"((?:{rooms})(?:/\w+)+)(?:\.py)?/?", span))
    ]
    assert named
    missing = [each for each in named if not (SOURCE / each[1]).is_dir() and not (SOURCE / f"{each[1]}.py").is_file()]
    assert [(short(path), name) for path, name in missing] == []


def test_every_identifier_of_the_glossary_exists() -> None:
    modules = {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in SOURCE.rglob("*.py")}
    classes = {name: members for path in modules.values() for name, members in names_of(path).items() if members}

    def exists(dotted: str) -> bool:
        parts = dotted.split(".")
        for cut in range(len(parts), 0, -1):
            module = modules.get(".".join(parts[:cut]))
            if module is None:
                continue
            names = names_of(module)
            inside = parts[cut:]
            return not inside or (inside[0] in names and (len(inside) == 1 or inside[1] in names[inside[0]]))
        return parts[0] in classes and parts[1] in classes[parts[0]]

    glossary = code_spans(text(ROOT / "docs" / "glossary.md"))
    dotted = [span for span in glossary if re.fullmatch(r"\w+(\.\w+)+", span)]
    assert len(dotted) > 20
    assert [span for span in dotted if not exists(span)] == []


def _sections(of: type[msgspec.Struct] = config.Config, name: str = "") -> dict[str, type[msgspec.Struct]]:
    """Every table of the configuration, those within others by a dotted name."""
    found: dict[str, type[msgspec.Struct]] = {name: of}
    for field in msgspec.structs.fields(of):
        for kind in getattr(field.type, "__args__", (field.type,)):
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                found |= _sections(kind, f"{name}.{field.name}" if name else field.name)
    return found


def _documented(section: str) -> dict[str, str]:
    """The keys that operating.md gives for a section, and what it says of their defaults."""
    title = f"### `[{section}]`" if section else "### At the top"
    body = text(ROOT / "docs" / "operating.md").split(f"\n{title}", 1)[1].split("\n### ")[0].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]*?) \|", body, re.MULTILINE))


@pytest.mark.parametrize("section", sorted(_sections()))
def test_the_configuration_reference_is_the_configuration(section: str) -> None:
    sections = _sections()
    within = f"{section}." if section else ""
    fields = {f.name: f for f in msgspec.structs.fields(sections[section]) if within + f.name not in sections}
    documented = _documented(section)
    assert set(documented) == set(fields)
    for name, cell in documented.items():
        if match := re.fullmatch(r"`(.+)`", cell):
            field = fields[name]
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            stated = tomllib.loads(f"value = {match[1]}")["value"]
            plain = str(default) if isinstance(default, Path) else default
            assert stated == (list(plain) if isinstance(plain, tuple) else plain), name


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    reasons = text(ROOT / "docs" / "adr" / "0002-dependencies.md").lower()
    names = [re.split(r"[\[<>=~!; ]", requirement)[0].lower() for requirement in wanted]
    assert [name for name in names if name not in reasons] == []


def test_the_changelog_says_what_is_unreleased() -> None:
    changelog = text(ROOT / "CHANGELOG.md")
    assert re.search(r"^## \[Unreleased\]$", changelog, re.MULTILINE)
    headings = set(re.findall(r"^### (.*)$", changelog, re.MULTILINE))
    assert headings <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_decisions_are_numbered_without_gaps_and_say_what_they_rejected() -> None:
    decisions = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    assert [path.name for path in decisions if "\n## Rejected\n" not in text(path)] == []
