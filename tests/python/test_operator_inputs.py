# SPDX-License-Identifier: Apache-2.0
"""What every dense operator makes of strides, NaN, wrong types and devices, and nothing at all."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from operator_cases import CASES, gradients, leaves, several  # noqa: E402

every = pytest.mark.parametrize("name", CASES)
# Plain torch, which takes tensors of any device.
PLAIN = ("charbonnier", "flow_smoothness")


def outcome(function: Any, inputs: Any) -> tuple[tuple[Any, ...], str]:
    """Its results, or the message of its ValueError."""
    try:
        return several(function(*inputs)), ""
    except ValueError as error:
        return (), str(error)


def turned(x: Any) -> Any:
    """The same numbers, the last two dimensions stored the other way round, with a gap."""
    if x.dim() < 2:
        return x
    wide = torch.stack([x, torch.zeros_like(x)], -1).transpose(-2, -3).contiguous()
    return wide.transpose(-2, -3)[..., 0]


@every
def test_strides(place: Any, name: str) -> None:
    function, tensors = CASES[name]
    straight = leaves(tensors, place.put)
    crooked = leaves(tuple(turned(x) for x in tensors), lambda x: turned(place.put(x)))
    assert all(x.dim() < 2 or not x.is_contiguous() for x in crooked)
    found, wanted = function(*crooked), function(*straight)
    for y, want in zip(several(found), several(wanted), strict=True):
        exact = {"rtol": 1e-13, "atol": 0} if name.startswith(PLAIN) else {"rtol": 0, "atol": 0}
        torch.testing.assert_close(y, want, **exact)
    for g, want in zip(gradients(found, crooked), gradients(wanted, straight), strict=True):
        torch.testing.assert_close(g, want)


@every
def test_nan_does_not_go_unnoticed(place: Any, name: str) -> None:
    """An error that names the argument, or NaN in the result."""
    function, tensors = CASES[name]
    for i, x in enumerate(tensors):
        if not x.is_floating_point():
            continue
        bad = x.clone()
        bad.view(-1)[x.numel() // 2 :] = torch.nan  # one alone may be masked, or outside
        inputs = [place.put(bad if j == i else y) for j, y in enumerate(tensors)]
        outputs, message = outcome(function, inputs)
        assert "nan" in message or any(bool(y.isnan().any()) for y in outputs)


@every
def test_integers_instead_of_floats(name: str) -> None:
    function, tensors = CASES[name]
    with pytest.raises((TypeError, ValueError), match=r"^\w+(\[0\])?: expected .*torch.int64"):
        function(tensors[0].long(), *tensors[1:])


@every
def test_floats_instead_of_integers(name: str) -> None:
    """Also because ids and labels cannot have gradients."""
    function, tensors = CASES[name]
    for i, x in enumerate(tensors):
        if x.is_floating_point():
            continue
        bad = x.float().requires_grad_()
        with pytest.raises(TypeError, match=r"^(ids|labels|valid): expected .*torch.float32"):
            function(*tensors[:i], bad, *tensors[i + 1 :])


@every
def test_a_device_without_kernels(name: str) -> None:
    if name in PLAIN:
        pytest.skip("is plain torch")
    function, tensors = CASES[name]
    with pytest.raises(TypeError, match=r"^\w+(\[0\])?: expected a tensor on .*meta"):
        function(tensors[0].to("meta"), *tensors[1:])
    for i, x in enumerate(tensors[1:], 1):
        with pytest.raises(TypeError, match=r"^\w+(\[1\])?: expected a tensor on .*meta"):
            function(*tensors[:i], x.to("meta"), *tensors[i + 1 :])


@every
def test_a_missing_dimension(name: str) -> None:
    if name.startswith("charbonnier"):
        pytest.skip("takes any shape")
    function, tensors = CASES[name]
    with pytest.raises(ValueError, match=r"^\w+(\[0\])?: expected .*got shape"):
        function(tensors[0][0], *tensors[1:])


@every
def test_no_channels(name: str) -> None:
    """Refused, or nothing in and nothing out; never a crash."""
    function, tensors = CASES[name]
    empty = tensors[0][:, :0].clone()
    outputs, message = outcome(function, [empty, *tensors[1:]])
    if outputs:
        assert name.startswith(("warp", "charbonnier"))
        assert all(y.numel() == 0 or bool(y.isnan()) for y in outputs)
    else:
        assert str(list(empty.shape)) in message


@every
def test_no_items(name: str) -> None:
    """An empty batch is refused with its shape, or gives an empty one."""
    function, tensors = CASES[name]
    empty = [x[:0] if x.dim() else x for x in tensors]
    outputs, message = outcome(function, empty)
    if outputs:
        assert all(y.dim() == 0 or len(y) == 0 for y in outputs)
    else:
        assert str(list(empty[0].shape)) in message
