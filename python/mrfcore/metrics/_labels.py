# SPDX-License-Identifier: Apache-2.0
"""Maps of labels as arguments: the checks, and messages that name them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mrfcore._arrays import on_device, to_numpy
from mrfcore._scalars import _integer

__all__ = [
    "Labels",
    "check_range",
    "checked_ignore",
    "counted",
    "label_map",
    "label_pairs",
    "masks_of",
]

Labels = npt.NDArray[Any]  # integers of any width


def checked_ignore(ignore: object) -> int | None:
    """The void label, or None where there is none."""
    return None if ignore is None else _integer("ignore", ignore)


def counted(truth: Labels, ignore: int | None) -> npt.NDArray[np.bool_]:
    """Where truth has a label: what counts in every score."""
    if ignore is None:
        return np.ones(truth.shape, np.bool_)
    return np.asarray(truth != ignore, np.bool_)


def label_map(name: str, values: Any) -> Labels:
    """A view of labels [H, W] or [B, H, W]; a copy of what is on a GPU.

    Raises:
        TypeError: no array, or no integers.
        ValueError: another shape, or empty.
    """
    array = to_numpy(name, _on_the_host(values))
    if array.dtype.kind == "f":
        raise TypeError(
            f"{name}: expected integer labels, got dtype {array.dtype}; of logits [B, L, H, W] "
            "take the arg-max over L first"
        )
    if array.ndim not in (2, 3) or array.size == 0:
        raise ValueError(
            f"{name}: expected labels [H, W] or [B, H, W], none of them 0, got shape "
            f"{list(array.shape)}"
        )
    return array


def label_pairs(pred: Any, truth: Any) -> list[tuple[Labels, Labels]]:
    """Predicted and true maps that belong together, one pair or, of two lists, one for each item.

    Raises:
        TypeError, ValueError: as `label_map`; or they do not belong together.
    """
    if not _is_list_of_maps(pred) and not _is_list_of_maps(truth):
        return [_pair(pred, truth, "")]
    for name, values, other in (("pred", pred, "truth"), ("truth", truth, "pred")):
        if not isinstance(values, (list, tuple)):
            raise TypeError(
                f"{name}: expected a list of maps as {other}, got {type(values).__name__}"
            )
    if len(pred) != len(truth):
        raise ValueError(f"pred: expected {len(truth)} maps, as many as truth, got {len(pred)}")
    if not pred:
        raise ValueError("pred: expected at least one map, got an empty list")
    return [_pair(p, t, f"[{i}]") for i, (p, t) in enumerate(zip(pred, truth, strict=True))]


def check_range(name: str, labels: Labels, num_labels: int, hint: str = "") -> None:
    """Raise ValueError unless all labels are in 0..num_labels - 1."""
    if not labels.size:
        return
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= num_labels:
        value = lowest if lowest < 0 else highest
        raise ValueError(f"{name}: expected labels in 0..{num_labels - 1}, got {value}{hint}")


def masks_of(
    mask: Any, pairs: list[tuple[Labels, Labels]]
) -> list[npt.NDArray[np.bool_]] | list[None]:
    """A mask for each pair of `label_pairs`, or None for each.

    Raises:
        TypeError, ValueError: no arrays, or not of the shapes of the maps.
    """
    if mask is None:
        return [None] * len(pairs)
    listed = _is_list_of_maps(mask)
    masks = list(mask) if listed else [mask]
    if len(masks) != len(pairs):
        raise ValueError(f"mask: expected {len(pairs)} maps, as many as truth, got {len(masks)}")
    return [
        _mask(f"mask[{i}]" if listed else "mask", values, truth)
        for i, (values, (_, truth)) in enumerate(zip(masks, pairs, strict=True))
    ]


def _is_list_of_maps(values: Any) -> bool:
    """Of arrays, that is, and not of numbers or rows of one map; or empty."""
    return isinstance(values, (list, tuple)) and all(
        len(getattr(item, "shape", ())) > 1 for item in values
    )


def _pair(pred: Any, truth: Any, index: str) -> tuple[Labels, Labels]:
    predicted, true = label_map(f"pred{index}", pred), label_map(f"truth{index}", truth)
    if predicted.shape != true.shape:
        raise ValueError(
            f"pred{index}: expected shape {list(true.shape)} as truth{index}, got "
            f"{list(predicted.shape)}"
        )
    return predicted, true


def _mask(name: str, values: Any, truth: Labels) -> npt.NDArray[np.bool_]:
    array = to_numpy(name, _on_the_host(values))
    if array.shape != truth.shape:
        raise ValueError(
            f"{name}: expected shape {list(truth.shape)} as truth, got {list(array.shape)}"
        )
    return np.asarray(array != 0, np.bool_)


def _on_the_host(values: Any) -> Any:
    return values.cpu() if on_device(values) and hasattr(values, "cpu") else values
