# SPDX-License-Identifier: Apache-2.0
"""Run as a script: print the instruction set in use and a hash of every solver's every output."""

from __future__ import annotations

import hashlib
import json

import numpy as np

import mrfcore
from cases import CONNECTIVITIES, GRID_SOLVERS, POTENTIALS, random_case


def digests() -> dict[str, str]:
    """Hash of labels, costs, energy and bound by solver, potential, connectivity and dtype."""
    found = {}
    for connectivity in CONNECTIVITIES:
        for potential in POTENTIALS:
            for dtype in (np.float32, np.float64):
                # 37 labels: full vectors of every width and a remainder; unusual row lengths.
                case = random_case((19, 23, 37), potential, connectivity).astype(dtype)
                for solver in GRID_SOLVERS:
                    got = case.minimize(solver, 2, lower_bound=True)
                    bits = hashlib.sha256(got.labels.tobytes() + got.costs.tobytes())
                    bits.update(np.array([got.energy, got.lower_bound]).tobytes())
                    name = f"{solver} {potential} {connectivity} {np.dtype(dtype)}"
                    found[name] = bits.hexdigest()
    return found


if __name__ == "__main__":
    print(json.dumps({"isa": mrfcore.info()["isa"], "digests": digests()}))
