# SPDX-License-Identifier: Apache-2.0
"""Weights into models, models into files and back; what does not fit leaves all as it was."""

from __future__ import annotations

import copy
import sys
import types
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
safetensors = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")

from mrfcore import models  # noqa: E402
from mrfcore.models import _saving  # noqa: E402

NAME = "deeplabv3plus-resnet18"
OPTIONS: dict[str, Any] = {"width": 4, "num_labels": 5, "output_stride": 8}


def small(seed: int, **options: Any) -> Any:
    torch.manual_seed(seed)
    return models.create_model(NAME, **{**OPTIONS, **options})


def same(one: Any, other: Any) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


# ---------------------------------------------------------------- save_model and load_model


def test_round_trip(tmp_path: Path) -> None:
    model = small(1)
    model(torch.rand(2, 3, 32, 32))  # moves the statistics, which are buffers
    path = tmp_path / "model.safetensors"
    models.save_model(model, path)
    torch.manual_seed(5)
    again = models.load_model(path)
    assert same(model, again)
    assert again.num_labels == 5
    assert again.backbone.output_stride == 8
    image = torch.rand(1, 3, 30, 41)
    torch.testing.assert_close(again.eval()(image), model.eval()(image), rtol=0, atol=0)
    models.save_model(again, str(path))
    assert same(model, models.load_model(str(path)))


def test_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = small(1)
    models.save_model(model, path)
    torch.testing.assert_close(safetensors.load_file(path), dict(model.state_dict()))
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    other = small(2)
    models.load_weights(other, path)
    assert same(model, other)


def umask() -> int:
    import os

    now = os.umask(0)
    os.umask(now)
    return now


