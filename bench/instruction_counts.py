#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts instructions of fixed pieces of work under callgrind and compares them with those on file.

    instruction_counts.py [--update] build/release/bench/mrfcore_counts

Times on shared machines vary by tens of percent; instructions hardly do. More than 5 % above
`bench/instruction_counts.json` fails and says where; more than 5 % below asks for `--update`, which
writes what is counted now. Counts belong to a compiler and an instruction set (valgrind knows none
beyond AVX2): without any on file for those, the script exits with 77, "skipped".
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from _machine import write

FILE = Path(__file__).resolve().parent / "instruction_counts.json"
TOLERANCE = 0.05
SKIPPED = 77
Counts = dict[str, int]


def main() -> int:
    """Count, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--valgrind", default="valgrind")
    parser.add_argument("--update", action="store_true", help="write what is counted now")
    parser.add_argument("program", type=Path, help="mrfcore_counts")
    args = parser.parse_args()
    build, now = count(args.valgrind, args.program)
    on_file = json.loads(FILE.read_text()) if FILE.exists() else {}
    if args.update:
        on_file[build] = now
        write(FILE, json.dumps(on_file, indent=1, sort_keys=True) + "\n")
        print(f"written: {FILE}, {len(now)} counts of {build}")
        return 0
    if build not in on_file:
        print(f"no counts on file for {build}; --update writes them")
        return SKIPPED
    print(table(now, on_file[build]))
    problems = compare(now, on_file[build])
    print("\n".join(problems) or f"all {len(now)} within {TOLERANCE:.0%} of those on file")
    return 1 if any(p.startswith("FAILED") for p in problems) else 0


def count(valgrind: str, program: Path) -> tuple[str, Counts]:
    """("compiler, instruction set", instructions by name of the work)."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counts.out"
        run = subprocess.run(
            [valgrind, "-q", "--tool=callgrind", f"--callgrind-out-file={out}", str(program)],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode != 0:
            sys.exit(f"{program} under {valgrind} failed:\n{run.stdout}{run.stderr}")
        said = json.loads(run.stdout.splitlines()[-1])
        found = dict(filter(None, (dump(p) for p in sorted(Path(folder).iterdir()))))
    if not found:
        sys.exit(f"{program} asked for no counts")
    return f"gcc {said['compiler']}, {said['isa']}", found


def dump(path: Path) -> tuple[str, int] | None:
    """Name and instructions of one file of callgrind; None for the rest after the last work."""
    text = path.read_text()
    name = re.search(r"^desc: Trigger: Client Request: (\S+)$", text, re.MULTILINE)
    total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
    return (name.group(1), int(total.group(1))) if name and total else None


def compare(now: Counts, before: Counts) -> list[str]:
    """What differs; lines that begin with FAILED count."""
    lines = [f"FAILED {name}: on file, but no longer counted" for name in before.keys() - now]
    for name, instructions in now.items():
        if name not in before:
            lines.append(f"FAILED {name}: not on file; --update writes it")
            continue
        change = instructions / before[name] - 1
        if change > TOLERANCE:
            lines.append(
                f"FAILED {name}: {instructions:,} instructions, {before[name]:,} on file: "
                f"{change:+.1%}"
            )
        elif change < -TOLERANCE:
            lines.append(f"{name}: {change:+.1%}, better; --update keeps it so")
    return sorted(lines)


def table(now: Counts, before: Counts) -> str:
    """All counts beside those on file."""
    lines = [f"{'work':<44}{'instructions':>14}{'on file':>14}{'change':>9}"]
    for name, instructions in now.items():
        old = before.get(name)
        change = "" if old is None else f"{instructions / old - 1:+.1%}"
        lines.append(f"{name:<44}{instructions:>14,}{old or 0:>14,}{change:>9}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
