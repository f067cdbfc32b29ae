# SPDX-License-Identifier: Apache-2.0
"""torch and mrfcore share one OpenMP runtime, whichever is imported first."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/maps")

# Work in both libraries, so that both runtimes would have started their threads.
USE = """
import sys
import numpy as np
{imports}
unary = np.random.default_rng(0).random((32, 32, 4), dtype=np.float32)
mrfcore.minimize(unary, mrfcore.Potts(), iterations=2, threads=2)
if "torch" in sys.modules:
    torch.ones(1000, 1000).exp().sum()
maps = open("/proc/self/maps").read().splitlines()
print("\\n".join(sorted({{m.split()[-1] for m in maps if "libgomp" in m or "libomp" in m}})))
"""


def runtimes_after(imports: str) -> list[str]:
    """Paths of the OpenMP runtimes mapped into a fresh interpreter that ran USE."""
    result = subprocess.run(
        [sys.executable, "-c", USE.format(imports=imports)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@on_linux
@needs_torch
@pytest.mark.parametrize(
    "imports", ["import mrfcore\nimport torch", "import torch\nimport mrfcore"]
)
def test_one_runtime_with_torch(imports: str) -> None:
    assert len(runtimes_after(imports)) == 1


@on_linux
def test_mrfcore_alone_loads_at_most_one_runtime_and_not_torch() -> None:
    imports = "import mrfcore\nassert 'torch' not in sys.modules"
    assert len(runtimes_after(imports)) <= 1


@on_linux
def test_preload_survives_a_broken_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is no library, where torch's libgomp would be, is passed over in silence."""
    from mrfcore import _openmp

    (tmp_path / "torch" / "lib").mkdir(parents=True)
    (tmp_path / "torch" / "__init__.py").touch()
    (tmp_path / "torch" / "lib" / "libgomp.so.1").write_text("no library")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(_openmp, "_is_loaded", lambda _soname: False)
    importlib.invalidate_caches()
    assert _openmp._torch_library("libgomp.so.1") == tmp_path / "torch/lib/libgomp.so.1"
    assert _openmp.preload() is None