def test_all_options_are_kept(tmp_path: Path) -> None:
    """Also those that were not given: other defaults in a later version must not matter."""
    models.save_model(small(1), tmp_path / "m.safetensors")
    with safetensors.safe_open(tmp_path / "m.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["mrfcore.model"] == NAME
    for option in ("num_labels", "dropout", "norm_image_pooling"):
        assert f'"{option}"' in metadata["mrfcore.options"]
    assert "depth" not in metadata["mrfcore.options"]


def test_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    models.save_model(small(1), path)
    before = path.read_bytes()

    def broken(tensors: Any, name: Path, metadata: Any) -> None:  # noqa: ARG001
        Path(name).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(safetensors, "save_file", broken)
    with pytest.raises(KeyboardInterrupt):
        models.save_model(small(2), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path: expected a name that ends with \.safetensors"):
        models.save_model(small(1), tmp_path / "model.pt")
    with pytest.raises(TypeError, match=r"model: expected one of .*create_model, got Linear"):
        models.save_model(torch.nn.Linear(2, 2), tmp_path / "m.safetensors")
    with pytest.raises(TypeError, match="model: expected a module, got dict"):
        models.save_model({}, tmp_path / "m.safetensors")  # type: ignore[arg-type]
    model = small(1)
    recipe = _saving.Recipe(NAME, {"activation": torch.nn.ReLU()})
    setattr(model, _saving.RECIPE, recipe)
    with pytest.raises(TypeError, match=r"its option activation is ReLU\(\)"):
        models.save_model(model, tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError, match="no such folder"):
        models.save_model(small(1), tmp_path / "none" / "m.safetensors")


def test_models_whose_layers_have_changed_are_refused_at_once(tmp_path: Path) -> None:
    model = models.create_model("resnet18", width=4, num_labels=5)
    model.fc = torch.nn.Linear(model.fc.in_features, 3)
    with pytest.raises(
        ValueError, match=r"model: its layers are no longer those of 'resnet18' \(fc"
    ):
        models.save_model(model, tmp_path / "changed.safetensors")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(FileNotFoundError, match="no such file"):
        models.load_model(path)
    safetensors.save_file({"x": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="metadata names no model of mrfcore"):
        models.load_model(path)
    safetensors.save_file({"x": torch.zeros(2)}, path, {"mrfcore.model": "psmnet-9"})
    with pytest.raises(ValueError, match=r"cannot be made again .*no model 'psmnet-9'"):
        models.load_model(path)
    grown = small(1)
    models.save_model(grown, path)
    with safetensors.safe_open(path, "pt") as file:  # as a version of other layers wrote it
        metadata = file.metadata()
    grown.classifier = torch.nn.Sequential(grown.classifier, torch.nn.ReLU())
    safetensors.save_file(dict(grown.state_dict()), path, metadata)
    with pytest.raises(
        ValueError, match=r"model\.safetensors does not fit .* missing: classifier\."
    ):
        models.load_model(path)
    models.save_model(small(1), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors: is damaged or no safetensors file"):
        models.load_model(path)
    path.write_bytes(b"\0" * 7)
    with pytest.raises(ValueError, match=r"model\.safetensors: is damaged or no safetensors file"):
        models.load_model(path)


# ---------------------------------------------------------------- load_weights


@pytest.mark.parametrize("suffix", ["safetensors", "pt", "pth", "state dict"])
def test_weights_by_create_model(suffix: str, tmp_path: Path) -> None:
    model = small(1)
    weights: Any = model.state_dict()
    if suffix != "state dict":
        path = tmp_path / f"weights.{suffix}"
        save = safetensors.save_file if suffix == "safetensors" else torch.save
        save(model.state_dict(), path)
        weights = path
    assert same(model, small(2, weights=weights))


def test_checkpoints_of_training_scripts(tmp_path: Path) -> None:
    model = small(1)
    state = {f"module._orig_mod.{key}": value for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    path = tmp_path / "checkpoint.pth"
    torch.save({"epoch": 3, "state_dict": state, "optimizer": optimizer.state_dict()}, path)
    assert same(model, small(2, weights=path))


def test_old_files_without_counters() -> None:
    model = small(1)
    old = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert len(old) < len(model.state_dict())
    assert same(model, small(2, weights=old))


def test_what_does_not_fit_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = small(1)
    before = copy.deepcopy(model)
    state = small(2).state_dict()
    for key in ("low.0.weight", "low.1.weight", "low.1.bias", "low.1.running_mean"):
        del state[key]
    state["extra"] = torch.zeros(1)
    state["classifier.weight"] = torch.zeros(7, 16, 1, 1)
    message = (
        r"weights: the state dict does not fit DeepLabV3Plus: missing: low.0.weight, low.1.weight, "
        r"low.1.bias and 1 more; unexpected: extra; of another shape: classifier.weight "
        r"\(\[7, 16, 1, 1\] instead of \[5, 16, 1, 1\]\)"
    )
    with pytest.raises(ValueError, match=message):
        models.load_weights(model, state)
    assert same(model, before)
    with pytest.raises(TypeError, match=r"weights: expected the path of a file, .* got int"):
        models.load_weights(model, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="weights: the state dict has float at 'a', expected a ten"):
        models.load_weights(model, {"a": 1.0})  # type: ignore[dict-item]
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"expected a \.safetensors, \.pt, \.pth or \.tar file"):
        models.load_weights(model, tmp_path / "weights.bin")
    with pytest.raises(FileNotFoundError, match="no such file"):
        models.load_weights(model, tmp_path / "none.pt")
    assert same(model, before)


class Trap:
    """Would write a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


def test_pickles_run_no_code(tmp_path: Path) -> None:
    torch.save({"a": Trap(tmp_path / "sprung")}, tmp_path / "trap.pt")
    with pytest.raises(ValueError, match=r"trap\.pt: is damaged, or holds more than tensors"):
        models.load_weights(small(1), tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()
    for content in (b"", b"no pickle", b"PK\x03\x04 no zip"):
        (tmp_path / "bad.pt").write_bytes(content)
        with pytest.raises(ValueError, match=r"bad\.pt: is damaged"):
            models.load_weights(small(1), tmp_path / "bad.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with pytest.raises(ValueError, match="expected a state dict, found Tensor"):
        models.load_weights(small(1), tmp_path / "tensor.pt")


# ---------------------------------------------------------------- other packages


def test_weights_of_torchvision_and_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of modules that look like them; the real ones would download."""
    asked = []
    network = models.create_model("resnet18")

    def get_model(name: str, **options: Any) -> Any:
        asked.append((name, options))
        return network

    vision, timm = types.ModuleType("torchvision"), types.ModuleType("timm")
    vision.models = types.SimpleNamespace(get_model=get_model)  # type: ignore[attr-defined]
    timm.create_model = get_model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", vision)
    monkeypatch.setitem(sys.modules, "timm", timm)
    assert same(models.create_model("resnet18", weights="torchvision"), network)
    headless = models.create_model("resnet18", weights="timm", num_labels=None)
    assert torch.equal(headless.layer4[1].conv2.weight, network.layer4[1].conv2.weight)
    whole = models.create_model(NAME, weights="torchvision")
    assert torch.equal(whole.backbone.layer4[1].conv2.weight, network.layer4[1].conv2.weight)
    assert asked == [
        ("resnet18", {"weights": "DEFAULT"}),
        ("resnet18", {"pretrained": True}),
        ("resnet18", {"weights": "DEFAULT"}),
    ]
    with pytest.raises(ValueError, match=r"does not fit ResNet: missing: .*fc\.weight"):
        models.load_weights(network, headless.state_dict())
    with pytest.raises(ValueError, match="weights: timm has none for SuperpixelFCN"):
        models.create_model("superpixel-fcn", weights="timm")


@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_packages_that_are_missing(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, source, None)
    with pytest.raises(ImportError, match=f"needs {source}, which is not installed: pip install"):
        models.create_model("resnet18", weights=source, width=4)


def test_without_safetensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small(1)
    models.save_model(model, tmp_path / "m.safetensors")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (
        lambda: models.load_model(tmp_path / "m.safetensors"),
        lambda: models.save_model(model, tmp_path / "n.safetensors"),
    ):
        with pytest.raises(ImportError, match="need safetensors, which is not installed"):
            call()
    torch.save(model.state_dict(), tmp_path / "m.pt")
    assert same(model, small(2, weights=tmp_path / "m.pt"))
