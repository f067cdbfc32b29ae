# SPDX-License-Identifier: Apache-2.0
"""The CUDA back-end against plain torch on the same GPU, and against what the hardware allows.

    python bench/gpu.py             measure; writes bench/results/<gpu>/gpu.json
    python bench/gpu.py --count     no GPU needed: counted bytes, operations and launches, and what
                                    they would take; writes bench/results/counted/gpu.json
    python bench/gpu.py --emulate   rehearse with emulated kernels, tiny sizes; writes nothing into
                                    bench/results

Ours and the reference (mrfcore.ops.reference) take turns; times are medians between CUDA events.
The bound of a case is what its counted bytes or operations take at this run's copy bandwidth and
clock (_gpu_counts.py says what is counted). Cases that do not fit --budget are listed as left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import _gpu_cases as cases
import _gpu_counts as counts
import _gpu_dense as dense
from _machine import ROOT, results_folder, write

SECONDS_A_CASE = 1.0  # at least: no case is begun with less
PARTS = ("layers", "minimize", "sgm", "dense")


def main(arguments: list[str] | None = None) -> int:
    """Measure or count, write, print."""
    args = parse(arguments)
    if args.count:
        result = counted()
        output = args.output or results_folder("counted") / "gpu.json"
        text = counted_table(result)
    else:
        missing = why_not(args.emulate)
        if missing:
            print(f"gpu.py: {missing}", file=sys.stderr)
            return 2
        result = measured(args)
        output = args.output or default_output(args.emulate, result["machine"]["gpu"])
        text = measured_table(result)
    write(output, json.dumps(result, indent=1) + "\n")
    print(text)
    print(f"\nwritten: {output}")
    return 1 if result.get("failed") else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--count", action="store_true", help="count only; needs neither GPU nor torch")
    way.add_argument("--emulate", action="store_true", help="rehearse on emulated kernels")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure"
    )
    parser.add_argument("--budget", type=float, default=160.0, help="seconds in all (160)")
    parser.add_argument("--samples", type=int, default=15, help="of ours in each case (15)")
    parser.add_argument(
        "--reference-limit", type=float, default=3.0, help="seconds for plain torch in a case (3)"
    )
    parser.add_argument("-o", "--output", type=Path, help="JSON file to write")
    args = parser.parse_args(arguments)
    for name in ("budget", "samples", "reference_limit"):
        if getattr(args, name) <= 0:
            parser.error(f"--{name.replace('_', '-')}: expected a positive number")
    return args


def why_not(emulate: bool) -> str | None:
    """What is missing for a measurement, or None."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    if emulate:
        sys.path.insert(0, str(ROOT / "tests" / "python"))
        import devices

        devices.use_emulator_if_built()
    from mrfcore import _core

    status = _core.cuda_status()
    if emulate:
        return None if status["emulated"] else "no emulated kernels: build the C++ tests first"
    if status["emulated"]:
        return f"MRFCORE_CUDA_LIBRARY={os.environ.get('MRFCORE_CUDA_LIBRARY')} is emulated"
    return None if status["available"] else f"{status['reason']}; --count needs no GPU"


def default_output(emulated: bool, gpu: str) -> Path:
    """Only what was measured on a GPU goes to bench/results."""
    if emulated:
        return ROOT / "build/bench/gpu-emulated.json"
    return results_folder(folder_of(gpu)) / "gpu.json"


def folder_of(gpu: str) -> str:
    """A GPU's name as that of a folder."""
    return re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")


# ---------------------------------------------------------------- measured


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """All parts, within the budget."""
    from _gpu_device import Device, as_gpu, ceilings, machine
    from _gpu_measure import warm_up

    end = time.monotonic() + args.budget
    device = Device(args.emulate)
    result: dict[str, Any] = {
        "kind": "emulated: times mean nothing" if args.emulate else "measured",
        "machine": machine(device),
        "ceilings": ceilings(device),
        "left_out": [],
        "failed": [],
    }
    gpu = None if args.emulate else as_gpu(result["machine"], result["ceilings"])
    with device.active():
        warm_up(device)
        for part in ("sgm", "minimize", "dense", "layers"):  # layers take what is left
            if part in args.parts:
                result[part] = measure_part(part, device, gpu, args, end, result)
    result["published"] = cases.published()
    return result


