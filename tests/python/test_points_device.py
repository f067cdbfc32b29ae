# SPDX-License-Identifier: Apache-2.0
"""Mean shift and the pairwise margin loss on a GPU, or in the emulator, against the CPU."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore import _core  # noqa: E402
from mrfcore.cluster import MeanShift, estimate_bandwidth  # noqa: E402
from mrfcore.nn.functional import (  # noqa: E402
    group_points,
    kappa_from_margin,
    mean_shift,
    mean_shift_euclid,
    pairwise_margin_loss,
    sample_points,
)

# Name: (op, whether the width has a gradient, a width).
FORMS: dict[str, Any] = {
    "sphere": (mean_shift, True, 7.0),
    "gaussian": (mean_shift_euclid, True, 1.3),
    "epanechnikov": (
        lambda *a, **k: mean_shift_euclid(*a, kernel="epanechnikov", **k),
        False,
        1.1,
    ),
}
forms = pytest.mark.parametrize("form", FORMS)
# One point and one dimension; 64 points to a block; dimensions by 16, 32 and 64; batches.
SHAPES = [(1, 1, 1), (2, 3, 5), (1, 16, 64), (2, 17, 65), (1, 64, 130), (1, 129, 66)]


def draw(*shape: int, dtype: Any = torch.float64, seed: int = 0) -> Any:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def groups(*shape: int, count: int = 5) -> Any:
    return torch.randint(0, count, shape, generator=torch.Generator().manual_seed(9)) * 7 - 5


def with_gradients(call: Any, *tensors: Any) -> list[Any]:
    """Result of call(*tensors) and the gradients of a weighted sum of it, on the CPU."""
    leaves = [t.detach().requires_grad_(t.is_floating_point()) for t in tensors]
    result = call(*leaves)
    share = draw(*result.shape, dtype=result.dtype, seed=3).to(result.device)
    wanted = [t for t in leaves if t.requires_grad]
    slopes = torch.autograd.grad((result * share).sum(), wanted, allow_unused=True)
    return [result.detach().cpu(), *(g if g is None else g.cpu() for g in slopes)]


def agree(device: Any, call: Any, *tensors: Any, rtol: float = 1e-10, atol: float = 1e-12) -> None:
    """Result and gradients on the device are the CPU's to rounding, and on the device."""
    expected = with_gradients(call, *tensors)
    with device.active():
        placed = [device.put(t) for t in tensors]
        assert call(*placed).device.type == device.type
        found = with_gradients(call, *placed)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


# ---------------------------------------------------------------- mean shift


@forms
@pytest.mark.parametrize("shape", SHAPES)
def test_against_the_cpu(device: Any, form: str, shape: tuple[int, ...]) -> None:
    op, learns, width = FORMS[form]
    width = torch.tensor(width, dtype=torch.float64)
    if learns:
        agree(device, lambda x, k: op(x, k, 2, 0.8), draw(*shape), width)
    else:
        agree(device, lambda x: op(x, width.item(), 2, 0.8), draw(*shape))


@forms
def test_float32(device: Any, form: str) -> None:
    op, _, width = FORMS[form]
    x = draw(2, 20, 150, dtype=torch.float32)
    agree(device, lambda x: op(x, width, 3), x, rtol=1e-3, atol=2e-6)


@forms
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_gradcheck(device: Any, form: str, steps: int) -> None:
    op, learns, width = FORMS[form]
    with device.active():
        x = device.put(draw(2, 3, 7, seed=2)).requires_grad_()
        k = device.put(torch.tensor(width / 2, dtype=torch.float64)).requires_grad_(learns)
        assert torch.autograd.gradcheck(lambda x, k: op(x, k, steps, 0.7), (x, k))


@forms
def test_any_subset_of_gradients(device: Any, form: str) -> None:
    op, learns, width = FORMS[form]
    with device.active():
        x, k = device.put(draw(1, 4, 30)), device.put(torch.tensor(width, dtype=torch.float64))
        want = with_gradients(lambda x: op(x, k, 2), x)
        moved = op(x, k, 2)
        assert not moved.requires_grad
        assert torch.equal(moved.cpu(), want[0])
        if learns:
            both = with_gradients(lambda x, k: op(x, k, 2), x, k)
            alone = with_gradients(lambda k: op(x, k, 2), k)
            assert torch.equal(both[1], want[1])
            assert torch.equal(both[2], alone[1])


