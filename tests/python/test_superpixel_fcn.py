# SPDX-License-Identifier: Apache-2.0
"""The network that draws superpixels: layers, sizes, ids in one piece, losses, learning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mrfcore import models, superpixels  # noqa: E402
from mrfcore.models import SuperpixelFCN  # noqa: E402
from mrfcore.models._colours import lab_of  # noqa: E402
from mrfcore.models._pieces import connected_ids  # noqa: E402
from mrfcore.nn.functional import superpixel_ids, superpixel_loss  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors; threads that wait for each other on a busy machine take many times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(width: int = 2, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return SuperpixelFCN(width=width)


# ---------------------------------------------------------------- layers


def test_parameters_by_hand() -> None:
    """Inputs, outputs of the convolutions with normalisation, of the transposed ones, the last."""
    pairs = [(3, 16), (16, 16), (16, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
    pairs += [(128, 256), (256, 256), (256, 128), (128, 64), (64, 32), (32, 16)]
    ups = [(256, 128), (128, 64), (64, 32), (32, 16)]
    expected = sum(9 * i * o + 2 * o for i, o in pairs) + sum(16 * i * o + o for i, o in ups)
    expected += 9 * 16 * 9 + 9
    assert expected == 2_269_785
    assert models.measure_model("superpixel-fcn")[0] == expected


def test_names_of_parameters() -> None:
    """As the authors' checkpoints have them, whose further heads are left out."""
    with torch.device("meta"):
        state = SuperpixelFCN().state_dict()
    convolutions = [f"conv{i}{part}" for i in range(5) for part in "ab"]
    convolutions += [f"conv{i}_1" for i in range(4)]
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = {f"{name}.0.weight" for name in convolutions}
    names |= {f"{name}.1.{part}" for name in convolutions for part in norm}
    names |= {f"deconv{i}.0.{part}" for i in range(4) for part in ("weight", "bias")}
    assert set(state) == names | {"pred_mask0.weight", "pred_mask0.bias"}
    one, two = small(seed=1), small(seed=2)
    theirs = {**one.state_dict(), "pred_mask2.weight": torch.zeros(9, 4, 3, 3)}
    models.load_weights(two, {"state_dict": theirs})  # type: ignore[dict-item]
    torch.testing.assert_close(one.state_dict(), two.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (1, 1), (5, 40), (64, 17)])
