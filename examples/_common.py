# SPDX-License-Identifier: Apache-2.0
"""What the examples share: their options, progress bars, tables, and files written whole."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
COLOURS = ("#8d99ae", "#d1495b", "#edae49", "#2e5eaa", "#0b6e4f", "#7b4fa3", "#30a5bf")
_DPI = 100

output = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def parser(description: str | None, folder: str) -> argparse.ArgumentParser:
    """A parser with the options that all examples have."""
    options = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("-o", "--output", type=Path, default=Path(folder), help="folder to fill")
    options.add_argument("--seed", type=int, default=0, help="of everything random")
    options.add_argument("--small", action="store_true", help="seconds instead of minutes")
    # One: windows are small, and threads that share cores with other programs wait for each other.
    options.add_argument("--threads", type=int, default=1, help="of torch and of the layers (1)")
    options.add_argument(
        "--data", type=Path, default=data_folder(), help="folder with the images (MRFCORE_DATA)"
    )
    return options


def data_folder() -> Path:
    """Images with ground truth: $MRFCORE_DATA, else ../shared/data; perhaps not there."""
    return Path(os.environ.get("MRFCORE_DATA", ROOT.parent / "shared" / "data"))


def prepare(seed: int, threads: int) -> None:
    """Make torch's random numbers those of `seed`; set threads."""
    torch.manual_seed(seed)
    os.environ["MRFCORE_NUM_THREADS"] = str(threads)  # of layers that are not told otherwise
    torch.set_num_threads(threads)


# --- progress -----------------------------------------------------------------------------------


class Bar:
    """One progress bar. On a terminal it moves; in a log its end is one line."""

    def __init__(self, progress: Progress, title: str, total: int) -> None:
        self._progress = progress
        self._title = title
        self._start = time.monotonic()
        self._state = ""
        self._task = progress.add_task(title, total=total, state="")

    def step(self, state: str) -> None:
        """One more done; `state` says how it stands."""
        self._state = state
        self._progress.update(self._task, advance=1, state=state)

    def close(self) -> None:
        """Take it away and leave its last words."""
        self._progress.remove_task(self._task)
        seconds = time.monotonic() - self._start
        errors.print(f"[dim]{seconds:6.1f} s[/dim]  {self._title}: {self._state}")


@contextmanager
def bar(title: str, total: int) -> Iterator[Bar]:
    """A progress bar on stderr for the length of a block."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
    )
    off = not errors.is_terminal
    with Progress(*columns, console=errors, transient=True, disable=off) as progress:
        one = Bar(progress, title, total)
        yield one
        one.close()


# --- results ------------------------------------------------------------------------------------


@dataclass
class Results:
    """A folder, made when the first file goes into it, and what was written there."""

    folder: Path
    small: bool = False
    """Whether the numbers are those of a small run, and mean nothing."""
    files: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse before any work what could not be written after it."""
        there = next(one for one in (self.folder, *self.folder.absolute().parents) if one.exists())
        if not there.is_dir():
            raise SystemExit(f"cannot write into {self.folder}: {there} is not a folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise SystemExit(f"cannot write into {self.folder}: no permission to write in {there}")

    @contextmanager
    def place(self, name: str) -> Iterator[Path]:
        """A temporary path that becomes `name` when the block ends: whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        target = self.folder / name
        temporary = target.with_name(f".{os.getpid()}.{name}")
        try:
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        self.files.append(target)

    def json(self, name: str, values: Mapping[str, Any]) -> None:
        """Numbers, for other programs."""
        with self.place(name) as path:
            path.write_text(json.dumps(values, indent=1) + "\n")

    def figure(self, name: str, figure: Figure) -> None:
        """A picture, as .png and, for documents, as .jpg."""
        with self.place(f"{name}.png") as path:
            figure.savefig(path)
        with self.place(f"{name}.jpg") as path:
            figure.savefig(path, pil_kwargs={"quality": 82})

    def say(self) -> None:
        """Tell what was written, and what it is worth."""
        if self.small:
            output.print("(a small run, to see that everything works: its numbers mean nothing)")
        for path in self.files:
            output.print(f"wrote {path}", soft_wrap=True)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column is words and the rest numbers."""
    result = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    for index, name in enumerate(header):
        result.add_column(name, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        result.add_row(*row)
    output.print(result)


def spread(value: float, runs: int) -> str:
    """A standard deviation over runs; one run has none."""
    return f"{value:.2f}" if runs > 1 else "-"


# --- pictures -----------------------------------------------------------------------------------


def new_figure(width: float, height: float) -> Figure:
    """A figure in inches that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panel(axes: Axes, image: Any, title: str = "", note: str = "") -> None:
    """An RGB image with a title on the left and a note on the right."""
    axes.imshow(image, interpolation="antialiased")
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=4)
    axes.set_title(note, loc="right", fontsize=10, color="#444444", pad=4)
    axes.set_axis_off()


def tidy(axes: Axes, title: str, x: str = "", y: str = "") -> None:
    """The look of all plots."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


if __name__ == "__main__":
    sys.exit("this is a part of the examples; run one of them")
