# SPDX-License-Identifier: Apache-2.0
"""Properties of the sparse encoder and of soft superpixels, on the CPU and on a device.

Nothing here is checked against the package's own plain-torch forms (test_superpixel.py and
test_soft_superpixel.py do that).
"""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore.nn import functional as mrf  # noqa: E402

close = torch.testing.assert_close
NUM = 40


def draw(*shape: int, seed: int = 0, dtype: Any = torch.float64) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)


def random_map(kind: str, batch: int = 2, height: int = 21, width: int = 26) -> Any:
    """Ids below NUM: cells with ragged borders, or no order at all."""
    generator = torch.Generator().manual_seed(7)
    if kind == "noise":
        return torch.randint(0, NUM, (batch, height, width), generator=generator)
    y = torch.arange(height).view(1, -1, 1)
    x = torch.arange(width).view(1, 1, -1)
    y = y + torch.randint(0, 2, (batch, 1, width), generator=generator)
    x = x + torch.randint(0, 2, (batch, height, 1), generator=generator)
    return y // 5 * 6 + x // 5


maps = pytest.mark.parametrize("kind", ["cells", "noise"])


def one_hot(ids: Any) -> Any:
    """M of every image, [B, NUM, H W]."""
    return torch.nn.functional.one_hot(ids.flatten(1), NUM).movedim(2, 1).double()


def flat(x: Any) -> Any:
    return x.flatten(2)


# ---------------------------------------------------------------- the sparse encoder


@maps
def test_it_is_a_product_of_matrices(place: Any, kind: str) -> None:
    """Encoder D^-1 M, decoder M^T, consistency M^T D^-1 M, sum M."""
    ids, x, z = random_map(kind), draw(2, 3, 21, 26), draw(2, 3, NUM, seed=1)
    m = one_hot(ids)
    sums = flat(x) @ m.transpose(1, 2)
    means = sums / m.sum(2).clamp(min=1).unsqueeze(1)
    at, on = place.put(x), place.put(ids)
    close(mrf.superpixel_pool(at, on, NUM, "sum").cpu(), sums)
    close(mrf.superpixel_pool(at, on, NUM).cpu(), means)
    close(flat(mrf.superpixel_unpool(place.put(z), on)).cpu(), z @ m)
    close(flat(mrf.logit_consistency(at, on)).cpu(), means @ m)


@maps
@pytest.mark.parametrize("id_type", [torch.int32, torch.int64])
def test_projection(place: Any, kind: str, id_type: Any) -> None:
    """Idempotent, its own adjoint, and it keeps every superpixel's sum."""
    ids = place.put(random_map(kind).to(id_type))
    u, v = place.put(draw(2, 3, 21, 26)), place.put(draw(2, 3, 21, 26, seed=1))
    pu, pv = mrf.logit_consistency(u, ids), mrf.logit_consistency(v, ids)
    close(mrf.logit_consistency(pu, ids), pu, rtol=0, atol=1e-14)
    close((pu * v).sum(), (u * pv).sum())
    close(mrf.superpixel_pool(pu, ids, NUM, "sum"), mrf.superpixel_pool(u, ids, NUM, "sum"))


@maps
def test_pooling_and_unpooling_are_adjoint(place: Any, kind: str) -> None:
    ids, x, z = place.put(random_map(kind)), draw(2, 3, 21, 26), draw(2, 3, NUM, seed=1)
    pooled = mrf.superpixel_pool(place.put(x), ids, NUM, "sum").cpu()
    spread = mrf.superpixel_unpool(place.put(z), ids).cpu()
    close((pooled * z).sum(), (x * spread).sum())


@maps
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pixels_of_a_superpixel_have_the_same_bits(place: Any, kind: str, dtype: Any) -> None:
    """So that they have the same label."""
    ids = random_map(kind)
    y = mrf.logit_consistency(place.put(draw(2, 4, 21, 26, dtype=dtype)), place.put(ids)).cpu()
    label = y.argmax(1)
    for b in range(2):
        for s in ids[b].unique():
            inside = y[b][:, ids[b] == s]
            assert torch.equal(inside, inside[:, :1].expand_as(inside))
            assert len(label[b][ids[b] == s].unique()) == 1


def test_limits(place: Any) -> None:
    x = place.put(draw(2, 3, 8, 9))
    one = place.put(torch.zeros(2, 8, 9, dtype=torch.int64))
    close(mrf.logit_consistency(x, one), x.mean((2, 3), keepdim=True).expand_as(x))
    order = torch.randperm(72, generator=torch.Generator().manual_seed(1))
    unique = place.put(order.view(1, 8, 9).expand(2, -1, -1).contiguous())
    assert torch.equal(mrf.logit_consistency(x, unique), x)


