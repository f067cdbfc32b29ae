# SPDX-License-Identifier: Apache-2.0
"""examples/joint_segmentation.py: runs small, goes on where it stopped, takes real folders."""

from __future__ import annotations

import contextlib
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the examples train networks: pip install torch")
from PIL import Image  # noqa: E402
from torch import nn  # noqa: E402

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the examples by name."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


def run(folder: Path, *options: str, fails: bool = False) -> str:
    """Run it; what it printed."""
    command = [sys.executable, str(EXAMPLES / "joint_segmentation.py"), "-o", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stdout + done.stderr


def test_ablation(tmp_path: Path) -> None:
    empty = tmp_path / "no data"
    empty.mkdir()
    out = tmp_path / "out"
    run(out, "ablation", "--small", "--data", str(empty))
    found = json.loads((out / "joint_ablation.json").read_text())
    assert list(found["rows"]) == [
        "network alone",
        "with SLIC when judged",
        "+ superpixels",
        "+ transparent layers",
        "+ message passing",
    ]
    start = {name: row["before"]["iou"][0] for name, row in found["rows"].items()}
    # Transparent layers change nothing at first: the same labels but for ties.
    assert start["+ transparent layers"] == pytest.approx(start["+ superpixels"], abs=0.5)
    assert (out / "joint_ablation.png").read_bytes().endswith(b"IEND\xaeB`\x82")
    assert not list(out.rglob(".*"))
    before = (out / "joint_ablation.json").read_bytes()
    run(out, "ablation", "--small", "--data", str(empty))  # all from checkpoints
    assert (out / "joint_ablation.json").read_bytes() == before
    for checkpoint in (out / "checkpoints").iterdir():
        torch.load(checkpoint, weights_only=True)


def test_initialisation(tmp_path: Path) -> None:
    run(tmp_path, "initialisation", "--small", "--data", str(tmp_path))
    found = json.loads((tmp_path / "joint_initialisation.json").read_text())
    assert set(found["rows"]) == {"regular", "non-positive"}
    for rows in found["rows"].values():
        assert set(rows) == {"random", "Xavier", "Net2Net", "transparent"}
    ours = [found["rows"][kind]["transparent"]["before"]["iou"][0] for kind in found["rows"]]
    assert ours[0] == pytest.approx(ours[1], abs=0.5)  # it sees through either
    assert (tmp_path / "joint_initialisation.png").is_file()


def voc(root: Path) -> Path:
    """A tiny tree in VOC's layout."""
    random = np.random.default_rng(0)
    base = root / "VOCdevkit" / "VOC2012"
    for name in (
        "JPEGImages",
        "SegmentationClass",
        "SegmentationClassAug",
        "ImageSets/Segmentation",
    ):
        (base / name).mkdir(parents=True)
    names = [f"2007_{n:06}" for n in range(4)]
    for name in names:
        labels = np.zeros((40, 52), np.uint8)
        labels[8:30, 10:35] = random.integers(1, 21)
        labels[7, :] = 255
        image = random.integers(0, 255, (40, 52, 3), np.uint8)
        Image.fromarray(image).save(base / "JPEGImages" / f"{name}.jpg")
        for folder in ("SegmentationClass", "SegmentationClassAug"):
            picture = Image.fromarray(labels, "P")
            picture.putpalette(list(range(256)) * 3)
            picture.save(base / folder / f"{name}.png")
    for chosen, part_of in (("trainaug", names[:3]), ("train", names[:3]), ("val", names[3:])):
        (base / "ImageSets" / "Segmentation" / f"{chosen}.txt").write_text(
            "\n".join(part_of) + "\n"
        )
    return root


def test_training_on_files(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    root, out = voc(tmp_path), tmp_path / "out"
    small = ("--backbone", "deeplabv3plus-resnet18", "--width", "4", "--superpixel-width", "2")
    sizes = ("--crop", "32", "--batch", "2", "--net-epochs", "1", "--joint-epochs", "1")
    run(out, "train", "--data-set", "voc", "--root", str(root), *small, *sizes)
    from mrfcore.models import JointSegmentation, load_model

    model = load_model(out / "joint.safetensors")
    assert isinstance(model, JointSegmentation)
    assert model.transparent.widths == (42, 64, 64, 42)
    found = json.loads((out / "joint_train.json").read_text())
    assert found["preset"]["joint_rate"] == 1e-6
    assert found["preset"]["transparent_rate"] == 1e-7
    # A millionth of a rate changes nothing in two steps but the statistics of batches.
    assert 0 <= found["after"]["iou"] <= 100


def test_superpixels_on_regions(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    scipy_io = pytest.importorskip("scipy.io")
    base = tmp_path / "bsds500"
    for name in ("images", "groundTruth"):
        (base / name).mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(4):
        regions = np.ones((40, 52), np.uint16)
        regions[:, 20 + number :] = 2
        Image.fromarray(random.integers(0, 255, (40, 52, 3), np.uint8)).save(
            base / "images" / f"{number}.jpg"
        )
        cell = np.empty((1, 1), object)
        cell[0, 0] = {"Segmentation": regions, "Boundaries": regions == 1}
        scipy_io.savemat(base / "groundTruth" / f"{number}.mat", {"groundTruth": cell})
    out = tmp_path / "out"
    sizes = ("--crop", "32", "--batch", "2", "--net-epochs", "1", "--superpixel-width", "2")
    run(out, "train", "--data-set", "bsds500", "--root", str(tmp_path), *sizes)
    from mrfcore.models import SuperpixelFCN, load_model

    assert isinstance(load_model(out / "superpixels.safetensors"), SuperpixelFCN)
    found = json.loads((out / "superpixels_train.json").read_text())
    assert 0 < found["achievable"] <= 100


def test_presets_are_those_of_the_text(part: Any) -> None:
    presets = part("_joint_presets").PRESETS
    assert (presets["voc"].crop, presets["voc"].net_epochs, presets["voc"].joint_epochs) == (
        512,
        60,
        20,
    )
    assert (presets["voc"].net_rate, presets["voc"].head_rate) == (0.007, 0.07)
    assert (presets["ade20k"].crop, presets["ade20k"].joint_epochs) == (480, 100)
    assert presets["ade20k"].layers == 2
    assert presets["context"].transparent_rate == 1e-9
    assert all(p.joint_rate == 1e-6 and p.decay == 5e-4 for p in presets.values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("train",), "--data-set and --root are needed"),
        (("train", "--data-set", "voc", "--root", "nowhere"), "nowhere"),
        (("guess",), "invalid choice"),
    ],
)
def test_what_cannot_be_trained(options: tuple[str, ...], words: str, tmp_path: Path) -> None:
    assert words in run(tmp_path / "out", *options, fails=True)


# --- the loop -----------------------------------------------------------------------------------


class Noise(torch.utils.data.Dataset):
    """Items that depend on their key."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, key: tuple[int, int]) -> Any:
        item, seed = key
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(3, 4, 4, generator=generator) + item, torch.full((4, 4), item % 2)


def loss(runner: nn.Module, image: Any, labels: Any) -> Any:
    return {"loss": nn.functional.cross_entropy(runner(image), labels)}


def learn(training: Any, folder: Path, stop: int | None = None, **changes: Any) -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(3, 2, 1))
    torch.rand(0 if stop is None else 5)  # what came before must not matter
    stage = training.Stage("noise", 12, 2, 7, save_every=3, **changes)
    seen = []

    def step(state: str) -> None:
        seen.append(state)
        if stop is not None and len(seen) == stop:
            raise KeyboardInterrupt

    losses = None
    with contextlib.suppress(KeyboardInterrupt):
        losses = training.train(
            model,
            Noise(),
            loss,
            [{"params": list(model.parameters()), "lr": 0.1}],
            stage,
            checkpoints=training.Checkpoints(folder),
            where=training.Machine(),
            step=step,
        )
    return losses, model, seen


@pytest.mark.parametrize("adam", [True, False])
def test_a_run_goes_on_where_it_stopped(adam: bool, part: Any, tmp_path: Path) -> None:
    training = part("_joint_train")
    whole, first, _ = learn(training, tmp_path / "whole", adam=adam)
    learn(training, tmp_path / "parts", stop=8, adam=adam)  # a checkpoint after 6
    resumed, second, seen = learn(training, tmp_path / "parts", adam=adam)
    assert seen.count("from the checkpoint") == 6
    assert resumed == whole
    assert torch.equal(first[1].weight, second[1].weight)
    assert not list(tmp_path.rglob(".*"))


def test_checkpoints_of_other_settings_are_refused(part: Any, tmp_path: Path) -> None:
    training = part("_joint_train")
    learn(training, tmp_path)
    with pytest.raises(SystemExit, match=r"made with other settings; --fresh"):
        learn(training, tmp_path, decay=0.1)


def test_every_item_comes_once_an_epoch(part: Any) -> None:
    training = part("_joint_train")
    stage = training.Stage("s", 10, 3, 0)
    keys = [key for step in training.Steps(5, stage, 0, training.Machine()) for key in step]
    assert len(keys) == 30
    for epoch in range(6):
        assert sorted(item for item, _ in keys[5 * epoch : 5 * epoch + 5]) == list(range(5))
    assert len({seed for _, seed in keys}) == 30
    halves = [
        list(training.Steps(5, stage, 4, training.Machine(rank=rank, processes=2)))
        for rank in (0, 1)
    ]
    together = [key for pair in zip(*halves, strict=True) for step in pair for key in step]
    assert sorted(together) == sorted(keys[12:])
