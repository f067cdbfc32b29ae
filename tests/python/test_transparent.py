# SPDX-License-Identifier: Apache-2.0
"""TransparentSequence: the identity for every activation, width and kernel; and it learns."""

from __future__ import annotations

import copy
import io
import itertools
import pickle

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from mrfcore.nn import PairActivation, TransparentSequence  # noqa: E402
from mrfcore.nn._transparent_chain import right_inverse, transparent_chain  # noqa: E402
from mrfcore.nn.pair_activation import odd_slope  # noqa: E402

NAMES = (
    None,
    "relu",
    "leaky_relu",
    "softplus",
    "logsigmoid",
    "sigmoid",
    "tanh",
    "gelu",
    "silu",
    "elu",
)
WIDTHS = ([1, 1, 1], [2, 5, 2], [5, 8, 5], [6, 12, 9, 6], [4, 7, 6, 8, 4], [3, 6, 5, 9, 7, 3])


def inputs(width: int, dims: int, size: int = 9, seed: int = 0, scale: float = 10.0):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, width, *range(size, size + dims)) if dims else (4, 3, width)
    return scale * (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1)


def made(*args, seed: int = 0, **options):
    return TransparentSequence(*args, generator=torch.Generator().manual_seed(seed), **options)


# --- the identity -------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize("activation", NAMES)
def test_it_is_the_identity(activation, widths) -> None:
    for weights in ("normal", "orthogonal"):
        for dims in (0, 2):
            layer = made(widths, activation, dims=dims, weights=weights, dtype=torch.float64)
            x = inputs(widths[0], dims)
            with torch.no_grad():
                error = (layer(x) - x).abs().max()
            # softplus is torch's, which is off by 2e-9 above 20
            assert error < (1e-6 if activation == "softplus" else 1e-11) * layer.condition


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh"])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("widths", [[4, 6, 4], [4, 9, 6, 4], [3, 5, 4, 7, 3]], ids=str)
def test_kernels_of_any_size_are_exact_up_to_the_border(widths, kernel, dims, activation) -> None:
    if kernel > 3 and dims == 3:
        kernel = (kernel, 1, kernel)
    layer = made(widths, activation, kernel, dims, dtype=torch.float64)
    x = inputs(widths[0], dims)
    with torch.no_grad():
        assert (layer(x) - x).abs().max() < 1e-11
    assert layer.exact_margin == (0,) * dims


@pytest.mark.parametrize("kernel", [2, 3, 5, (1, 3)])
@pytest.mark.parametrize("widths", [[4, 6, 4], [4, 9, 6, 4], [3, 5, 4, 7, 3]], ids=str)
@pytest.mark.parametrize("border", ["zeros", "circular", "reflect", "replicate"])
def test_padding_is_wrong_in_the_margin_and_nowhere_else(border, widths, kernel) -> None:
    layer = made(widths, "relu", kernel, 2, border=border, dtype=torch.float64)
    x = inputs(widths[0], 2, size=24)
    with torch.no_grad():
        error = (layer(x) - x).abs().amax((0, 1))
    rows, columns = layer.exact_margin
    inside = error[rows : error.shape[0] - rows, columns : error.shape[1] - columns]
    assert inside.max() < 1e-11
    if border == "circular":
        assert layer.exact_margin == (0, 0)
    else:
        assert max(rows, columns) >= len(widths) - 2  # one pixel or more for each layer but one
        assert error.max() > 0.1
        tight = error[rows - 1 if rows else 0 :, columns - 1 if columns else 0 :]
        assert tight.max() > 1e-6  # the margin is not larger than it need be


def test_all_taps_are_dense_where_the_kernel_is_odd() -> None:
    for widths, kernel in itertools.product(([4, 6, 4], [4, 9, 6, 4], [3, 5, 4, 7, 3]), (3, 5)):
        for activation in (None, "relu"):
            layer = made(widths, activation, kernel, 2)
            for one in layer.layers:
                assert (one.weight != 0).all()
                assert (one.bias != 0).all()


def test_exact_in_three_orders_of_float32() -> None:
    layer = made([42, 64, 64, 42])
    errors = []
    for scale in (1.0, 10.0, 100.0):
        x = inputs(42, 2, size=64, scale=scale).float()
        with torch.no_grad():
            errors.append(float((layer(x) - x).abs().max()))
    assert errors[1] < 6.6e-5  # Table 4.3
    assert 5 < errors[1] / errors[0] < 20
    assert 5 < errors[2] / errors[1] < 20


def test_one_dimension_two_and_three_do_as_linear_layers() -> None:
    x = inputs(5, 0)
    outcomes = []
    for dims in range(4):
        layer = made([5, 8, 7, 5], "leaky_relu", 1, dims, dtype=torch.float64)
        with torch.no_grad():
            for one in layer.layers:  # off the identity: the layers themselves must agree
                one.weight.mul_(1.5)
            y = x if dims == 0 else x.reshape(-1, 5, *(1 for _ in range(dims)))
            outcomes.append(layer(y).reshape(x.shape))
    for other in outcomes[1:]:
        assert torch.allclose(outcomes[0], other, atol=1e-10)


