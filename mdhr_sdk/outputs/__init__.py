"""Outputs: tables, annotated videos, timelines."""

from .collection import Results
from .group import SinkGroup
from .overlay import annotate
from .sinks import FileSink, Sink
from .table import CsvSink
from .timeline import draw_timeline
from .video import OverlaySink

__all__ = ["CsvSink", "FileSink", "OverlaySink", "Results", "Sink", "SinkGroup", "annotate", "draw_timeline"]
