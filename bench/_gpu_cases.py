# SPDX-License-Identifier: Apache-2.0
"""What bench/gpu.py measures, most telling first, and what others have published."""

from __future__ import annotations

import itertools
from typing import Any

ITERATIONS = 2
SOLVERS = ("trwp", "isgmr", "sgm")
POTENTIALS = ("truncated_linear", "table")


def layer_cases() -> list[dict[str, Any]]:
    """Set-ups of layers: the text's Tables 3.6 and 3.7, data sets' sizes, batches.

    Batches of 16 and sizes of data sets take truncated linear potentials. Largest last: a run that
    is out of time has the others.
    """
    found = [
        case(s, (256, 512), n, d, potential=v)
        for s, n, d, v in itertools.product(SOLVERS, (32, 96), (4, 8, 16), POTENTIALS)
    ]
    found += [
        case(s, size, n, 4)
        for s, (size, n) in itertools.product(SOLVERS, (((375, 450), 64), ((375, 1242), 128)))
    ]
    found += [
        case(s, (256, 512), n, d, batch=16)
        for s, n, d in itertools.product(SOLVERS, (32, 96), (4, 8))
    ]
    found += [case("trwp", (256, 512), n, 16, batch=16) for n in (32, 96)]
    found += [
        case(s, size, n, 4, batch=16)
        for s, (size, n) in itertools.product(SOLVERS, (((375, 450), 64), ((375, 1242), 128)))
    ]
    return sorted(found, key=urgency)


def case(
    solver: str,
    size: tuple[int, int],
    labels: int,
    connectivity: int,
    *,
    batch: int = 1,
    potential: str = "truncated_linear",
    iterations: int = ITERATIONS,
) -> dict[str, Any]:
    """size: (height, width)."""
    return {
        "solver": solver,
        "height": size[0],
        "width": size[1],
        "labels": labels,
        "batch": batch,
        "connectivity": connectivity,
        "iterations": iterations,
        "potential": potential,
    }


def urgency(c: dict[str, Any]) -> tuple[int, int]:
    """TRWP comes first, large work last."""
    cost = c["batch"] * c["height"] * c["width"] * c["labels"] * c["connectivity"]
    return (0 if c["solver"] == "trwp" else 1, cost * (4 if c["potential"] == "table" else 1))


def minimize_cases() -> list[dict[str, Any]]:
    """End-to-end minimize(): labels, costs and energy, on tensors that are on the GPU."""
    return [
        case("trwp", (375, 450), 64, 4, iterations=10),
        case("trwp", (375, 1242), 128, 4, iterations=10),
        case("isgmr", (375, 450), 64, 8, iterations=10),
        case("sgm", (375, 1242), 128, 8, iterations=1),
        case("trwp", (375, 450), 64, 4, iterations=10, potential="table"),
    ]


SGM_CASES = (
    {"height": 440, "width": 1024, "labels": 128, "paths": 4},
    {"height": 480, "width": 640, "labels": 128, "paths": 8},
)

TINY = case("trwp", (6, 9), 5, 4)


def tiny_layer_cases() -> list[dict[str, Any]]:
    """For rehearsals with the emulator."""
    return [
        case("trwp", (6, 9), 5, 4),
        case("sgm", (5, 7), 33, 8, batch=2),
        case("isgmr", (5, 7), 4, 4, potential="table"),
    ]


def tiny_minimize_cases() -> list[dict[str, Any]]:
    return [case("trwp", (6, 9), 5, 4, iterations=3)]


TINY_SGM_CASES = ({"height": 12, "width": 40, "labels": 16, "paths": 4},)


def published() -> list[dict[str, Any]]:
    """Numbers of others, on other GPUs, as their authors give them: none was measured by us.

    Million disparity evaluations per second are height x width x disparities x frames per second.
    """
    libsgm = "README of fixstars/libSGM, 'Performance' (benchmark sample, sub-pixel on)"
    hernandez = "README of dhernandez0/sgm; size and disparities: arXiv:1610.04121"
    vpi = (
        "README of NVIDIA-ISAAC-ROS/isaac_ros_image_pipeline, 2022-08-31: disparity node (VPI's "
        "SGM), 540p; 64 disparities as in that node's benchmark script (isaac_ros_benchmark). "
        "VPI's own documentation has no static table"
    )
    rows = [
        ("libSGM", "GeForce RTX 3080", 1024, 440, 128, 4, 651.3, libsgm),
        ("libSGM", "GTX 1080 Ti", 1024, 440, 128, 4, 495.1, libsgm),
        ("libSGM", "Xavier (MAXN)", 1024, 440, 128, 4, 110.7, libsgm),
        ("Hernandez-Juarez et al.", "Titan X", 640, 480, 128, 8, 237.0, hernandez),
        ("Hernandez-Juarez et al.", "Titan X", 640, 480, 128, 4, 475.0, hernandez),
        ("VPI, whole node", "RTX 3060 Ti", 960, 540, 64, None, 424.0, vpi),
        ("VPI, whole node", "AGX Orin", 960, 540, 64, None, 166.0, vpi),
    ]
    return [
        {
            "name": name,
            "gpu": gpu,
            "width": width,
            "height": height,
            "labels": labels,
            "paths": paths,
            "frames_per_second": frames,
            "million_evaluations_per_second": width * height * labels * frames / 1e6,
            "source": source,
        }
        for name, gpu, width, height, labels, paths, frames, source in rows
    ]


def name_of(c: dict[str, Any]) -> str:
    """Short, for tables."""
    batch = f" B={c['batch']}" if c["batch"] > 1 else ""
    potential = " table" if c["potential"] == "table" else ""
    return (
        f"{c['solver']}-{c['connectivity']} {c['width']}x{c['height']}x{c['labels']}"
        f"{batch}{potential}"
    )
