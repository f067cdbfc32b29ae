# SPDX-License-Identifier: Apache-2.0
"""Stereo pairs, labelled images and volumes, clips: from folders, downloaded, bundled, drawn."""

from mrfcore.datasets.brats import BraTS18
from mrfcore.datasets.clips import ClipDataset
from mrfcore.datasets.drawn import MovingTextures, PartVolumes, RenderedStereo, TumourVolumes
from mrfcore.datasets.local import load_pair, motorcycle
from mrfcore.datasets.pair import StereoPair
from mrfcore.datasets.sceneflow import SceneFlowStereo
from mrfcore.datasets.segmentation import ADE20K, SegmentationDataset
from mrfcore.datasets.segmentation_bsds import BSDS500
from mrfcore.datasets.segmentation_scenes import LabelledScenes
from mrfcore.datasets.segmentation_voc import PascalContext, VOCSegmentation
from mrfcore.datasets.shapenet import ShapeNetParts
from mrfcore.datasets.stereo import (
    ETH3DStereo,
    Kitti2015Stereo,
    Middlebury2001Stereo,
    Middlebury2003Stereo,
    Middlebury2014Stereo,
    StereoMatchingDataset,
)
from mrfcore.datasets.ucf101 import UCF101
from mrfcore.datasets.volumes import VolumeDataset

__all__ = [
    "ADE20K",
    "BSDS500",
    "UCF101",
    "BraTS18",
    "ClipDataset",
    "ETH3DStereo",
    "Kitti2015Stereo",
    "LabelledScenes",
    "Middlebury2001Stereo",
    "Middlebury2003Stereo",
    "Middlebury2014Stereo",
    "MovingTextures",
    "PartVolumes",
    "PascalContext",
    "RenderedStereo",
    "SceneFlowStereo",
    "SegmentationDataset",
    "ShapeNetParts",
    "StereoMatchingDataset",
    "StereoPair",
    "TumourVolumes",
    "VOCSegmentation",
    "VolumeDataset",
    "load_pair",
    "motorcycle",
]