@forms
def test_items_of_a_batch_do_not_know_of_each_other(device: Any, form: str) -> None:
    op, _, width = FORMS[form]
    x = draw(2, 6, 70, dtype=torch.float32)
    with device.active():
        both = with_gradients(lambda x: op(x, width, 2), device.put(x))
        again = with_gradients(lambda x: op(x, width, 2), device.put(x))
        first = with_gradients(lambda x: op(x, width, 2), device.put(x[:1]))
    assert all(torch.equal(a, b) for a, b in zip(both, again, strict=True))
    assert torch.equal(both[0][:1], first[0])


def test_hooks_may_keep_what_is_saved_where_they_like(device: Any) -> None:
    """Kernels read 16 bytes at a time; a piece of something larger may begin anywhere."""

    def moved_by_an_element(x: Any) -> Any:
        flat = torch.cat((x.new_zeros(1), x.detach().flatten()))
        return flat[1:].view(x.shape)

    with device.active():
        x = device.put(draw(1, 6, 70, dtype=torch.float32))
        expected = with_gradients(lambda x: mean_shift(x, 7.0, 2), x)
        with torch.autograd.graph.saved_tensors_hooks(moved_by_an_element, lambda x: x):
            found = with_gradients(lambda x: mean_shift(x, 7.0, 2), x)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_duplicates_stay_together_and_one_point_stays(device: Any) -> None:
    with device.active():
        moved = mean_shift(device.put(draw(1, 4, 50).repeat(1, 1, 3)), 5.0, 3).cpu()
        alone = mean_shift(device.put(draw(1, 4, 1)), 5.0, 3).cpu()
        spread = mean_shift(device.put(draw(1, 8, 100)), 1e5, 1).cpu()
    torch.testing.assert_close(moved[..., :50], moved[..., 100:])
    torch.testing.assert_close(alone, torch.nn.functional.normalize(draw(1, 4, 1), dim=1))
    torch.testing.assert_close(spread, torch.nn.functional.normalize(draw(1, 8, 100), dim=1))


def test_far_from_the_origin(device: Any) -> None:
    x = draw(1, 2, 100, dtype=torch.float32)
    with device.active():
        far = mean_shift_euclid(device.put(x + 1000), 0.5, 2).cpu() - 1000
    torch.testing.assert_close(far, mean_shift_euclid(x, 0.5, 2), rtol=0, atol=2e-3)


def test_groups_are_those_of_the_cpu(device: Any) -> None:
    truth = torch.arange(5).repeat_interleave(torch.tensor([60, 30, 25, 20, 15]))
    x = (torch.eye(16, dtype=torch.float64)[:, truth] + draw(16, 150) / 8)[None]
    expected, counts = group_points(mean_shift(x, kappa_from_margin(), 5))
    with device.active():
        labels, number = group_points(mean_shift(device.put(x), kappa_from_margin(), 5))
    assert labels.device.type == number.device.type == device.type
    assert torch.equal(labels.cpu(), expected)
    assert torch.equal(number.cpu(), counts)
    assert counts.tolist() == [5]


def test_images_half_types_and_autocast(device: Any) -> None:
    x = draw(1, 8, 5, 8, dtype=torch.float32)
    with device.active():
        placed = device.put(x)
        want = mean_shift(placed.flatten(2), 9.0).unflatten(2, (5, 8))
        assert torch.equal(mean_shift(placed.to(memory_format=torch.channels_last), 9.0), want)
        for dtype in (torch.float16, torch.bfloat16):
            half = placed.to(dtype)
            assert torch.equal(mean_shift(half, 9.0), mean_shift(half.float(), 9.0).to(dtype))
            with torch.autocast(device.type, torch.bfloat16):
                assert mean_shift(half, 9.0).dtype == torch.float32


