"""From pictures to aligned faces: sources, face meshes, tracks and crops.

Importing this loads neither OpenCV nor MediaPipe; both come with the first use.
"""

from .align import DEFAULT_TEMPLATE, TEMPLATES, align
from .cuts import CutDetector
from .faces.engine import Face
from .faces.mesher import FaceMesher
from .looks import look_at
from .normalise import prepare
from .scope import Scope
from .sources.live.address import live_source
from .sources.resolve import list_sources
from .sources.source import Frame, Source, SourceInfo, check_image
from .tracks import Tracker

__all__ = [
    "DEFAULT_TEMPLATE",
    "TEMPLATES",
    "CutDetector",
    "Face",
    "FaceMesher",
    "Frame",
    "Scope",
    "Source",
    "SourceInfo",
    "Tracker",
    "align",
    "check_image",
    "list_sources",
    "live_source",
    "look_at",
    "prepare",
]
