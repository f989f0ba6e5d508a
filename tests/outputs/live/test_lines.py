"""JSON Lines for other programs, over real sockets: readers that are late, slow or gone."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from mdhr_sdk.outputs.live import line_readers, queued
from mdhr_sdk.outputs.live.lines import LinesSink
from mdhr_sdk.outputs.live.queued import QueuedSink
from mdhr_sdk.results import FrameResult
from processes import run_python, until

Made = Callable[..., FrameResult]


@contextmanager
def listening(port: int = 0) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(30)
        yield server


def free_port() -> int:
    with listening() as server:
        return int(server.getsockname()[1])


def frames_of(data: bytes) -> list[int]:
    return [one["frame"] for one in map(json.loads, data.splitlines()) if one["status"] != "ended"]


def read_all(reader: socket.socket) -> bytes:
    reader.settimeout(30)
    return b"".join(iter(lambda: reader.recv(1 << 16), b""))


def test_a_reader_that_comes_late_gets_all(frame: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queued, "LAST_RETRY_S", 0.05)
    port, got = free_port(), list[bytes]()
    with QueuedSink(LinesSink(f"tcp://127.0.0.1:{port}"), "tcp") as queue:
        for index in range(20):
            queue.write(frame(index))
        until(lambda: queue.status.state == "failing")
        assert "no reader at 127.0.0.1" in queue.status.reason
        with listening(port) as server:
            reader = server.accept()[0]
            thread = threading.Thread(target=lambda: got.append(read_all(reader)))
            thread.start()
            until(lambda: queue.status.written == 20)
            queue.close()
            thread.join(30)
            reader.close()
    assert frames_of(got[0]) == list(range(20)) and queue.status.dropped == 0


def test_a_reader_that_leaves_is_connected_to_again(frame: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queued, "LAST_RETRY_S", 0.05)
    got = list[bytes]()
    with listening() as server, QueuedSink(LinesSink(f"tcp://127.0.0.1:{server.getsockname()[1]}"), "tcp") as queue:
        queue.write(frame(0))
        first = server.accept()[0]
        assert frames_of(first.recv(1 << 16)) == [0]
        first.close()
        for index in range(1, 10):
            queue.write(frame(index))
        reader = server.accept()[0]
        thread = threading.Thread(target=lambda: got.append(read_all(reader)))
        thread.start()
        until(lambda: queue.status.written == 10)
        queue.close()
        thread.join(30)
        reader.close()
    told = frames_of(got[0])
    assert told == list(range(told[0], 10)) and told[0] <= 2, "what went into the dead connection is lost at most"


def test_a_reader_that_takes_nothing_blocks_nobody(frame: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_readers, "STALL_S", 0.2)
    with listening() as server:
        queue = QueuedSink(LinesSink(f"tcp://127.0.0.1:{server.getsockname()[1]}"), "tcp", most=50).__enter__()
        for index in range(20_000):
            queue.write(frame(index % 100, faces=3))
            if queue.status.dropped:
                break
        queue.close(0.3)
    status = queue.status
    assert status.dropped_by["full"] > 0 and status.written + status.dropped == index + 1


def test_datagrams_are_a_line_each(frame: Made) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reader:
        reader.bind(("127.0.0.1", 0))
        reader.settimeout(30)
        with QueuedSink(LinesSink(f"udp://127.0.0.1:{reader.getsockname()[1]}"), "udp") as queue:
            for index in range(5):
                queue.write(frame(index))
                assert frames_of(reader.recv(1 << 16)) == [index]
            queue.write(frame(5, faces=100))  # more than a datagram holds
            until(lambda: queue.status.dropped == 1)
    assert queue.status.dropped_by == {"failed": 1} and queue.status.written == 5


def test_a_closed_pipe_ends_this_output_only() -> None:
    code = """
import os, sys
from mdhr_sdk.outputs.live.lines import LinesSink
from mdhr_sdk.outputs.live.queued import QueuedSink
from mdhr_sdk.results import FrameResult, ModelInfo
from processes import until
model = ModelInfo("demo", "bp4d", "resnet18", "torch", "cpu", True)
read, write = os.pipe()
os.dup2(write, 1); os.close(write); os.close(read)
with QueuedSink(LinesSink("-"), "standard output") as queue:
    queue.write(FrameResult("a", 0, 0.0, (), model))
    until(lambda: queue.status.state == "gone", 30)
print(queue.status.reason, dict(queue.status.dropped_by), file=sys.stderr)
"""
    done = run_python("-c", code)
    assert done.returncode == 0 and "has left {'gone': 1}" in done.stderr, done.stderr


def test_lines_are_whole_in_a_pipe_that_another_program_made_non_blocking() -> None:
    code = """
import json, os, sys, threading, time
from mdhr_sdk.outputs.live.line_readers import StdoutReader
read, write = os.pipe()
os.set_blocking(write, False)
os.dup2(write, 1); os.close(write)
line = json.dumps("x" * 50_000).encode() + b"\\n"
def send():
    for _ in range(20):
        StdoutReader().send(line)
    os.close(1)
threading.Thread(target=send).start()
time.sleep(0.2)  # it is full now
with open(read, "rb") as reader:
    print([*reader] == [line] * 20, file=sys.stderr)
"""
    done = run_python("-c", code)
    assert done.returncode == 0 and done.stderr.strip() == "True", done.stderr
