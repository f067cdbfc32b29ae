# SPDX-License-Identifier: Apache-2.0
"""A row of the benchmark: one thing measured, beside its bound and a peer; and tables of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any


@dataclass(frozen=True)
class Times:
    """Samples of one side, seconds, in the order measured."""

    samples: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError("samples: expected one or more, got none")
        object.__setattr__(self, "samples", tuple(float(s) for s in self.samples))

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, over the median; 0 with one sample."""
        if len(self.samples) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.samples, n=4, method="inclusive")
        return (high - low) / 2 / self.median if self.median else 0.0


def ratio_of(theirs: Times | None, ours: Times | None) -> float | None:
    """How many times ours the other side takes.

    Samples that were taken in turns are compared pair by pair (the median of those ratios), which a
    change of the machine's speed in between does not disturb; otherwise medians.
    """
    if theirs is None or ours is None:
        return None
    if len(theirs.samples) == len(ours.samples):
        pairs = zip(theirs.samples, ours.samples, strict=True)
        return statistics.median(t / o for t, o in pairs)
    return theirs.median / ours.median


@dataclass(frozen=True)
class Target:
    """A number that was promised, and what it is: at least `limit`, or at most."""

    name: str
    value: float
    limit: float
    most: bool = False

    @property
    def reached(self) -> bool:
        return self.value <= self.limit if self.most else self.value >= self.limit

    def __str__(self) -> str:
        sign = "<=" if self.most else ">="
        verdict = "" if self.reached else " MISSED"
        return f"{self.name} {self.value:.3g} {sign} {self.limit:g}{verdict}"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Times are of one thread (of the processor) unless they are called `all_...` (of the wall clock,
    with all threads). `bound_s`: what the machine's ceilings allow one thread, and by which of
    them. A peak is what was allocated beyond the inputs, bytes. `problem` says why numbers are
    missing or wrong: it starts with "left out" (a peer or data are not here) or "failed".
    Headlines are the few rows that a README has room for.
    """

    what: str
    size: str = ""
    ours: Times | None = None
    bound_s: float | None = None
    bound_by: str = ""
    peer: str = ""
    peers: Times | None = None
    all_ours: Times | None = None
    all_peers: Times | None = None
    peak_bytes: int | None = None
    peer_peak_bytes: int | None = None
    targets: tuple[Target, ...] = ()
    note: str = ""
    problem: str = ""
    headline: bool = False

    @property
    def ratio(self) -> float | None:
        return ratio_of(self.peers, self.ours)

    @property
    def all_ratio(self) -> float | None:
        return ratio_of(self.all_peers, self.all_ours)

    @property
    def share_of_bound(self) -> float | None:
        if self.bound_s is None or self.ours is None:
            return None
        return self.bound_s / self.ours.median

    @property
    def speedup(self) -> float | None:
        """All threads against one."""
        return ratio_of(self.ours, self.all_ours)

    @property
    def memory_ratio(self) -> float | None:
        """The peer's peak over ours; below a page nothing was allocated."""
        if self.peak_bytes is None or self.peer_peak_bytes is None:
            return None
        return self.peer_peak_bytes / max(self.peak_bytes, 4096)

    def promised(self, *targets: Target, **least: float) -> Row:
        """With targets: least values of `ratio`, `memory` (a ratio), `share` of the bound and
        `threads` by name (those that this row has), and others as they are."""
        values = {
            "ratio": self.ratio,
            "memory": self.memory_ratio,
            "share": self.share_of_bound,
            "threads": self.speedup,
        }
        named = [(name, values[name], limit) for name, limit in least.items()]
        more = [Target(name, value, limit) for name, value, limit in named if value is not None]
        return replace(self, targets=(*self.targets, *more, *targets))

    def to_json(self) -> dict[str, Any]:
        """Everything, with the numbers that follow from it."""
        found = asdict(self)
        for name in ("ours", "peers", "all_ours", "all_peers"):
            times: Times | None = getattr(self, name)
            if times is not None:
                found[name] |= {"median": times.median, "spread": times.spread}
        found["targets"] = [{**asdict(t), "reached": t.reached} for t in self.targets]
        for name in ("ratio", "all_ratio", "memory_ratio", "share_of_bound", "speedup"):
            found[name] = getattr(self, name)
        return found

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Row:
        """What `to_json` was made of."""
        values = {f.name: found[f.name] for f in fields(cls)}
        for name in ("ours", "peers", "all_ours", "all_peers"):
            if values[name] is not None:
                values[name] = Times(tuple(values[name]["samples"]))
        names = [f.name for f in fields(Target)]
        values["targets"] = tuple(Target(*(t[n] for n in names)) for t in values["targets"])
        return cls(**values)


