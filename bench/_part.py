# SPDX-License-Identifier: Apache-2.0
"""The shape that all parts of the benchmark share: a list of cases, a function that measures one.

A part is a script of this folder. Alone it prints its rows and writes its numbers; bench/all.py
runs them all, each in a process of its own, and puts their rows together.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from _ceilings import Ceilings
from _machine import ROOT, describe, results_folder, write
from _rows import Row, exit_status, text_table

Case = dict[str, Any]
Found = tuple[dict[str, Any], list[Row]]  # all there is to keep, and what goes into the table


def all_threads() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass
class Run:
    """How to measure."""

    script: Path
    quick: bool = False
    every: bool = False  # also what takes too long for `make bench`
    rounds_asked: int | None = None
    threads: int = field(default_factory=all_threads)
    ceilings_file: Path | None = None

    def rounds(self, usual: int) -> int:
        """Samples of each side: as asked, else as many as usual, fewer where it must be quick."""
        return self.rounds_asked or (min(usual, 3) if self.quick else usual)

    @property
    def thread_counts(self) -> list[int]:
        """One, and all where there are more."""
        return sorted({1, self.threads})

    @cached_property
    def ceilings(self) -> Ceilings:
        """Those that bench/all.py measured first, else measured now."""
        if self.ceilings_file is not None:
            return Ceilings(json.loads(self.ceilings_file.read_text()))
        return Ceilings.measured()

    def peak(self, job: Case) -> int | None:
        """The part's `peak` of this, in a fresh process whose malloc gives back what is freed.

        Otherwise holes that large temporaries leave behind would count as memory. Not measured
        where it must be quick: a process that loads torch takes seconds.
        """
        if self.quick:
            return None
        tight = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
        command = [sys.executable, str(self.script), "--peak", json.dumps(job)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | tight
        )
        return int(done.stdout)


@dataclass(frozen=True)
class Part:
    """One script: its cases and how they are measured."""

    name: str
    cases: Callable[[Run], Iterable[Case]]
    measure: Callable[[Case, Run], Found]
    needs: tuple[str, ...] = ()  # modules without which there is nothing to measure
    peak: Callable[[Case], int] | None = None
    finish: Callable[[list[dict[str, Any]], Path], None] | None = None  # plots: (cases, folder)

    def main(self, doc: str | None, script: str, arguments: list[str] | None = None) -> int:
        """Measure, print, write; returns `exit_status` of the rows."""
        parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
        parser.add_argument("--quick", action="store_true", help="small cases, few samples")
        parser.add_argument("--every", action="store_true", help="also cases that take long")
        parser.add_argument("--select", nargs="+", help="cases that have one of these values")
        parser.add_argument("--rounds", type=int, help="samples of each side")
        parser.add_argument("--threads", type=int, help="what all threads are (default: the cores)")
        parser.add_argument(
            "--folder",
            type=Path,
            help="results; default bench/results/<machine>, with --quick build/bench",
        )
        parser.add_argument("--ceilings", type=Path, help="JSON of those measured before")
        parser.add_argument("--peak", help=argparse.SUPPRESS)
        args = parser.parse_args(arguments)
        if args.peak is not None:
            assert self.peak is not None
            print(self.peak(json.loads(args.peak)))
            return 0
        run = Run(
            Path(script).resolve(),
            args.quick,
            args.every,
            args.rounds,
            args.threads or all_threads(),
            args.ceilings,
        )
        folder = args.folder or (ROOT / "build/bench" if args.quick else results_folder())
        rows = self.run(run, folder, args.select)
        print(text_table(rows))
        print(f"\nwritten: {folder / self.name}.json")
        return exit_status(rows)

    def run(self, run: Run, folder: Path, select: list[str] | None = None) -> list[Row]:
        """All cases; one that fails is a row that says so."""
        missing = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if missing:
            rows = [Row(self.name, problem=f"left out: no module {', '.join(missing)}")]
            self.write(folder, rows, {"cases": []})
            return rows
        rows = []
        result: dict[str, Any] = {"machine": describe(), "quick": run.quick, "cases": []}
        start = time.perf_counter()
        for case in self.cases(run):
            if select and not set(select) & {str(v) for v in case.values()}:
                continue
            print(f"{self.name}: {label_of(case)} ...", file=sys.stderr, flush=True)
            try:
                found, more = self.measure(case, run)
            except Exception as error:
                traceback.print_exc()
                what = f"{self.name}: {label_of(case)}"
                found = {**case, "error": str(error)}
                more = [Row(what, problem=f"failed: {type(error).__name__}: {first_line(error)}")]
            # Targets are about full sizes and many samples.
            rows += [replace(row, targets=()) for row in more] if run.quick else more
            result["cases"].append(found)
            result["seconds"] = round(time.perf_counter() - start, 1)
            self.write(folder, rows, result)  # after each: a long run may be cut short
        if self.finish is not None:
            self.finish(result["cases"], folder)
        return rows

    def write(self, folder: Path, rows: list[Row], result: dict[str, Any]) -> None:
        whole = {"part": self.name, **result, "rows": [r.to_json() for r in rows]}
        write(folder / f"{self.name}.json", json.dumps(whole, indent=1) + "\n")


def label_of(case: Case) -> str:
    """Its values, for people."""
    return " ".join(str(v) for v in case.values() if v not in (None, False))


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:160] if lines else ""
