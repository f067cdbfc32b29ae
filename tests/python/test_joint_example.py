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

import pytest

torch = pytest.importorskip("torch", reason="the examples train networks: pip install torch")
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


def test_float16_takes_steps(part: Any, tmp_path: Path) -> None:
    training = part("_joint_train")
    torch.manual_seed(0)
    model = nn.Conv2d(3, 2, 1)
    before = model.weight.detach().clone()
    losses = training.train(
        model,
        Noise(),
        loss,
        [{"params": list(model.parameters()), "lr": 0.1}],
        training.Stage("noise", 20, 2, 7, adam=False, clip=1.0),
        checkpoints=training.Checkpoints(tmp_path),
        where=training.Machine(amp="float16"),
        step=lambda _: None,
    )
    state = torch.load(tmp_path / "noise-7.pt", weights_only=True)
    # Scales too large to begin with are halved, and those steps skipped; the others are taken.
    assert 0 < state["scaler"]["_growth_tracker"] <= 20
    assert not torch.equal(model.weight, before)
    assert torch.isfinite(model.weight).all()
    assert sum(losses[-5:]) < sum(losses[:5])


def test_statistics_that_stay(part: Any) -> None:
    """Batch normalisation as when judged, while its weights learn; the rest is in training mode."""
    training = part("_joint_train")

    def trained(keep: bool) -> Any:
        torch.manual_seed(0)
        net = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Conv2d(3, 2, 1))
        training.train(
            net,
            Noise(),
            loss,
            [{"params": list(net.parameters()), "lr": 0.1}],
            training.Stage("noise", 3, 2, 7, adam=False, keep_statistics=keep),
            checkpoints=training.Checkpoints(None),
            where=training.Machine(),
            step=lambda _: None,
        )
        return net

    kept, moved = trained(True), trained(False)
    assert torch.equal(kept[0].running_mean, torch.zeros(3))
    assert torch.equal(kept[0].running_var, torch.ones(3))
    assert not torch.equal(moved[0].running_mean, torch.zeros(3))
    assert not torch.equal(kept[0].weight, torch.ones(3))
    assert kept[1].training


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
    with pytest.raises(SystemExit, match=r"made with other settings \(decay\); --fresh"):
        learn(training, tmp_path, decay=0.1)


def test_checkpoints_of_other_weights_are_refused(part: Any, tmp_path: Path) -> None:
    training = part("_joint_train")
    learn(training, tmp_path)

    def go_on(model: Any, rate: float = 0.1, items: Any = None) -> None:
        training.train(
            model,
            items or Noise(),
            loss,
            [{"params": list(model.parameters()), "lr": rate}],
            training.Stage("noise", 12, 2, 7, save_every=3),
            checkpoints=training.Checkpoints(tmp_path),
            where=training.Machine(),
            step=lambda _: None,
        )

    def net(width: int = 2) -> Any:
        return nn.Sequential(nn.Dropout(0.5), nn.Conv2d(3, width, 1))

    torch.manual_seed(0)
    same = net()
    go_on(same)
    torch.manual_seed(1)
    for other in (net(), net(3)):  # other values; another size
        with pytest.raises(SystemExit, match=r"other settings \(starting weights\); --fresh"):
            go_on(other)
    torch.manual_seed(0)
    with pytest.raises(SystemExit, match=r"other settings \(rates\)"):
        go_on(net(), 0.2)
    torch.manual_seed(0)
    with pytest.raises(SystemExit, match=r"other settings \(items\)"):
        go_on(net(), items=torch.utils.data.Subset(Noise(), range(4)))
    (tmp_path / "noise-7.pt").write_bytes(b"half a file")
    with pytest.raises(SystemExit, match=r"cannot be read .*--fresh"):
        go_on(net())


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
