"""The MDHR network in PyTorch (extra 'torch')."""

from .calibrate import calibrate
from .mdhr import MDHR, ClipHead, FrameEncoder, FrameFeatures, MDHROutput, build_mdhr
from .weights import load_model, load_released_checkpoint, save_model

__all__ = [
    "MDHR",
    "ClipHead",
    "FrameEncoder",
    "FrameFeatures",
    "MDHROutput",
    "build_mdhr",
    "calibrate",
    "load_model",
    "load_released_checkpoint",
    "save_model",
]
