# SPDX-License-Identifier: Apache-2.0
"""Stereo pairs and labelled images: local folders, verified downloads, bundled and drawn ones."""

from mrfcore.datasets.local import load_pair, motorcycle
from mrfcore.datasets.pair import StereoPair
from mrfcore.datasets.segmentation import ADE20K, SegmentationDataset
from mrfcore.datasets.segmentation_bsds import BSDS500
from mrfcore.datasets.segmentation_scenes import LabelledScenes
from mrfcore.datasets.segmentation_voc import PascalContext, VOCSegmentation
from mrfcore.datasets.stereo import (
    ETH3DStereo,
    Kitti2015Stereo,
    Middlebury2001Stereo,
    Middlebury2003Stereo,
    Middlebury2014Stereo,
    StereoMatchingDataset,
)

__all__ = [
    "ADE20K",
    "BSDS500",
    "ETH3DStereo",
    "Kitti2015Stereo",
    "LabelledScenes",
    "Middlebury2001Stereo",
    "Middlebury2003Stereo",
    "Middlebury2014Stereo",
    "PascalContext",
    "SegmentationDataset",
    "StereoMatchingDataset",
    "StereoPair",
    "VOCSegmentation",
    "load_pair",
    "motorcycle",
]
