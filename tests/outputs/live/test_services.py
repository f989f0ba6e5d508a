"""MQTT against a real broker, and the lab streaming layer with a real inlet, both on loopback."""

from __future__ import annotations

import importlib.util
import json
import math
import queue
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mdhr_sdk.errors import ConfigError
from mdhr_sdk.outputs.live import queued
from mdhr_sdk.outputs.live.mqtt import MqttSink
from mdhr_sdk.outputs.live.queued import QueuedSink
from mdhr_sdk.results import AUEvent, Ending, FrameResult
from processes import started, until

Made = Callable[..., FrameResult]
EVENT = AUEvent("clip.mp4", 0, "AU12", 3, 5, 8, 0.12, 0.2, 0.32, 0.91)
BROKER = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
needs_broker = pytest.mark.skipif(
    BROKER is None or importlib.util.find_spec("paho") is None, reason="needs mosquitto and paho-mqtt"
)


def has_lsl() -> bool:
    try:
        import pylsl  # noqa: F401
    except (ImportError, RuntimeError, OSError):
        return False
    return True


@contextmanager
def broker(folder: Path, port: int = 0) -> Iterator[int]:
    """A broker on loopback; gives its port."""
    if not port:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    with started([BROKER, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        until(lambda: answers(port))
        yield port


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def subscribed(port: int) -> Iterator[queue.SimpleQueue[tuple[str, bytes]]]:
    import paho.mqtt.client as mqtt

    got: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    ready = []
    client.on_message = lambda _client, _data, message: got.put((message.topic, message.payload))
    client.on_subscribe = lambda *_: ready.append(True)
    client.connect("127.0.0.1", port)
    client.subscribe("lab/#", qos=1)
    client.loop_start()
    until(lambda: ready)
    try:
        yield got
    finally:
        client.disconnect()
        client.loop_stop()


@needs_broker
@pytest.mark.slow
def test_frames_and_events_reach_a_broker_and_its_return_is_used(
    frame: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queued, "LAST_RETRY_S", 0.2)
    ending = Ending()
    with broker(tmp_path) as port, subscribed(port) as got:
        sink = MqttSink(f"mqtt://user:secret@127.0.0.1:{port}/lab")
        assert "secret" not in sink.name and sink.name == f"mqtt://127.0.0.1:{port}/lab"
        with QueuedSink(sink, sink.name) as waiting:
            for index in range(5):
                waiting.write(replace(frame(index, source="front/door"), ending=ending))
            waiting.write(replace(frame(5, source="front/door"), ending=ending, events=(EVENT,)))
            until(lambda: waiting.status.written == 6)
            ending.events = (replace(EVENT, au="AU06"),)
        told = [got.get(timeout=30) for _ in range(10)]
    assert told[0] == ("lab/status", b"online") and told[-1] == ("lab/status", b"offline")
    frames = [json.loads(payload) for topic, payload in told if topic == "lab/front_door/frame"]
    events = [json.loads(payload) for topic, payload in told if topic == "lab/front_door/event"]
    assert [one["frame"] for one in frames] == [*range(6)] and [one["au"] for one in events] == ["AU12", "AU06"]


@needs_broker
@pytest.mark.slow
def test_a_broker_that_comes_late_or_again_gets_what_waited(
    frame: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queued, "LAST_RETRY_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with QueuedSink(MqttSink(f"mqtt://127.0.0.1:{port}/lab"), "mqtt") as waiting:
        waiting.write(frame(0))
        until(lambda: waiting.status.state == "failing")
        assert "does not answer" in waiting.status.reason
        with broker(tmp_path, port):
            until(lambda: waiting.status.written == 1)
            assert waiting.status.state == "ok"
        until(lambda: _fails(waiting, frame(1)))
        with broker(tmp_path, port):
            until(lambda: waiting.status.waiting == 0)
    assert waiting.status.dropped == 0


def _fails(waiting: QueuedSink, result: FrameResult) -> bool:
    waiting.write(result)
    time.sleep(0.05)
    return waiting.status.state == "failing"


@pytest.mark.parametrize("address", ["tcp://a", "mqtt://", "mqtt://a:port/x", "a"])
def test_what_is_no_broker_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="an MQTT broker is"):
        MqttSink(address)


@pytest.mark.slow
@pytest.mark.skipif(not has_lsl(), reason="needs pylsl with liblsl")
def test_an_inlet_gets_scores_and_events(frame: Made, codes: tuple[str, ...]) -> None:
    import pylsl

    from mdhr_sdk.outputs.live.lsl import LslSink

    ending = Ending(events=(EVENT,))
    with LslSink(codes) as sink:
        sink.write(replace(frame(0, source="lsl test"), ending=ending))
        inlets = {}
        for name in ("mdhr lsl test", "mdhr lsl test events"):
            (found,) = pylsl.resolve_byprop("name", name, timeout=30)
            inlets[name] = pylsl.StreamInlet(found)
            inlets[name].open_stream(timeout=30)
        until(lambda: all(outlet.have_consumers() for outlet in sink._outlets["lsl test"]))
        shown = replace(frame(1, faces=2, source="lsl test"), ending=ending, events=(replace(EVENT, au="AU06"),))
        sink.write(shown)
        sink.write(replace(frame(2, faces=0, source="lsl test"), ending=ending))
        samples, times = zip(*(inlets["mdhr lsl test"].pull_sample(timeout=30) for _ in range(2)), strict=True)
        markers = [json.loads(inlets["mdhr lsl test events"].pull_sample(timeout=30)[0][0])]
        labels = inlets["mdhr lsl test"].info(timeout=30).desc().child("channels").child("channel").child_value("label")
    face = shown.faces[0]
    expected = [*(face.aus[code].probability for code in codes), 0.0, 2.0]
    assert samples[0] == pytest.approx(expected, abs=1e-6) and abs(times[0] - pylsl.local_clock()) < 60
    assert all(math.isnan(value) for value in samples[1][:-1]) and samples[1][-1] == 0.0
    assert markers[0]["au"] == "AU06"
    assert labels == codes[0]
