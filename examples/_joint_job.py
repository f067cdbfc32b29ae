# SPDX-License-Identifier: Apache-2.0
"""The stages of joint_segmentation.py's task "train" on one data set."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import _common as common
import _joint_data as data
import _joint_judge as judge
import _joint_train as training
import torch
from torch import Tensor, nn

from mrfcore.models import JointSegmentation, create_model, save_model
from mrfcore.nn.transparent import hidden_width

if TYPE_CHECKING:
    from _joint_presets import Preset


@dataclass(frozen=True, eq=False)
class Job:
    """What all stages share."""

    preset: Preset
    of: data.Data
    where: training.Machine
    given: argparse.Namespace
    results: common.Results

    def pretrain(self, net: Any) -> None:
        """From scratch, or from the ResNet's weights: "poly", 0.007 and 0.07."""
        assert self.of.num_labels is not None
        model = JointSegmentation(
            net, None, self.of.num_labels, hidden=(), auxiliary=None, consistency=None
        )
        groups = net.parameter_groups(self.preset.net_rate, self.preset.head_rate)
        stage = self._stage("segmentation", self.preset.net_epochs, poly=True)
        self._run(model, _joint_loss(model), groups, stage, data.IMAGENET)
        self._save(net, "segmentation.safetensors")

    def join(self, net: nn.Module, drawer: nn.Module) -> None:
        """Joint training: rates that stay, statistics of batches that stay."""
        model = self._joined(net, drawer)
        look = data.Look(self.preset.crop, colours=data.PLAIN)
        judged = self.of.judged(look, self.given.judged)
        before = self._judge(model, judged)
        rates = (self.preset.joint_rate, self.preset.joint_rate, self.preset.transparent_rate)
        stage = self._stage("joint", self.preset.joint_epochs, keep_statistics=True)
        groups = model.parameter_groups(*rates)
        self._run(model, _joint_loss(model), groups, stage, data.PLAIN)
        after = self._judge(model, judged)
        self._save(model, "joint.safetensors")
        if self.where.rank == 0:
            self._say(before, after)

    def superpixels(self, drawer: Any) -> None:
        """The superpixel network alone, on regions that people drew."""

        def loss(runner: nn.Module, image: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
            return {"loss": drawer.loss(runner(image), labels, void=self.of.void)}

        groups = [{"params": list(drawer.parameters()), "lr": self.preset.net_rate}]
        stage = self._stage("superpixels", self.preset.net_epochs, adam=True)
        self._run(drawer, loss, groups, stage, data.SUPERPIXELS)
        self._save(drawer, "superpixels.safetensors")
        if self.where.rank:
            return
        look = data.Look(self.preset.crop, colours=data.SUPERPIXELS)
        judged = self.of.judged(look, self.given.judged)
        truths = (truth.numpy() for _, truth in judged)
        found = judge.superpixel_scores(judge.drawn(drawer, judged), truths, self.of.void)
        self.results.json("superpixels_train.json", dataclasses.asdict(found))
        header = ("", "recall", "leak", "achievable", "number")
        row = ("held out", *(f"{v:.2f}" for v in dataclasses.asdict(found).values()))
        common.table(f"superpixels on {self.of.name}, %", header, [row])

    def _joined(self, net: nn.Module, drawer: nn.Module) -> JointSegmentation:
        """Both networks, each behind the colours it has learned from, and transparent layers."""
        assert self.of.num_labels is not None
        width = 2 * self.of.num_labels
        # What was drawn before differs where a stage came from its checkpoint.
        torch.manual_seed(self.given.seed)
        model: Any = create_model(
            "joint-superpixels",
            segmentation=self.preset.backbone,
            num_labels=self.of.num_labels,
            width=self.given.width,
            superpixel_width=self.given.superpixel_width,
            hidden=[hidden_width(width)] * (self.preset.layers - 1),
            segmentation_colours=[list(part) for part in data.IMAGENET],
            superpixel_colours=[list(part) for part in data.SUPERPIXELS],
        )
        model.segmentation.net.load_state_dict(net.state_dict())
        model.superpixels.net.load_state_dict(drawer.state_dict())
        assert isinstance(model, JointSegmentation)
        return model

    def _stage(self, name: str, epochs: int, **options: Any) -> training.Stage:
        """As in the text: SGD, gradients as they are, rates that stay but for "poly"."""
        preset = self.preset
        steps = epochs * math.ceil(len(self.of.training) / preset.batch)
        chosen = {"poly": False, "adam": False, "clip": None, "decay": preset.decay, **options}
        return training.Stage(name, steps, preset.batch, self.given.seed, **chosen)

    def _run(
        self,
        model: nn.Module,
        loss: training.Loss,
        groups: Any,
        stage: training.Stage,
        colours: data.Colours,
    ) -> None:
        look = data.Look(self.preset.crop, colours=colours, void=self.of.void)
        settings = {
            "data": self.of.name,
            "width": self.given.width,
            "superpixel_width": self.given.superpixel_width,
            "look": dataclasses.asdict(look),
            **dataclasses.asdict(self.preset),
        }
        with self._bar(stage) as step:
            training.train(
                model,
                data.Crops(self.of.training, look),
                loss,
                groups,
                stage,
                checkpoints=training.Checkpoints(
                    self.results.folder / "checkpoints", self.given.fresh
                ),
                where=self.where,
                step=step,
                settings=settings,
            )

    @contextmanager
    def _bar(self, stage: training.Stage) -> Iterator[Callable[[str], None]]:
        """Of the first process."""
        if self.where.rank:
            yield lambda _: None
            return
        with common.bar(f"{stage.name} on {self.of.name}", stage.steps) as bar:
            yield bar.step

    def _judge(self, model: JointSegmentation, judged: data.Judged) -> judge.Score:
        model.to(self.where.device)
        return judge.score(model, judged, where=self.where)

    def _say(self, before: judge.Score, after: judge.Score) -> None:
        scores = {"at first": dataclasses.asdict(before), "after": dataclasses.asdict(after)}
        self.results.json(
            "joint_train.json",
            {
                "preset": dataclasses.asdict(self.preset),
                "before": scores["at first"],
                "after": scores["after"],
            },
        )
        header = ("", "mIoU", "accuracy", "near edges", "edge F", "edge PR")
        rows = [(name, *(f"{v:.2f}" for v in values.values())) for name, values in scores.items()]
        common.table(f"joint training on {self.of.name}, %", header, rows)

    def _save(self, model: nn.Module, name: str) -> None:
        if self.where.rank == 0:
            with self.results.place(name) as path:
                save_model(model, path)


def _joint_loss(model: JointSegmentation) -> training.Loss:
    def loss(runner: nn.Module, image: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        return model.loss(runner(image, valid=labels != data.VOID), labels)

    return loss
