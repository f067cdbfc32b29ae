# SPDX-License-Identifier: Apache-2.0
"""What joint_segmentation.py keeps while it trains, and whether it is of the same run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mrfcore._files import atomic_path

if TYPE_CHECKING:
    from _joint_train import Stage


@dataclass
class Checkpoints:
    """A folder of them; None: nothing is kept."""

    folder: Path | None
    fresh: bool = False
    """Start anew even where there is one."""

    def path(self, stage: Stage) -> Path | None:
        """Of a stage."""
        if self.folder is None:
            return None
        return self.folder / f"{stage.name.replace(' ', '-').replace('/', '-')}-{stage.seed}.pt"

    def read(self, stage: Stage, settings: Mapping[str, Any]) -> dict[str, Any] | None:
        """What an earlier run has left, or None.

        Raises:
            SystemExit: it is of a run with other settings, or damaged.
        """
        path = self.path(stage)
        if path is None or self.fresh or not path.is_file():
            return None
        try:
            found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            made_with = found["settings"]
        except Exception as error:  # of a dozen types: pickle's, zipfile's, torch's
            raise SystemExit(f"{path} cannot be read ({error}); --fresh starts again") from None
        other = [
            name
            for name in {**made_with, **settings}
            if name not in made_with or name not in settings or made_with[name] != settings[name]
        ]
        if other:
            raise SystemExit(
                f"{path} was made with other settings ({', '.join(other)}); --fresh starts again"
            )
        return found

    def write(self, stage: Stage, values: Mapping[str, Any]) -> None:
        """Whole or not at all."""
        path = self.path(stage)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            torch.save(dict(values), temporary)


def digest(model: nn.Module) -> str:
    """Of names, shapes and values of all parameters and buffers."""
    found = hashlib.sha256()
    for name, value in model.state_dict().items():
        found.update(f"{name} {value.dtype} {list(value.shape)};".encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy())
    return found.hexdigest()
