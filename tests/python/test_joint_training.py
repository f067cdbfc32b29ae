# SPDX-License-Identifier: Apache-2.0
"""examples/joint_segmentation.py train: real folders, two processes, other weights, bad options."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the examples train networks: pip install torch")
pytest.importorskip("safetensors")
from PIL import Image  # noqa: E402

from mrfcore.models import (  # noqa: E402
    JointSegmentation,
    SuperpixelFCN,
    create_model,
    load_model,
    save_model,
)

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SMALL = ("--backbone", "deeplabv3plus-resnet18", "--width", "4", "--superpixel-width", "2")
SIZES = ("--crop", "32", "--batch", "2", "--net-epochs", "1", "--joint-epochs", "1")
LAUNCH = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the examples by name."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module


def run(folder: Path, *options: str, fails: bool = False, launch: tuple[str, ...] = ()) -> str:
    """Run it; what it printed."""
    script = str(EXAMPLES / "joint_segmentation.py")
    command = [sys.executable, *launch, script, "-o", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode != 0) == fails, done.stderr
    assert "Traceback" not in done.stderr or launch, done.stderr
    return done.stdout + done.stderr


def voc(root: Path, count: int = 4) -> Path:
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
    names = [f"2007_{n:06}" for n in range(count)]
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
    for chosen, part_of in (("trainaug", names[:-1]), ("train", names[:-1]), ("val", names[-1:])):
        (base / "ImageSets" / "Segmentation" / f"{chosen}.txt").write_text(
            "\n".join(part_of) + "\n"
        )
    return root


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tree, and "out" with what was trained on it."""
    root = voc(tmp_path_factory.mktemp("voc"))
    run(root / "out", *on(root), *SMALL, *SIZES)
    return root


def on(root: Path) -> tuple[str, ...]:
    return ("train", "--data-set", "voc", "--root", str(root))


def again(trained: Path, folder: Path) -> Path:
    """A copy of the folder that was written."""
    return Path(shutil.copytree(trained / "out", folder / "out"))


def weights_in(folder: Path) -> Any:
    return dict(load_model(folder / "joint.safetensors").state_dict())


def refused(part: Any, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What the script says before it ends, run in this process."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MRFCORE_NUM_THREADS", "1")  # the script sets it
        with pytest.raises(SystemExit) as end:
            part("joint_segmentation").main(list(options))
    torch.set_num_threads(threads)
    assert end.value.code not in (0, None)
    return " ".join(f"{capsys.readouterr().err} {end.value}".split())


def iou_by_hand(model: Any, root: Path) -> float:
    """Of the one held-out image, in percent: RGB in 0..1 goes in."""
    base = root / "VOCdevkit" / "VOC2012"
    image = np.asarray(Image.open(base / "JPEGImages" / "2007_000003.jpg"), np.float32) / 255
    truth = np.asarray(Image.open(base / "SegmentationClass" / "2007_000003.png"))
    with torch.no_grad():
        out = model.eval()(torch.from_numpy(image.transpose(2, 0, 1))[None])
    found, known = out.logits.argmax(1)[0].numpy(), truth != 255
    values = []
    for label in range(21):
        ours, theirs = (found == label) & known, (truth == label) & known
        if (ours | theirs).any():
            values.append((ours & theirs).sum() / (ours | theirs).sum())
    return 100 * float(np.mean(values))


