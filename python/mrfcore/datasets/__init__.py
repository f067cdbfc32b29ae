# SPDX-License-Identifier: Apache-2.0
"""Stereo pairs with ground truth: local folders, verified downloads, and bundled ones."""

from mrfcore.datasets.local import load_pair, motorcycle
from mrfcore.datasets.pair import StereoPair
from mrfcore.datasets.stereo import (
    ETH3DStereo,
    Kitti2015Stereo,
    Middlebury2001Stereo,
    Middlebury2003Stereo,
    Middlebury2014Stereo,
    StereoMatchingDataset,
)

__all__ = [
    "ETH3DStereo",
    "Kitti2015Stereo",
    "Middlebury2001Stereo",
    "Middlebury2003Stereo",
    "Middlebury2014Stereo",
    "StereoMatchingDataset",
    "StereoPair",
    "load_pair",
    "motorcycle",
]