def exit_status(rows: Iterable[Row]) -> int:
    """0: all measured; 1: something failed; 3: something was left out. (2 is argparse's.)"""
    problems = [r.problem for r in rows if r.problem]
    if not problems:
        return 0
    return 3 if all(p.startswith("left out") for p in problems) else 1


# ---------------------------------------------------------------- tables


def three_digits(value: float) -> str:
    return f"{value:.3g}" if value < 999.5 else f"{value:.0f}"


def seconds(value: float | None) -> str:
    """Three digits and a unit."""
    if value is None:
        return ""
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if value * scale >= 1:
            return f"{three_digits(value * scale)} {unit}"
    return f"{value * 1e6:.3g} µs"


def times_text(times: Times | None) -> str:
    """Median and, of several samples, the spread."""
    if times is None:
        return ""
    spread = f" ±{times.spread:.0%}" if len(times.samples) > 1 else ""
    return seconds(times.median) + spread


def factor(value: float | None) -> str:
    return "" if value is None else f"{three_digits(value)}x"


def megabytes(value: int | None) -> str:
    return "" if value is None else three_digits(value / 1e6)


def remarks(row: Row) -> str:
    """What went wrong, what was promised, what else there is to say."""
    parts = [row.problem, "; ".join(map(str, row.targets)), row.note]
    return "; ".join(p for p in parts if p)


COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("what", lambda r: r.what),
    ("size", lambda r: r.size),
    ("ours", lambda r: times_text(r.ours)),
    ("bound", lambda r: f"{seconds(r.bound_s)} {r.bound_by}".strip()),
    ("of bound", lambda r: "" if r.share_of_bound is None else f"{r.share_of_bound:.0%}"),
    ("peer", lambda r: r.peer),
    ("theirs", lambda r: times_text(r.peers)),
    ("ratio", lambda r: factor(r.ratio)),
    ("all threads", lambda r: times_text(r.all_ours)),
    ("all : one", lambda r: factor(r.speedup)),
    ("ratio, all", lambda r: factor(r.all_ratio)),
    ("peak MB", lambda r: megabytes(r.peak_bytes)),
    ("theirs MB", lambda r: megabytes(r.peer_peak_bytes)),
    ("remarks", remarks),
)
LEFT_ALIGNED = {"what", "size", "peer", "remarks"}


def cells_of(rows: Sequence[Row]) -> list[list[str]]:
    """Texts by row, without columns that are empty throughout; the first row is the head."""
    table = [[head for head, _ in COLUMNS]] + [[text(r) for _, text in COLUMNS] for r in rows]
    used = [k for k in range(len(COLUMNS)) if any(line[k] for line in table[1:])]
    return [[line[k] for k in used] for line in table]


def text_table(rows: Sequence[Row]) -> str:
    """For a terminal."""
    table = cells_of(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for line in table:
        pieces = [
            f"{cell:<{w}}" if head in LEFT_ALIGNED else f"{cell:>{w}}"
            for cell, w, head in zip(line, widths, table[0], strict=True)
        ]
        lines.append("  ".join(pieces).rstrip())
    return "\n".join(lines)


def markdown_table(rows: Sequence[Row]) -> str:
    """For a README."""
    table = [[cell.replace("|", r"\|") for cell in line] for line in cells_of(rows)]
    rule = ["---" if head in LEFT_ALIGNED else "--:" for head in table[0]]
    return "\n".join(f"| {' | '.join(line)} |" for line in [table[0], rule, *table[1:]])