def test_training_on_files(trained: Path) -> None:
    out = trained / "out"
    model, alone = (
        load_model(out / "joint.safetensors"),
        load_model(out / "segmentation.safetensors"),
    )
    assert isinstance(model, JointSegmentation)
    assert model.transparent is not None
    assert model.transparent.widths == (42, 64, 64, 42)
    found = json.loads((out / "joint_train.json").read_text())
    assert found["preset"]["joint_rate"] == 1e-6
    assert found["preset"]["transparent_rate"] == 1e-7
    assert found["after"]["iou"] == pytest.approx(iou_by_hand(model, trained), abs=1e-9)
    # A millionth of a rate moves weights by next to nothing, and statistics not at all: what is
    # compared is the same network before and after.
    assert found["before"]["iou"] == pytest.approx(found["after"]["iou"], abs=1.0)
    joined = model.segmentation.net.state_dict()
    assert set(joined) == set(alone.state_dict())
    for name, value in alone.state_dict().items():
        if "running" in name or "num_batches" in name:
            assert torch.equal(joined[name], value), name
    weights = dict(alone.named_parameters())
    moved = [n for n in weights if not torch.equal(joined[n], weights[n])]
    assert len(moved) > len(weights) / 2
    assert any(weights[name].dim() == 1 for name in moved)


