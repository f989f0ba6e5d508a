"""The MDHR network in PyTorch (extra 'torch')."""

from .calibrate import calibrate
from .mdhr import MDHR, FrameFeatures, MDHROutput, build_mdhr
from .released import load_released_checkpoint
from .weights import load_model, save_model

__all__ = [
    "MDHR",
    "FrameFeatures",
    "MDHROutput",
    "build_mdhr",
    "calibrate",
    "load_model",
    "load_released_checkpoint",
    "save_model",
]
