"""Outputs that run for days: files that only grow, network readers, recordings; none of them ever holds up scoring."""

from .lines import LinesSink
from .lsl import LslSink
from .mqtt import MqttSink
from .queued import LiveSinks, QueuedSink, SinkStatus
from .recording import SegmentSink
from .tables import LiveTables

__all__ = [
    "LinesSink",
    "LiveSinks",
    "LiveTables",
    "LslSink",
    "MqttSink",
    "QueuedSink",
    "SegmentSink",
    "SinkStatus",
]
