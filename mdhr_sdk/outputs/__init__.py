"""Outputs: tables, annotated videos, timelines."""

from .collection import Results
from .group import SinkGroup
from .jsonl import JsonlSink, as_json
from .pictures.overlay import annotate
from .pictures.overlay_video import OverlaySink
from .pictures.timeline import draw_timeline
from .sinks import FileSink, Sink
from .table import CsvSink, EventsSink
from .tables.openface import OpenFaceSink
from .tables.parquet import ParquetSink
from .tables.pyfeat import PyFeatSink

__all__ = [
    "CsvSink",
    "EventsSink",
    "FileSink",
    "JsonlSink",
    "OpenFaceSink",
    "OverlaySink",
    "ParquetSink",
    "PyFeatSink",
    "Results",
    "Sink",
    "SinkGroup",
    "annotate",
    "as_json",
    "draw_timeline",
]
