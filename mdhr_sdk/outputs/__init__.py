"""Outputs: tables, annotated videos, timelines."""

from .collection import Results
from .group import SinkGroup
from .jsonl import JsonlSink, as_json
from .overlay import annotate
from .overlay_video import OverlaySink
from .sinks import FileSink, Sink
from .table import CsvSink, EventsSink
from .timeline import draw_timeline

__all__ = [
    "CsvSink",
    "EventsSink",
    "FileSink",
    "JsonlSink",
    "OverlaySink",
    "Results",
    "Sink",
    "SinkGroup",
    "annotate",
    "as_json",
    "draw_timeline",
]
