"""From pictures to aligned faces: sources, face meshes, tracks and crops.

Importing this loads neither OpenCV nor MediaPipe; both come with the first use.
"""

from .align import DEFAULT_TEMPLATE, TEMPLATES, Template, align, crop_matrix, similarity
from .boxes import Box, iou
from .cuts import CutDetector
from .faces.engine import Face, FaceMesher
from .looks import Look, look_at
from .normalise import prepare
from .sources.resolve import list_sources
from .sources.source import Frame, Source, SourceInfo, check_image
from .tracks import Tracker

__all__ = [
    "DEFAULT_TEMPLATE",
    "TEMPLATES",
    "Box",
    "CutDetector",
    "Face",
    "FaceMesher",
    "Frame",
    "Look",
    "Source",
    "SourceInfo",
    "Template",
    "Tracker",
    "align",
    "check_image",
    "crop_matrix",
    "iou",
    "list_sources",
    "look_at",
    "prepare",
    "similarity",
]