def test_any_size(size: tuple[int, int]) -> None:
    model = small().eval()
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        q = model(image)
        assert q.shape == (2, 9, *size)
        torch.testing.assert_close(q.sum(1), torch.ones(2, *size))
        height, width = (-(-n // 16) * 16 for n in size)
        rows, columns = torch.arange(height), torch.arange(width)
        whole = image[:, :, rows.clamp(max=size[0] - 1)][..., columns.clamp(max=size[1] - 1)]
        torch.testing.assert_close(q, model(whole)[:, :, : size[0], : size[1]])
    ids = model.ids(image)
    assert ids.shape == (2, *size)
    assert int(ids.max()) < height // 16 * (width // 16)


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="width: expected a number >= 1, got 0"):
        SuperpixelFCN(width=0)
    with pytest.raises(ValueError, match=r"in_channels: expected 1\.\.8, got 9"):
        SuperpixelFCN(in_channels=9)


# ---------------------------------------------------------------- ids


def pieces_by_hand(ids: np.ndarray) -> tuple[np.ndarray, int]:
    """4-connected pixels of one id, in the order of first pixels, pixel by pixel."""
    found, count = np.full(ids.shape, -1), 0
    for start in np.ndindex(ids.shape):
        if found[start] >= 0:
            continue
        todo = [start]
        found[start] = count
        while todo:
            y, x = todo.pop()
            for v, u in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                inside = 0 <= v < ids.shape[0] and 0 <= u < ids.shape[1]
                if inside and found[v, u] < 0 and ids[v, u] == ids[y, x]:
                    found[v, u] = count
                    todo.append((v, u))
        count += 1
    return found, count


def connected_by_hand(ids: np.ndarray, least: int) -> np.ndarray:
    pieces, count = pieces_by_hand(ids)
    size = [int((pieces == p).sum()) for p in range(count)]
    of = [int(ids[pieces == p][0]) for p in range(count)]
    stays = set()
    for p in range(count):
        siblings = [s for s in range(count) if of[s] == of[p]]
        largest = min(siblings, key=lambda s: (-size[s], s))
        if size[p] >= least or (p == largest and sum(size[s] for s in siblings) >= least):
            stays.add(p)
    stays = stays or {min(range(count), key=lambda s: (-size[s], s))}
    owner = {p: p for p in stays}
    while len(owner) < count:
        now = dict(owner)
        for p in set(range(count)) - set(owner):
            border: dict[int, int] = {}
            for y, x in np.argwhere(pieces == p):
                for v, u in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                    if 0 <= v < ids.shape[0] and 0 <= u < ids.shape[1]:
                        other = owner.get(int(pieces[v, u]))
                        if other is not None:
                            border[other] = border.get(other, 0) + 1
            if border:
                now[p] = min(border, key=lambda o: (-border[o], o))
        owner = now
    return pieces_by_hand(np.vectorize(owner.get)(pieces))[0]


def q_of(ids: np.ndarray) -> Any:
    """Associations that have these ids, of cells of 16 pixels."""
    height, width = ids.shape
    columns = -(-width // 16)
    q = np.zeros((1, 9, height, width), np.float32)
    for y, x in np.ndindex(ids.shape):
        row, column = divmod(int(ids[y, x]), columns)
        q[0, 3 * (row - y // 16 + 1) + column - x // 16 + 1, y, x] = 1
    return torch.from_numpy(q)


def test_stray_pieces_by_hand() -> None:
    """A piece of cell 1 in cell 0, at its border with cell 2: five sides to 0, three to 2."""
    ids = np.kron(np.array([[0, 1], [2, 3]]), np.ones((16, 16), int))
    ids[14:16, 4:6] = 1
    expected = np.kron(np.array([[0, 1], [2, 3]]), np.ones((16, 16), int))
    q = q_of(ids)
    np.testing.assert_array_equal(small().ids(q)[0], ids)
    np.testing.assert_array_equal(small().ids(q, enforce_connectivity=True)[0], expected)
    kept = small().ids(q, enforce_connectivity=True, min_size=4)[0].numpy()
    assert (kept[14:16, 4:6] == 2).all()  # the third in the order of first pixels
    assert kept.max() == 4


@pytest.mark.parametrize("seed", range(12))
def test_connected_as_by_hand(seed: int) -> None:
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 4, (2, 6, 7))
    ids = coarse.repeat(1 + seed % 3, 1).repeat(1 + seed % 2, 2)
    for least in (1, 3, 9, 1000):
        found = connected_ids(torch.from_numpy(ids), least)
        assert found.dtype == torch.int64
        for image, one in zip(ids, found.numpy(), strict=True):
            np.testing.assert_array_equal(one, connected_by_hand(image, least))
            assert pieces_by_hand(one)[1] == one.max() + 1
        far = connected_ids(torch.from_numpy(ids + 2**24), least)  # beyond what float32 tells apart
        assert torch.equal(far, found)


def test_noise_keeps_its_superpixels() -> None:
    """All pieces are small: the largest of each cell stays."""
    q = torch.rand(1, 9, 64, 96, generator=torch.Generator().manual_seed(0))
    found = small().ids(q, enforce_connectivity=True)
    assert len(found.unique()) >= 24
    assert superpixel_ids(q).unique().numel() == 24


def test_ids_of_images() -> None:
    model = small()
    image = torch.rand(1, 3, 40, 40)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"x: expected q \[B, 9, H, W\] in training mode"):
        model.ids(image)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    model.eval()
    assert torch.equal(model.ids(image), superpixel_ids(model(image)))
    with pytest.raises(ValueError, match=r"x: expected \[B, 3, H, W\]"):
        model.ids(image[:, :2])
    with pytest.raises(ValueError, match="min_size: expected None or a number >= 1, got 0"):
        model.ids(image, min_size=0)
    with pytest.raises(TypeError, match="enforce_connectivity: expected True or False"):
        model.ids(image, enforce_connectivity=1)


# ---------------------------------------------------------------- losses


def test_colours_against_skimage() -> None:
    color = pytest.importorskip("skimage.color", reason="scikit-image is not installed")
    grid = np.linspace(0, 1, 11)
    rgb = np.stack(np.meshgrid(grid, grid, grid), -1).reshape(11, 121, 3)
    image = torch.from_numpy(rgb).movedim(2, 0)[None].requires_grad_()
    lab = lab_of(image)
    found = lab.detach()[0].movedim(0, 2).numpy()
    np.testing.assert_allclose(found, color.rgb2lab(rgb), atol=2e-4)
    (gradient,) = torch.autograd.grad(lab.sum(), image)
    assert gradient.isfinite().all()
    assert lab_of(image.detach().half()).dtype == torch.float32


def test_loss_of_labels() -> None:
    """Any integers are labels, and void pixels do not count."""
    model = small()
    q = model(torch.rand(2, 3, 20, 36)).double()
    labels = torch.randint(3, (2, 20, 36), generator=torch.Generator().manual_seed(1))
    f = torch.nn.functional.one_hot(labels, 3).movedim(3, 1).double()
    torch.testing.assert_close(model.loss(q, labels), superpixel_loss(f, q))
    torch.testing.assert_close(model.loss(q, 9 * labels - 5), superpixel_loss(f, q))
    torch.testing.assert_close(
        model.loss(q, labels, compactness=0.5, border="renorm", reduction="none"),
        superpixel_loss(f, q, compactness=0.5, border="renorm", reduction="none"),
    )
    valid = torch.rand(2, 20, 36, generator=torch.Generator().manual_seed(2)) > 0.3
    for void in (2, 255):
        marked = labels if void == 2 else torch.where(labels == 2, 255, labels)
        known = labels < 2
        expected = superpixel_loss(f, q, valid=valid & known)
        torch.testing.assert_close(model.loss(q, marked, valid, void=void), expected)
        expected = superpixel_loss(f, q, valid=known)
        torch.testing.assert_close(model.loss(q, marked, void=void), expected)
    assert model.loss(q, torch.full_like(labels, 255)) == 0


def test_images_that_are_no_longer_srgb_are_refused() -> None:
    model = models.create_model("superpixel-fcn", width=2)
    image = torch.rand(1, 3, 20, 24)
    q = model(image)
    with pytest.raises(ValueError, match=r"target: expected sRGB in 0\.\.1 .* before it was norm"):
        model.loss(q, (image - 0.45) / 0.22)
    assert torch.isfinite(model.loss(q, (image - 0.45) / 0.22, color_space="raw"))


def test_loss_of_colours() -> None:
    model = small()
    image = torch.rand(2, 3, 20, 36)
    q = model(image)
    expected = superpixel_loss(lab_of(image), q, distance="l2", compactness=10.0)
    torch.testing.assert_close(model.loss(q, image), expected)
    expected = superpixel_loss(image[:, :2], q, distance="l2", compactness=2.0)
    found = model.loss(q, image[:, :2], compactness=2.0, color_space="raw")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("target", "options", "error", "message"),
    [
        (None, {}, TypeError, "target: expected labels .* got NoneType"),
        (torch.zeros(1, 16, 16), {}, ValueError, r"target: expected sRGB \[B, 3, H, W\]"),
        (torch.zeros(1, 2, 16, 16), {}, ValueError, r"target: expected sRGB \[B, 3, H, W\]"),
        (torch.zeros(16, 16).long(), {}, ValueError, r"target: expected integer labels"),
        (torch.zeros(1, 16, 8).long(), {}, ValueError, "q: expected shape"),
        (torch.zeros(1, 16, 16).long(), {"color_space": "luv"}, ValueError, "color_space: "),
        (torch.zeros(1, 16, 16).long(), {"valid": torch.ones(3)}, TypeError, "valid: expected a b"),
    ],
)
def test_targets_are_checked(
    target: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    q = torch.full((1, 9, 16, 16), 1 / 9)
    with pytest.raises(error, match=message):
        small().loss(q, target, **options)


# ---------------------------------------------------------------- learning


@pytest.mark.parametrize("kind", ["labels", "colours"])
def test_it_learns_to_keep_to_edges(kind: str) -> None:
    """Two half-planes, whose border lies inside of cells."""
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    halves = (x + 0.3 * y > 41).long()
    image = (0.2 + 0.6 * halves + 0.05 * torch.randn(3, 64, 64))[None].clamp(0, 1)
    target = halves[None] if kind == "labels" else image
    model = SuperpixelFCN(width=4)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)

    def error() -> float:
        with torch.no_grad():
            ids = model.ids(model(image))[0]
        return superpixels.undersegmentation_error(ids.numpy(), halves.numpy())

    start = error()
    for _ in range(120):
        loss = model.loss(model(image), target, border="renorm")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert start > 0.2
    assert error() < 0.2 * start