def test_what_the_cpu_refuses_is_nan(device: Any) -> None:
    x = draw(2, 3, 70)
    x[0, 1, 5] = torch.nan
    with device.active():
        moved = mean_shift(device.put(x), 5.0, 1).cpu()
        wrong = mean_shift(device.put(x[1:]), device.put(torch.tensor(-1.0)), 1).cpu()
        widths = [device.put(torch.tensor(b)) for b in (0.0, -1.0, torch.inf, torch.nan)]
        narrow = torch.stack([mean_shift_euclid(device.put(x[1:]), b, 1).cpu() for b in widths])
    assert moved[0].isnan().all()
    torch.testing.assert_close(moved[1:], mean_shift(x[1:], 5.0, 1))
    assert wrong.isnan().all()
    assert narrow.isnan().all()


def test_kappa_on_the_cpu(device: Any) -> None:
    x, kappa = draw(1, 3, 9), torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
    with device.active():
        (g,) = torch.autograd.grad(mean_shift(device.put(x), kappa, 1).sum(), kappa)
    (want,) = torch.autograd.grad(mean_shift(x, kappa, 1).sum(), kappa)
    torch.testing.assert_close(g, want)
    if device.type == "cuda":
        with pytest.raises(TypeError, match="kappa: expected a tensor on cpu as x"):
            mean_shift(x, kappa.detach().cuda(), 1)


def test_errors_are_those_of_the_cpu(device: Any) -> None:
    x = torch.ones(1, 2, 3)
    cases: list[tuple[type[Exception], str, Any]] = [
        (ValueError, r"x: expected \[B, D, N\].*\[2, 3\]", lambda x: mean_shift(x[0], 2.0)),
        (TypeError, "x: expected float16.*int64", lambda x: mean_shift(x.long(), 2.0)),
        (ValueError, "kappa: expected a finite number >= 0", lambda x: mean_shift(x, -1)),
        (ValueError, "steps: expected a number >= 0", lambda x: mean_shift(x, 1.0, -1)),
        (ValueError, "bandwidth: expected a number in", lambda x: mean_shift_euclid(x, 0)),
        (ValueError, "labels: expected shape", lambda x: pairwise_margin_loss(x, x[0].long())),
        (ValueError, "threshold", lambda x: group_points(x, threshold=1)),
    ]
    for error, message, call in cases:
        with device.active(), pytest.raises(error, match=message):
            call(device.put(x))


def test_clustering_stays_on_the_cpu(device: Any) -> None:
    points = draw(40, 2)
    model = MeanShift(bandwidth=1.0).fit(points.numpy())
    assert (MeanShift(bandwidth=1.0).fit(points).labels_ == model.labels_).all()
    with device.active():
        placed = device.put(points)
        for call in (
            MeanShift(bandwidth=1.0).fit,
            MeanShift(bandwidth=1.0, seeds=placed).fit,
            model.predict,
            estimate_bandwidth,
        ):
            with pytest.raises(TypeError, match=r"points: is on a GPU; .*pass points.cpu\(\)"):
                call(placed)


def test_no_second_derivative(device: Any) -> None:
    with device.active():
        x = device.put(draw(1, 3, 9)).requires_grad_()
        for result in (mean_shift(x, 2.0), pairwise_margin_loss(x, device.put(groups(1, 9)))):
            (g,) = torch.autograd.grad(result.sum(), x, create_graph=True)
            with pytest.raises(RuntimeError, match="second derivatives"):
                g.sum().backward()


# ---------------------------------------------------------------- pairwise margin loss


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", [{}, {"neg_weight": 5.0, "normalise": "sum"}, {"ignore": 2}])
def test_margin_against_the_cpu(
    device: Any, shape: tuple[int, ...], options: dict[str, Any]
) -> None:
    def loss(x: Any, labels: Any) -> Any:
        return pairwise_margin_loss(x, labels, 0.45, reduction="none", **options)

    agree(device, loss, draw(*shape), groups(shape[0], shape[2]))


