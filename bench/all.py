# SPDX-License-Identifier: Apache-2.0
"""The benchmark: ceilings of this machine, then every solver and operator beside its peers.

    python bench/all.py [--quick] [--only PART ...]

Each part is a script of this folder that can be run alone; here each gets a process of its own.
Results go to `bench/results/<machine>` (with --quick or --only to `build/bench`): `bench.json` has
all rows and what they were measured with, `bench.md` the tables, `<part>.json` all samples of a
part. docs/performance.md says how things are measured.

The exit status is 0 where everything was measured, 1 where something failed or differs from its
peer, 3 where something was left out because a peer or data are not here. Missed targets are
remarks in the table, not failures.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from _ceilings import Ceilings
from _machine import ROOT, commit, describe, results_folder, write
from _rows import Row, exit_status, markdown_table, text_table

PARTS = (
    "solvers",
    "calls",
    "volumes",
    "layers",
    "stereo_opencv",
    "sgm",
    "slic",
    "superpixel",
    "filter_flow",
    "warp",
    "mean_shift",
    "pairwise_margin",
    "mean_shift_filter",
    "cluster",
    "time_to_energy",
    "message_dtype",
    "scaling",
    "tiles",
)
PEERS = (
    "numpy",
    "torch",
    "opencv-python-headless",
    "scikit-image",
    "scikit-learn",
    "fast-slic",
    "gco-wrapper",
    "PyMaxflow",
)
MOST_SECONDS = 3600  # of a part


def main(arguments: list[str] | None = None) -> int:
    """Measure everything, print one table, write one file."""
    args = parse(arguments)
    start = time.perf_counter()
    folder = args.folder or (
        ROOT / "build/bench" if args.quick or args.only else results_folder(args.machine)
    )
    about = {**describe(), "commit": commit(), "quick": args.quick, "versions": versions()}
    print("ceilings ...", file=sys.stderr, flush=True)
    ceilings = Ceilings.measured()
    write(folder / "ceilings.json", json.dumps(ceilings.found, indent=1) + "\n")
    parts: dict[str, list[Row]] = {}
    seconds = {}
    for name in args.only or PARTS:
        began = time.perf_counter()
        parts[name] = rows_of(name, folder, args)
        seconds[name] = round(time.perf_counter() - began, 1)
    about["load_after"] = round(os.getloadavg()[0], 2)
    about["seconds"] = round(time.perf_counter() - start, 1)
    later = Ceilings.measured()
    result = {
        **about,
        "compiler": ceilings.found["compiler"],
        "ceilings": ceilings.found,
        "ceilings_after": later.found,
        "ceilings_drift": round(ceilings.drift(later), 3),
        "seconds_by_part": seconds,
        "parts": {name: [r.to_json() for r in rows] for name, rows in parts.items()},
    }
    rows = [row for part in parts.values() for row in part]
    write(folder / "bench.json", json.dumps(result, indent=1) + "\n")
    write(folder / "bench.md", markdown(result, ceilings, rows))
    print("\n".join([*head(result), *ceilings.lines(), "", text_table(rows), ""]))
    print(summary(rows))
    print(f"written: {folder}/bench.json, bench.md; {about['seconds']:.0f} s")
    return exit_status(rows)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two minutes: few small cases")
    parser.add_argument("--every", action="store_true", help="also cases that take long")
    parser.add_argument(
        "--only", nargs="+", choices=PARTS, metavar="PART", help=f"of {', '.join(PARTS)}"
    )
    parser.add_argument("--rounds", type=int, help="samples of each side")
    parser.add_argument("--threads", type=int, help="what all threads are (default: the cores)")
    parser.add_argument("--machine", help="folder in bench/results (default: from the CPU)")
    parser.add_argument("--folder", type=Path, help="where results go instead")
    return parser.parse_args(arguments)


def rows_of(name: str, folder: Path, args: argparse.Namespace) -> list[Row]:
    """Run a part; a row that says what happened where it left none."""
    command = [sys.executable, str(ROOT / f"bench/{name}.py")]
    command += ["--folder", str(folder), "--ceilings", str(folder / "ceilings.json")]
    command += ["--quick"] * args.quick + ["--every"] * args.every
    for option in ("rounds", "threads"):
        if getattr(args, option) is not None:
            command += [f"--{option}", str(getattr(args, option))]
    before = time.time()
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, timeout=MOST_SECONDS)
        problem = "" if done.returncode in (0, 1, 3) else f"exit status {done.returncode}"
    except subprocess.TimeoutExpired:
        problem = f"took more than {MOST_SECONDS} s"
    file = folder / f"{name}.json"
    rows = []
    if file.is_file() and file.stat().st_mtime >= before:
        rows = [Row.from_json(r) for r in json.loads(file.read_text())["rows"]]
    elif not problem:
        problem = "no results"
    return [*rows, Row(name, problem=f"failed: {problem}")] if problem else rows


def versions() -> dict[str, str | None]:
    """Of the peers; None where one is missing."""
    found: dict[str, str | None] = {"python": sys.version.split()[0]}
    for name in PEERS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def head(result: dict[str, Any]) -> list[str]:
    """What all rows have in common."""
    peers = ", ".join(f"{n} {v}" for n, v in result["versions"].items() if v is not None)
    commit_of = result["commit"] or "unknown"
    return [
        f"{result['cpu']}, {result['cores']} cores; {result['date']}; commit {commit_of}; "
        f"{result['compiler']}; load {result['load_before']} before, {result['load_after']} after; "
        f"one thread's ceilings within {result['ceilings_drift']:.0%} at the end",
        peers,
    ]


def summary(rows: list[Row]) -> str:
    """How many promises were kept, how many rows have no numbers."""
    targets = [t for r in rows for t in r.targets]
    missed = sum(not t.reached for t in targets)
    problems = [r for r in rows if r.problem]
    lines = [f"{len(rows)} rows; {len(targets)} targets, {missed} missed; {len(problems)} problems"]
    lines += [f"  {r.what} {r.size} {r.peer}: {r.problem}" for r in problems]
    return "\n".join(lines)


def markdown(result: dict[str, Any], ceilings: Ceilings, rows: list[Row]) -> str:
    """The tables for people: headlines (for the README), then everything."""
    pieces = [
        "# Benchmark",
        "\n".join(head(result)),
        "\n".join(f"- {line.strip()}" for line in ceilings.lines()),
        "How it is measured: docs/performance.md. Times: one thread, unless the column says all; "
        "± half the distance between quartiles; ratio: theirs over ours.",
    ]
    headlines = [r for r in rows if r.headline]
    if headlines:
        pieces += ["## Headlines", markdown_table(headlines)]
    pieces += ["## Everything", markdown_table(rows)]
    return "\n\n".join(pieces) + "\n"


if __name__ == "__main__":
    sys.exit(main())