def measure_part(
    part: str,
    device: Any,
    gpu: counts.Gpu | None,
    args: argparse.Namespace,
    end: float,
    result: dict[str, Any],
) -> list[dict[str, Any]]:
    """Cases of a part, each with its count and, on a GPU, the share of its bound."""
    import _gpu_dense_measure
    import _gpu_measure as measure

    patience = measure.Patience(args.reference_limit)
    samples = min(args.samples, 2) if args.emulate else args.samples
    found = []
    for case in cases_of(part, args.emulate):
        name = name_of(part, case)
        if end - time.monotonic() < SECONDS_A_CASE:
            result["left_out"].append(f"{part}: {name}")
            continue
        print(f"{part}: {name}", file=sys.stderr, flush=True)
        try:
            if part == "layers":
                seen = measure.measure_layer(case, device, patience, samples)
            elif part == "minimize":
                seen = measure.measure_minimize(case, device, min(samples, 7))
            elif part == "dense":
                limit = args.reference_limit
                seen = _gpu_dense_measure.measure_dense(case, device, limit, samples)
            else:
                seen = measure.measure_sgm(case, device, samples)
        except (MemoryError, RuntimeError) as error:  # the others may still go well
            result["failed"].append(f"{part}: {name}: {type(error).__name__}: {error}")
            measure.release(device)
            continue
        entry = {**case, "name": name, "counted": count_of(part, case), **seen}
        if gpu is not None:
            entry["share_of_bound"] = shares(part, case, entry, gpu)
        found.append(entry)
    return found


def cases_of(part: str, tiny: bool) -> list[dict[str, Any]]:
    """Of a part of the benchmark."""
    if part == "layers":
        return cases.tiny_layer_cases() if tiny else cases.layer_cases()
    if part == "minimize":
        return cases.tiny_minimize_cases() if tiny else cases.minimize_cases()
    if part == "dense":
        return dense.tiny_dense_cases() if tiny else dense.dense_cases()
    return list(cases.TINY_SGM_CASES if tiny else cases.SGM_CASES)


def count_of(part: str, case: dict[str, Any]) -> dict[str, Any]:
    """Counts of a case, by pass where there are several."""
    if part == "layers":
        return {"forward": counts.forward_counts(case), "backward": counts.backward_counts(case)}
    if part == "minimize":
        one = {**case, "iterations": 1}
        return {"call": counts.minimize_counts(case), "iteration": counts.sweeps_of(one)}
    if part == "dense":
        return dense.dense_counts(case)
    return {"sgm": counts.sgm_counts(**case)}


def shares(
    part: str, case: dict[str, Any], entry: dict[str, Any], gpu: counts.Gpu
) -> dict[str, float]:
    """Bound over time; of both bytes alone and of the larger of bytes and operations."""
    seconds: dict[str, float | None] = {}
    if part in ("layers", "dense"):
        for name in counted_passes(entry):
            seconds[name] = entry["ours"][f"{name}_s"]
            if "skipped" not in entry["graph"]:
                seconds[f"{name}_graph"] = entry["graph"][f"{name}_s"]
    elif part == "minimize":
        seconds = {"call": entry["wall_s"], "iteration": entry.get("iteration_s")}
    elif "skipped" not in entry:
        seconds = {"sgm": entry["sgm_s"], "sgm_graph": entry["graph_s"]}
    counted_case = count_of(part, case)
    found = {}
    for name, taken in seconds.items():
        if taken is None or taken <= 0:
            continue
        bound = counts.bounds(counted_case[name.removesuffix("_graph")], gpu)
        found[f"{name}_of_bytes"] = bound["bytes_s"] / taken
        found[f"{name}_of_bound"] = bound["bound_s"] / taken
    return found


