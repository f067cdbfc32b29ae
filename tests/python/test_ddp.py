# SPDX-License-Identifier: Apache-2.0
"""Layers under DistributedDataParallel: two processes, gloo."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import torch.distributed as dist  # noqa: E402
import torch.multiprocessing as mp  # noqa: E402

from mrfcore import nn  # noqa: E402

RANKS = 2
STEPS = 3


def network() -> Any:
    torch.manual_seed(0)
    return torch.nn.ModuleDict(
        {
            "unary": torch.nn.Conv2d(3, 4, 3, padding=1),
            "trwp": nn.TRWP(nn.LearnedPairwise(4), iterations=2, learn_weight=True),
            "mean_field": nn.MeanField(torch.nn.Parameter(torch.eye(4)), iterations=2),
        }
    )


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = network()
        self.edges = nn.EdgeWeights(scale=0.3)

    def forward(self, image: Any) -> Any:
        costs = self.parts["trwp"](self.parts["unary"](image), self.edges(image))
        return self.parts["mean_field"](costs)


def images() -> Any:
    return torch.rand(2 * RANKS, 3, 6, 7, generator=torch.Generator().manual_seed(1))


def train(net: Any, batch: Any) -> None:
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(STEPS):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(-net(batch), (batch.mean(1) * 4).long()).backward()
        optimiser.step()


def worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=RANKS
    )
    net = torch.nn.parallel.DistributedDataParallel(Net())
    train(net, images()[rank::RANKS])
    torch.save(net.module.state_dict(), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="no gloo")
def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """Mean of the gradients of two halves of a batch: the gradient of the batch."""
    mp.start_processes(
        worker, args=(free_port(), str(tmp_path)), nprocs=RANKS, start_method="spawn"
    )
    alone = Net()
    train(alone, images())
    states = [torch.load(tmp_path / f"{rank}.pt") for rank in range(RANKS)]
    assert states[0].keys() == alone.state_dict().keys()
    start = Net().state_dict()
    for name, value in alone.state_dict().items():
        assert torch.equal(states[0][name], states[1][name])
        torch.testing.assert_close(states[0][name], value, rtol=1e-4, atol=1e-6)
        assert not torch.equal(value, start[name]), f"{name} has not learned"
