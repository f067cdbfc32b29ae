# SPDX-License-Identifier: Apache-2.0
"""bench/gpu.py: what it counts, against other ways of counting, and its command line."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import _gpu_cases as cases  # noqa: E402
import _gpu_counts as counts  # noqa: E402
import gpu  # noqa: E402


@pytest.mark.parametrize("connectivity", [4, 8, 16])
def test_bytes_of_sweeps_are_those_of_the_design(connectivity: int) -> None:
    """12 D bytes a pixel and label for TRWP with fused ways, 20 D with both from memory."""
    c = cases.case("trwp", (30, 40), 8, connectivity, iterations=3)
    cells = 30 * 40 * 8
    assert counts.sweeps_of(c)["bytes"] == 12 * connectivity * cells * 3
    assert counts.LAUNCHED["trwp"] * 4 == 2 * 20


def test_forward_bytes_by_hand() -> None:
    """One pixel row, one iteration: unaries, costs, weights, sweeps, arg-mins."""
    c = cases.case("isgmr", (1, 10), 4, 4, iterations=1)
    volume, pixels = 10 * 4 * 4, 10
    by_hand = 2 * volume + 2 * pixels * 4 + 2 * 5 * volume + 4 * pixels * (4 + 1)
    assert counts.forward_counts(c)["bytes"] == by_hand
    assert counts.forward_counts(c, tape=False)["bytes"] == by_hand - 4 * pixels * 5


@pytest.mark.parametrize(("labels", "index"), [(256, 1), (257, 2)])
def test_tape(labels: int, index: int) -> None:
    c = cases.case("sgm", (3, 5), labels, 8, iterations=2)
    assert counts.tape_bytes(c) == index * 15 * (2 * 8 * (labels + 1) + 1)


def test_launched_bytes_are_never_fewer() -> None:
    for c in cases.layer_cases():
        for counted in (counts.forward_counts(c), counts.backward_counts(c)):
            assert counted["bytes_launched"] > counted["bytes"]


@pytest.mark.parametrize("truncation", [1, 2, 3, 4, 5, 8, 9, 100])
@pytest.mark.parametrize("labels", [1, 2, 5, 33])
def test_doubling_steps_reach_all_that_is_not_truncated(labels: int, truncation: int) -> None:
    """After n steps of sizes 1, 2, 4, ... differences below 2^n are reached, and n is least."""
    steps = counts.doubling_steps(labels, truncation)
    needed = max((d for d in range(labels) if d < truncation), default=0)
    assert 2**steps > needed
    assert steps == 0 or 2 ** (steps - 1) <= needed


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (4, 7), (7, 4), (6, 6)])
@pytest.mark.parametrize("pair", range(8))
def test_longest_scanline_by_walking(pair: int, size: tuple[int, int]) -> None:
    height, width = size
    dy, dx = counts.DIRECTIONS[pair]

    def nodes_from(y: int, x: int) -> int:
        n = 0
        while 0 <= y < height and 0 <= x < width:
            y, x, n = y + dy, x + dx, n + 1
        return n

    longest = max(nodes_from(y, x) for y in range(height) for x in range(width))
    assert counts.scanline_nodes(pair, height, width) == longest


def test_min_plus_peak_is_the_design_s() -> None:
    """About 11 T pairs/s on an H200."""
    assert counts.min_plus_peak(counts.REFERENCE_GPUS[1]) == pytest.approx(11e12, rel=0.05)


def test_bounds_take_the_larger() -> None:
    one = counts.Gpu("one", 100.0, 1, 10.0)
    assert counts.bounds({"bytes": 50, "multiprocessor_clocks": 20}, one) == {
        "bytes_s": 0.5,
        "operations_s": 2.0,
        "bound_s": 2.0,
    }


@pytest.mark.parametrize(
    ("paths", "p2", "a_cell"), [(8, 120, 26), (4, 120, 14), (8, 200, 26), (8, 400, 42)]
)
def test_sgm_bytes_a_cell(paths: int, p2: int, a_cell: int) -> None:
    """25 and 41 as cuda/sgm_compact.cu has it, and one for writing the costs."""
    assert counts.sgm_counts(10, 20, 30, paths, p2)["bytes_a_cell"] == a_cell


@pytest.mark.parametrize("iterations", [1, 2, 9])
@pytest.mark.parametrize("potential", cases.POTENTIALS)
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("solver", cases.SOLVERS)
def test_launches_are_those_that_the_emulator_sees(
    device: Any, solver: str, batch: int, potential: str, iterations: int
) -> None:
    torch = pytest.importorskip("torch")
    if device.type == "cuda":
        pytest.skip("only the emulator counts")
    launches = emulated_counter()
    from _gpu_device import Device
    from _gpu_measure import LayerRun
    from mrfcore import ops

    c = cases.case(solver, (3, 4), 5, 8, batch=batch, potential=potential, iterations=iterations)
    threads = torch.get_num_threads()
    run = LayerRun(c, Device(emulated=True))
    torch.set_num_threads(threads)
    with device.active():
        before = launches()
        costs = run.forward(ops.message_passing)
        between = launches()
        run.backward(costs)
        after = launches()
    assert between - before == counts.forward_launches(c)
    assert after - between == counts.backward_launches(c)


def emulated_counter() -> Any:
    """Of launches, exported by the library of emulated kernels."""
    function = ctypes.CDLL(os.environ["MRFCORE_CUDA_LIBRARY"]).mrfcore_emulated_launches
    function.restype = ctypes.c_uint64
    return function


def test_ours_and_plain_torch_agree(device: Any) -> None:
    """What is timed against each other computes the same."""
    pytest.importorskip("torch")
    if device.type == "cuda":
        pytest.skip("bench/gpu.py says so itself on a GPU")
    from _gpu_device import Device
    from _gpu_measure import LayerRun, difference
    from mrfcore.ops import reference

    run = LayerRun(cases.TINY, Device(emulated=True))
    with device.active():
        found = difference(run, run.both(reference.message_passing))
    assert set(found) == {"costs", "unary", "weights"}
    assert max(found.values()) < 1e-5


# ---------------------------------------------------------------- the script


def test_count_needs_no_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "gpu.json"
    assert gpu.main(["--count", "-o", str(output)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("counted, not measured")
    result = json.loads(output.read_text())
    assert result["kind"] == "counted, not measured"
    names = [entry["name"] for part in gpu.PARTS for entry in result[part]]
    assert len(set(names)) >= len(result["layers"])
    assert all(name in printed for name in names)


def test_committed_count_is_up_to_date() -> None:
    committed = ROOT / "bench" / "results" / "counted" / "gpu.json"
    if not committed.is_file():  # an installed or unpacked source without results
        pytest.skip("no bench/results here")
    assert json.loads(committed.read_text()) == json.loads(json.dumps(gpu.counted()))


def test_benchmark_covers_what_it_should() -> None:
    layers = cases.layer_cases()
    seen = {
        (c["solver"], c["labels"], c["connectivity"], c["potential"])
        for c in layers
        if (c["height"], c["width"], c["batch"]) == (256, 512, 1)
    }
    wanted = {
        (s, n, d, v) for s in cases.SOLVERS for n in (32, 96) for d in (4, 8, 16)
        for v in cases.POTENTIALS
    }  # fmt: skip
    assert seen == wanted
    sizes = {(c["width"], c["height"], c["labels"], c["batch"]) for c in layers}
    assert sizes >= {(1242, 375, 128, 1), (1242, 375, 128, 16), (450, 375, 64, 1)}
    assert len({json.dumps(c) for c in layers}) == len(layers)


def test_published_numbers_name_their_source() -> None:
    for row in cases.published():
        assert row["source"]
        evaluations = row["width"] * row["height"] * row["labels"] * row["frames_per_second"]
        assert row["million_evaluations_per_second"] == pytest.approx(evaluations / 1e6)


def test_only_gpus_write_into_results() -> None:
    assert "results" not in gpu.default_output(True, "emulator").parts
    folder = gpu.default_output(False, "NVIDIA H100 80GB HBM3").parent
    assert folder == ROOT / "bench" / "results" / "nvidia-h100-80gb-hbm3"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--budget", "0"],
        ["--samples", "-1"],
        ["--parts", "nothing"],
        ["--count", "--emulate"],
        ["--reference-limit", "0"],
    ],
)
def test_bad_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        gpu.parse(arguments)
    assert error.value.code == 2
    assert arguments[0].lstrip("-") in capsys.readouterr().err


def test_shares_of_the_bound() -> None:
    """Twice the bound's time is half of it."""
    card = counts.Gpu("card", 1e12, 100, 1e9)
    c = cases.case("trwp", (256, 512), 32, 4)
    bound = counts.bounds(counts.forward_counts(c), card)["bound_s"]
    entry = {
        "ours": {"forward_s": 2 * bound, "backward_s": 1.0},
        "graph": {"skipped": "not here"},
    }
    found = gpu.shares("layers", c, entry, card)
    assert found["forward_of_bound"] == pytest.approx(0.5)
    assert "forward_graph_of_bound" not in found


