"""The end of a process while its other threads score, draw or wait."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import mdhr_sdk
from processes import run_python

DEMO = Path(mdhr_sdk.__file__).with_name("assets") / "demo.mp4"

BEGINNING = """
import sys, threading
from mdhr_sdk import AUDetector

detector, video = AUDetector.from_pretrained("edge", backend="onnxruntime"), sys.argv[1]
frame = next(detector.predict(video, stream=True, images=True))
begun = threading.Event()
"""
ENDING = """
threading.Thread(target=work, daemon=True).start()
begun.wait(60)
print("leaves")
"""
SCORES = """
def work():
    for _ in detector.predict(video, stream=True):
        begun.set()
    print("a video that is over")  # it is not: the process ends before
"""
DRAWS = """
def work():
    while True:
        frame.annotate()
        begun.set()
"""
ALIGNS = """
import threading
import numpy as np
from mdhr_sdk.vision import align

image, mesh = np.zeros((1000, 1000, 3), np.uint8), np.random.default_rng(0).normal(500, 100, (478, 3))
begun = threading.Event()

def work():
    while True:
        align(image, mesh, size_px=1024)
        begun.set()
"""
WAITS = """
import threading
from mdhr_sdk.ending import at_work, before_end

def work():
    try:
        with at_work():
            begun.set()
            before_end(over.set)
            over.wait(60)
            print("is waited for")
        print("is cut short, and goes on")
    finally:
        print("is stopped")

begun, over = threading.Event(), threading.Event()
"""
FORKS = """
import os, threading
from mdhr_sdk import ending

def work():
    with ending.at_work():
        begun.set()
        over.wait(60)

begun, over = threading.Event(), threading.Event()
thread = threading.Thread(target=work)
thread.start()
begun.wait(60)
with ending.at_work():
    child = os.fork()
    if not child:
        print("waits for itself only:", ending._at_work == {threading.get_ident()}, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
over.set()
"""


@pytest.mark.parametrize(
    ("work", "told"),
    [(BEGINNING + SCORES, []), (BEGINNING + DRAWS, []), (ALIGNS, []), (WAITS, ["is waited for", "is stopped"])],
    ids=["scores", "draws", "aligns", "waits"],
)
def test_a_thread_that_is_at_work_does_not_break_the_end_of_the_process(work: str, told: list[str]) -> None:
    ended = run_python("-u", "-c", work + ENDING, DEMO)
    assert (ended.returncode, ended.stdout.splitlines(), ended.stderr) == (0, ["leaves", *told], "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_fork_does_not_wait_for_threads_that_it_has_not() -> None:
    ended = run_python("-c", FORKS)
    assert (ended.returncode, ended.stdout) == (0, "waits for itself only: True\n"), ended.stderr
