"""What the tests of the project read: tracked files, documents, and names found in the source without running it."""

import ast
import re
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "vaguemestre"


@cache
def tracked() -> tuple[Path, ...]:
    """Every file under version control that is still there."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


@cache
def documents() -> tuple[Path, ...]:
    """Every Markdown file under version control."""
    return tuple(path for path in tracked() if path.suffix == ".md")


@cache
def text(path: Path) -> str:
    """A text file's content."""
    return path.read_text("utf-8")


def code_spans(markdown: str) -> list[str]:
    """What stands between backticks, and the lines of indented code blocks."""
    return re.findall(r"`([^`\n]+)`", markdown) + re.findall(r"^    (\S.*)$", markdown, re.MULTILINE)


@cache
def names_of(path: Path) -> dict[str, frozenset[str]]:
    """Each name a module defines at its top, with the names in the body of those that are classes."""
    found: dict[str, frozenset[str]] = {}
    for node in ast.parse(text(path)).body:
        inner = node.body if isinstance(node, ast.ClassDef) else []
        for name in _defined(node):
            found[name] = frozenset(member for each in inner for member in _defined(each))
    return found


def _defined(node: ast.stmt) -> list[str]:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return [name]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
    return []