def counted_passes(entry: dict[str, Any]) -> list[str]:
    """Some operators have no backward pass."""
    return [name for name in ("forward", "backward") if f"{name}_s" in entry["ours"]]


def name_of(part: str, case: dict[str, Any]) -> str:
    """Of a case, for tables."""
    if part == "dense":
        return dense.dense_name(case)
    if part != "sgm":
        return cases.name_of(case)
    return f"stereo {case['paths']} paths {case['width']}x{case['height']}x{case['labels']}"


# ---------------------------------------------------------------- counted


def counted() -> dict[str, Any]:
    """Everything that needs no GPU."""
    result: dict[str, Any] = {
        "kind": "counted, not measured",
        "gpus": [gpu._asdict() | {"min_plus_peak": counts.min_plus_peak(gpu)} for gpu in GPUS],
    }
    for part in PARTS:
        result[part] = []
        for case in cases_of(part, False):
            name = name_of(part, case)
            of = count_of(part, case)
            entry: dict[str, Any] = {**case, "name": name, "counted": of}
            entry["bounds"] = {
                gpu.name: {key: counts.bounds(value, gpu) for key, value in of.items()}
                for gpu in GPUS
            }
            if part == "sgm":
                for times in entry["bounds"].values():
                    most = of["sgm"]["evaluations"] / times["sgm"]["bound_s"]
                    times["most_million_evaluations_per_second"] = most / 1e6
            result[part].append(entry)
    result["published"] = cases.published()
    return result


GPUS = counts.REFERENCE_GPUS


def counted_table(result: dict[str, Any]) -> str:
    """For people; times of the bound."""
    names = [gpu.name for gpu in GPUS]
    lines = [
        "counted, not measured: the least that bytes or operations (*) take at",
        *(
            f"  {g['name']}: {g['bytes_per_second'] / 1e12:.1f} TB/s copied, "
            f"{g['min_plus_peak'] / 1e12:.1f} T min-plus pairs/s"
            for g in result["gpus"]
        ),
        "GB: as bound, as launched; steps: nodes that wait for one another",
        f"{'case':44}{'pass':>10}{'GB':>9}{'launched':>9}{'launches':>9}{'steps':>8}"
        + "".join(f"{'ms ' + name.split()[1]:>11}" for name in names),
    ]
    for part in PARTS:
        for entry in result[part]:
            lines += [counted_row(entry, key, names) for key in entry["counted"]]
    return "\n".join(lines)


def counted_row(entry: dict[str, Any], key: str, names: list[str]) -> str:
    c = entry["counted"][key]
    row = f"{entry['name']:44}{key:>10}{c['bytes'] / 1e9:>9.3f}"
    row += f"{c['bytes_launched'] / 1e9:>9.3f}" if "bytes_launched" in c else f"{'':9}"
    row += f"{c['launches']:>9.0f}" if "launches" in c else f"{'':9}"
    row += f"{c['chain_steps']:>8.0f}" if "chain_steps" in c else f"{'':8}"
    for name in names:
        bound = entry["bounds"][name][key]
        mark = "*" if bound["operations_s"] > bound["bytes_s"] else " "
        row += f"{1e3 * bound['bound_s']:>10.3f}{mark}"
    return row


# ---------------------------------------------------------------- table of measurements


