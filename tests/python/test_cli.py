# SPDX-License-Identifier: Apache-2.0
"""The command line: outputs by file type, tables, exit codes, and files whole or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mrfcore
from cli_cases import (
    DISPARITIES,
    command,
    number_after,
    one_line_about,
    rendered_pair,
    write_pair,
    write_picture,
)
from mrfcore import demo, io, metrics, restore, stereo, viz
from mrfcore.cli import console, main
from mrfcore.cli import stereo as stereo_command


@pytest.fixture(scope="module")
def pair() -> mrfcore.datasets.StereoPair:
    return rendered_pair()


@pytest.fixture
def files(pair: mrfcore.datasets.StereoPair, tmp_path: Path) -> dict[str, Path]:
    return write_pair(pair, tmp_path)


@pytest.fixture
def picture(tmp_path: Path) -> dict[str, Path]:
    return write_picture(tmp_path)


# --- stereo -------------------------------------------------------------------------------------


def test_stereo_writes_every_type(files, pair, tmp_path) -> None:
    outputs = [tmp_path / f"out.{suffix}" for suffix in ("png", "pfm", "npy", "jpg")]
    options = [part for path in outputs for part in ("-o", path)]
    assert main(command(files, *options, "--preview", tmp_path / "seen.png", "-q")) == 0
    expected = stereo.match(pair.left, pair.right, DISPARITIES).disparity
    np.testing.assert_array_equal(np.load(outputs[2]), expected)
    np.testing.assert_array_equal(io.read_disparity(outputs[1]), expected)
    stored = io.read_disparity(outputs[0])
    np.testing.assert_allclose(stored, np.maximum(expected, 1 / 256), atol=1 / 512)
    assert Image.open(outputs[0]).mode.startswith("I")  # 16 bits
    coloured = viz.colorize_disparity(expected)
    np.testing.assert_array_equal(io.read_image(tmp_path / "seen.png"), coloured)
    assert np.abs(io.read_image(outputs[3]).astype(int) - coloured).mean() < 12  # JPEG


def test_stereo_prints_energy_bound_speed_and_errors(files, pair, tmp_path, capsys) -> None:
    truth = ["-g", files["truth"], "--mask", files["mask"]]
    assert main(command(files, "-o", tmp_path / "out.npy", *truth, "--solver", "trws")) == 0
    text = capsys.readouterr().out
    result = stereo.match(pair.left, pair.right, DISPARITIES, solver="trws", lower_bound=True)
    assert number_after(text, "energy") == pytest.approx(result.energy, abs=0.5)
    assert number_after(text, "lower bound") == pytest.approx(result.lower_bound, abs=0.5)
    assert number_after(text, "gap") == pytest.approx(100 * result.gap, abs=6e-4)
    each = number_after(text, "ms per iteration (with energy and bound)")
    updates = number_after(text, "million label updates per second")
    # Both are rounded to three digits, which is half a percent at most.
    assert updates == pytest.approx(48 * 64 * DISPARITIES * 4 / each / 1e3, rel=0.0101)
    for region, mask in (("all", None), ("non-occ.", pair.nonocc)):
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{region} "))
        found = metrics.stereo_metrics(result.disparity, pair.disparity, mask)
        expected = [found.bad_0_5, found.bad_1, found.bad_2, found.bad_4, found.d1, found.epe]
        assert [float(v) for v in line.split()[1:7]] == pytest.approx(expected, abs=0.006)


def test_stereo_passes_its_options_on(files, pair, tmp_path) -> None:
    out = tmp_path / "out.npy"
    options = ["--min-disparity", "-3", "--iterations", "2", "--connectivity", "8", "--no-fill"]
    more = ["--cost", "census", "--uniqueness", "0.05", "--solver", "isgmr", "--no-bound"]
    assert main(command(files, "-o", out, *options, *more, "--threads", "1", "-q")) == 0
    expected = stereo.match(
        pair.left,
        pair.right,
        DISPARITIES,
        -3,
        iterations=2,
        connectivity=8,
        fill=False,
        cost="census",
        uniqueness=0.05,
        solver="isgmr",
    )
    assert np.isnan(expected.disparity).any()
    np.testing.assert_array_equal(np.load(out), expected.disparity)


@pytest.mark.parametrize(
    ("width", "count"), [(64, 16), (128, 16), (384, 48), (450, 64), (1242, 160)]
)
def test_default_search_range(width: int, count: int) -> None:
    assert stereo_command._default_range(width) == count


def test_middlebury_ground_truth_takes_a_scale(files, tmp_path, capsys) -> None:
    truth = np.nan_to_num(io.read_disparity(files["truth"]))
    io.write_image(tmp_path / "truth.pgm", np.rint(8 * truth).astype(np.uint8))
    options = ["-o", tmp_path / "out.npy", "-g", tmp_path / "truth.pgm"]
    assert main(command(files, *options)) == 2
    one_line_about(capsys, "truth.pgm", "give --gt-scale, its units")
    assert main(command(files, *options, "--gt-scale", 8)) == 0


# --- denoise ------------------------------------------------------------------------------------


def test_denoise_removes_noise_and_fills_holes(picture, tmp_path, capsys) -> None:
    out = tmp_path / "out.png"
    options = ["--mask", picture["mask"], "--clean", picture["clean"], "-o", out]
    assert main(["denoise", str(picture["noisy"]), *map(str, options)]) == 0
    noisy, clean = io.read_image(picture["noisy"]), io.read_image(picture["clean"])
    expected = restore.denoise(noisy, mask=io.read_image(picture["mask"]), lower_bound=True)
    np.testing.assert_array_equal(io.read_image(out), expected.image)
    before, after = metrics.psnr(noisy, clean), metrics.psnr(expected.image, clean)
    text = capsys.readouterr().out
    assert after > before + 6
    assert f"{before:.2f} -> {after:.2f} dB" in text
    assert number_after(text, "lower bound") <= number_after(text, "energy")


def test_inpaint_keeps_known_pixels(picture, tmp_path) -> None:
    out = tmp_path / "out.png"
    options = ["--mask", picture["mask"], "--inpaint", "-o", out]
    assert main(["denoise", str(picture["noisy"]), *map(str, options)]) == 0
    noisy, known = io.read_image(picture["noisy"]), io.read_image(picture["mask"]) > 0
    filled = io.read_image(out)
    np.testing.assert_array_equal(filled[known], noisy[known])
    assert (filled[~known] != 255).all()


def test_denoise_colour(picture, tmp_path) -> None:
    grey = io.read_image(picture["noisy"])
    colour = np.stack([grey, grey[::-1], grey[:, ::-1]], axis=2)
    io.write_image(tmp_path / "colour.png", colour)
    arguments = [tmp_path / "colour.png", "-o", tmp_path / "out.tif", "--clean", picture["clean"]]
    assert main(["denoise", *map(str, arguments)]) == 0
    expected = restore.denoise(colour).image
    np.testing.assert_array_equal(io.read_image(tmp_path / "out.tif"), expected)


# --- info, version, demo ------------------------------------------------------------------------


def test_info(capsys) -> None:
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == mrfcore.info()
    assert main(["info"]) == 0
    assert mrfcore.info()["isa"] in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["-h"], [], ["stereo", "--help"]])
def test_what_needs_no_files(arguments: list[str], capsys) -> None:
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert (mrfcore.__version__ if "--version" in arguments else "Usage: mrfcore") in text


def test_runs_as_a_module() -> None:
    call = [sys.executable, "-m", "mrfcore", "--version"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"mrfcore {mrfcore.__version__}"


def test_demo_compares_all_solvers(tmp_path, capsys) -> None:
    assert main(["demo", "--quick", "-o", str(tmp_path / "demo")]) == 0
    text = capsys.readouterr().out
    facts = {fact["solver"]: fact for fact in json.loads((tmp_path / "demo/demo.json").read_text())}
    assert set(facts) == {name for name, _, _ in demo.SOLVERS} | {demo.PIPELINE}
    assert all(name in text for name in facts)
    bound = max(fact["lower_bound"] for fact in facts.values() if fact["lower_bound"])
    for fact in facts.values():
        if fact["energy"] is not None:
            # TRWP polishes its labels after the last iteration that the trace has seen.
            last = fact["trace"]["energy"][-1]
            assert bound <= fact["energy"] <= last
            assert fact["solver"].startswith("TRWP") or fact["energy"] == last
            assert fact["above_bound"] == pytest.approx((fact["energy"] - bound) / bound)
    assert facts["TRW-S"]["energy"] < facts["SGM"]["energy"]
    errors = {name: fact["errors"]["nonocc"]["bad_1"] for name, fact in facts.items()}
    assert min(errors, key=errors.__getitem__) == demo.PIPELINE
    seen = io.read_image(tmp_path / "demo" / "rendered-scene.png")
    assert seen.shape[1] > 1200
    assert len(np.unique(seen.reshape(-1, 3), axis=0)) > 1000  # not blank


def test_demo_without_scikit_image_has_the_rendered_scene(monkeypatch) -> None:
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(demo.scene, "render_stereo_scene", lambda *_: "scene")
    assert demo.pairs() == ["scene"]


# --- progress -----------------------------------------------------------------------------------


def test_bar_shows_energy_and_gap() -> None:
    with console.bars() as progress:
        bar = console.SolverBar(progress, "trwp")
        step = mrfcore.Progress(3, 10, 2000.0, 1990.0, 0.5, 0)
        assert bar(step) is False
        (task,) = progress.tasks
        assert (task.completed, task.total) == (3, 10)
        assert task.fields["state"] == "energy 2,000  gap 0.500 %"
        bar(step._replace(lower_bound=None))
        assert task.fields["state"] == "energy 2,000"
        assert bar.last == step._replace(lower_bound=None)


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--solver", "magic"], ["--solver: ", "trwp", "'magic'"]),
        (["--connectivity", "5"], ["connectivity", "4, 8 or 16", "5"]),
        (["--iterations", "-1"], ["iterations", "-1"]),
        (["--num-disparities", "0"], ["--num-disparities: ", "0"]),
        (["--num-disparities", "many"], ["num-disparities", "integer"]),
        (["--cost", "none"], ["cost", "'none'"]),
        (["--uniqueness", "nan"], ["uniqueness", "nan"]),
        (["--preview", "seen.xyz"], ["seen.xyz", "suffix"]),
        (["--threads", "0"], ["--threads", "mrfcore stereo --help"]),
        (["--min-disparity", "99"], ["--num-disparities, --min-disparity: ", "99 .. 114", "64"]),
        (["--mask", "mask.png"], ["--mask needs --ground-truth"]),
        (["--gt-scale", "4"], ["--gt-scale needs --ground-truth"]),
        (["--ground-truth", "missing.png"], ["missing.png"]),
        (["--preview", "seen.pfm"], ["seen.pfm", "suffix"]),
        (["--wrong"], ["--wrong"]),
    ],
)
def test_wrong_options(options, words, files, tmp_path, capsys) -> None:
    out = tmp_path / "out.npy"
    assert main(command(files, "-o", out, *options)) == 2
    one_line_about(capsys, *words)
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("out.xyz", [], ["out.xyz", ".pfm"]),
        ("missing/out.png", [], ["no such folder"]),
        ("out.png", ["--min-disparity", "-1"], ["-1 .. 14", ".pfm"]),
        ("out.png", ["--min-disparity", "250"], ["250 .. 265", ".pfm"]),
        (".", [], ["folder"]),
    ],
)
def test_wrong_outputs_are_refused_before_work(
    name, options, words, files, tmp_path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(stereo_command, "match", None)  # calling it would fail
    assert main(command(files, "-o", tmp_path / name, *options)) == 2
    one_line_about(capsys, *words)


def test_no_file_is_written_over_an_input_or_twice(files, picture, tmp_path, capsys) -> None:
    left, noisy = files["left"], picture["noisy"]
    before = left.read_bytes(), noisy.read_bytes()
    assert main(command(files, "-o", left)) == 2
    one_line_about(capsys, left, "input")
    out = tmp_path / "out.png"
    assert main(command(files, "-o", out, "--preview", out)) == 2
    one_line_about(capsys, out, "already")
    assert main(["denoise", str(noisy), "-o", str(noisy)]) == 2
    one_line_about(capsys, noisy, "input")
    assert (left.read_bytes(), noisy.read_bytes()) == before
    assert not out.exists()


@pytest.mark.parametrize("kind", ["missing", "text", "truncated", "folder", "size"])
def test_wrong_images(kind: str, files, tmp_path, capsys) -> None:
    right, out = files["right"], tmp_path / "out.png"
    content = right.read_bytes()
    right.unlink()
    if kind == "text":
        right.write_text("no image")
    elif kind == "truncated":
        right.write_bytes(content[: len(content) // 2])
    elif kind == "folder":
        right.mkdir()
    elif kind == "size":
        io.write_image(right, np.zeros((48, 65, 3), np.uint8))
    assert main(command(files, "-o", out)) == 2
    one_line_about(capsys, right, *(["64 x 48", "65 x 48"] if kind == "size" else []))
    assert not out.exists()


@pytest.mark.parametrize(
    "options",
    [["--inpaint"], ["--inpaint", "--mask", "mask.png", "--sigma", "3"], ["--sigma", "-1"]],
)
def test_wrong_denoise_options(options, picture, tmp_path, capsys) -> None:
    out = tmp_path / "out.png"
    options = [str(tmp_path / o) if o.endswith(".png") else o for o in options]
    assert main(["denoise", str(picture["noisy"]), "-o", str(out), *options]) == 2
    one_line_about(capsys)
    assert not out.exists()


def test_demo_needs_a_folder(tmp_path, capsys) -> None:
    file = tmp_path / "file"
    file.write_text("here")
    assert main(["demo", "--quick", "-o", str(file)]) == 2
    one_line_about(capsys, file)
    assert main(["demo", "--quick", "-o", str(tmp_path / "a" / "b")]) == 2
    one_line_about(capsys, tmp_path / "a")


def test_debug_shows_the_traceback(files, tmp_path) -> None:
    call = command(files, "-o", tmp_path / "out.png", "--solver", "magic")
    for place in (0, len(call)):
        with pytest.raises(ValueError, match="magic"):
            main([*call[:place], "--debug", *call[place:]])


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, ["stopped"]),
        (MemoryError("needs 1 GiB"), 1, ["out of memory", "1 GiB"]),
        (RuntimeError("a bug\nin two lines"), 1, ["RuntimeError: a bug in two lines", "--debug"]),
        (ImportError("pip install scikit-image"), 2, ["scikit-image"]),
        (PermissionError(13, "Permission denied", "x.png"), 2, ["x.png: Permission denied"]),
    ],
)
def test_other_errors(error, code, words, files, tmp_path, capsys, monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(stereo_command, "match", fail)
    out = tmp_path / "out.png"
    out.write_bytes(b"what was here")
    assert main(command(files, "-o", out)) == code
    one_line_about(capsys, *words)
    assert out.read_bytes() == b"what was here"


def test_a_failed_write_leaves_the_old_file(files, tmp_path, capsys, monkeypatch) -> None:
    def fail(_: Image.Image, file, **__: object) -> None:
        file.write(b"half a file")
        raise OSError(28, "No space left on device")

    before = sorted(tmp_path.iterdir())
    out = tmp_path / "out.png"
    out.write_bytes(b"what was here")
    monkeypatch.setattr(Image.Image, "save", fail)
    assert main(command(files, "-o", out)) == 2
    one_line_about(capsys, "No space left on device")
    assert out.read_bytes() == b"what was here"
    assert sorted(tmp_path.iterdir()) == sorted([*before, out])