# --- activations --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "slope"),
    [
        (nn.ReLU(), 1.0),
        (nn.LeakyReLU(0.2), 1.2),  # not 1 / 0.2, as a line of the text has it
        (nn.Softplus(), 1.0),
        (nn.Softplus(beta=3.0), 1.0),
        (nn.LogSigmoid(), 1.0),
        (nn.GELU(), 1.0),
        (nn.GELU("tanh"), 1.0),
        (nn.SiLU(), 1.0),
        (nn.Hardswish(), 1.0),
        (nn.PReLU(init=0.4), 1.4),
        (nn.Identity(), 2.0),
        (nn.Sigmoid(), None),
        (nn.Tanh(), None),
        (nn.ELU(), None),
        (nn.ReLU6(), None),
        (nn.LeakyReLU(-1.0), None),  # |x|: c = 0
        (nn.Softmax(1), None),
    ],
    ids=repr,
)
def test_slopes_are_found_by_trying(module, slope) -> None:
    found = odd_slope(module, 4, 2)
    if slope is None:
        assert found is None
    else:
        assert torch.allclose(found, torch.full((4,), slope, dtype=torch.float64))


class Mixing(nn.Module):
    """ReLU and something that is not pointwise."""

    def __init__(self, how) -> None:
        super().__init__()
        self.how = how

    def forward(self, x):
        return x.relu() + self.how(x)


@pytest.mark.parametrize(
    "module",
    [
        Mixing(lambda x: 0.1 * x.mean(1, keepdim=True)),
        Mixing(lambda x: nn.functional.avg_pool2d(x, 3, 1, 1)),
        nn.Sequential(nn.ChannelShuffle(4), nn.ReLU()),
        nn.Hardtanh(-40, 40),
    ],
)
def test_what_is_not_pointwise_is_seen_through(module) -> None:
    """Whatever s does to channels, pixels or large values, both halves of a pair have the same."""
    layer = made([8, 12, 8], module, dtype=torch.float64)
    assert isinstance(layer.activations[0], PairActivation)
    x = inputs(8, 2, scale=100.0)
    with torch.no_grad():
        assert (layer(x) - x).abs().max() < 1e-9
    with pytest.raises(ValueError, match=r"form: \w+ has no c"):
        TransparentSequence([8, 12, 8], module, form="duplicate")


def test_modes_that_differ_are_refused() -> None:
    class Moody(nn.Module):
        def forward(self, x):
            return nn.functional.leaky_relu(x, 0.1 if self.training else 0.3)

    with pytest.raises(ValueError, match=r"activation: Moody is another function in eval mode"):
        TransparentSequence([2, 3, 2], Moody())
    with pytest.raises(ValueError, match=r"activation: RReLU is random while training"):
        TransparentSequence([2, 3, 2], nn.RReLU().eval())
    with pytest.raises(ValueError, match=r"activation: expected .* dim=-1 behind nn.Linear, got"):
        TransparentSequence([2, 3, 2], PairActivation(nn.Tanh()), dims=0)
    with pytest.raises(ValueError, match=r"activation: PReLU fails on a tensor of shape \[8, 6"):
        TransparentSequence([2, 3, 2], nn.PReLU(5))


def test_activations_that_work_in_place() -> None:
    for activation in (nn.ReLU(inplace=True), nn.ELU(inplace=True)):
        layer = made([3, 5, 3], activation, dtype=torch.float64)
        x = inputs(3, 2)
        y = layer(x)
        assert (y - x).abs().max() < 1e-10
        y.square().sum().backward()


def test_each_channel_may_have_a_slope_of_its_own() -> None:
    prelu = nn.PReLU(12)
    with torch.no_grad():
        prelu.weight.copy_(torch.linspace(0.1, 0.6, 6).repeat(2))
    layer = made([4, 6, 4], prelu, dtype=torch.float64)
    x = inputs(4, 2)
    with torch.no_grad():
        assert (layer(x) - x).abs().max() < 1e-6  # the slopes are float32
    with torch.no_grad():
        prelu.weight[0] += 0.5
    with pytest.raises(ValueError, match=r"activation: PReLU treats the two halves"):
        TransparentSequence([4, 6, 4], prelu)


@pytest.mark.parametrize("form", ["duplicate", "see_through"])
def test_both_forms_of_gelu(form) -> None:
    layer = made([4, 6, 4], "gelu", form=form, dtype=torch.float64)
    assert isinstance(layer.activations[0], PairActivation) == (form == "see_through")
    x = inputs(4, 2)
    with torch.no_grad():
        assert (layer(x) - x).abs().max() < 1e-12


