# SPDX-License-Identifier: Apache-2.0
"""Stereo from images to disparities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mrfcore import metrics, scene, stereo
from mrfcore.datasets import StereoPair


@pytest.mark.parametrize("cost", stereo.COSTS)
def test_bench_cost_volume(benchmark: Any, tsukuba: StereoPair, cost: str) -> None:
    volume = benchmark(stereo.cost_volume, tsukuba.left, tsukuba.right, 16, cost=cost)
    assert volume.shape == (288, 384, 16)


def test_bench_match_tsukuba(benchmark: Any, tsukuba: StereoPair) -> None:
    result = benchmark(stereo.match, tsukuba.left, tsukuba.right, 16)
    assert tsukuba.disparity is not None
    bad = metrics.bad_pixels(result.disparity, tsukuba.disparity, 1.0, tsukuba.nonocc)
    benchmark.extra_info["bad_1"] = bad
    assert bad < 10.0


def test_bench_match_scene(benchmark: Any) -> None:
    """The rendered scene, which needs no files."""
    pair = scene.render_stereo_scene()
    result = benchmark(stereo.match, pair.left, pair.right, pair.num_disparities)
    benchmark.extra_info["size"] = list(pair.left.shape)
    assert np.isfinite(result.disparity).all()
