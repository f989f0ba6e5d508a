"""The outputs of a live run, opened as its settings say."""

from __future__ import annotations

import queue
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....outputs.live.lines import LinesSink
from ....outputs.live.queued import MOST_BYTES, LiveSinks
from ....outputs.live.recording import SegmentSink
from ....outputs.live.tables import LiveTables
from ....outputs.naming import TABLE
from ....results import ModelInfo
from .settings import LiveSettings

ALL_BYTES = 512 << 20  # of pictures that wait, of all sources together


@dataclass
class Outputs:
    """All outputs of a run.

    Attributes:
        sinks: those that get results.
        recorders: those of them that record.
        served: the served page, if there is one; its `status` is to be set.
        wants_images: whether results must hold their pictures.
    """

    sinks: LiveSinks = field(default_factory=LiveSinks)
    recorders: list[SegmentSink] = field(default_factory=list)
    served: Any = None
    wants_images: bool = False

    @property
    def commands(self) -> queue.SimpleQueue[Any] | None:
        """What is asked for on the served page."""
        return None if self.served is None else self.served.commands


def open_outputs(settings: LiveSettings, model: ModelInfo, codes: Sequence[str], bases: Mapping[str, Path]) -> Outputs:
    """Open every output that is asked for.

    Args:
        bases: source -> folder of its files, and what their names begin with.

    Raises:
        MDHRError: one cannot work: a file that cannot be written, a port in use, a package that is not installed.
            Those that were opened are closed.
    """
    images = settings.show or settings.serve is not None or settings.record is not None
    outputs = Outputs(LiveSinks(min(MOST_BYTES, ALL_BYTES // len(bases))), wants_images=images)
    try:
        _add_all(outputs, settings, model, codes, bases)
    except BaseException:
        outputs.sinks.close()
        raise
    return outputs


def _add_all(
    outputs: Outputs, settings: LiveSettings, model: ModelInfo, codes: Sequence[str], bases: Mapping[str, Path]
) -> None:
    sinks = outputs.sinks
    for address in settings.jsonl:
        sinks.add(LinesSink(address), address if address != "-" else "standard output")
    for source, base in bases.items():
        if settings.csv:
            tables = LiveTables(base, codes, settings.measures, model.intensities)
            sinks.add(tables, f"{base.name}{TABLE}", source)
        if settings.record is not None or settings.show:
            recorder = SegmentSink(base, settings.segment_s, settings.kept, settings.record or "picture")
            recorder.on = settings.record is not None
            outputs.recorders.append(recorder)
            sinks.add(recorder, f"recording of {source}", source, pictures=True)
    if settings.mqtt is not None:
        from ....outputs.live.mqtt import MqttSink

        mqtt = MqttSink(settings.mqtt)
        sinks.add(mqtt, mqtt.name)
    if settings.lsl:
        from ....outputs.live.lsl import LslSink

        sinks.add(LslSink(codes), "LSL")
    if (at := settings.served_at) is not None:
        outputs.served = served(at, settings.token)
        sinks.add(outputs.served, f"page at {at[0]}:{at[1]}", pictures=True)


def served(at: tuple[str, int], token: str | None) -> Any:
    """The served page, not entered yet.

    Raises:
        MissingDependencyError: the extra 'live' is not installed.
        ConfigError: an address for others than this machine, without a token.
    """
    from ....outputs.serve import ServeSink

    return ServeSink(host=at[0], port=at[1], token=token)
