"""Outputs: tables, annotated videos, timelines."""

from .collection import Results
from .events import EventsSink
from .group import SinkGroup
from .overlay import annotate
from .sinks import FileSink, Sink
from .table import CsvSink
from .timeline import draw_timeline
from .video import OverlaySink

__all__ = [
    "CsvSink",
    "EventsSink",
    "FileSink",
    "OverlaySink",
    "Results",
    "Sink",
    "SinkGroup",
    "annotate",
    "draw_timeline",
]
