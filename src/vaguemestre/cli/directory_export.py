"""`vaguemestre directory export`: the addresses, as the national directory publishes them, without the red list."""

import sys
from pathlib import Path
from typing import IO, Annotated

import sqlalchemy as sa
import typer

from vaguemestre import directory_parts
from vaguemestre.cli.presentation import AsJson, ConfigFile, load, refusals, show
from vaguemestre.directory import export as directory_export
from vaguemestre.directory.export import Choice


def export(
    config: ConfigFile,
    file: Annotated[str, typer.Argument(metavar="FILE", help="- for standard output.")],
    profession: Annotated[str, typer.Option("--profession", metavar="CODE", help="40: dentists.")] = "",
    department: Annotated[str, typer.Option("--department", metavar="CODE", help="75, 2A, 974.")] = "",
    domain: Annotated[str, typer.Option("--domain", metavar="DOMAIN")] = "",
    as_json: AsJson = False,
) -> None:
    """Write the addresses in the format of the national extraction. Whom the red list hides is in no file."""
    choice = Choice(profession, department, domain)
    with refusals(as_json):
        opened = directory_parts.place(load(config)).open()
        try:
            if file == "-":
                count = opened.read(_write, sys.stdout, choice)
            else:
                with Path(file).open("w", encoding="utf-8", newline="\n") as out:
                    count = opened.read(_write, out, choice)
        finally:
            opened.close()
    if file != "-":
        show(as_json, {"ok": True, "file": file, "addresses": count}, [f"{count}  {file}"])


def _write(connection: sa.Connection, out: IO[str], choice: Choice) -> int:
    out.write(directory_export.header() + "\n")
    count = 0
    for line in directory_export.lines(connection, choice):
        out.write(line + "\n")
        count += 1
    return count
