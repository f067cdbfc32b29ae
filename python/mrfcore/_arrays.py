# SPDX-License-Identifier: Apache-2.0
"""Arrays of any library in, NumPy views inside, arrays of the same library out."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["like", "on_device", "to_numpy"]

_CPU_DEVICES = (1, 3)  # DLPack: kDLCPU, kDLCUDAHost
_GPU_DEVICES = {2, 13}  # kDLCUDA, kDLCUDAManaged; tests with the emulator add the CPU


def on_device(x: object) -> bool:
    """Whether x is an array on a GPU."""
    find = getattr(x, "__dlpack_device__", None)
    if find is None or isinstance(x, np.ndarray) or getattr(x, "is_meta", False):
        return False
    try:
        return int(find()[0]) in _GPU_DEVICES
    except (BufferError, RuntimeError, TypeError, ValueError):
        return False


def to_numpy(name: str, x: object) -> npt.NDArray[Any]:
    """A NumPy view of x; a copy only where x is no array, or misaligned. It may be read-only.

    Raises:
        TypeError: x is no array, lives on another device, needs a gradient, or holds no numbers.
    """
    if isinstance(x, (np.ndarray, np.generic)):
        array: npt.NDArray[Any] = np.asarray(x)
    elif getattr(x, "requires_grad", False):
        raise TypeError(
            f"{name}: requires a gradient, which is not given here; pass {name}.detach()"
        )
    elif hasattr(x, "__dlpack__") and hasattr(x, "__dlpack_device__"):
        array = _from_dlpack(name, x)
    elif (
        hasattr(x, "__array_interface__") or hasattr(x, "__array__") or isinstance(x, (list, tuple))
    ):
        try:
            array = np.asarray(x)
        except ValueError as error:
            raise TypeError(f"{name}: expected a rectangular array of numbers ({error})") from error
    else:
        raise TypeError(f"{name}: expected an array, got {type(x).__name__}")
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(
            f"{name}: expected real numbers (integers, float16, float32 or float64), "
            f"got dtype {array.dtype}"
        )
    # A float at an odd address is undefined behaviour in C++, whatever x86 makes of it.
    return array if array.flags.aligned else array.copy()


def _from_dlpack(name: str, x: Any) -> npt.NDArray[Any]:
    try:
        return np.from_dlpack(x)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:  # asking first takes longer
        _refuse_without_numpy(name, x)
        _refuse_elsewhere(name, x)
        raise TypeError(f"{name}: cannot be seen as a NumPy array: {error}") from error


def _refuse_elsewhere(name: str, x: Any) -> None:
    device = int(x.__dlpack_device__()[0])
    if device not in _CPU_DEVICES:
        raise TypeError(
            f"{name}: expected an array on the CPU, as unary is, got one on DLPack device type "
            f"{device}; copy it first"
        )


def _refuse_without_numpy(name: str, x: Any) -> None:
    """Torch's tensors that NumPy cannot see: without memory, sparse, or of types it has not."""
    if getattr(x, "is_meta", False):
        raise TypeError(
            f"{name}: expected an array with values, got a tensor on device 'meta'; create it on "
            "the CPU"
        )
    layout = str(getattr(x, "layout", ""))  # other libraries call other things a layout
    if layout.startswith("torch.") and layout != "torch.strided":
        raise TypeError(f"{name}: expected a dense array, got layout {layout}; use to_dense()")
    dtype = str(getattr(x, "dtype", ""))
    if dtype.startswith(("torch.bfloat16", "torch.float8", "torch.float4")):
        raise TypeError(
            f"{name}: expected float16, float32, float64 or integers, got dtype {dtype}; convert "
            f"it first, as {name}.float() does"
        )


def like(x: object) -> Callable[[Any], Any]:
    """Function that turns an array (NumPy's; on a GPU, torch's) into the kind of array x is.

    Without a copy where that is possible; unchanged where x is no array, or of a library that
    takes none.
    """
    if isinstance(x, np.ndarray) or not hasattr(x, "__dlpack__"):
        return lambda array: array
    library = importlib.import_module(type(x).__module__.partition(".")[0])
    convert = getattr(library, "from_dlpack", None)
    return convert if convert is not None else (lambda array: array)
