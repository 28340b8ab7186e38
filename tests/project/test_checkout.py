"""The files under version control: nothing of anybody's machine, every module explained, locks that fit each other."""

import ast
import re
import tomllib

import pytest
from checkout import ROOT, SOURCE, text, tracked

# Written so that this file does not hold what it looks for.
PLACES = ["/" + place + "/" for place in ("home", "root", "work", "farm", "Users", "opt/pypi", "tmp/x")]
REGISTRIES = ["pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "proxy.golang" + ".org", "-index" + "-url"]
UNFINISHED = ["TO" + "DO", "FIX" + "ME"]
BINARY = {".jpg", ".pdf", ".png", ".gz", ".der"}


@pytest.mark.parametrize("words", [PLACES, REGISTRIES, UNFINISHED], ids=["places", "registries", "unfinished"])
def test_no_tracked_file_holds(words: list[str]) -> None:
    pattern = re.compile("|".join(rf"(?<![\w.]){re.escape(word)}" for word in words))
    found = []
    for path in tracked():
        if path.suffix in BINARY or "corpus" in path.parts or path.name == "lock":
            continue
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert found == []


def test_every_module_says_what_it_is() -> None:
    modules = [path for path in tracked() if path.suffix == ".py" and path.parts[len(ROOT.parts)] != "tests"]
    assert modules
    assert [str(path.relative_to(ROOT)) for path in modules if not ast.get_docstring(ast.parse(text(path)))] == []


def test_a_package_s_init_holds_a_docstring_only() -> None:
    inits = list(SOURCE.rglob("__init__.py"))
    assert [str(path.relative_to(ROOT)) for path in inits if len(ast.parse(text(path)).body) != 1] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "common", "base", "core", "manager", "service", "handler", "misc"}
    assert [str(path.relative_to(ROOT)) for path in SOURCE.rglob("*") if path.stem in empty] == []


def test_rows_and_queries_are_private_to_their_room() -> None:
    seen = []
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).parts[0]
        for node in ast.walk(ast.parse(text(path))):
            modules = []
            if isinstance(node, ast.ImportFrom) and node.module:
                modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            for module in modules:
                match = re.fullmatch(r"vaguemestre\.(\w+)\.(?:\w+\.)*(tables|queries)", module)
                if match and match[1] != room:
                    seen.append(f"{path.relative_to(ROOT)} imports {module}")
    # The migrations compare every row's shape with the schema: the one place that must know them all.
    assert [line for line in seen if "storage/migrations" not in line and "storage/schema" not in line] == []


def _locked(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Package → (version, digests) of a lock file."""
    blocks = re.findall(r"^([\w.-]+)==(\S+) \\\n((?:    --hash=\S+(?: \\)?\n?)+)", text(ROOT / name), re.MULTILINE)
    return {package: (version, frozenset(re.findall(r"sha256:\w+", digests))) for package, version, digests in blocks}


def _normal(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~!; ]", requirement)[0]).lower()


def test_what_runs_is_locked_as_it_is_tested() -> None:
    runs, everything = _locked("runtime.lock"), _locked("requirements.lock")
    assert runs
    assert {package: pin for package, pin in runs.items() if everything.get(package) != pin} == {}


def test_both_locks_hold_what_the_project_asks_for() -> None:
    settings = tomllib.loads(text(ROOT / "pyproject.toml"))
    runs = {_normal(each) for each in [*settings["project"]["dependencies"], *settings["build-system"]["requires"]]}
    tests = {_normal(each) for each in settings["project"]["optional-dependencies"]["dev"]}
    assert runs - set(_locked("runtime.lock")) == set()
    assert (runs | tests) - set(_locked("requirements.lock")) == set()


def test_both_locks_are_whole() -> None:
    for name in ("runtime.lock", "requirements.lock"):
        assert text(ROOT / name).count("==") == len(_locked(name)), name


def test_scripts_can_be_run() -> None:
    scripts = [path for path in tracked() if path.suffix in ("", ".sh") and path.read_bytes().startswith(b"#!")]
    assert {path.name for path in scripts} >= {"run", "debian-packages", "lock"}
    assert [str(path.relative_to(ROOT)) for path in scripts if not path.stat().st_mode & 0o100] == []


def test_samples_are_the_ones_that_go_with_the_letter() -> None:
    samples = SOURCE / "samples"
    picture, report = (samples / "panoramic.jpg").read_bytes(), (samples / "report.pdf").read_bytes()
    assert picture.startswith(b"\xff\xd8\xff")
    assert 500_000 < len(picture) < 1_000_000
    assert report.startswith(b"%PDF-")
    assert len(report) < 100_000
    assert "fictive" in text(samples / "letter.txt")
