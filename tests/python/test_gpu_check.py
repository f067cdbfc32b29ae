# SPDX-License-Identifier: Apache-2.0
"""tests/gpu_check.py: its parts, its time, and a rehearsal on emulated kernels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import gpu_check  # noqa: E402


def arguments(folder: Path, *more: str) -> list[str]:
    return ["--out", str(folder / "out"), "--build", str(folder / "build"), *more]


def shell(code: str) -> gpu_check.Step:
    return gpu_check.Step([sys.executable, "-c", code])


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What parts run in place of their own steps, by part."""
    chosen: dict[str, Any] = {part: [shell("print('fine')")] for part in gpu_check.PARTS}

    def give(part: str) -> Any:
        def steps_of(_: Any, __: float) -> list[gpu_check.Step]:
            if isinstance(chosen[part], Exception):
                raise chosen[part]
            found: list[gpu_check.Step] = chosen[part]
            return found

        return steps_of

    for part in gpu_check.PARTS:
        monkeypatch.setattr(gpu_check.Check, f"steps_of_{part}", give(part))
    monkeypatch.setattr(gpu_check, "keep_results", lambda *_: None)
    return chosen


def parts_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / "check.json").read_text())["parts"]
    return found


def test_all_is_well(steps: dict[str, Any], tmp_path: Path, capsys: Any) -> None:
    del steps
    assert gpu_check.main(arguments(tmp_path)) == 0
    assert {p["status"] for p in parts_of(tmp_path).values()} == {"passed"}
    logs = {p.name for p in (tmp_path / "out").glob("*.log")}
    assert logs == {f"{part}.log" for part in gpu_check.PARTS}
    last = capsys.readouterr().out.splitlines()[-len(gpu_check.PARTS) :]
    assert [line.split()[0] for line in last] == list(gpu_check.PARTS)


def test_a_failing_part_does_not_stop_the_others(steps: dict[str, Any], tmp_path: Path) -> None:
    steps["build"] = [shell("raise SystemExit(3)"), shell("print('never')")]
    steps["test"] = gpu_check.MissingError("no pytest")
    assert gpu_check.main(arguments(tmp_path)) == 1
    found = parts_of(tmp_path)
    assert found["build"]["why"] == "exit status 3"
    assert "never" not in (tmp_path / "out" / "build.log").read_text().splitlines()
    assert found["test"] == {"status": "failed", "why": "no pytest", "seconds": 0.0}
    assert found["bench"]["status"] == "passed"


def test_what_is_missing_may_be_no_fault(steps: dict[str, Any], tmp_path: Path) -> None:
    steps["sanitize"] = gpu_check.SkippedError("not installed")
    assert gpu_check.main(arguments(tmp_path, "--parts", "sanitize")) == 0
    assert parts_of(tmp_path)["sanitize"]["why"] == "not installed"


def test_sanitizers_all_have_their_turn(steps: dict[str, Any], tmp_path: Path) -> None:
    steps["sanitize"] = [shell("raise SystemExit(9)"), shell("print('second')")]
    assert gpu_check.main(arguments(tmp_path, "--parts", "sanitize")) == 1
    assert "second" in (tmp_path / "out" / "sanitize.log").read_text().splitlines()


def test_a_part_out_of_time_is_ended_with_its_children(
    steps: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    born = tmp_path / "born"
    child = f"""import os, pathlib, time
pathlib.Path({str(born)!r}).write_text(str(os.getpid()))
time.sleep(600)"""
    steps["test"] = [
        shell(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])")
    ]
    monkeypatch.setitem(gpu_check.LIMITS, "test", 5.0)
    monkeypatch.setitem(gpu_check.LEAST, "test", 0.1)
    assert gpu_check.main(arguments(tmp_path, "--parts", "test", "bench")) == 1
    assert "out of time" in parts_of(tmp_path)["test"]["why"]
    assert gone(int(born.read_text()))


