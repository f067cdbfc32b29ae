# SPDX-License-Identifier: Apache-2.0
"""The examples run, small, and leave whole files; their parts are right."""

from __future__ import annotations

import importlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mrfcore
import mrfcore.stereo

torch = pytest.importorskip("torch", reason="the examples train networks: pip install torch")
_core = importlib.import_module("mrfcore._core")
if not hasattr(_core, "layer_forward"):
    pytest.skip("this build of mrfcore has no differentiable layers", allow_module_level=True)

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the examples by name."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As the examples have it: on busy machines threads wait for each other."""
    before = torch.get_num_threads()
    monkeypatch.setenv("MRFCORE_NUM_THREADS", "1")
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(example: str, folder: Path, *options: str) -> dict[str, Any]:
    """Run an example small; its JSON."""
    command = [sys.executable, str(EXAMPLES / example), "--small", "-o", str(folder)]
    command += options
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("*.json")
    picture = found.with_suffix(".png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert picture.endswith(b"IEND\xaeB`\x82")  # whole
    assert not list(folder.glob(".*")), "no temporary files are left"
    loaded: dict[str, Any] = json.loads(found.read_text())
    return loaded


def test_learn_stereo(data: Path, tmp_path: Path) -> None:
    found = run("learn_stereo.py", tmp_path, "--data", str(data))
    assert set(found["bad_1"]) == {"tsukuba", "venus", "mean"}
    scores = [score for row in found["bad_1"].values() for score in row.values()]
    assert all(0 < score["bad"] < 50 for score in scores)


def test_learn_stereo_rendered(tmp_path: Path) -> None:
    found = run("learn_stereo.py", tmp_path, "--rendered")
    rows = found["bad_1"]
    assert set(rows) == {"scene 0", "scene 1", "mean"}
    assert set(rows["mean"]) == {"edges alike", "by hand", "by hand, tuned", "learned"}
    scenes = [rows[name]["learned"]["bad"] for name in ("scene 0", "scene 1")]
    assert rows["mean"]["learned"]["bad"] == pytest.approx(np.mean(scenes))
    assert sum(len(values) for values in found["learned"]["scene 0"].values()) == 24


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ("learn_stereo.py", "expected stereo pairs"),
        ("filter_flow_deblur.py", "--rendered needs none"),
        ("logit_consistency.py", "--painted needs none"),
        ("segment_refine.py", "--painted needs none"),
    ],
)
def test_examples_without_data_say_so(example: str, words: str, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    command = [sys.executable, str(EXAMPLES / example), "--data", str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert str(tmp_path) in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_refused_before_the_work(part: Any, tmp_path: Path) -> None:
    common = part("_common")
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "under" / "it"):
        with pytest.raises(SystemExit, match=r"cannot write into .*file is not a folder"):
            common.Results(folder)
    common.Results(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if not os.access(locked, os.W_OK):  # root may write anywhere
        with pytest.raises(SystemExit, match="no permission"):
            common.Results(locked / "new")


def test_a_small_run_says_so(part: Any, tmp_path: Path, capsys: Any) -> None:
    common = part("_common")
    for small in (False, True):
        common.Results(tmp_path, small).say()
        assert ("numbers mean nothing" in capsys.readouterr().out) == small


def test_the_folders_of_examples_are_ignored() -> None:
    ignored = (EXAMPLES.parent / ".gitignore").read_text().splitlines()
    for path in sorted(EXAMPLES.glob("[a-z]*.py")):
        assert f"{path.stem.replace('_', '-')}/" in ignored


def test_segment_refine_painted(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    pytest.importorskip("skimage")
    found = run("segment_refine.py", tmp_path, "--painted")
    layers = {"MF-4", "TRWP-4", "MF-8", "SGM-8", "ISGMR-8", "TRWP-8"}
    assert set(found["methods"]) == {"network alone"} | layers
    assert all(0 < row["iou"] < 100 for row in found["methods"].values())


def test_segment_refine(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    pytest.importorskip("skimage")
    if not (data / "bsds500").is_dir():
        pytest.skip(f"no bsds500 in {data}")
    assert len(run("segment_refine.py", tmp_path, "--data", str(data))["runs"]) == 1


def test_toy_mean_shift(tmp_path: Path) -> None:
    found = run("toy_mean_shift.py", tmp_path)
    assert len({check["variant"] for check in found["checks"]}) == 7
    assert all(np.isfinite(check["ours"]) for check in found["checks"])


@pytest.mark.usefixtures("one_thread")
def test_the_toy_comes_out_as_expected(part: Any) -> None:
    """P5.8, one seed: what does not hang on single points, and what the text observes."""
    toy, expected = part("toy_mean_shift"), part("_toy_expected")
    gradients = {}
    for variant in expected.VARIANTS:
        if "5" in variant.name:
            continue  # depends on whether points get stranded, and takes a while
        found = expected.checks(variant, [toy.run(variant, toy.Options(), 7)])
        gradients[variant.name] = found[0].ours
        assert all(check.agrees for check in found[:3]), found  # the gradient, both centres
    # Without mean shift, every update leaves 95 % of the way to go.
    x = torch.tensor([2.0, 3.5, 4.0], dtype=torch.float64)
    targets = torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64)
    path, _ = toy.descend(x, targets, expected.VARIANTS[0], 30)
    ideal = torch.tensor([3.0, 3.0, 5.0], dtype=torch.float64)
    torch.testing.assert_close(path[-1] - ideal, 0.95**30 * (x - ideal))
    order = [
        "no mean shift",
        "last of 1 loop",
        "last of 2 loops",
        "all of 1 loop",
        "all of 2 loops",
    ]
    assert [gradients[name] for name in order] == sorted(gradients.values())


def check_deblurred(rows: dict[str, Any]) -> None:
    assert set(rows) == {"softmax", "free filters"}
    assert rows["softmax"]["brightness"] < 0.01
    assert 15 < rows["softmax"]["before"] < 50


def test_filter_flow_deblur(data: Path, tmp_path: Path) -> None:
    if not (data / "bsds500").is_dir():
        pytest.skip(f"no bsds500 in {data}")
    check_deblurred(run("filter_flow_deblur.py", tmp_path, "--data", str(data))["filters"])


def test_filter_flow_deblur_rendered(tmp_path: Path) -> None:
    check_deblurred(run("filter_flow_deblur.py", tmp_path, "--rendered")["filters"])


@pytest.mark.usefixtures("one_thread")
def test_a_blur_is_undone(part: Any) -> None:
    """P6.10: one image of 64 x 64, learned by heart; sum-to-one keeps its mean."""
    example, data = part("filter_flow_deblur"), part("_deblur_data")
    torch.manual_seed(0)
    (one,) = data.rendered(1, 5.0, 64, 68)
    assert one.sharp.shape == (1, 3, 64, 64)
    options = example.Options(channels=16, steps=300, batch=1, crop=64, rate=1e-2)
    model = example.Deblur(options, "softmax")
    example.train(model, [one], options, np.random.default_rng(0), lambda _: None)
    judged = example.judge(model, one)
    assert judged.after > judged.before + 3.0
    assert abs(judged.brightness) < 0.01


def test_blurred_pairs(part: Any) -> None:
    """Five pixels of a row, a fifth each, rounded to 8 bits; the margin is gone."""
    data = part("_deblur_data")
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    found = data.pair(image, "noise", 5.0)
    assert found.sharp.shape == found.blurred.shape == (1, 3, 6, 5)
    want = np.round(image[2, 0:5].astype(float).mean(0))
    assert np.abs(255 * found.blurred[0, :, 2, 0].numpy() - want).max() < 0.51
    assert np.allclose(255 * found.sharp[0, :, 2, 0].numpy(), image[2, 2])


def test_logit_consistency(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    rows = run("logit_consistency.py", tmp_path, "--painted")["methods"]
    assert set(rows) == {"as they are", "squares", "Gaussian blur", "SLIC"}
    assert rows["SLIC"]["everywhere"] > rows["as they are"]["everywhere"]


def test_noisy_logits_and_bands(part: Any) -> None:
    example, data = part("logit_consistency"), part("_regions")
    regions = np.repeat(np.arange(2), 20)[None].repeat(40, 0)
    regions[:, 38:] = -1  # left out
    scene = data.Scene(np.zeros((40, 40, 3), np.uint8), regions, "by hand")
    options = example.Options(stride=8, noise=0.0)
    logits = example.noisy_logits(scene, options, torch.Generator())
    assert logits.shape == (1, 2, 40, 40)
    # The cell of columns 16 to 23 is half of either region.
    assert torch.allclose(logits[0, :, :, 19:21].mean(2), torch.full((2, 40), 0.5))
    assert torch.equal(logits[0, :, :, 3], torch.tensor([[1.0], [0.0]]).expand(2, 40))
    near = example.band(regions)
    assert near.any(0).nonzero()[0].tolist() == list(range(16, 24))
    assert near.all(0).sum() == near.any(0).sum()
    case = example.Case(scene, logits, near)
    found = example.score(np.zeros_like(regions), case)
    assert found.everywhere == pytest.approx(20 / 38)
    assert found.near == pytest.approx(0.5)
    assert len(np.unique(example.squares((40, 60), 24))) == 24


def test_bad_1_loss_by_hand(part: Any) -> None:
    model = part("_stereo_model")
    costs = torch.tensor([0.0, 1.0, 2.0, 5.0]).reshape(1, 4, 1, 1).expand(1, 4, 1, 2)
    truth = torch.tensor([[[1.5, 0.0]]])
    counts = torch.tensor([[[True, False]]])
    loss = model.bad_1_loss(costs, truth, counts, 2.0)
    p = np.exp([0.0, -0.5, -1.0, -2.5])
    assert float(loss) == pytest.approx((p[0] + p[3]) / p.sum(), abs=1e-6)
    # Cold: what bad-1 counts.
    assert float(model.bad_1_loss(costs, truth, counts, 1e-3)) == pytest.approx(1.0, abs=1e-5)
    everywhere = torch.ones_like(counts)
    assert float(model.bad_1_loss(costs, truth, everywhere, 1e-3)) == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("full_table", [False, True])
def test_learning_starts_where_all_edges_weigh_the_same(part: Any, full_table: bool) -> None:
    one = part("_stereo_model").Model(12, 1, 1.4, 3.0, full_table)
    for labels in (7, 12):
        expected = mrfcore.TruncatedLinear(3).table(labels)
        assert np.allclose(one.table(labels).detach().numpy(), expected)
    weights = one.edges(torch.rand(1, 3, 15, 16))
    assert weights.shape == (1, 2, 15, 16)
    assert torch.allclose(weights, torch.tensor(1.4))


def test_edge_weights_by_hand(part: Any) -> None:
    model = part("_stereo_model")
    edges = model.EdgeCurves(2.0)
    with torch.no_grad():
        edges.fine.values[:] = torch.arange(8.0)  # at 0, 2, 4, 8, 14, 22, 40, 80 grey levels
        edges.direction[1] = -1.0
    image = torch.zeros(1, 3, 12, 14)
    image[..., 7:] = 11 / 255  # half way between 8 and 14: 3.5
    weights = edges(image)[0]
    expected = torch.full((12, 14), 2.0)
    expected[:, 6] = 2.0 * math.exp(3.5)
    assert torch.allclose(weights[0], expected, rtol=1e-4)
    assert torch.allclose(weights[1], torch.tensor(2.0 * math.exp(-1.0)), rtol=1e-4)
    # Further out, the outline shows beside itself and in the other direction not at all.
    with torch.no_grad():
        edges.fine.values[:] = 0.0
        edges.coarse.values[:] = -torch.arange(6.0)
    across, along = edges(image)[0].detach()
    assert (across[:, 6] < across[:, 8]).all()
    assert (across[:, 8] < across[:, 0]).all()
    assert torch.allclose(along, torch.tensor(2.0 * math.exp(-1.0)), rtol=1e-4)


def test_grid_search_never_chooses_by_the_held_out_pair(part: Any) -> None:
    judging = part("_stereo_judge")
    grid = {(1.0, 2.0): {"a": 1.0, "b": 4.0, "c": 9.0}, (2.0, 2.0): {"a": 3.0, "b": 3.0, "c": 3.0}}
    assert judging.best_elsewhere(grid, "c") == (1.0, 2.0)
    assert judging.best_elsewhere(grid, "a") == (2.0, 2.0)


def test_permuting_regions_permutes_logits(part: Any) -> None:
    net = part("_click_net").ClickNet()
    image, clicks = torch.rand(1, 3, 12, 14), torch.tensor([[1, 2, 0], [5, 6, 1], [9, 3, 2]])
    turned = clicks.clone()
    turned[:, 2] = (clicks[:, 2] + 1) % 3
    assert torch.allclose(net(image, clicks).roll(1, 1), net(image, turned), atol=1e-6)


def test_mean_iou_by_hand(part: Any) -> None:
    data = part("_regions")
    regions = np.array([[0, 0, 1, -1]])
    scene = data.Scene(np.zeros((1, 4, 3), np.uint8), regions, "by hand")
    # Region 0: one of two found; region 1: one found, one too many; the last pixel counts not.
    assert data.mean_iou(np.array([[0, 1, 1, 0]]), scene) == pytest.approx(0.5)


def test_clicks_lie_in_their_regions(part: Any) -> None:
    data = part("_regions")
    pytest.importorskip("scipy")
    scene = data.painted(3, 60, 80)
    rows = data.clicks(scene, 4, np.random.default_rng(0))
    assert len(rows) == 4 * scene.count
    assert np.array_equal(scene.regions[rows[:, 0], rows[:, 1]], rows[:, 2])