@maps
def test_names_of_superpixels_and_order_of_images(place: Any, kind: str) -> None:
    ids, x = random_map(kind), draw(2, 3, 21, 26)
    y = mrf.logit_consistency(place.put(x), place.put(ids))
    names = torch.randperm(NUM, generator=torch.Generator().manual_seed(2))[ids]
    assert torch.equal(mrf.logit_consistency(place.put(x), place.put(names)), y)
    back = mrf.logit_consistency(place.put(x.flip(0)), place.put(ids.flip(0)))
    assert torch.equal(back.flip(0), y)
    assert torch.equal(mrf.logit_consistency(place.put(x[1:]), place.put(ids[1:])), y[1:])


@maps
def test_it_commutes_with_affine_maps_of_the_channels(place: Any, kind: str) -> None:
    ids, x = place.put(random_map(kind)), draw(2, 3, 21, 26)
    a, b = draw(5, 3, seed=1), draw(5, 1, 1, seed=2)

    def affine(x: Any) -> Any:
        return torch.einsum("dc,bchw->bdhw", a, x) + b

    before = mrf.logit_consistency(place.put(affine(x)), ids).cpu()
    close(before, affine(mrf.logit_consistency(place.put(x), ids).cpu()))


@maps
def test_a_mask(place: Any, kind: str) -> None:
    """Means of valid pixels go to all; no gradient to the others; nothing valid: kept, or zero."""
    ids, x = random_map(kind), draw(2, 3, 21, 26)
    valid = (torch.rand(ids.shape, generator=torch.Generator().manual_seed(3)) < 0.6) & (
        ids % 5 > 0
    )
    m = one_hot(ids)
    counted = m * valid.flatten(1).unsqueeze(1)
    count = counted.sum(2).unsqueeze(1)
    means = (flat(x) @ counted.transpose(1, 2)) / count.clamp(min=1)
    empty = (count == 0).double() @ m > 0
    wanted = torch.where(empty, flat(x), means @ m)
    leaf = place.put(x).requires_grad_()
    at, mask = place.put(ids), place.put(valid)
    zero = mrf.logit_consistency(leaf, at, mask, empty="zero")
    close(flat(zero.detach().cpu()), means @ m)
    close(flat(mrf.logit_consistency(leaf, at, mask).detach().cpu()), wanted)
    probe = draw(2, 3, 21, 26, seed=4)
    (found,) = torch.autograd.grad(zero, leaf, place.put(probe))
    per_pixel = ((flat(probe) @ m.transpose(1, 2)) / count.clamp(min=1)) @ counted
    close(flat(found.cpu()), per_pixel)
    assert not found.cpu()[(~valid).unsqueeze(1).expand_as(x)].any()


@pytest.mark.parametrize("reduce", ["mean", "sum", "max"])
def test_finite_differences(place: Any, reduce: str) -> None:
    ids = place.put(random_map("cells", 2, 5, 6))
    x, z = place.put(draw(2, 2, 5, 6)).requires_grad_(), place.put(draw(2, 2, 20)).requires_grad_()
    valid = place.put(draw(2, 5, 6, seed=3) > 0)
    for function, leaf in (
        (lambda x: mrf.superpixel_pool(x, ids, 20, reduce), x),
        (lambda z: mrf.superpixel_unpool(z, ids), z),
        (lambda x: mrf.logit_consistency(x, ids), x),
        (lambda x: mrf.logit_consistency(x, ids, valid), x),
    ):
        assert torch.autograd.gradcheck(function, leaf, fast_mode=place.emulated)


def test_empty_superpixels_are_zero_and_pass_no_gradient(place: Any) -> None:
    ids = place.put(2 * random_map("cells", 1, 10, 10))  # the odd ones are empty
    for reduce in ("mean", "sum", "max"):
        x = place.put(draw(1, 2, 10, 10)).requires_grad_()
        z = mrf.superpixel_pool(x, ids, 2 * NUM, reduce)
        assert not z[..., 1::2].any()
        (gradient,) = torch.autograd.grad(z[..., 1::2].sum(), x)
        assert not gradient.any()


# ---------------------------------------------------------------- soft superpixels


def associations(height: int, width: int, seed: int = 5) -> Any:
    return draw(1, 9, height, width, seed=seed).softmax(1)


def test_hard_associations_and_uniform_cells(place: Any) -> None:
    """q one-hot at the centre, features constant per cell: f' = f, and the loss is 0."""
    q = torch.zeros(1, 9, 32, 48, dtype=torch.float64)
    q[:, 4] = 1
    labels = torch.arange(6).view(1, 2, 3).repeat_interleave(16, 1).repeat_interleave(16, 2)
    f = torch.nn.functional.one_hot(labels, 6).movedim(3, 1).double()
    at, on = place.put(f), place.put(q)
    rebuilt = mrf.soft_superpixel_unpool(mrf.soft_superpixel_pool(at, on), on).cpu()
    close(rebuilt, f)
    assert torch.equal(mrf.superpixel_ids(on).cpu(), labels)
    assert abs(float(mrf.superpixel_loss(at, on, compactness=0))) < 1e-7


