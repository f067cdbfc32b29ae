# SPDX-License-Identifier: Apache-2.0
"""A ledger of published numbers: what was printed, what this library gives, and a verdict.

``mrfcore reproduce 3.1 --data DIR --json FILE`` is the way in. A table is an entry of
:data:`TABLES`: a function that plans its work as a list of :class:`Job`, each of which fills a few
cells.
"""

from __future__ import annotations

from .ledger import Cell, judge, read_json, write_json
from .markdown import to_markdown
from .tables import TABLES, Job, plan_jobs

__all__ = ["TABLES", "Cell", "Job", "judge", "plan_jobs", "read_json", "to_markdown", "write_json"]
