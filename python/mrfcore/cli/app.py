# SPDX-License-Identifier: Apache-2.0
"""The Typer application, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.main import get_command

import mrfcore

from .demo import demo
from .denoise import denoise
from .info import info
from .meanshift import meanshift
from .models import models
from .prune import prune
from .reproduce import reproduce
from .stereo import stereo
from .superpixels import superpixels
from .wording import Command, Group, in_options, option_names

app = typer.Typer(
    name="mrfcore",
    cls=Group,
    help="Energy minimisation on image grids: stereo, denoising, inpainting.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (stereo, denoise, meanshift, superpixels, models, prune, info, demo, reproduce):
    app.command(cls=Command)(_command)

BAD_INPUT = 2
FAILURE = 1
INTERRUPTED = 130  # 128 + SIGINT, what a shell expects


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mrfcore {mrfcore.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (any position).")
    ] = False,
) -> None:
    """Energy minimisation on image grids: stereo, denoising, inpainting."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1 (failure), 2 (bad input) or 130 (Ctrl-C).

    Args:
        arguments: without the program's name; None means those of the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given  # wherever it stands: it is added after something went wrong
    given = [argument for argument in given if argument != "--debug"] or ["--help"]
    try:
        code = app(args=given, prog_name="mrfcore", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("stopped", INTERRUPTED)
    except Exception as error:  # the boundary: everything becomes a message here
        if debug:
            raise
        return _complain(*_explain(error, given))
    if code == INTERRUPTED:  # newer versions of Typer make Ctrl-C an exit code themselves
        return _complain("stopped", INTERRUPTED)
    return code if isinstance(code, int) else 0


def _explain(error: Exception, given: Sequence[str]) -> tuple[str, int]:
    """One line for an error, and the exit code."""
    if hasattr(error, "format_message"):  # wrong usage, found by Typer
        name, _ = _called(given)
        return f"{error.format_message()} (see mrfcore {name}--help)", BAD_INPUT
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}", BAD_INPUT
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, (ValueError, TypeError, OSError, ImportError)):
        return in_options(text, _called(given)[1]), BAD_INPUT
    if isinstance(error, MemoryError):
        return f"out of memory: {text}", FAILURE
    return f"{type(error).__name__}: {text} (--debug shows where)", FAILURE


def _called(given: Sequence[str]) -> tuple[str, dict[str, str]]:
    """The command's name and a space, and its options by the names of the library's arguments."""
    commands: dict[str, Any] = vars(get_command(app))["commands"]
    if given[0] not in commands:
        return "", {}
    return f"{given[0]} ", option_names(commands[given[0]])


def _complain(message: str, code: int) -> int:
    print(f"mrfcore: {message}", file=sys.stderr)
    return code