def test_pair_activation_by_hand() -> None:
    pair = PairActivation(nn.Tanh())
    x = torch.tensor([[[0.5]], [[-2.0]]])[None]
    y = pair(x)
    assert torch.allclose(y.flatten(), torch.tensor([0.5, 0.5]).tanh() + torch.tensor([0, -2.0]))


def test_modules_are_copied_to_each_place() -> None:
    prelu = nn.PReLU()
    layer = TransparentSequence([2, 3, 3, 2], prelu)
    places = {id(p) for a in layer.activations for p in a.parameters()}
    assert len(places) == 2
    assert id(prelu.weight) not in places


# --- the chain ----------------------------------------------------------------------------------


def test_the_law_of_the_weights() -> None:
    layer = made([40, 200, 300, 40], None)
    for one, width in zip(layer.layers[:2], (200, 300), strict=True):
        weight = one.weight.detach()
        assert float(weight.var()) == pytest.approx(1 / width, rel=0.05)
        assert abs(float(weight.mean())) < 0.1 / width**0.5


def test_right_inverse_is_that_of_moore_and_penrose() -> None:
    matrix = torch.randn(5, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    inverse, condition = right_inverse(matrix)
    assert torch.allclose(inverse, torch.linalg.pinv(matrix), atol=1e-12)
    assert condition == pytest.approx(float(torch.linalg.cond(matrix)))


def test_orthogonal_maps_have_condition_one() -> None:
    maps, condition = transparent_chain(
        [4, 7, 6, 4], [(), (), ()], orthogonal=True, biases=[True] * 3, generator=None
    )
    product = maps[0].weight @ maps[1].weight
    assert torch.allclose(product @ product.T, torch.eye(4, dtype=torch.float64), atol=1e-12)
    assert condition == 1.0


def test_bad_conditions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"widths: 20 draws .* weights='orthogonal'"):
        TransparentSequence([60] * 12, None, dims=0)
    assert TransparentSequence([60] * 12, None, dims=0, weights="orthogonal").condition == 1


def test_generators_decide() -> None:
    first, second, third = (made([4, 6, 4], "relu", 3, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.layers[0].weight, second.layers[0].weight)
    assert not torch.equal(first.layers[0].weight, third.layers[0].weight)
    before = first.layers[0].weight.clone()
    first.reset_parameters(torch.Generator().manual_seed(2))
    assert not torch.equal(before, first.layers[0].weight)
    assert torch.equal(first.layers[0].weight, third.layers[0].weight)


# --- as a module --------------------------------------------------------------------------------


def test_all_parameters_learn_and_none_are_tied() -> None:
    layer = made([5, 8, 8, 5], "relu")
    storages = {p.untyped_storage().data_ptr() for p in layer.parameters()}
    assert len(storages) == len(list(layer.parameters())) == 6
    y = layer(inputs(5, 2).float())
    y.square().sum().backward()
    for p in layer.parameters():
        assert (p.grad != 0).float().mean() > 0.95


def test_pairs_of_other_activations_learn_from_the_second_step_on() -> None:
    """Documented: at first the half that feeds s has no gradient."""
    layer = made([5, 8, 5], "tanh")
    optimiser = torch.optim.SGD(layer.parameters(), lr=1e-3)
    x, share = inputs(5, 2, scale=1.0).float(), []
    for _ in range(2):
        optimiser.zero_grad()
        (layer(x) - 1).square().mean().backward()
        share.append(float((layer.layers[0].weight.grad[:8].abs() > 1e-7).float().mean()))
        optimiser.step()
    assert share[0] < 0.1
    assert share[1] > 0.9


def test_it_learns_what_is_not_the_identity() -> None:
    layer = made([3, 6, 6, 3], "relu", dims=0)
    x = inputs(3, 0, scale=1.0).float().reshape(-1, 3)
    wanted = x.abs()
    optimiser = torch.optim.Adam(layer.parameters(), 1e-2)
    losses = []
    for _ in range(200):
        optimiser.zero_grad()
        loss = (layer(x) - wanted).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]


def test_state_copies_and_pickles() -> None:
    layer, other = made([4, 6, 4], "gelu", 3, seed=1), made([4, 6, 4], "gelu", 3, seed=2)
    x = inputs(4, 2).float()
    other.load_state_dict(layer.state_dict())
    again = pickle.loads(pickle.dumps(layer))
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    for twin in (other, again, copy.deepcopy(layer), loaded):
        assert torch.equal(twin(x), layer(x))


def test_it_stays_in_float32_under_autocast() -> None:
    layer = made([5, 8, 5])
    x = inputs(5, 2).float()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        half = layer(x.bfloat16())
    assert y.dtype == torch.float32
    assert (y - x).abs().max() < 1e-4
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, x.bfloat16())


