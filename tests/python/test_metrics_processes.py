# SPDX-License-Identifier: Apache-2.0
"""Scores of a data set that two processes have seen a half each of: gloo."""

from __future__ import annotations

import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import torch.distributed as dist  # noqa: E402
import torch.multiprocessing as mp  # noqa: E402

from mrfcore import metrics  # noqa: E402

RANKS = 2


def maps() -> Any:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (4, 5, 6)).repeat(4, 1).repeat(4, 2)
    return np.roll(truth, 1, 2), truth


def scores(pred: Any, truth: Any) -> tuple[metrics.ConfusionMatrix, metrics.EdgeMeter]:
    labels, edges = metrics.ConfusionMatrix(3), metrics.EdgeMeter()
    labels.update(pred, truth)
    edges.update(pred, truth)
    return labels, edges


def worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=RANKS
    )
    labels, edges = scores(*(each[rank::RANKS] for each in maps()))
    (Path(folder) / f"{rank}.pickle").write_bytes(pickle.dumps((labels, edges)))
    dist.all_reduce(torch.from_numpy(labels.matrix))
    dist.all_reduce(torch.from_numpy(edges.state))
    (Path(folder) / f"reduced-{rank}.pickle").write_bytes(pickle.dumps((labels, edges)))
    dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="no gloo")
def test_two_processes_see_what_one_sees(tmp_path: Path) -> None:
    mp.start_processes(
        worker, args=(free_port(), str(tmp_path)), nprocs=RANKS, start_method="spawn"
    )

    def saved(name: str) -> Any:
        return pickle.loads((tmp_path / f"{name}.pickle").read_bytes())

    alone = scores(*maps())
    parts = [saved(str(rank)) for rank in range(RANKS)]
    sent = tuple(sum(column) for column in zip(*parts, strict=True))
    for labels, edges in (sent, *(saved(f"reduced-{rank}") for rank in range(RANKS))):
        assert labels.matrix.tolist() == alone[0].matrix.tolist()
        assert edges.compute().images == (4,) * 5
        assert edges.compute().as_dict() == pytest.approx(alone[1].compute().as_dict())
