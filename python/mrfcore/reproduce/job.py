# SPDX-License-Identifier: Apache-2.0
"""A piece of work that fills some cells of the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .ledger import Cell

OnIteration = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """What ``mrfcore reproduce`` runs, one after the other.

    Attributes:
        title: in words, for the progress bar.
        iterations: how many iterations it will report through ``on_iteration`` (about).
        files: what it reads; where one is missing the job cannot run.
        run: ``run(threads, on_iteration) -> cells``.
        keys: (table, cell) of what it fills, to skip what is known.
    """

    title: str
    iterations: int
    files: tuple[Path, ...]
    run: Callable[[int | None, OnIteration | None], list[Cell]]
    keys: tuple[tuple[str, str], ...]