def test_tf32_is_off_inside_and_as_it_was_outside() -> None:
    """As far as that can be seen without a GPU: what the block does to torch's settings."""
    from mrfcore.nn._full_precision import without_tf32

    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
        with without_tf32():
            assert not torch.backends.cudnn.allow_tf32
            assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.backends.cudnn.allow_tf32
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_it_is_the_identity_on_a_gpu_that_has_tf32() -> None:
    layer = made([42, 64, 64, 42], kernel_size=3, device="cuda")
    x = inputs(42, 2, size=64).float().cuda()
    torch.backends.cudnn.allow_tf32 = True
    assert (layer(x) - x).abs().max() < 6.6e-5


def test_the_meta_device_and_torchs_default_device() -> None:
    layer = TransparentSequence([4, 6, 4], "gelu", 3, device="meta")
    assert layer(torch.zeros(1, 4, 5, 5, device="meta")).shape == (1, 4, 5, 5)
    with torch.device("meta"):
        assert TransparentSequence([4, 6, 4], "tanh").layers[0].weight.is_meta
    with pytest.raises(ValueError, match=r"activation: the parameters of PReLU are on the meta"):
        TransparentSequence([4, 6, 4], nn.PReLU(device="meta"))


def test_torch_compile_takes_it_whole() -> None:
    layer = made([4, 6, 4], "relu", 3)
    x = inputs(4, 2).float()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    assert torch.allclose(compiled(x), layer(x))


def test_print_shows_widths() -> None:
    assert "[4, 6, 4], kernel_size=(3, 3), border='zeros'" in repr(
        TransparentSequence([4, 6, 4], kernel_size=3, border="zeros")
    )


# --- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": [4, 3, 4]}, r"widths: widths\[1\] = 3 below widths\[0\] = 4"),
        ({"widths": [4, 6, 5]}, r"widths: the last must be the first .* got \[4, 6, 5\]"),
        ({"widths": [4, 4]}, r"widths: expected 3 numbers or more, .* got \[4, 4\]"),
        ({"widths": [0, 4, 0]}, r"widths: expected numbers >= 1, got \[0, 4, 0\]"),
        ({"activation": "swoosh"}, r"activation: expected one of 'relu', .* got 'swoosh'"),
        ({"activation": "tanh", "form": "duplicate"}, r"form: Tanh has no c .* PairActivation"),
        ({"activation": nn.Dropout(0.5)}, r"activation: Dropout is random while training"),
        ({"activation": nn.Conv2d(1, 1, 1)}, r"activation: Conv2d fails on a tensor of shape"),
        ({"dims": 4}, r"dims: expected one of 0, 1, 2, 3, got 4"),
        ({"kernel_size": 0}, r"kernel_size: expected a number >= 1, .* got 0"),
        ({"kernel_size": (3, 5)}, r"kernel_size: expected a number >= 1, .* got \(3, 5\)"),
        ({"kernel_size": (3, 3, 3)}, r"kernel_size: expected 2 numbers for dims=2"),
        ({"kernel_size": 3, "dims": 0}, r"kernel_size: expected 1 for dims=0"),
        ({"border": "ones"}, r"border: expected one of 'exact', .* got 'ones'"),
        ({"weights": "uniform"}, r"weights: expected one of 'normal', 'orthogonal', got 'uniform'"),
    ],
)
def test_values_that_cannot_work(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        TransparentSequence(**{"widths": [4, 6, 4], **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": "464"}, r"widths: expected a list of numbers, got str"),
        ({"widths": [4, 6.5, 4]}, r"widths\[1\]: expected an integer, got float"),
        ({"activation": nn.ReLU}, r"activation: .* not the class"),
        ({"bias": 1}, r"bias: expected True or False, got 1"),
    ],
)
def test_types_that_cannot_work(options, message) -> None:
    with pytest.raises(TypeError, match=message):
        TransparentSequence(**{"widths": [4, 6, 4], **options})


def test_inputs_that_do_not_fit() -> None:
    layer = TransparentSequence([4, 6, 4])
    with pytest.raises(ValueError, match=r"x: expected \[B, 4, H, W\], got shape \[2, 5, 8, 8\]"):
        layer(torch.zeros(2, 5, 8, 8))
    with pytest.raises(ValueError, match=r"x: expected \[\.\.\., 4\], got shape \[3, 5\]"):
        TransparentSequence([4, 6, 4], dims=0)(torch.zeros(3, 5))
    with pytest.raises(TypeError, match=r"x: expected floating point, got dtype torch\.int64"):
        layer(torch.zeros(2, 4, 8, 8, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"x: expected 3 pixels or more .* border='reflect'"):
        TransparentSequence([4, 6, 4], kernel_size=5, border="reflect")(torch.zeros(1, 4, 2, 9))
