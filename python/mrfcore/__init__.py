# SPDX-License-Identifier: Apache-2.0
"""Energy minimisation for pairwise Markov random fields on image grids.

>>> import mrfcore
>>> r = mrfcore.minimize(unary, mrfcore.TruncatedLinear(2), weights=20.0, solver="trwp")
>>> r.labels, r.energy, r.lower_bound

Sub-modules are imported on first use: `mrfcore.stereo`, `restore`, `io`, `datasets`, `metrics`,
`viz`, `scene`, `degrade`, `filtering`, `superpixels`, `cluster`, `cuda`, and, where torch is
installed, `nn`, `ops`, `models` and `pruning`.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from mrfcore._openmp import preload as _preload

_preload()  # before _core brings a second OpenMP runtime

from mrfcore._core import version as __version__  # noqa: E402
from mrfcore._info import info  # noqa: E402
from mrfcore._minimize import energy, minimize  # noqa: E402
from mrfcore._result import Progress, Result, Trace  # noqa: E402
from mrfcore.filtering import mean_shift_filter, mean_shift_segment  # noqa: E402
from mrfcore.potentials import (  # noqa: E402
    Cauchy,
    Huber,
    Potential,
    Potts,
    SGMPenalty,
    Table,
    TruncatedLinear,
    TruncatedQuadratic,
)
from mrfcore.tiles import TiledResult, minimize_tiled  # noqa: E402

_SUBMODULES = (
    "cluster",
    "cuda",
    "datasets",
    "degrade",
    "demo",
    "filtering",
    "io",
    "metrics",
    "models",
    "nn",
    "ops",
    "pruning",
    "reproduce",
    "restore",
    "scene",
    "stereo",
    "superpixels",
    "tiles",
    "viz",
)

__all__ = [
    "Cauchy",
    "Huber",
    "Potential",
    "Potts",
    "Progress",
    "Result",
    "SGMPenalty",
    "Table",
    "TiledResult",
    "Trace",
    "TruncatedLinear",
    "TruncatedQuadratic",
    "__version__",
    "energy",
    "info",
    "mean_shift_filter",
    "mean_shift_segment",
    "minimize",
    "minimize_tiled",
]


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"mrfcore.{name}")
    raise AttributeError(f"module 'mrfcore' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_SUBMODULES])
