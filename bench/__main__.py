"""Run benchmarks by name: one row a case, for people or, with --json, one JSON object a line."""

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.row import Row

NAMES = (
    "smtp",
    "imap",
    "trust",
    "memory",
    "growth",
    "search",
    "identity",
    "directory",
    "directory_fhir",
    "directory_search",
    "directory_ldap",
)


def main() -> int:
    """Exit 0 when every target is met, 1 when one is not, 2 on misuse."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # the simulators' own imports start there
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)} (all without)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--runs", type=int, default=5, help="alternating runs a case; the median counts")
    parser.add_argument(
        "--people", type=int, default=100_000, help="of the directory's register; the nation has 2000000"
    )
    parser.add_argument("--kept", metavar="FOLDER", help="where the register to search is made, and found again")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    met = True
    for name in arguments.names or NAMES:
        rows: Iterator[Row] = importlib.import_module(f"bench.{name}").run(arguments)
        for row in rows:
            met = met and row["met"]
            print(json.dumps(row) if arguments.json else _line(row), flush=True)
    return 0 if met else 1


def _line(row: Row) -> str:
    peer = "" if row["peer"] is None else f"  peer {row['peer']:g}"
    ratio = "" if row["ratio"] is None else f"  ratio {row['ratio']:.2f}"
    mark = "met" if row["met"] else "NOT MET"
    head = f"{row['bench']:<8} {row['case']:<34} ours {row['ours']:g}{peer} {row['unit']}{ratio}"
    return f"{head}  target {row['target']:g}  {mark}"


if __name__ == "__main__":
    sys.exit(main())
