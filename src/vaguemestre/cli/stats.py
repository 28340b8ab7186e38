"""`vaguemestre stats`: figures, as a table with bars, JSON, CSV, or a chart."""

import csv
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.bar import Bar as Block
from rich.console import Console
from rich.table import Table

from vaguemestre import directory_parts
from vaguemestre.cli.presentation import AsJson, ConfigFile, load, refusals, show
from vaguemestre.directory import adoption as counted
from vaguemestre.documents import charts
from vaguemestre.statistics import adoption as figures
from vaguemestre.statistics.adoption import By, Figure, Report

app = typer.Typer(help="Les chiffres / Figures.", no_args_is_help=True)

_TITLES = {
    By.PROFESSION: "par profession / by profession",
    By.DEPARTMENT: "par département / by department",
    By.OPERATOR: "par opérateur / by operator",
}
_MOST_BARS = 40
_PIPE_WIDTH = 120


@app.callback()
def _group() -> None:
    """A group of its own, whatever the number of its commands."""


@app.command()
def adoption(
    config: ConfigFile,
    by: Annotated[By, typer.Option("--by", help="What figures are told apart by.")] = By.PROFESSION,
    month: Annotated[str, typer.Option("--month", metavar="AAAA-MM", help="The last counted by default.")] = "",
    profession: Annotated[str, typer.Option("--profession", metavar="CODE", help="One only: 40 is dentists.")] = "",
    count: Annotated[bool, typer.Option("--count", help="Count anew first.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")] = False,
    chart: Annotated[Path | None, typer.Option("--chart", metavar="FILE.svg", help="Write a chart.")] = None,
    as_json: AsJson = False,
) -> None:
    """Of the professionals who practise, how many have an address: shares, and their history by month."""
    with refusals(as_json):
        opened = directory_parts.place(load(config)).open()
        try:
            counted.record(opened, again=count)
            report = opened.read(figures.report, by, month, profession)
        finally:
            opened.close()
        if chart is not None:
            chart.write_text(_chart(report), "utf-8")
    if as_json:
        show(True, _facts(report), [])
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(("month", by.value, "label", "practising", "addressed", "share"))
        for each in (*report.figures, report.total):
            writer.writerow((report.month, each.key, each.label, each.practising, each.addressed, f"{each.share:.4f}"))
    else:
        _print(report)


def _facts(report: Report) -> dict[str, Any]:
    return {
        "month": report.month,
        "by": report.by.value,
        "profession": report.profession,
        "total": _figure(report.total),
        "figures": [_figure(each) for each in report.figures],
        "history": [_figure(each) for each in report.history],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "key": figure.key,
        "label": figure.label,
        "practising": figure.practising,
        "addressed": figure.addressed,
        "share": round(figure.share, 4),
    }


def _print(report: Report) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.title = f"{report.month} · {report.total.label} · {_TITLES[report.by]}"
    table.add_column("")
    for name in ("en exercice\npractising", "avec adresse\naddressed", "part\nshare"):
        table.add_column(name, justify="right")
    table.add_column("", width=24)
    top = max((each.share for each in report.figures), default=0.0) or 1.0
    shown = report.figures if report.by is not By.OPERATOR else report.figures[:_MOST_BARS]
    for each in (*shown, report.total):
        numbers = (_number(each.practising), _number(each.addressed))
        style = "bold" if each is report.total else ""
        table.add_row(each.label, *numbers, _percent(each.share), Block(top, 0, min(each.share, top)), style=style)
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)
    console.print(table)
    if len(shown) < len(report.figures):
        more = len(report.figures) - len(shown)
        console.print(f"{more} opérateurs de plus : --json ou --csv / {more} more operators: --json or --csv")
    if len(report.history) > 1:
        console.print("\nMois par mois / month by month", style="bold")
        most = max(each.share for each in report.history) or 1.0
        months = Table(box=None, pad_edge=False, show_header=False)
        for each in report.history[-24:]:
            months.add_row(each.key, _percent(each.share), Block(most, 0, each.share, width=40))
        console.print(months)


def _chart(report: Report) -> str:
    shown = report.figures[:_MOST_BARS]
    total = report.total
    told = f"{total.label} : {_number(total.addressed)} sur {_number(total.practising)} en exercice, {_percent(total.share)}"
    left_out = len(shown) < len(report.figures)
    return charts.shares(
        f"Adresses MSSanté {_TITLES[report.by].partition(' / ')[0]}, {report.month}",
        told + (f" · les {len(shown)} premiers sur {len(report.figures)}" if left_out else ""),
        [charts.Bar(each.label, each.share, f"{_percent(each.share)}  ({_number(each.addressed)})") for each in shown],
        [charts.Point(each.key, each.share) for each in report.history],
        f"{total.label}, mois par mois",
    )


def _number(number: int) -> str:
    return f"{number:,}".replace(",", "\u202f")


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %".replace(".", ",")
