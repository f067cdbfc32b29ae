# SPDX-License-Identifier: Apache-2.0
"""What the machine can do at best, and how long counted work must take by that."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _machine import ROOT

PROGRAM = ROOT / "build/release/bench/mrfcore_measure"


@dataclass(frozen=True)
class Bound:
    """Least seconds, and what sets them."""

    seconds: float
    by: str


class Ceilings:
    """Bandwidth and arithmetic by instruction set and number of threads."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found
        self.isa: str = found["isa"]  # the one in use
        self.isas = list(dict.fromkeys(c["isa"] for c in found["ceilings"]))

    @classmethod
    def measured(cls, program: Path = PROGRAM) -> Ceilings:
        """Takes some seconds."""
        if not program.is_file():
            raise FileNotFoundError(f"no {program}: build the benchmarks first (make bench does)")
        run = subprocess.run([program, "ceilings"], stdout=subprocess.PIPE, check=True, text=True)
        return cls(json.loads(run.stdout))

    def of(self, name: str, threads: int = 1, isa: str | None = None) -> float:
        """copy_bytes_per_s, update_bytes_per_s, min_plus_pairs_per_s or multiply_adds_per_s."""
        for c in self.found["ceilings"]:
            if c["isa"] == (isa or self.isa) and c["threads"] == threads:
                return float(c[name])
        raise KeyError(f"no ceilings of {isa or self.isa} with {threads} threads")

    def bound(
        self,
        moved_bytes: float = 0.0,
        pairs: float = 0.0,
        multiply_adds: float = 0.0,
        isa: str | None = None,
    ) -> Bound:
        """The longest of what memory and arithmetic need: they may overlap. One thread.

        Memory goes by the rate of updates in place, the fastest that a core reaches here; it does
        not depend on the instruction set that is asked for.
        """
        parts = {
            "memory": moved_bytes / self.of("update_bytes_per_s"),
            "min-plus": pairs / self.of("min_plus_pairs_per_s", isa=isa),
            "products": multiply_adds / self.of("multiply_adds_per_s", isa=isa),
        }
        by = max(parts, key=lambda name: parts[name])
        return Bound(parts[by], by)

    def drift(self, later: Ceilings) -> float:
        """The largest relative change until `later`, of one thread's, which bounds are made of: 0.1
        is a tenth, up or down."""
        names = ("update_bytes_per_s", "min_plus_pairs_per_s", "multiply_adds_per_s")
        pairs = [
            (c[name], later.of(name, c["threads"], c["isa"]))
            for c in self.found["ceilings"]
            if c["threads"] == 1
            for name in names
        ]
        return max(abs(after / before - 1) for before, after in pairs)

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{c['isa']:>8}, {c['threads']} thread{'s' if c['threads'] > 1 else ' '}: "
            f"copy {c['copy_bytes_per_s'] / 1e9:.1f} GB/s, "
            f"update {c['update_bytes_per_s'] / 1e9:.1f} GB/s, "
            f"min-plus {c['min_plus_pairs_per_s'] / 1e9:.1f} G pairs/s, "
            f"multiply-adds {c['multiply_adds_per_s'] / 1e9:.1f} G/s"
            for c in self.found["ceilings"]
        ]