def measured_result() -> dict[str, Any]:
    """As from a GPU that takes twice the bound's time for everything."""
    card = counts.Gpu("card", 1e12, 100, 1e9)
    layers = []
    for c in cases.layer_cases()[:2]:
        counted = gpu.count_of("layers", c)
        times = {f"{k}_s": 2 * counts.bounds(v, card)["bound_s"] for k, v in counted.items()}
        entry = {**c, "name": cases.name_of(c), "ours": times, "graph": times, "peak_bytes": 10**9}
        entry["reference"] = {"skipped": "slow"} if layers else {k: 9 * t for k, t in times.items()}
        entry["share_of_bound"] = gpu.shares("layers", c, entry, card)
        layers.append(entry)
    one = cases.minimize_cases()[0]
    solved = {**one, "name": cases.name_of(one), "wall_s": 0.5, "iteration_s": 0.025}
    solved["share_of_bound"] = gpu.shares("minimize", one, solved, card)
    stereo = {"name": "stereo", "sgm_s": 0.001, "graph_s": 0.001}
    stereo |= {"million_evaluations_per_second": 1234.0}
    stereo["share_of_bound"] = gpu.shares("sgm", cases.SGM_CASES[0], stereo, card)
    return {
        "kind": "measured",
        "machine": {"gpu": "card", "torch": "2.11"},
        "ceilings": {"copy_bytes_per_second": 1e12, "clock_hz": None, "clock_max_hz": 1e9},
        "layers": layers,
        "minimize": [solved],
        "sgm": [stereo, {"name": "other", "skipped": "absent"}],
        "published": cases.published(),
        "left_out": ["layers: the last"],
        "failed": ["layers: bad: RuntimeError: no"],
    }


