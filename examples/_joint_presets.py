# SPDX-License-Identifier: Apache-2.0
"""Training on PASCAL VOC, PASCAL Context, ADE20K and BSDS500, with the numbers of the thesis."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import _common as common
import _joint_data as data
import _joint_train as training
import torch
from _joint_job import Job
from torch import nn

from mrfcore.models import create_model, list_models, load_weights, model_entry


@dataclass(frozen=True)
class Preset:
    """Section 4.4.2.2 of the thesis: SGD with momentum 0.9 and weight decay 5e-4 throughout."""

    backbone: str
    crop: int
    batch: int
    net_epochs: int = 60
    net_rate: float = 0.007
    head_rate: float = 0.07
    joint_epochs: int = 20
    joint_rate: float = 1e-6
    transparent_rate: float = 1e-7
    layers: int = 3
    """Transparent ones."""
    decay: float = 5e-4


# ResNeSt, the backbone of the last two, is not among our models: ResNet-101 stands in for it.
# The text gives no batch for VOC.
PRESETS = {
    "voc": Preset("deeplabv3plus-resnet152", 512, 16),
    "context": Preset("deeplabv3plus-resnet101", 480, 8, joint_epochs=100, transparent_rate=1e-9),
    "ade20k": Preset(
        "deeplabv3plus-resnet101", 480, 8, joint_epochs=100, transparent_rate=1e-9, layers=2
    ),
}


BSDS = "bsds500"
# Superpixels on BSDS500: the text has a network that others trained there, whose released settings
# these are (Yang et al. 2020): Adam, 300,000 steps of 4 windows: 735 epochs of some 1,630 maps.
SUPERPIXELS = Preset("superpixel-fcn", 208, 4, net_epochs=735, net_rate=5e-5, decay=4e-4)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the task "train"; None: as the preset has it."""
    group = parser.add_argument_group("train", "options of this task; the rest is the preset's")
    group.add_argument(
        "--data-set",
        choices=(*PRESETS, BSDS),
        help="in its usual folders; bsds500: superpixels alone",
    )
    group.add_argument("--root", type=Path, help="where the data set lies")
    group.add_argument("--backbone", help="a segmentation model of `mrfcore models`")
    group.add_argument(
        "--net-weights", type=Path, help="of the segmentation network; skips its training"
    )
    group.add_argument("--backbone-weights", choices=("torchvision", "timm"), help="of the ResNet")
    group.add_argument(
        "--superpixel-weights",
        type=Path,
        help="of the superpixel network; ours, or those that its authors released",
    )
    group.add_argument("--width", type=int, default=64, help="of the segmentation network (64)")
    group.add_argument("--superpixel-width", type=int, default=16, help="(16)")
    group.add_argument("--workers", type=int, default=0, help="processes that read images (0)")
    group.add_argument("--judged", type=int, help="how many held-out images (all)")
    for field in dataclasses.fields(Preset):
        if field.name == "backbone":
            continue
        kind = int if isinstance(getattr(PRESETS["voc"], field.name), int) else float
        group.add_argument(f"--{field.name.replace('_', '-')}", type=kind)


def preset_of(given: argparse.Namespace, parser: argparse.ArgumentParser) -> Preset:
    """That of the data set, with what was asked for in its place."""
    if given.data_set is None or given.root is None:
        parser.error("train: --data-set and --root are needed")
    if given.data_set == BSDS and given.backbone is not None:
        parser.error(f"--backbone: {BSDS} trains superpixels alone")
    if given.backbone is not None and given.backbone not in _segmenting():
        parser.error(
            f"--backbone: {given.backbone!r} is no segmentation model of images; there are "
            f"{', '.join(_segmenting())}"
        )
    names = [field.name for field in dataclasses.fields(Preset)]
    asked = {name: getattr(given, name) for name in names if getattr(given, name) is not None}
    return dataclasses.replace({**PRESETS, BSDS: SUPERPIXELS}[given.data_set], **asked)


def _segmenting() -> list[str]:
    """Models that make logits of flat images, whose rates are those of a backbone and a head."""
    entries = [model_entry(name) for name in list_models()]
    return [e.name for e in entries if (e.summary, len(e.input_shapes[0])) == ("segmentation", 3)]


def _check_batch(
    preset: Preset, given: argparse.Namespace, parser: argparse.ArgumentParser
) -> None:
    """Refuse what some process could not train on."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if preset.batch < 1 or preset.batch % processes:
        parser.error(f"--batch: {preset.batch} is no multiple of {processes} processes")
    normalising = given.data_set != BSDS and given.net_weights is None
    if normalising and preset.batch == processes:
        parser.error(
            f"--batch: {preset.batch} for {processes} process(es) is one image each, of whose mean "
            f"batch normalisation has no statistics; expected {2 * processes} or more, or "
            "--net-weights"
        )


@contextmanager
def _naming(option: str, parser: argparse.ArgumentParser) -> Iterator[None]:
    """What an option is refused for, as such."""
    try:
        yield
    except (FileNotFoundError, ImportError, TypeError, ValueError) as error:
        parser.error(f"{option}: {error}")


def train(
    given: argparse.Namespace, parser: argparse.ArgumentParser, results: common.Results
) -> None:
    """The segmentation network unless its weights are given, then all together."""
    preset = preset_of(given, parser)
    _check_batch(preset, given, parser)
    with _naming("--root", parser):
        of = data.regions if given.data_set == BSDS else None
        found = of(given.root) if of else data.files(given.data_set, given.root)
    torch.manual_seed(given.seed)
    with _naming("--superpixel-width", parser):
        drawer = create_model("superpixel-fcn", width=given.superpixel_width)
    _load(drawer, "--superpixel-weights", given.superpixel_weights, parser)
    net = None if given.data_set == BSDS else _net(preset, found, given, parser)
    where = training.machine(given.device, given.amp, given.workers)
    try:
        job = Job(preset, found, where, given, results)
        if net is None:
            job.superpixels(drawer)
            return
        if given.net_weights is None:
            job.pretrain(net)
        job.join(net, drawer)
    finally:
        if where.processes > 1:
            torch.distributed.destroy_process_group()


def _net(
    preset: Preset,
    of: data.Data,
    given: argparse.Namespace,
    parser: argparse.ArgumentParser,
) -> nn.Module:
    """The segmentation network before its training, or after."""
    with _naming("--width", parser):
        net = create_model(preset.backbone, num_labels=of.num_labels, width=given.width)
    _load(net, "--net-weights", given.net_weights, parser)
    if given.net_weights is None:
        _load(net, "--backbone-weights", given.backbone_weights, parser)
    return net


def _load(
    net: nn.Module, option: str, weights: Path | str | None, parser: argparse.ArgumentParser
) -> None:
    if weights is not None:
        with _naming(option, parser):
            load_weights(net, weights)