def measured_table(result: dict[str, Any]) -> str:
    """Short, for people."""
    machine, top = result["machine"], result["ceilings"]
    lines = [f"{machine['gpu']}, torch {machine['torch']}: {result['kind']}"]
    if top:
        pairs = top.get("min_plus_pairs_per_s")
        said = "not measured" if pairs is None else f"{pairs / 1e12:.2f} T/s"
        lines.append(
            f"copy {top['copy_bytes_per_second'] / 1e12:.2f} TB/s, clock "
            f"{(top['clock_hz'] or 0) / 1e9:.2f} GHz, min-plus pairs {said}"
        )
    if result.get("layers"):
        lines += layer_rows(result["layers"])
    lines += [row for entry in result.get("dense", []) for row in dense_rows(entry)]
    for entry in result.get("minimize", []):
        share = entry.get("share_of_bound", {}).get("iteration_of_bound")
        lines.append(
            f"minimize {entry['name']:36}{1e3 * entry['wall_s']:>9.2f} ms"
            + ("" if share is None else f", iteration at {share:.0%} of the bound")
        )
    lines += [sgm_row(entry) for entry in result.get("sgm", [])]
    if result.get("sgm"):
        lines += [
            f"published: {p['name']} on {p['gpu']}, {p['width']}x{p['height']}x{p['labels']}, "
            f"{p['paths'] or '?'} paths: {p['million_evaluations_per_second']:.0f}"
            for p in result["published"]
        ]
    if result["left_out"]:
        lines.append(f"out of time for {len(result['left_out'])} cases (see left_out)")
    lines += [f"FAILED {failure}" for failure in result["failed"]]
    return "\n".join(lines)


def layer_rows(entries: list[dict[str, Any]]) -> list[str]:
    head = (
        f"{'layer':36}{'fwd ms':>8}{'bound':>6}{'graph':>6}{'ratio':>7}"
        f"{'bwd ms':>9}{'bound':>6}{'graph':>6}{'ratio':>7}{'b/f':>6}{'MB':>7}{'launches':>10}"
    )
    return [head, *(layer_row(entry) for entry in entries)]


def layer_row(e: dict[str, Any]) -> str:
    share, ours, plain = e.get("share_of_bound", {}), e["ours"], e["reference"]
    row = f"{e['name']:36}"
    for name in ("forward", "backward"):
        ratio = None if "skipped" in plain else plain[f"{name}_s"] / ours[f"{name}_s"]
        row += f"{1e3 * ours[f'{name}_s']:>{8 if name == 'forward' else 9}.2f}"
        for key in (f"{name}_of_bound", f"{name}_graph_of_bound"):
            row += f"{share[key]:>6.0%}" if key in share else f"{'-':>6}"
        row += f"{ratio:>6.0f}x" if ratio is not None else f"{'-':>7}"
    row += f"{ours['backward_s'] / ours['forward_s']:>6.2f}"
    row += f"{'-' if e['peak_bytes'] is None else format(e['peak_bytes'] / 1e6, '.0f'):>7}"
    seen = (e.get("forward_launches_seen"), e.get("backward_launches_seen"))
    return row + f"{'-' if None in seen else '{}+{}'.format(*seen):>10}"


def dense_rows(entry: dict[str, Any]) -> list[str]:
    share, ours, plain = entry.get("share_of_bound", {}), entry["ours"], entry["reference"]
    rows = []
    for name in counted_passes(entry):
        row = f"{entry['name']:44}{name:>9}{1e3 * ours[f'{name}_s']:>10.3f} ms"
        for key, word in (
            (f"{name}_of_bound", "of the bound"),
            (f"{name}_graph_of_bound", "as a graph"),
        ):
            row += f", {share[key]:.0%} {word}" if key in share else ""
        if f"{name}_s" in plain:
            row += f", plain torch {plain[f'{name}_s'] / ours[f'{name}_s']:.1f} times as long"
        rows.append(row)
    return rows


def sgm_row(entry: dict[str, Any]) -> str:
    if "skipped" in entry:
        return f"{entry['name']}: skipped, {entry['skipped']}"
    share = entry.get("share_of_bound", {}).get("sgm_of_bound")
    return (
        f"{entry['name']}: {entry['million_evaluations_per_second']:.0f} million evaluations/s, "
        f"{1e3 * entry['sgm_s']:.3f} ms" + ("" if share is None else f", {share:.0%} of the bound")
    )


if __name__ == "__main__":
    sys.exit(main())