def test_table_of_measurements() -> None:
    rows = gpu.measured_table(measured_result()).splitlines()
    first, second = (next(r for r in rows if r.startswith(c["name"])) for c in
                     measured_result()["layers"])  # fmt: skip
    assert first.count("50%") == 4  # both passes, by calls and as graphs
    assert first.count("9x") == 2
    assert "9x" not in second
    said = "\n".join(rows)
    for text in (
        "1234 million",
        "other: skipped, absent",
        "out of time for 1",
        "FAILED layers: bad",
    ):
        assert text in said


def test_megahertz() -> None:
    pytest.importorskip("torch")
    from _gpu_device import as_gpu, megahertz

    assert megahertz("1980 MHz") == 1.98e9
    assert megahertz(None) is None
    assert megahertz("[N/A]") is None
    found = as_gpu({"gpu": "card", "multiprocessors": 3}, measured_result()["ceilings"])
    assert found == counts.Gpu("card", 1e12, 3, 1e9)


def test_patience_grows_with_the_case() -> None:
    pytest.importorskip("torch")
    from _gpu_measure import Patience

    patience = Patience(limit_s=1.0)
    small, large = cases.case("trwp", (8, 8), 4, 4), cases.case("trwp", (8, 8), 40, 4)
    assert patience.has(large)  # nothing is known yet
    patience.saw(small, 0.5)
    assert patience.has(small)
    assert patience.guess(large) == pytest.approx(50.0)
    assert not patience.has(large)


def test_spread() -> None:
    pytest.importorskip("torch")
    from _gpu_measure import spread, summary

    samples = [1.0, 2.0, 3.0, 4.0, 5.0]
    low, high = np.quantile(samples, [0.25, 0.75], method="weibull")
    assert spread(samples) == pytest.approx((high - low) / 3.0)
    found = summary({"forward_s": samples, "peak_bytes": 7, "difference": {}})
    assert found == {
        "forward_s": 3.0,
        "forward_spread": spread(samples),
        "forward_samples": 5,
        "peak_bytes": 7,
    }
