# SPDX-License-Identifier: Apache-2.0
"""What the CUDA back-end has to move, compute, launch and wait for, by counting. Needs no GPU.

A case is a dictionary: solver ("trwp", "isgmr", "sgm"), height, width, labels, batch, connectivity,
iterations, potential ("truncated_linear" or "table"); numbers are float32.

Bytes are counted twice. `bytes` is what no schedule of this kind can avoid, and what per cents of
the bound refer to: each volume that a pair of directions works on crosses the memory bus once per
pair, arg-mins are written once and read once. `bytes_launched` is what the launches ask for if the
L2 cache never helps: both ways of a pair from memory, and all that is cleared, copied and summed
around them. Operations are those of the kernels as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

Case = Mapping[str, Any]

TRUNCATION = 8
ELEMENT = 4  # bytes of a float
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (2, -1), (1, -2))
REFRESH_INTERVAL = 8  # iterations after which TRWP sums its messages afresh
VALUES_A_LAUNCH = 4032 // ELEMENT  # host values that fit the parameters of a kernel
MOST_COMPACT_PENALTY_OF_BYTES = 127

# Volumes that a pair reads and writes: once per pair, and once per way (cuda/rules.cuh,
# cuda/adjoint_rules.cuh; ISGMR's two ways differ, undamped cavities lie in the message's place).
ONCE = {"trwp": 6, "isgmr": 5, "sgm": 3}
LAUNCHED = {"trwp": 10, "isgmr": 7, "sgm": 6}
ADJOINT_ONCE = {"trwp": 6, "isgmr": 7, "sgm": 3}
ADJOINT_LAUNCHED = {"trwp": 12, "isgmr": 11, "sgm": 6}

# Throughput of a Hopper multiprocessor in results per clock, by NVIDIA's programming guide: 128
# additions, 64 minima, comparisons or selections, 32 words shuffled or in shared memory. Costs in
# 1/128 clock.
ADD, SELECT, SHUFFLE, SHARED = 1, 2, 4, 4
PAIR = ADD + SELECT  # h(m) + V, minimum
# Of tables, the tile of labels that a minimum came from is noted, and then that tile's candidates
# are computed once more (cuda/table_row.cuh): two loads, a comparison and a selection each.
TILE_WITH_ARGMIN = ADD + 2 * SELECT
FOUND_IN_TILE = 2 * SHARED + ADD + 2 * SELECT
DOUBLING_STEP = 2 * SHUFFLE + ADD + 2 * SELECT
DOUBLING_STEP_WITH_ARGMIN = 4 * SHUFFLE + 2 * ADD + 6 * SELECT
# gh(argmin(l)) += g(l) (cuda/scatter.cuh), a label: compared with eight of its bank and added, then
# four banks; shared memory: its g and arg-min put, its arg-min and (a quarter of a warp reads the
# same) eight pairs read, its sum read and written, four cleared and four read.
SCATTER = 8 * (ADD + SELECT) + 3 * ADD + (2 + 1 + 8 + 2 + 4 + 4) * SHARED
ORDERED_SUM = SHUFFLE + 2 * ADD  # of a message's gradient, and of that of its weight
CELL = 6 * ADD  # sums and differences of a rule


class Gpu(NamedTuple):
    """What bounds a count: bytes per second read and written, multiprocessors, Hz."""

    name: str
    bytes_per_second: float
    multiprocessors: int
    clock: float


# Copies as measured on such machines (device to device, bytes read and written); clock of the SXM
# part under load. Not a measurement of this library.
REFERENCE_GPUS = (
    Gpu("NVIDIA H100 80GB HBM3", 3.0e12, 132, 1.98e9),
    Gpu("NVIDIA H200", 4.3e12, 132, 1.98e9),
)


def volume_bytes(case: Case) -> int:
    """Of one volume [B, H, W, L]."""
    return ELEMENT * cells(case)


def pixels(case: Case) -> int:
    """Of the whole batch."""
    return int(case["batch"] * case["height"] * case["width"])


def cells(case: Case) -> int:
    """Pixels times labels."""
    return pixels(case) * int(case["labels"])


def pairs(case: Case) -> int:
    """Direction pairs."""
    return int(case["connectivity"]) // 2


def messages(case: Case) -> int:
    """Message rows of all iterations and directions (scanlines' heads counted, too)."""
    return int(case["iterations"] * case["connectivity"]) * pixels(case)


def doubling_steps(labels: int, truncation: float = TRUNCATION) -> int:
    """Of a truncated linear potential: until differences below the truncation are reached."""
    largest = min(labels - 1, math.ceil(truncation) - 1)
    return largest.bit_length()


def scanline_nodes(pair: int, height: int, width: int) -> int:
    """Nodes of the longest scanline of a pair, which depend on one another."""
    dy, dx = DIRECTIONS[pair]
    across = math.ceil(width / abs(dx)) if dx else height * width
    down = math.ceil(height / dy) if dy else height * width
    return min(across, down)


def chain_steps(case: Case, ways: int = 2) -> int:
    """Nodes that come one after the other: what no amount of hardware does side by side."""
    longest = sum(
        scanline_nodes(pair, case["height"], case["width"]) for pair in range(pairs(case))
    )
    return ways * longest * int(case["iterations"])


def tape_bytes(case: Case) -> int:
    """Arg-mins of all messages and of their minima; SGM also notes where costs were lowest."""
    index = 1 if case["labels"] <= 256 else 2
    rows = messages(case)
    rows_of_costs = (case["iterations"] - 1) * pixels(case) if case["solver"] == "sgm" else 0
    return index * (rows * (int(case["labels"]) + 1) + rows_of_costs)


def weight_bytes(case: Case) -> int:
    """Of the edge weights, each read once in each iteration."""
    return ELEMENT * pairs(case) * pixels(case) * int(case["iterations"])


def forward_counts(case: Case, tape: bool = True) -> dict[str, float]:
    """Forward pass of a layer; tape: arg-mins are kept for a backward pass."""
    volume, solver, iterations = volume_bytes(case), case["solver"], case["iterations"]
    sweeps = pairs(case) * iterations
    kept = tape_bytes(case) if tape else 0
    ends = 2 * volume  # unaries are read, costs written
    return {
        "bytes": ONCE[solver] * sweeps * volume + kept + weight_bytes(case) + ends,
        "bytes_launched": LAUNCHED[solver] * sweeps * volume
        + kept
        + 2 * weight_bytes(case)
        + forward_overhead_volumes(case) * volume,
        **work(case, tape),
        "launches": forward_launches(case),
        "chain_steps": chain_steps(case),
    }


def forward_overhead_volumes(case: Case) -> int:
    """Volumes read or written outside sweeps: clearing, finite unaries, sums, costs."""
    d, k = int(case["connectivity"]), int(case["iterations"])
    finite = 3  # cleared, read, written
    if case["solver"] == "sgm":
        feed_back = 1 + 2 * (k - 1) if k > 1 else 0
        return finite + 1 + k + feed_back + 2
    gather = d + 2
    refreshed = k if case["solver"] == "isgmr" else k // REFRESH_INTERVAL
    return finite + (1 + d) + 2 + refreshed * gather + gather


def forward_launches(case: Case) -> int:
    """Kernels, copies and clears of a forward pass with weights for every edge."""
    k, d = int(case["iterations"]), int(case["connectivity"])
    start = setup_launches(case) + pairs(case) * k
    tables = 3 if case["potential"] == "table" else 0  # V and its transpose cleared, filled
    if case["solver"] == "sgm":
        feed_back = k if k > 1 else 0  # its volume cleared once
        return start + tables + 1 + k + feed_back + 1
    refreshed = k if case["solver"] == "isgmr" else k // REFRESH_INTERVAL
    return start + tables + 1 + d + 1 + refreshed + 1


def setup_launches(case: Case) -> int:
    """What every pass begins with: flags, V, finite unaries, checks."""
    if case["potential"] == "table":
        potential = 1  # checked; it is on the device already
    else:
        potential = 1 + math.ceil(case["labels"] / VALUES_A_LAUNCH)
    return 1 + potential + 2 + 1


def backward_counts(case: Case) -> dict[str, float]:
    """Backward pass to unaries and edge weights, and to V where it is a table."""
    volume, solver, sweeps = volume_bytes(case), case["solver"], pairs(case) * case["iterations"]
    ends = 2 * volume  # gradients of costs are read, those of unaries written
    weights = 2 * weight_bytes(case)  # read and written
    table = case["potential"] == "table"
    left_behind = 4 * sweeps * volume if table else 0  # written and read by the table's kernels
    tape = tape_bytes(case) * (2 if table else 1)
    return {
        "bytes": ADJOINT_ONCE[solver] * sweeps * volume + tape_bytes(case) + weights + ends,
        "bytes_launched": ADJOINT_LAUNCHED[solver] * sweeps * volume
        + tape
        + 2 * weights
        + left_behind
        + backward_overhead_volumes(case) * volume,
        **adjoint_work(case),
        "launches": backward_launches(case),
        "chain_steps": chain_steps(case),
    }


def backward_overhead_volumes(case: Case) -> int:
    """Volumes read or written outside sweeps."""
    d, k = int(case["connectivity"]), int(case["iterations"])
    finite, copies = 3, 4  # gradients in and out
    if case["potential"] == "table":
        finite += 2  # what adjoints leave behind, cleared
    if case["solver"] == "sgm":
        return finite + copies + 2 + k + 2 * (k - 1)
    isgmr = 1 + 2 * k if case["solver"] == "isgmr" else 0
    return finite + copies + 1 + d + isgmr


def backward_launches(case: Case) -> int:
    """Kernels, copies and clears."""
    k, d, sweeps = int(case["iterations"]), int(case["connectivity"]), pairs(case)
    launches = setup_launches(case) + sweeps * k
    launches += 1  # gradients of weights cleared
    if case["potential"] == "table":
        launches += 3 + 1 + 2 + 1  # tables, bins, what is left behind; bins added up
        launches += 2 * sweeps * k
    if case["solver"] == "sgm":
        return launches + 2 + 1 + k + (k - 1) + 1
    isgmr = 1 + k if case["solver"] == "isgmr" else 0
    return launches + 1 + d + isgmr + 1 + 1


def work(case: Case, argmin: bool) -> dict[str, float]:
    """min_plus_pairs, and clocks of one multiprocessor."""
    rows, labels = messages(case), int(case["labels"])
    if case["potential"] == "table":
        tile = 4 if labels <= 64 else 8
        found = math.ceil(labels / tile) * TILE_WITH_ARGMIN + tile * FOUND_IN_TILE
        a_label = labels * PAIR + (found if argmin else 0)
        candidates = rows * labels * labels
    else:
        steps = doubling_steps(labels)
        a_label = steps * (DOUBLING_STEP_WITH_ARGMIN if argmin else DOUBLING_STEP)
        candidates = 0
    return {
        "min_plus_pairs": float(candidates),
        "multiprocessor_clocks": rows * labels * (a_label + CELL) / 128,
    }


def adjoint_work(case: Case) -> dict[str, float]:
    """Arg-mins are undone label by label, whatever the potential."""
    rows, labels = messages(case), int(case["labels"])
    clocks = rows * labels * (SCATTER + 2 * ORDERED_SUM + CELL) / 128
    return {"min_plus_pairs": 0.0, "multiprocessor_clocks": clocks}


def minimize_counts(case: Case) -> dict[str, float]:
    """mrfcore.minimize: a forward pass without tape; labels and their energy are small."""
    counted = forward_counts(case, tape=False)
    del counted["launches"]  # tests of energies and bounds add some
    return counted


def sweeps_of(case: Case) -> dict[str, float]:
    """Sweeps of minimize() alone: what one more iteration takes."""
    volumes = ONCE[case["solver"]] * pairs(case) * case["iterations"]
    return {
        "bytes": volumes * volume_bytes(case),  # its weight is a number
        **work(case, argmin=False),
        "chain_steps": chain_steps(case),
    }


def sgm_counts(height: int, width: int, labels: int, paths: int, p2: int = 120) -> dict[str, float]:
    """Stereo SGM in bytes, costs included (cuda/sgm_compact.cu counts the same way)."""
    if p2 <= MOST_COMPACT_PENALTY_OF_BYTES:
        a_cell = 6 * (paths // 2) + 1  # both messages of a pair in one byte
    elif p2 <= 255:
        a_cell = 3 * paths + 1
    else:
        a_cell = 5 * paths + 1
    images_and_maps = height * width * (2 + 4)
    return {
        "bytes": height * width * labels * (a_cell + 1) + images_and_maps,
        "bytes_a_cell": a_cell + 1,
        "evaluations": height * width * labels,
    }


def bounds(counted: Mapping[str, float], gpu: Gpu) -> dict[str, float]:
    """Seconds that the counted bytes and operations take at least; their larger is the bound."""
    moved = counted["bytes"] / gpu.bytes_per_second
    computed = counted.get("multiprocessor_clocks", 0.0) / (gpu.multiprocessors * gpu.clock)
    return {"bytes_s": moved, "operations_s": computed, "bound_s": max(moved, computed)}


def min_plus_peak(gpu: Gpu) -> float:
    """Min-plus pairs per second, arg-mins not asked for."""
    return gpu.multiprocessors * gpu.clock * 128 / PAIR
