# SPDX-License-Identifier: Apache-2.0
"""Training that can be interrupted: the loop of joint_segmentation.py."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from _joint_checkpoints import Checkpoints, digest
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

__all__ = ["Checkpoints", "Loss", "Machine", "Stage", "Steps", "machine", "train"]

Loss = Callable[[nn.Module, Tensor, Tensor], Mapping[str, Tensor]]
Key = tuple[int, int]  # which item, and the seed of what is random about it


@dataclass(frozen=True)
class Stage:
    """What is to be trained, and for how long."""

    name: str
    steps: int
    batch: int
    seed: int
    poly: bool = True
    """Whether rates fall as (1 - step / steps)^0.9; else they stay."""
    adam: bool = True
    """Adam; else SGD with momentum 0.9 and `decay`, as in the text."""
    decay: float = 0.0
    clip: float | None = 5.0
    """Largest norm of the gradient."""
    keep_statistics: bool = False
    """Whether batch normalisation keeps the statistics that it has; its weights learn."""
    save_every: int = 200


@dataclass(frozen=True)
class Machine:
    """Where training runs."""

    device: str = "cpu"
    amp: str | None = None
    """"bfloat16" or "float16": autocast in it."""
    workers: int = 0
    rank: int = 0
    processes: int = 1

    def autocast(self) -> AbstractContextManager[Any]:
        """For the forward pass."""
        if self.amp is None:
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, getattr(torch, self.amp))


def machine(device: str, amp: str | None, workers: int) -> Machine:
    """One process, or one of several that torchrun has started."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        return Machine(device, amp, workers)
    rank = int(os.environ["RANK"])
    if device != "cpu":
        local = int(os.environ.get("LOCAL_RANK", "0"))
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo" if device == "cpu" else "nccl")
    return Machine(device, amp, workers, rank, processes)


# --- batches ------------------------------------------------------------------------------------


class Steps(Sampler[list[Key]]):
    """The items of every step from `first` on: each item once an epoch, in an order of the seed.

    A step's batch depends on nothing but the seed and the step's number: so training that goes on
    from a checkpoint sees what it would have seen. Of several processes each takes its part.
    """

    def __init__(self, count: int, stage: Stage, first: int, where: Machine) -> None:
        if count < 1:
            raise ValueError("no items to train on")
        self.count, self.stage, self.first, self.where = count, stage, first, where

    def __iter__(self) -> Iterator[list[Key]]:
        for step in range(self.first, self.stage.steps):
            places = range(step * self.stage.batch, (step + 1) * self.stage.batch)
            keys = [(self._item(place), self._seed(place)) for place in places]
            yield keys[self.where.rank :: self.where.processes]

    def __len__(self) -> int:
        return max(0, self.stage.steps - self.first)

    def _item(self, place: int) -> int:
        epoch, number = divmod(place, self.count)
        order = np.random.default_rng([self.stage.seed, epoch]).permutation(self.count)
        return int(order[number])

    def _seed(self, place: int) -> int:
        return int(np.random.default_rng([self.stage.seed, 1, place]).integers(2**31))


# --- the loop -----------------------------------------------------------------------------------


