"""Which opener reads which live source. Needs OpenCV and PyAV."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ..source import Opened
from .cameras import open_camera
from .gstreamer import open_pipeline
from .spec import LiveSpec
from .streams import open_file, open_pipe, open_stream

_OPENERS = {
    "camera": open_camera,
    "stream": open_stream,
    "pipe": open_pipe,
    "file": open_file,
    "gstreamer": open_pipeline,
}


def open_live(spec: LiveSpec, name: str) -> AbstractContextManager[Opened]:
    """Open a live source in this process; raises SourceError or MissingDependencyError once it is entered."""
    return _OPENERS[spec.way](spec, name)
