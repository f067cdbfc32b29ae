# SPDX-License-Identifier: Apache-2.0
"""Networks by name, their weights in files, and what they cost; see docs/models.md.

>>> from mrfcore import models
>>> models.list_models("deeplab")
>>> model = models.create_model("deeplabv3plus-resnet50", num_labels=21)
>>> models.save_model(model, "trained.safetensors")
>>> model = models.load_model("trained.safetensors").eval()
"""

from __future__ import annotations

from mrfcore._torch import require_torch

require_torch("mrfcore.models")

from mrfcore.models._counts import count_flops, count_parameters, measure_model  # noqa: E402
from mrfcore.models._registry import (  # noqa: E402
    ModelEntry,
    create_model,
    list_models,
    model_entry,
    register,
)
from mrfcore.models._saving import load_model, save_model  # noqa: E402
from mrfcore.models._weights import load_weights  # noqa: E402
from mrfcore.models.deeplab import DeepLabV3Plus  # noqa: E402
from mrfcore.models.i3d import I3D  # noqa: E402
from mrfcore.models.joint import JointOutput, JointSegmentation  # noqa: E402
from mrfcore.models.joint_by_name import joint_superpixels  # noqa: E402, F401
from mrfcore.models.mobilenet3d import MobileNetV23d  # noqa: E402
from mrfcore.models.normalised import Normalised  # noqa: E402
from mrfcore.models.psmnet import PSMNet  # noqa: E402
from mrfcore.models.resnet import ResNet  # noqa: E402
from mrfcore.models.superpixel_fcn import SuperpixelFCN  # noqa: E402
from mrfcore.models.unet3d import UNet3d  # noqa: E402

__all__ = [
    "I3D",
    "DeepLabV3Plus",
    "JointOutput",
    "JointSegmentation",
    "MobileNetV23d",
    "ModelEntry",
    "Normalised",
    "PSMNet",
    "ResNet",
    "SuperpixelFCN",
    "UNet3d",
    "count_flops",
    "count_parameters",
    "create_model",
    "list_models",
    "load_model",
    "load_weights",
    "measure_model",
    "model_entry",
    "register",
    "save_model",
]