def gone(process: int) -> bool:
    """Ended, or waiting for somebody to ask how."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX"


def test_parts_for_which_no_time_is_left_are_not_begun(
    steps: dict[str, Any], tmp_path: Path
) -> None:
    del steps
    assert gpu_check.main(arguments(tmp_path, "--seconds", "10", "--parts", "test", "bench")) == 0
    found = parts_of(tmp_path)
    assert (found["test"]["status"], found["bench"]["status"]) == ("passed", "skipped")


def test_the_limits_fit_into_eight_minutes() -> None:
    assert gpu_check.SECONDS <= 480
    assert gpu_check.LIMITS["build"] + gpu_check.LIMITS["test"] < gpu_check.SECONDS / 1.5


def test_results_are_kept_of_measurements_that_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_check, "results_folder", lambda name: tmp_path / "results" / name)
    (tmp_path / "gpu.json").write_text('{"machine": {"gpu": "NVIDIA H200"}}')
    (tmp_path / "check.json").write_text("{}")
    gpu_check.keep_results(tmp_path, {"bench": gpu_check.Outcome("failed")})
    gpu_check.keep_results(tmp_path, {"test": gpu_check.Outcome("passed")})
    assert not (tmp_path / "results").exists()
    gpu_check.keep_results(tmp_path, {"bench": gpu_check.Outcome("passed")})
    kept = {p.name for p in (tmp_path / "results" / "nvidia-h200").iterdir()}
    assert kept == {"gpu.json", "check.json"}


@pytest.mark.parametrize(
    ("part", "log", "expected"),
    [
        ("test", "3 passed, 2 skipped in 1.25s\n", "3 passed, 2 skipped"),
        (
            "sanitize",
            "========= ERROR SUMMARY: 0 errors\n210 jobs, wrong: none\n"
            "========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)\n",
            "ERROR SUMMARY: 0 errors; 210 jobs, wrong: none; "
            "RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)",
        ),
        ("bench", "anything\n", ""),
    ],
)
def test_last_words(part: str, log: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(log)
    assert gpu_check.last_words(tmp_path / "a.log", part) == expected


def test_dry_run_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_check.main(arguments(tmp_path, "--dry-run")) == 0
    assert not (tmp_path / "out").exists()
    printed = capsys.readouterr().out
    for part in ("test", "sanitize", "bench"):
        assert f"{part}: " in printed
    assert "MRFCORE_TEST_DEVICE=cuda" in printed
    assert "--tool memcheck" in printed
    assert "--tool racecheck" in printed


@pytest.mark.parametrize("bad", [["--seconds", "0"], ["--parts", "everything"]])
def test_bad_arguments(bad: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        gpu_check.parse(bad)
    assert error.value.code == 2


def test_rehearsal(device: Any, tmp_path: Path) -> None:
    """A few tests, a few kernels and the benchmark, all emulated, as a user would start them."""
    pytest.importorskip("torch")
    if device.type == "cuda":
        pytest.skip("there is a GPU: make gpu-check is no rehearsal here")
    command = [sys.executable, str(ROOT / "tests" / "gpu_check.py"), "--rehearse"]
    command += ["--parts", "test", "sanitize", "bench", "--select", "potts"]
    done = subprocess.run(
        [*command, *arguments(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = parts_of(tmp_path)
    assert {part["status"] for part in found.values()} == {"passed"}
    assert "passed" in found["test"]["why"]
    assert "wrong: none" in found["sanitize"]["why"]
    result = json.loads((tmp_path / "out" / "gpu.json").read_text())
    assert result["kind"].startswith("emulated")
    assert len(result["layers"]) == 3
    assert result["failed"] == []


def test_what_runs_on_a_gpu_needs_numpy_and_torch_only() -> None:
    """Benchmark machines have less installed than the package asks for."""
    pytest.importorskip("torch")
    code = (
        "import sys\n"
        "hidden = {'matplotlib', 'PIL', 'pooch', 'rich', 'typer', 'scipy', 'skimage', 'cv2'}\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in hidden:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hide())\n"
        f"sys.path[:0] = [{str(ROOT / 'bench')!r}, {str(ROOT / 'tests')!r}]\n"
        "import mrfcore, mrfcore.cuda, mrfcore.nn, mrfcore.ops, mrfcore.stereo\n"
        "import _gpu_measure, gpu, gpu_kernels\n"
        "print(len(list(gpu_kernels.jobs())))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


@pytest.mark.parametrize(("visible", "expected"), [(None, "9.0"), ("1", "8.6"), ("", None)])
def test_the_gpu_is_that_which_programs_are_given(
    visible: str | None, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nvidia-smi lists a GPU of 9.0 first; torch sees what CUDA_VISIBLE_DEVICES names."""
    script = '#!/bin/sh\ncase "$*" in %s) echo %s ;; *) exit 1 ;; esac\n'
    for name, text in {
        "nvidia-smi": script % ("*compute_cap*", "9.0"),
        "python": script % ("*get_device_capability*", "8.6") if visible != "" else "exit 1\n",
    }.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(gpu_check.sys, "executable", str(tmp_path / "python"))
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_check.capability() == expected
