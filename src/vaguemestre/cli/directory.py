"""`vaguemestre directory`: the certified register, what it is made from and what it says."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from vaguemestre.cli.presentation import AsJson, refusals, show
from vaguemestre.directory.fictitious import files
from vaguemestre.directory.fictitious.population import Fiction

app = typer.Typer(help="L'annuaire certifié / The certified directory.", no_args_is_help=True)


@app.command()
def generate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the files are written.")],
    people: Annotated[int, typer.Option("--people", "-n", min=1, max=40_000_000, metavar="N")],
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Another one, other people.")] = 0,
    day: Annotated[int, typer.Option("--day", min=0, max=10_000, metavar="D", help="The same register D days on.")] = 0,
    lone: Annotated[
        float,
        typer.Option("--lone", min=0.0, max=1.0, metavar="SHARE", help="Employed people at a place of theirs alone."),
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Write extraction files of a register of people who do not exist, as the national directory publishes them."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with refusals(as_json), bar:
        task = bar.add_task("Personnes fictives / fictitious people", total=people)
        written = files.write(
            folder, Fiction(people, seed, day, lone=lone), lambda done: bar.update(task, completed=done)
        )
    made = [(str(path), rows) for path, rows in zip(written.files, written.rows, strict=True)]
    show(
        as_json,
        {"ok": True, "people": written.people, "files": [{"file": path, "rows": rows} for path, rows in made]},
        [f"{rows:>10,}  {path}".replace(",", " ") for path, rows in made],
    )
