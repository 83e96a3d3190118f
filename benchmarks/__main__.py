"""`script/bench [NAME…] [--quick] [--json FILE]`: runs benchmarks on services of their own and prints a table."""

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.result import Skipped
from benchmarks.stage import Stage

NAMES = (
    "ingest",
    "decide",
    "dispatch",
    "form_view",
    "respond",
    "rollup",
    "latency",
    "dashboard",
    "search",
    "export",
    "alerts",
    "widget",
)
# Rows of a benchmark that has more than its own, by which it can be asked for too.
ROWS_OF = {"dashboard_years": "dashboard", "dashboard_filtered": "dashboard"}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="script/bench")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"some of {', '.join((*NAMES, *ROWS_OF))} (default: all)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a minute in all on two quiet cores; smaller, so less exact"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in NAMES and name not in ROWS_OF]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}")
    names = list(dict.fromkeys(ROWS_OF.get(name, name) for name in options.names)) or NAMES
    results = []
    print(f"{'benchmark':<18}{'figure':>12}{'limit':>12}  {'unit':<16}{'ratio':>7}  {'bar':<8}{'runs':>4}  peak MB")
    with Stage() as stage:
        used = False
        for name in names:
            if used:
                stage.clear()
            used = True
            try:
                found = importlib.import_module(f"benchmarks.{name}").run(stage, options.quick)
            except Skipped as skipped:
                used = False  # it has touched nothing
                print(f"{name:<18}not run: {skipped}", flush=True)
                continue
            for result in found if isinstance(found, list) else [found]:
                results.append(result)
                print(line(result), flush=True)
                if "note" in result:
                    print(f"                  {result['note']}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    return 0 if all(holds(result) for result in results) else 1


def holds(result: dict[str, Any]) -> bool:
    met: bool = result["ratio"] >= result["bar"] if result["better"] == "higher" else result["ratio"] <= result["bar"]
    return met


def line(result: dict[str, Any]) -> str:
    sign = "≥" if result["better"] == "higher" else "≤"
    verdict = "" if holds(result) else "  MISSED"
    peak = f"{result['peak_mb']:.0f}" if result.get("peak_mb") else "–"
    return (
        f"{result['name']:<18}{result['figure']:>12,.1f}{result['limit']:>12,.1f}  {result['unit']:<16}"
        f"{result['ratio']:>7.2f}  {sign} {result['bar']:<6}{result['runs']:>4}  {peak}{verdict}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
