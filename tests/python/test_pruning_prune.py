# SPDX-License-Identifier: Apache-2.0
"""`prune` as a whole: methods, the largest sparsity, budgets, the report, files, the command."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from mrfcore import models, pruning  # noqa: E402
from mrfcore.cli import main  # noqa: E402
from mrfcore.pruning.samples import made_up_batches, task_loss, task_of, trains_on  # noqa: E402
from mrfcore.pruning.search import least_sparsity, max_sparsity  # noqa: E402
from pruning_nets import BLOCKS, example  # noqa: E402


@pytest.fixture(scope="module")
def unet():
    """A small U-Net, and voxelised solids."""
    torch.manual_seed(0)
    model = pruning.initialise(models.create_model("unet3d-15", width=8, num_labels=6))
    made = made_up_batches("segmentation", 6, [(1, 16, 16, 16)], 2)
    return model, task_loss("segmentation"), made


@pytest.fixture(scope="module")
def largest(unet):
    model, loss, made = unet
    return {
        method: pruning.prune(model, loss, made, sparsity="max", method=method)
        for method in ("vanilla", "weighted", "ranp")
    }


def test_ranp_can_prune_more_than_vanilla(largest):
    assert largest["ranp"].sparsity > largest["vanilla"].sparsity
    assert largest["weighted"].sparsity > largest["vanilla"].sparsity


def test_ranp_saves_operations(unet, largest):
    """At the sparsity that vanilla pruning can reach."""
    model, loss, made = unet
    share = largest["vanilla"].sparsity
    flops = [
        pruning.prune(model, loss, made, sparsity=share, method=method).after.flops
        for method in ("ranp", "weighted", "vanilla")
    ]
    assert flops == sorted(flops)
    memory = [
        pruning.prune(model, loss, made, sparsity=0.3, **options).after.memory
        for options in ({"resource": "memory"}, {"method": "vanilla"})
    ]
    assert memory == sorted(memory)


def test_the_largest_sparsity_is_feasible_and_a_little_more_is_not(unet, largest):
    model, loss, made = unet
    found = largest["ranp"]
    assert all(mask.any() for mask in found.masks.values())
    with pytest.raises(pruning.Infeasible, match="nothing would be left of") as caught:
        pruning.prune(model, loss, made, sparsity=found.sparsity + 2e-3)
    assert caught.value.largest == found.sparsity
    assert f"{int(found.sparsity * 1e4) / 1e4:.4f}" in str(caught.value)
    assert caught.value.layers[0] in str(caught.value)
    assert caught.value.layers[0] in {one.name for one in found.graph.layers}


def test_bisection():
    tried = []

    def make(share):
        tried.append(share)
        return {"a": torch.tensor([share <= 0.7431])}

    assert max_sparsity(make) == pytest.approx(0.7431, abs=1e-4)
    assert max_sparsity(make) <= 0.7431
    assert len(tried) <= 30
    assert least_sparsity(lambda s: s >= 0.3, 0.9) == pytest.approx(0.3, abs=1e-4)
    assert least_sparsity(lambda s: s >= 0.3, 0.9) >= 0.3
    assert least_sparsity(lambda _: True, 0.9) == 0.0
    assert least_sparsity(lambda s: s > 0.95, 0.9) is None


@pytest.mark.parametrize("method", ["ranp", "weighted", "vanilla", "snip", "layerwise", "random"])
def test_methods(unet, method):
    model, loss, made = unet
    state = {name: value.clone() for name, value in model.state_dict().items()}
    report = pruning.prune(model, loss, made, sparsity=0.4, method=method)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    masked = pruning.masked(model, report.graph, report.masks).eval()
    x = made[0][0]
    torch.testing.assert_close(report.model.eval()(x), masked(x), rtol=1e-4, atol=1e-5)
    total, kept = report.neurons
    if method not in ("snip", "layerwise"):
        assert int(total * 0.6) <= kept <= int(total * 0.6) + 6 + 1  # the last layer's six
    assert report.after.parameters == sum(p.numel() for p in report.model.parameters())
    assert report.after.flops <= report.before.flops


def test_trained_on_it_learns(unet):
    """A slim network is an ordinary one: its loss goes down."""
    model, loss, made = unet
    slim = pruning.prune(model, loss, made, sparsity=0.4, weights="glorot").model
    optimiser = torch.optim.Adam(slim.parameters(), 1e-2)
    losses = []
    for _ in range(8):
        value = sum(loss(slim(x), y) for x, y in made)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        losses.append(value.item())
    assert losses[-1] < 0.8 * losses[0]


def test_budgets(unet):
    model, loss, made = unet
    whole = pruning.profile(model, made[0][0])
    for resource in ("flops", "memory"):
        limit = 0.5 * getattr(whole, resource)
        report = pruning.prune(model, loss, made, budget=pruning.Budget(**{resource: limit}))
        found = getattr(report.after, resource)
        assert found <= limit
        assert found > 0.7 * limit  # no more is pruned than has to be
    with pytest.raises(pruning.Infeasible, match="budget: flops cannot be met") as caught:
        pruning.prune(model, loss, made, budget=pruning.Budget(flops=10.0))
    assert 0 < caught.value.largest < 1
    assert pruning.prune(model, loss, made, budget=pruning.Budget(seconds=1e3)).sparsity == 0.0
    with pytest.raises(ValueError, match="budget: expected at least one"):
        pruning.Budget()
    with pytest.raises(ValueError, match=r"budget.flops: expected a number > 0"):
        pruning.Budget(flops=-1)


def test_round_to(unet):
    model, loss, made = unet
    report = pruning.prune(model, loss, made, sparsity=0.6, round_to=4)
    assert all(row.kept % 4 == 0 for row in report.layers if not row.note)


def test_bad_arguments(unet):
    model, loss, made = unet
    for options, message in (
        ({}, "sparsity, budget: expected one of them"),
        ({"sparsity": 1.0}, r"sparsity: expected 'max' or a number in \[0, 1\)"),
        ({"sparsity": "most"}, "sparsity: expected one of 'max'"),
        ({"sparsity": 0.5, "method": "magic"}, "method: expected one of"),
        ({"sparsity": 0.5, "resource": "time"}, "resource: expected one of"),
        ({"sparsity": 0.5, "lambda_": -1.0}, "lambda_: expected None or a number >= 0"),
        ({"sparsity": 0.5, "kind": "magnitude"}, "kind: expected one of"),
    ):
        with pytest.raises(ValueError, match=message):
            pruning.prune(model, loss, made, **options)
    with pytest.raises(ValueError, match="batches: expected at least one"):
        pruning.prune(model, loss, [], sparsity=0.5)
    with pytest.raises(TypeError, match="budget: expected a Budget"):
        pruning.prune(model, loss, made, budget=1e9)


# ---------------------------------------------------------------- report and files


def test_every_parameter_is_listed():
    torch.manual_seed(0)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(2, 4, 1)
            self.n = nn.BatchNorm2d(4)
            self.unused = nn.Linear(3, 3)
            self.scale = nn.Parameter(torch.ones(1))
            self.out = nn.Conv2d(4, 2, 1)

        def forward(self, x):
            return self.out(self.n(self.a(x)) * self.scale)

    model = Whole()
    report = pruning.prune(
        model, functional.mse_loss, [(torch.rand(2, 2, 3, 3), torch.rand(2, 2, 3, 3))], sparsity=0.4
    )
    rows = {row.name: row for row in report.parameters}
    assert set(rows) == {name for name, _ in model.named_parameters()}
    assert {name: row.status for name, row in rows.items()} == {
        "scale": "not prunable",
        "a.weight": "pruned",
        "a.bias": "pruned",
        "n.weight": "pruned",
        "n.bias": "pruned",
        "unused.weight": "not prunable",
        "unused.bias": "not prunable",
        "out.weight": "pruned",  # it reads fewer channels
        "out.bias": "not prunable",
    }
    assert rows["out.bias"].reason == "output of the network"
    assert rows["scale"].reason == "a single number"
    assert rows["unused.weight"].reason == "no layer's, and met by no channels"
    for row in rows.values():
        assert tuple(report.model.get_parameter(row.name).shape) == row.after


def test_table_and_plot(unet, tmp_path):
    from rich.console import Console

    model, loss, made = unet
    reports = {m: pruning.prune(model, loss, made, sparsity=0.3, method=m)
               for m in ("vanilla", "ranp", "random")}  # fmt: skip
    report = reports["ranp"]
    console = Console(width=80, record=True, file=(tmp_path / "out").open("w"))
    console.print(report.table())
    console.print(report.parameter_table())
    text = console.export_text()
    for row in report.layers:
        line = next(line for line in text.splitlines() if row.name in line)
        assert line.split()[1:3] == [str(row.neurons), str(row.kept)]
    assert f"{report.after.gflops:.3f}" in text
    assert "…" not in text  # all of it has room
    for suffix in ("png", "svg"):
        pruning.plot_reports(reports, tmp_path / f"plot.{suffix}")
        assert (tmp_path / f"plot.{suffix}").stat().st_size > 10_000
    assert len(report.plot().axes) == 2
    with pytest.raises(ValueError, match="reports: expected at least one"):
        pruning.plot_reports({})


@pytest.mark.parametrize("block", ["depthwise", "grouped", "gated", "deconv"])
def test_saved_and_loaded(block, tmp_path):
    pytest.importorskip("safetensors")
    torch.manual_seed(0)
    model = BLOCKS[block]().eval()
    inputs = example(model)
    graph = pruning.trace(model, inputs)
    slim = pruning.slim(model, graph, pruning.layerwise_masks(graph, 0.4))
    file = tmp_path / "slim.safetensors"
    pruning.save_slim(slim, file)
    again = pruning.load_slim(file, BLOCKS[block]()).eval()
    assert torch.equal(again(*inputs), slim(*inputs))
    with pytest.raises(ValueError, match="names no model of mrfcore; give model"):
        pruning.load_slim(file)
    with pytest.raises(ValueError, match="cannot be made again"):
        pruning.load_slim(file, nn.Linear(2, 2))
    with pytest.raises(TypeError, match="model: expected one that slim or prune made"):
        pruning.save_slim(model, file)
    with pytest.raises(ValueError, match=r"ends with \.safetensors"):
        pruning.save_slim(slim, tmp_path / "slim.pt")


def test_named_network_in_one_file(unet, tmp_path):
    safetensors = pytest.importorskip("safetensors")
    model, loss, made = unet
    report = pruning.prune(model, loss, made, sparsity=0.3)
    file = tmp_path / "slim.safetensors"
    pruning.save_slim(report.model, file)
    again = pruning.load_slim(file)
    x = made[0][0]
    assert torch.equal(again.eval()(x), report.model.eval()(x))
    pruning.save_slim(again, tmp_path / "twice.safetensors")
    with safetensors.safe_open(file, framework="pt") as opened:
        channels = json.loads(opened.metadata()["mrfcore.channels"])
    kept = int(report.masks["encoders.0.0.0"].sum())
    assert channels["attributes"]["encoders.0.0.0"]["out_channels"] == kept
    models.save_model(models.create_model("unet3d-15", width=4), file)
    with pytest.raises(ValueError, match="has no channel specification"):
        pruning.load_slim(file)


# ---------------------------------------------------------------- made-up data, command


@pytest.mark.parametrize(
    ("name", "options", "sizes", "task"),
    [
        ("unet3d-15", {"width": 4}, (8, 8, 8), ("segmentation", 50)),
        ("resnet18", {}, (32, 32), ("classification", 1000)),
        (
            "psmnet",
            {"width": 2, "max_disparity": 16, "pools": (4, 2, 1, 1)},
            (32, 32),
            ("stereo", 0),
        ),
    ],
)
def test_made_up_batches(name, options, sizes, task):
    model = models.create_model(name, **options)
    shapes = [(shape[0], *sizes) for shape in models.model_entry(name).input_shapes]
    assert task_of(model, shapes) == task
    batches = made_up_batches(*task, shapes, 2, seed=4)
    value = 0.0
    for inputs, target in batches:
        arguments = inputs if isinstance(inputs, tuple) else (inputs,)
        assert [tuple(x.shape[1:]) for x in arguments] == shapes
        value = task_loss(task[0])(model.eval()(*arguments), target)
        assert torch.isfinite(value)
    again = made_up_batches(*task, shapes, 2, seed=4)
    assert torch.equal(again[1][1], batches[1][1])
    assert not trains_on(models.create_model("unet3d-15", width=4), [(1, 4, 4, 4)])


def test_outputs_without_a_loss():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(0, 1))
    with pytest.raises(ValueError, match=r"model: has an output \[8, 6, 6\]"):
        task_of(model, [(3, 8, 8)])


NET = """
from torch import nn
def small():
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
                         nn.Conv2d(8, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 1))