def test_it_goes_on_and_says_the_same(trained: Path, tmp_path: Path) -> None:
    out = again(trained, tmp_path)
    before = weights_in(out)
    (out / "joint.safetensors").unlink()
    run(out, *on(trained), *SMALL, *SIZES)  # all from checkpoints
    torch.testing.assert_close(weights_in(out), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--net-weights", "net.safetensors"), "joint-0.pt was made with .*starting weights"),
        (("--superpixel-weights", "fcn.safetensors"), "joint-0.pt was made with .*starting weig"),
        (("--width", "6"), r"segmentation-0.pt was made with .*\(width, starting weights\)"),
    ],
)
def test_what_started_otherwise_does_not_go_on(
    change: tuple[str, ...],
    words: str,
    trained: Path,
    tmp_path: Path,
    part: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = again(trained, tmp_path)
    torch.manual_seed(5)
    net = create_model("deeplabv3plus-resnet18", num_labels=21, width=4)
    save_model(net, tmp_path / "net.safetensors")
    save_model(create_model("superpixel-fcn", width=2), tmp_path / "fcn.safetensors")
    given = [str(tmp_path / o) if o.endswith(".safetensors") else o for o in change]
    options = ("-o", str(out), *on(trained), *SMALL, *SIZES, *given)
    assert re.search(words, refused(part, capsys, *options))


def test_another_data_set_does_not_go_on(
    trained: Path, tmp_path: Path, part: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    out, root = again(trained, tmp_path), voc(tmp_path / "more", count=5)
    text = refused(part, capsys, "-o", str(out), *on(root), *SMALL, *SIZES)
    assert re.search(r"was made with other settings \(.*items.*\)", text)


def test_two_processes(trained: Path, tmp_path: Path) -> None:
    """Under torchrun, with a batch of two each."""
    if not torch.distributed.is_available():
        pytest.skip("torch without torch.distributed")
    out, sizes = tmp_path / "out", ("--crop", "32", "--batch", "4")
    epochs = ("--net-epochs", "2", "--joint-epochs", "1")
    run(out, *on(trained), *SMALL, *sizes, *epochs, launch=LAUNCH)
    model = load_model(out / "joint.safetensors")
    found = json.loads((out / "joint_train.json").read_text())
    assert found["after"]["iou"] == pytest.approx(iou_by_hand(model, trained), abs=1e-9)
    assert not list(out.rglob(".*"))
    # One process goes on from what two have left: nothing is to be done.
    before = weights_in(out)
    run(out, *on(trained), *SMALL, *sizes, *epochs)
    torch.testing.assert_close(weights_in(out), before, rtol=0, atol=0)


def test_superpixels_on_regions(tmp_path: Path) -> None:
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
        (("voc", "--backbone", "resnet18"), "--backbone: 'resnet18' is no segmentation model"),
        (
            ("voc", "--backbone", "unet3d-15"),
            "--backbone: 'unet3d-15' is no segmentation model of im",
        ),
        (("voc", "--batch", "1"), "--batch: 1 for 1 process(es) is one image each"),
        (("voc", "--batch", "0"), "--batch: 0 is no multiple of 1 processes"),
        (("voc", "--width", "0"), "--width: width: expected a number >= 1, got 0"),
        (("voc", "--net-weights", "nowhere.pt"), "--net-weights: "),
        (("voc", "--net-weights", "net"), "--net-weights: "),
        (("voc", "--superpixel-weights", "net"), "--superpixel-weights: "),
    ],
)
def test_what_cannot_be_trained(
    options: tuple[str, ...],
    words: str,
    trained: Path,
    tmp_path: Path,
    part: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if options[0] == "voc":
        options = (*on(trained), *SMALL, *options[1:])
    save_model(create_model("deeplabv3plus-resnet18", width=8), tmp_path / "net.safetensors")
    found = [str(tmp_path / "net.safetensors") if option == "net" else option for option in options]
    assert words in refused(part, capsys, "-o", str(tmp_path / "out"), *found)
    assert not (tmp_path / "out").exists()


def test_one_image_for_each_of_two_processes_is_refused(
    trained: Path,
    tmp_path: Path,
    part: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")  # as torchrun does
    options = ("-o", str(tmp_path / "out"), *on(trained), *SMALL, "--batch", "2")
    text = refused(part, capsys, *options)
    assert "--batch: 2 for 2 process(es) is one image each" in text


def test_gradients_are_not_clipped(part: Any) -> None:
    """The text does not."""
    presets, job = part("_joint_presets"), part("_joint_job")
    voc_items = part("_joint_data").Data("voc", 21, range(10), range(2))
    given = type("Given", (), {"seed": 0})()
    stages = job.Job(presets.PRESETS["voc"], voc_items, None, given, None)
    for options in ({"poly": True}, {"keep_statistics": True}, {"adam": True}):
        stage = stages._stage("any", 3, **options)
        assert (stage.clip, stage.decay, stage.steps) == (None, 5e-4, 3)


# --- what is held out ---------------------------------------------------------------------------


class Counted:
    """A data set that counts how often it is read."""

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        self.read += 1
        return Image.new("RGB", (4, 3), (index, 0, 0)), Image.new("L", (4, 3), index)


def test_held_out_images_are_read_one_at_a_time(part: Any) -> None:
    data, items = part("_joint_data"), Counted()
    judged = data.Data("counted", 5, [], items).judged(data.Look(32, colours=data.PLAIN))
    assert (len(judged), items.read) == (5, 0)
    image, truth = next(iter(judged))
    assert items.read == 1
    assert (image.shape, truth.shape) == ((1, 3, 3, 4), (3, 4))
    parts = [[int(truth[0, 0]) for _, truth in judged.part(rank, 2)] for rank in (0, 1)]
    assert parts == [[0, 2, 4], [1, 3]]


def test_images_of_regions_are_kept_once(part: Any) -> None:
    data = part("_joint_data")
    kept = data.KeptRegions([("one", ["a", "b"]), ("two", ["c"]), ("three", [])])
    assert [kept[n] for n in range(len(kept))] == [("one", "a"), ("one", "b"), ("two", "c")]
    assert kept[:2] == [("one", "a"), ("one", "b")]
    with pytest.raises(IndexError):
        kept[3]


def test_parts_of_a_tally_add_up(part: Any) -> None:
    """Scores of a whole are those of its images counted apart."""
    judge = part("_joint_judge")
    random = np.random.default_rng(0)
    maps = [random.integers(0, 3, (2, 9, 11)) for _ in range(4)]
    whole = judge.score_of(*zip(*maps, strict=True), 3)
    tallies = [judge.Tally(3, 255) for _ in range(2)]
    for number, (found, truth) in enumerate(maps):
        tallies[number % 2].update(found, truth)
    for name in ("_all", "_near", "_edges"):
        getattr(tallies[0], name).merge(getattr(tallies[1], name))
    assert tallies[0].score() == pytest.approx(whole)
