# SPDX-License-Identifier: Apache-2.0
"""A ledger of published numbers: what was printed, what this library gives, and a verdict.

``mrfcore reproduce 3.1 --data DIR --json FILE`` is the way in. A table is an entry of
:data:`TABLES`: a function that plans its work as a list of :class:`Job`, each of which fills a few
cells.
"""

from __future__ import annotations

from .job import Job
from .ledger import Cell, EnergyCell, judge, judge_decimals, read_json, write_json
from .markdown import to_markdown
from .tables import TABLES, plan_jobs

__all__ = [
    "TABLES",
    "Cell",
    "EnergyCell",
    "Job",
    "judge",
    "judge_decimals",
    "plan_jobs",
    "read_json",
    "to_markdown",
    "write_json",
]