def test_margin_in_float32_with_weights(device: Any) -> None:
    weights = draw(2, 150, dtype=torch.float32).abs()
    weights[:, ::7] = 0

    def loss(x: Any) -> Any:
        placed = (groups(2, 150).to(x.device), weights.to(x.device))
        return pairwise_margin_loss(x, placed[0], weights=placed[1])

    agree(device, loss, draw(2, 16, 150, dtype=torch.float32), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("dims", [1, 3])
def test_margin_gradcheck(device: Any, dims: int) -> None:
    with device.active():
        x, labels = device.put(draw(2, dims, 9, seed=3)), device.put(groups(2, 9, count=3))
        assert torch.autograd.gradcheck(
            lambda x: pairwise_margin_loss(x, labels, 0.45, reduction="none"), x.requires_grad_()
        )


def test_samples_are_drawn_on_the_device(device: Any) -> None:
    x, labels = draw(2, 4, 8, 8), groups(2, 8, 8)
    labels[0, :4] = -1
    with device.active():
        placed, names = device.put(x), device.put(labels)
        at = sample_points(names, 20, generator=torch.Generator(device=names.device).manual_seed(7))
        assert at.device == names.device
        assert (names.flatten(1).gather(1, at) != -1).all()
        found = pairwise_margin_loss(placed, names, sample=at).cpu()
    torch.testing.assert_close(found, pairwise_margin_loss(x, labels, sample=at.cpu()))


def test_margin_of_what_is_not_finite(device: Any) -> None:
    x, labels = draw(2, 3, 20), groups(2, 20)
    x[0, 0, 3] = torch.inf
    with device.active():
        loss = pairwise_margin_loss(device.put(x), device.put(labels), reduction="none").cpu()
        negative = pairwise_margin_loss(
            device.put(x[1:]), device.put(labels[1:]), weights=device.put(-torch.ones(1, 20))
        )
    assert loss.isnan().tolist() == [True, False]
    assert negative.isnan()


# ---------------------------------------------------------------- torch's machinery


def test_opcheck(device: Any) -> None:
    setup = ("sphere", 2, 0.8, 1)
    with device.active():
        kappa = device.put(torch.tensor(4.0))
        x = device.put(draw(2, 5, 70, dtype=torch.float32))
        labels, weights = device.put(groups(2, 70)), device.put(torch.ones(2, 70))
        _, tape = torch.ops.mrfcore.mean_shift(x, kappa, True, *setup)
        for need in (True, False):
            torch.library.opcheck(torch.ops.mrfcore.mean_shift.default, (x, kappa, need, *setup))
            torch.library.opcheck(
                torch.ops.mrfcore.mean_shift_backward.default, (kappa, tape, x, need, *setup)
            )
            torch.library.opcheck(
                torch.ops.mrfcore.pairwise_margin.default, (x, labels, weights, need, 0.5, 1.0, 1)
            )


def test_compile(device: Any) -> None:
    torch._dynamo.reset()

    def f(x: Any, kappa: Any, labels: Any) -> Any:
        return pairwise_margin_loss(mean_shift(2 * x, kappa.exp(), 2).sin(), labels, 0.3)

    with device.active():
        x = device.put(draw(1, 4, 70))
        kappa = device.put(torch.tensor(1.5, dtype=torch.float64))
        labels = device.put(groups(1, 70))
        got = with_gradients(torch.compile(f, fullgraph=True), x, kappa, labels)
        want = with_gradients(f, x, kappa, labels)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


def test_memory_grows_with_points_and_dimensions_only() -> None:
    if not _core.cuda_status()["built"]:
        pytest.skip("this build has no CUDA back-end")
    batch, dims, points = 3, 64, 4096
    rows = 4 * batch * dims * points
    call = _core.CudaMeanShift(batch, dims, points, "sphere", 7, 64, 1.0)
    with_tape = _core.cuda_mean_shift_forward_workspace_bytes_f32(call, True)
    forward = _core.cuda_mean_shift_forward_workspace_bytes_f32(call, False)
    backward = _core.cuda_mean_shift_backward_workspace_bytes_f32(call)
    loss = _core.cuda_pairwise_margin_workspace_bytes_f32(batch, dims, points, True)
    for found, times in ((with_tape, 4), (forward, 6), (backward, 6), (loss, 6)):
        assert times * rows < found < 1.1 * times * rows


def test_in_a_graph(device: Any) -> None:
    if device.type != "cuda":
        pytest.skip("graphs need a GPU")
    x, labels = device.put(draw(1, 16, 200)).requires_grad_(), device.put(groups(1, 200))
    weights = torch.ones_like(labels, dtype=x.dtype)

    def step() -> Any:
        moved = mean_shift(x, 9.0, 2)
        return torch.autograd.grad(pairwise_margin_loss(moved, labels, weights=weights), x)[0]

    step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step()
    with torch.no_grad():
        x.mul_(-0.5)
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(captured, step())
