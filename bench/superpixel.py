# SPDX-License-Identifier: Apache-2.0
"""Superpixel pooling and logit consistency against the forms that plain torch has for them.

    python bench/superpixel.py [--quick]

Mean over superpixels of x [1, C, 512, 512], forward and backward, ours and the others in turn in
one process, on one thread and on all; results must agree. The map is a jittered grid, as SLIC's
are; all forms get it as int64 ids. What the others can prepare from the ids alone (expanded
indices, the sparse matrix, numbers of pixels) is not timed; ours prepares everything in every call.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from _measure import clock_of, fields, interleave, passes
from _part import Case, Found, Part, Run
from _rows import Row


def cases(run: Run) -> Iterator[Case]:
    """Sides, channels, superpixels; soft ones have cells of 16 pixels, 1024 of them at 512."""
    if run.quick:
        yield {"side": 128, "channels": 21, "superpixels": 64, "soft": True}
        return
    for channels in (21, 64):
        for num in (225, 1024):
            yield {"side": 512, "channels": channels, "superpixels": num, "soft": num == 1024}


def superpixels(side: int, num: int) -> Any:
    """A grid of about `num` cells with wavy borders, ids [1, side, side]."""
    import torch

    cells = round(num**0.5)
    y = torch.arange(side).view(-1, 1).float().expand(side, side)
    x = torch.arange(side).view(1, -1).float().expand(side, side)
    rows = ((y + 3 * torch.sin(x / 7)) * cells / side).long().clamp(0, cells - 1)
    columns = ((x + 3 * torch.sin(y / 5)) * cells / side).long().clamp(0, cells - 1)
    return (rows * cells + columns)[None].contiguous()


def forms(ids: Any, num: int, channels: int, threads: int) -> dict[str, Callable[[Any], Any]]:
    """Functions of x [1, C, H, W]: what they compute / how."""
    import torch

    from mrfcore.nn import functional

    flat = ids.flatten()
    counts = torch.bincount(flat, minlength=num).clamp(min=1).float()
    index = flat.expand(channels, -1).contiguous()
    pixels = flat.numel()
    matrix = torch.sparse_coo_tensor(
        torch.stack([flat, torch.arange(pixels)]), torch.ones(pixels), (num, pixels)
    ).to_sparse_csr()

    def index_add(x: Any) -> Any:
        return x.new_zeros(channels, num).index_add(1, flat, x[0].flatten(1)) / counts

    def scatter_reduce(x: Any, reduce: str = "mean") -> Any:
        zeros = x.new_zeros(channels, num)
        return zeros.scatter_reduce(1, index, x[0].flatten(1), reduce, include_self=False)

    def sparse_mm(x: Any) -> Any:
        return (torch.sparse.mm(matrix, x[0].flatten(1).T) / counts[:, None]).T

    def consistency(x: Any) -> Any:
        return index_add(x).index_select(1, flat).view_as(x)

    found = {
        "mean/ours": lambda x: functional.superpixel_pool(x, ids, num, threads=threads),
        "mean/index_add": index_add,
        "mean/scatter_reduce": scatter_reduce,
        "mean/sparse.mm": sparse_mm,
        "max/ours": lambda x: functional.superpixel_pool(x, ids, num, "max", threads=threads),
        "max/scatter_reduce": lambda x: scatter_reduce(x, "amax"),
        "consistency/ours": lambda x: functional.logit_consistency(x, ids, threads=threads),
        "consistency/index_add": consistency,
    }
    if importlib.util.find_spec("torch_scatter") is not None:
        from torch_scatter import scatter

        found["mean/torch_scatter"] = lambda x: scatter(
            x[0].flatten(1), flat, 1, dim_size=num, reduce="mean"
        )
    return found


def soft_forms(channels: int, side: int, threads: int) -> dict[str, Callable[[Any], Any]]:
    """Of soft associations with cells of 16 pixels; gradients to values and associations.

    The plain forms are those of the superpixel networks in use: one average pooling or one
    up-sampling per slot, shifted by padding.
    """
    import torch
    from torch.nn.functional import avg_pool2d, interpolate, pad

    from mrfcore.nn import functional

    cell, cells = 16, side // 16
    q = torch.randn(1, 9, side, side).softmax(1).requires_grad_()
    z = torch.randn(1, channels, cells * cells).requires_grad_()

    def pooled(values: Any) -> Any:
        sums = torch.zeros(1, values.shape[1], cells + 2, cells + 2)
        for k in range(9):
            part = avg_pool2d(values * q[:, k : k + 1], cell)
            sums = sums + pad(part, (k % 3, 2 - k % 3, k // 3, 2 - k // 3))
        return sums[:, :, 1:-1, 1:-1]

    def plain_pool(x: Any) -> Any:
        return pooled(x) / (pooled(torch.ones_like(x[:, :1])) + 1e-8)

    def plain_unpool(_: Any) -> Any:
        grid = pad(z.view(1, channels, cells, cells), (1, 1, 1, 1))
        y = torch.zeros(1, channels, side, side)
        for k in range(9):
            seen = grid[:, :, k // 3 : k // 3 + cells, k % 3 : k % 3 + cells]
            y = y + interpolate(seen, scale_factor=cell) * q[:, k : k + 1]
        return y

    def with_inputs(form: Callable[[Any], Any], *inputs: Any) -> Callable[[Any], Any]:
        form.inputs = inputs  # type: ignore[attr-defined]
        return form

    return {
        "soft pool/ours": with_inputs(
            lambda x: functional.soft_superpixel_pool(x, q, cell, threads=threads), q
        ),
        "soft pool/avg_pool2d x 9": with_inputs(plain_pool, q),
        "soft unpool/ours": with_inputs(
            lambda _: functional.soft_superpixel_unpool(z, q, cell, threads=threads), q, z
        ),
        "soft unpool/interpolate x 9": with_inputs(plain_unpool, q, z),
    }


def measure(case: Case, run: Run) -> Found:
    """Two rows for each of the others, forward and back."""
    import torch

    warnings.filterwarnings("ignore", message="Sparse")  # of torch's own matrices
    torch.manual_seed(0)
    side, channels = case["side"], case["channels"]
    ids = superpixels(side, case["superpixels"])
    num = int(ids.max()) + 1
    x = torch.randn(1, channels, side, side).requires_grad_()
    taken: dict[str, Any] = {}
    for threads in run.thread_counts:
        torch.set_num_threads(threads)
        every = forms(ids, num, channels, threads)
        if case["soft"]:
            every |= soft_forms(channels, side, threads)
        check(every, x)
        for what in dict.fromkeys(name.split("/")[0] for name in every):
            sides = {
                name.split("/")[1]: passes(
                    lambda f=f: f(x), inputs_of(f, x), None, clock_of(threads)
                )
                for name, f in every.items()
                if name.startswith(what + "/")
            }
            taken.setdefault(what, {})[threads] = interleave(sides, run.rounds(7))
    rows = [
        Row(
            f"superpixel {what}, {phase}",
            f"C={channels} S={num} {side}^2",
            **fields(by_threads, peer, phase),
            peer=f"torch {peer}",
            headline=channels == 21 and "index_add" in peer,
        )
        for what, by_threads in taken.items()
        for peer in by_threads[1]
        if peer != "ours"
        for phase in ("forward", "backward")
    ]
    rows = [row.promised(ratio=4) if "index_add" in row.peer else row for row in rows]
    return {**case, "seconds": taken}, rows


def inputs_of(form: Callable[[Any], Any], x: Any) -> list[Any]:
    """Tensors to differentiate by; unpooling does not see x."""
    more = getattr(form, "inputs", ())
    return [*more] if len(more) == 2 else [x, *more]


def check(every: dict[str, Callable[[Any], Any]], x: Any) -> None:
    """All forms of one thing give the same numbers."""
    import torch

    for name, form in every.items():
        ours = every[name.split("/")[0] + "/ours"](x).detach()
        theirs = form(x).detach()
        torch.testing.assert_close(theirs.reshape(ours.shape), ours, rtol=1e-3, atol=1e-3)


PART = Part("superpixel", cases, measure, needs=("torch",))

if __name__ == "__main__":
    sys.exit(PART.main(__doc__, __file__))
