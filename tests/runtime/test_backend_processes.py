"""What backends do to the process they run in: what they load, and how signals and forks find it afterwards."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from processes import run_python

NO_PYTORCH = """
import itertools, sys
sys.modules.update(dict.fromkeys(("torch", "timm", "onnx", "onnxscript")))
from mdhr_sdk import AUDetector
from mdhr_sdk.vision import list_sources
(source,) = list_sources(sys.argv[2])
with source:
    images = [frame.image for frame in itertools.islice(source, 5)]
with AUDetector.from_pretrained(sys.argv[1], threads=1) as detector:
    for mode in ("clip", "stream"):
        results = detector.predict(iter(images), mode=mode)
        found = {face["AU12"].probability for frame in results for face in frame.faces}
        print(detector.choice, len(results), sum(len(frame.faces) for frame in results), len(found) > 1)
"""
TELEMETRY = """
import multiprocessing, sys
from mdhr_sdk.runtime.backends import openvino
openvino._capabilities()
import openvino.tools.ovc
print(type(openvino.tools.ovc.telemetry).__module__, sys.modules["openvino_telemetry"])
print(len(multiprocessing.active_children()))
"""
SIGNAL = """
import signal, sys
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import SessionOptions, open_session

folder = ModelFolder.open(sys.argv[1])
sessions = [open_session(folder, "openvino", SessionOptions("cpu", 1), graph)[0] for graph in ("encoder", "head")]
for session in sessions:  # the first one first
    session.close()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
FORKED = """
import os, sys
from mdhr_sdk import AUDetector

how, detector = sys.argv[1], AUDetector.from_pretrained("edge", threads=2)
child = os.fork()
if not child:
    if how == "close":
        detector.close()
        detector.close()
    elif how == "del":
        del detector
    elif how == "session":
        detector._opened["clip"][0].close()
    elif how == "with":
        with detector:
            pass
    sys.exit(3)  # as an interpreter ends, which frees everything
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
OPENVINO = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")


def test_predictions_with_onnxruntime_need_no_pytorch(tiny_onnx_folder: Path, demo_path: Path):
    done = run_python("-c", NO_PYTORCH, tiny_onnx_folder, demo_path)
    assert done.stdout == "onnxruntime fp32 on cpu 5 5 True\n" * 2, done.stderr


@OPENVINO
def test_openvino_is_loaded_without_its_telemetry():
    assert run_python("-c", TELEMETRY).stdout.split() == ["openvino.tools.ovc.telemetry_stub", "None", "0"]


@OPENVINO
def test_a_signal_after_sessions_were_closed_in_their_order_is_handled(tiny_onnx_folder: Path) -> None:
    done = run_python("-c", SIGNAL, tiny_onnx_folder)
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks there")
@pytest.mark.parametrize("how", ["close", "del", "session", "with", "exit"])
def test_a_fork_frees_no_session(how: str):
    done = run_python("-c", FORKED, how)
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr
