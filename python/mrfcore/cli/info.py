# SPDX-License-Identifier: Apache-2.0
"""``mrfcore info``."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table

import mrfcore

from .console import output


def info(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show the version, instruction set, threads, and whether CUDA and torch are there."""
    facts = mrfcore.info()
    if as_json:
        typer.echo(json.dumps(facts, indent=1, default=str))
        return
    table = Table("", "mrfcore", show_header=False, box=None)
    missing = facts.pop("cuda_missing")
    facts["cuda"] = f"no: {missing}" if missing else ", ".join(facts["cuda"])
    for name, value in facts.items():
        table.add_row(name, _words(value))
    output.print(table)


def _words(value: object) -> str:
    if value is None or value is False:
        return "no"
    return "yes" if value is True else str(value)