def train(
    model: nn.Module,
    items: Dataset[Any],
    loss: Loss,
    groups: Iterable[Mapping[str, Any]],
    stage: Stage,
    *,
    checkpoints: Checkpoints,
    where: Machine,
    step: Callable[[str], None],
    settings: Mapping[str, Any] | None = None,
) -> list[float]:
    """Train `model` in place; returns the loss of every step.

    Args:
        model: what `loss` runs; on several processes it runs `DistributedDataParallel`'s wrapper.
        items: by key, an image [3, H, W] and its labels [H, W].
        loss: (model, images, labels) to terms, of which "loss" is minimised.
        groups: of parameters, each with its rate "lr".
        stage: how long.
        checkpoints: where to go on from, and to keep what is reached.
        where: device, autocast, processes.
        step: told after every step, and for every step that a checkpoint has.
        settings: what a checkpoint must have been made with, beside the stage, the number of items,
            the rates, and the weights that training starts from.
    """
    made_with = {**asdict(stage), **(settings or {}), "items": len(items)}  # type: ignore[arg-type]
    made_with["starting weights"] = digest(model)
    _prepare(model.to(where.device), stage)
    optimiser = _optimiser(groups, stage)
    made_with["rates"] = [group["lr"] for group in optimiser.param_groups]
    scaler = torch.amp.GradScaler(torch.device(where.device).type, enabled=where.amp == "float16")
    losses = _restore(checkpoints.read(stage, made_with), model, optimiser, scaler)
    for _ in losses:
        step("from the checkpoint")
    runner: nn.Module = model
    if where.processes > 1:
        runner = nn.parallel.DistributedDataParallel(model)
    loader: DataLoader[Any] = DataLoader(
        items,
        batch_sampler=Steps(len(items), stage, len(losses), where),  # type: ignore[arg-type]
        num_workers=where.workers,
    )
    rates = [group["lr"] for group in optimiser.param_groups]
    for group, first in zip(optimiser.param_groups, rates, strict=True):
        group.setdefault("first", first)
    for image, labels in loader:
        _set_rates(optimiser, stage, len(losses))
        # Dropout, too, depends on nothing but the seed and the step, as `Steps` has it for batches.
        torch.manual_seed(_step_seed(stage, len(losses), where))
        losses.append(_one_step(runner, optimiser, scaler, loss, (image, labels), stage, where))
        step(f"loss {np.mean(losses[-20:]):.3f}")
        done = len(losses) == stage.steps
        if where.rank == 0 and (done or len(losses) % stage.save_every == 0):
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
            state |= {"scaler": scaler.state_dict(), "losses": losses, "settings": made_with}
            checkpoints.write(stage, state)
    if where.processes > 1:  # each has statistics of its own batches since the last step
        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)
    return losses


def _prepare(model: nn.Module, stage: Stage) -> None:
    """Training mode."""
    model.train()
    for module in model.modules():
        # The class of all of torch's, of any dimension and over processes.
        if stage.keep_statistics and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def _step_seed(stage: Stage, step: int, where: Machine) -> int:
    return int(np.random.default_rng([stage.seed, 2, step, where.rank]).integers(2**31))


def _optimiser(groups: Iterable[Mapping[str, Any]], stage: Stage) -> torch.optim.Optimizer:
    described = [dict(group) for group in groups]
    if stage.adam:
        return torch.optim.Adam(described, weight_decay=stage.decay)
    return torch.optim.SGD(described, lr=1.0, momentum=0.9, weight_decay=stage.decay)


def _restore(
    found: Mapping[str, Any] | None,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
) -> list[float]:
    if found is None:
        return []
    model.load_state_dict(found["model"])
    optimiser.load_state_dict(found["optimiser"])
    scaler.load_state_dict(found["scaler"])
    return list(found["losses"])


def _set_rates(optimiser: torch.optim.Optimizer, stage: Stage, done: int) -> None:
    share = (1.0 - done / stage.steps) ** 0.9 if stage.poly else 1.0
    for group in optimiser.param_groups:
        group["lr"] = group["first"] * share


def _one_step(
    runner: nn.Module,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    loss: Loss,
    batch: Sequence[Tensor],
    stage: Stage,
    where: Machine,
) -> float:
    image, labels = (part.to(where.device) for part in batch)
    optimiser.zero_grad()
    with where.autocast():
        value = loss(runner, image, labels)["loss"]
    scaler.scale(value).backward()  # type: ignore[no-untyped-call, unused-ignore]
    if stage.clip is not None:
        scaler.unscale_(optimiser)
        torch.nn.utils.clip_grad_norm_(runner.parameters(), stage.clip)
    scaler.step(optimiser)
    scaler.update()
    return float(value.detach())
