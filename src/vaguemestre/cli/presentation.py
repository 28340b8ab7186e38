"""How every command speaks: text for people, one JSON object with `--json`, refusals in French then in English.

Exit codes: 0 yes or done, 1 the answer is no or it could not be done, 2 misuse or an installation that cannot work.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vaguemestre import clock, ids, log
from vaguemestre import config as configuration
from vaguemestre.config import Config
from vaguemestre.documents.encoded_words import printable
from vaguemestre.errors import ConfigurationError, KeyFailure, VaguemestreError
from vaguemestre.identity.model import NationalIdError, RightsError
from vaguemestre.protocols.smtp.addresses import AddressError
from vaguemestre.trust.names import DistinguishedNameError
from vaguemestre.trust.signatures import UntrustedSignerError

_MISUSE = (
    ConfigurationError,
    KeyFailure,
    DistinguishedNameError,
    AddressError,
    NationalIdError,
    RightsError,
    OSError,
)
_PIPE_WIDTH = 1000

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", envvar="VAGUEMESTRE_CONFIG", metavar="FILE", help="The operator's TOML file.")
]


def load(path: Path) -> Config:
    """The configuration, with logging set up by it. Raises ConfigurationError."""
    os.environ.pop("VAGUEMESTRE_CONFIG", None)  # names the file, and is no key of it
    config = configuration.load(path)
    log.configure(config.log_level)
    return config


@contextmanager
def refusals(as_json: bool, hint: str = "") -> Iterator[None]:
    """Turn what stops a command into words and an exit code; `hint` follows words about an untrusted signature."""
    try:
        yield
    except (VaguemestreError, OSError) as error:
        fr = error.fr if isinstance(error, VaguemestreError) else f"Fichier inaccessible : {error}"
        en = error.en if isinstance(error, VaguemestreError) else f"A file could not be used: {error}"
        if as_json:
            rule = getattr(error, "rule", type(error).__name__)
            print(json.dumps({"ok": False, "rule": rule, "fr": fr, "en": en}, ensure_ascii=False))
        else:
            typer.echo(fr if fr == en else f"{fr}\n{en}", err=True)
            if hint and isinstance(error, UntrustedSignerError):
                typer.echo(hint, err=True)
        raise typer.Exit(2 if isinstance(error, _MISUSE) else 1) from error


def show(as_json: bool, facts: dict[str, Any], lines: Sequence[str]) -> None:
    """Print facts as JSON, or lines for people."""
    print(json.dumps(facts, ensure_ascii=False, default=str) if as_json else "\n".join(lines))


def show_table(as_json: bool, name: str, columns: Sequence[str], rows: Sequence[dict[str, Any]], empty: str) -> None:
    """Print rows as a JSON object under `name`, or as a table for people; `columns` are the keys to show, in order."""
    if as_json:
        print(json.dumps({name: rows}, ensure_ascii=False, default=str))
        return
    if not rows:
        print(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", justify="right" if isinstance(rows[0][column], int) else "left")
    for row in rows:
        table.add_row(*(Text("" if row[column] is None else printable(str(row[column]))) for column in columns))
    # Not folded to a width that nobody sees: what reads a pipe reads lines.
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def identifier(text: str) -> int:
    """What a person typed as the identifier of a message, account or queue entry. Raises VaguemestreError."""
    try:
        return ids.from_text(text)
    except ValueError as error:
        raise VaguemestreError(f"{text} is no identifier.", f"{text} n'est pas un identifiant.") from error


def moment(milliseconds: int) -> str:
    """A stored time, in UTC to the second."""
    return f"{clock.from_ms(milliseconds):%Y-%m-%d %H:%M:%S}"


def iso(milliseconds: int) -> str:
    """A stored time for JSON."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def octets(size: int) -> str:
    """A size for people, in decimal units."""
    value = float(size)
    for unit in ("o", "ko", "Mo", "Go"):
        if value < 1000 or unit == "Go":
            return f"{value:.0f} {unit}" if unit == "o" else f"{value:.1f} {unit}"
        value /= 1000
    return ""