def test_pooled_ones_are_one(place: Any) -> None:
    q = associations(40, 45)
    ones = torch.ones(1, 1, 40, 45, dtype=torch.float64)
    for border in ("zero", "renorm"):
        pooled = mrf.soft_superpixel_pool(place.put(ones), place.put(q), 8, border=border)
        close(pooled.cpu(), torch.ones_like(pooled.cpu()))
    back = mrf.soft_superpixel_unpool(pooled, place.put(q), 8).cpu()
    close(back[..., 8:32, 8:40], ones[..., 8:32, 8:40])  # away from the border
    back = mrf.soft_superpixel_unpool(pooled, place.put(q), 8, border="renorm").cpu()
    close(back, ones)


def test_a_shift_by_a_cell_shifts_the_result(place: Any) -> None:
    """In the interior, for nothing but the border knows where a cell is."""
    cell, side = 4, 28
    x, q = draw(1, 3, side, side), associations(side, side)
    pooled = []
    for image, weights in ((x, q), (x.roll((cell, cell), (2, 3)), q.roll((cell, cell), (2, 3)))):
        u = mrf.soft_superpixel_pool(place.put(image), place.put(weights), cell)
        y = mrf.soft_superpixel_unpool(u, place.put(weights), cell)
        pooled.append((u.cpu().view(1, 3, 7, 7), y.cpu()))
    (u, y), (moved_u, moved_y) = pooled
    close(moved_u[..., 2:6, 2:6], u[..., 1:5, 1:5])
    inside = slice(3 * cell, 5 * cell)  # two cells away from where the roll has cut
    before = slice(2 * cell, 4 * cell)
    close(moved_y[..., inside, inside], y[..., before, before])


def test_uniform_associations_give_the_mean_of_nine_centres(place: Any) -> None:
    """c' of an interior cell's pixels is the mean of nine centres, its own if all are alike."""
    q = torch.full((1, 9, 40, 40), 1 / 9, dtype=torch.float64)
    y, x = torch.meshgrid(*[torch.arange(40, dtype=torch.float64)] * 2, indexing="ij")
    places = torch.stack([x, y])[None]
    centres = mrf.soft_superpixel_pool(place.put(places), place.put(q), 8)
    moved = mrf.soft_superpixel_unpool(centres, place.put(q), 8).cpu()
    nine = centres.cpu().view(1, 2, 5, 5)[..., 1:4, 1:4].mean((2, 3))
    close(moved[..., 20, 20], nine)
    close(nine, torch.tensor([[19.5, 19.5]], dtype=torch.float64))


@pytest.mark.parametrize("border", ["zero", "renorm"])
@pytest.mark.parametrize("distance", ["cross_entropy", "l2"])
def test_finite_differences_of_the_loss(place: Any, distance: str, border: str) -> None:
    """With respect to q, and to features: pooling and unpooling on the way."""
    f = place.put(draw(1, 2, 5, 6).softmax(1)).requires_grad_()
    q = place.put(associations(5, 6)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda f, q: mrf.superpixel_loss(
            f, q, 3, distance=distance, border=border, compactness=0.5
        ),
        (f, q),
        fast_mode=place.emulated,
    )


# ---------------------------------------------------------------- both together


def test_consistency_sharpens_blurred_logits(place: Any) -> None:
    """A disc, logits deliberately blurred, superpixels along it: its boundary comes back."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    distance = ((y - 30.3) ** 2 + (x - 33.1) ** 2).sqrt() - 18
    disc = (distance < 0).long()
    noise = draw(64, 64, seed=8)
    blurred = torch.nn.functional.avg_pool2d(
        (disc.double() - 0.5 + 1.5 * noise)[None, None], 9, 1, 4, count_include_pad=False
    )
    logits = torch.cat([-blurred, blurred], 1)
    ids = (disc * 64 + y // 8 * 8 + x // 8)[None]  # cells that end at the disc
    sharp = mrf.logit_consistency(place.put(logits), place.put(ids)).cpu()
    band = distance.abs() < 4
    wrong = [int((z.argmax(1)[0] != disc)[band].sum()) for z in (logits, sharp)]
    assert wrong[0] > 80
    assert wrong[1] < 0.6 * wrong[0]


def test_the_segmentation_loss_does_not_reach_the_superpixels(place: Any) -> None:
    logits = place.put(draw(1, 3, 16, 16)).requires_grad_()
    q = place.put(associations(16, 16)).requires_grad_()
    ids = mrf.superpixel_ids(q, 4)
    assert not ids.requires_grad
    mrf.logit_consistency(logits, ids).square().sum().backward()
    assert logits.grad is not None
    assert q.grad is None
