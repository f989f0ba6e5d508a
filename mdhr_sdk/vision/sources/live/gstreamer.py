"""GStreamer pipelines, as cameras on a Jetson need them, through OpenCV or PyGObject."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from ....errors import MissingDependencyError, SourceError
from ..source import Opened, Picture
from .spec import LiveSpec
from .streams import stopped

END = "videoconvert ! video/x-raw,format=BGR ! appsink name=mdhr drop=true max-buffers=1 sync=false"


@contextmanager
def open_pipeline(spec: LiveSpec, name: str) -> Iterator[Opened]:
    """Run a pipeline; its end, from 'videoconvert' on, is ours."""
    pipeline = f"{spec.address} ! {END}"
    if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        with _by_opencv(pipeline, name) as opened:
            yield opened
    elif (gst := _gst()) is not None:
        with _by_pygobject(gst, pipeline, spec.timeout_s, name) as opened:
            yield opened
    else:
        raise MissingDependencyError(
            "a gst: source needs OpenCV with GStreamer, as JetPack has it, or PyGObject with GStreamer "
            "(Debian and Ubuntu: apt-get install python3-gi gir1.2-gst-plugins-base-1.0, and a Python that sees them)"
        )


def _failure(name: str, why: str = "") -> SourceError:
    said = f": {why}" if why else ""
    return SourceError(f"the pipeline of {name} gives no picture{said}; try it with gst-launch-1.0 first")


@contextmanager
def _by_opencv(pipeline: str, name: str) -> Iterator[Opened]:
    opened_s = time.perf_counter()
    capture = cv2.VideoCapture(pipeline, cv2.CAP_GSTREAMER)
    try:
        if not capture.isOpened():
            raise _failure(name)
        fps = capture.get(cv2.CAP_PROP_FPS)
        yield Opened(fps if 0 < fps < 1000 else 0.0, None, True, _read(capture, opened_s, name))
    finally:
        capture.release()


def _read(capture: cv2.VideoCapture, opened_s: float, name: str) -> Iterator[Picture]:
    count = 0
    while True:
        got, image = capture.read()
        if not got:
            raise stopped(name, count)
        arrived_s = time.perf_counter()
        yield Picture(np.asarray(image, np.uint8), arrived_s - opened_s, arrived_s)
        count += 1


def _gst() -> Any:
    """PyGObject's GStreamer, ready; None where there is none."""
    try:
        gi = importlib.import_module("gi")
        gi.require_version("Gst", "1.0")
        gi.require_version("GstApp", "1.0")
        gst = importlib.import_module("gi.repository.Gst")
        importlib.import_module("gi.repository.GstApp")  # for an appsink's methods
    except (ImportError, ValueError):
        return None
    gst.init(None)
    return gst


@contextmanager
def _by_pygobject(gst: Any, pipeline: str, timeout_s: float, name: str) -> Iterator[Opened]:
    opened_s = time.perf_counter()
    try:
        running = gst.parse_launch(pipeline)
    except Exception as error:  # GLib.Error
        raise _failure(name, getattr(error, "message", "") or str(error)) from None
    running.set_state(gst.State.PLAYING)
    try:
        yield Opened(0.0, None, True, _pulled(gst, running, opened_s, timeout_s, name))
    finally:
        running.set_state(gst.State.NULL)


def _pulled(gst: Any, running: Any, opened_s: float, timeout_s: float, name: str) -> Iterator[Picture]:
    sink, bus, count, size = running.get_by_name("mdhr"), running.get_bus(), 0, None
    while (sample := sink.try_pull_sample(int(timeout_s * gst.SECOND))) is not None:
        arrived_s = time.perf_counter()
        image = _image(gst, sample)
        stamp = sample.get_buffer().pts
        stream_s = None if stamp == gst.CLOCK_TIME_NONE else stamp / gst.SECOND
        breaks = size not in (None, image.shape)
        yield Picture(image, arrived_s - opened_s, arrived_s, breaks, stream_time_s=stream_s)
        count, size = count + 1, image.shape
    told = bus.pop_filtered(gst.MessageType.ERROR)
    if told is not None:
        raise _failure(name, told.parse_error()[0].message)
    raise stopped(name, count) if count else _failure(name)


def _image(gst: Any, sample: Any) -> np.ndarray:
    """(H, W, 3) uint8 BGR; rows are padded to four bytes."""
    shape = sample.get_caps().get_structure(0)
    width, height = shape.get_value("width"), shape.get_value("height")
    buffer = sample.get_buffer()
    got, mapped = buffer.map(gst.MapFlags.READ)
    if not got:
        raise SourceError("a picture of the pipeline cannot be read; report it")
    try:
        rows = np.frombuffer(mapped.data, np.uint8).reshape(height, -1)
        return np.ascontiguousarray(rows[:, : 3 * width].reshape(height, width, 3))
    finally:
        buffer.unmap(mapped)