def nothing():
    return 3
"""


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    (tmp_path / "pruned_net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "pruned_net", raising=False)
    return tmp_path


def test_command(in_folder, capsys):
    pytest.importorskip("safetensors")
    command = ["prune", "pruned_net:small", "--input", "3x32x32", "--size", "16x16"]
    files = ["-o", "slim.safetensors", "--plot", "plot.png", "--parameters"]
    assert main([*command, "--sparsity", "0.4", *files]) == 0
    out, err = capsys.readouterr()
    assert "of 18 neurons kept" in out
    assert "5.bias" in out
    assert "written: slim.safetensors" in out
    assert "reduced to 3x16x16" in err
    assert "counted for inputs of 3x32x32" in err
    assert (in_folder / "plot.png").exists()
    assert main([*command, "--max-gflops", "0.0005"]) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["pruned_net:small", "--sparsity", "0.4"], "--input: pruned_net:small needs it"),
        (["pruned_net:none", "--input", "3x8x8", "--sparsity", "0.4"], "cannot import"),
        (["pruned_net:nothing", "--input", "3x8x8", "--sparsity", "0.4"], "gives a int"),
        (["pruned_net:small", "--input", "3x8x8"], "--sparsity: expected it"),
        (
            ["pruned_net:small", "--input", "3x8x8", "--sparsity", "x"],
            "--sparsity: expected max",
        ),
        (["pruned_net:small", "--input", "3-8", "--sparsity", "0.4"], "--input: expected sizes"),
        (
            ["pruned_net:small", "--input", "3x8x8", "--size", "8", "--sparsity", "0.4"],
            "--size: expected sizes",
        ),
        (["pruned_net:small", "--input", "3x8x8", "--sparsity", "0.99"], "the largest feasible"),
        (["unet", "--sparsity", "0.4"], "no model 'unet'"),
        (["unet3d-15", "--sparsity", "0.4", "-o", "x.pt"], "ends with .safetensors"),
    ],
)
@pytest.mark.usefixtures("in_folder")
def test_command_refuses(given, message, capsys):
    assert main(["prune", *given]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("mrfcore: ")
    assert err.count("\n") == 1
