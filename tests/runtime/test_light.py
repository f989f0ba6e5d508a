"""Nothing is loaded before it is needed, and the light runtime never needs PyTorch."""

from __future__ import annotations

import importlib.util
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
OPENVINO = """
import multiprocessing, sys
from mdhr_sdk.runtime.backends import openvino
openvino._capabilities()
import openvino.tools.ovc
print(type(openvino.tools.ovc.telemetry).__module__, sys.modules["openvino_telemetry"])
print(len(multiprocessing.active_children()))
"""


def test_predictions_with_onnxruntime_need_no_pytorch(tiny_onnx_folder: Path, demo_path: Path):
    done = run_python("-c", NO_PYTORCH, tiny_onnx_folder, demo_path)
    assert done.stdout == "onnxruntime fp32 on cpu 5 5 True\n" * 2, done.stderr


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")
def test_openvino_is_loaded_without_its_telemetry():
    assert run_python("-c", OPENVINO).stdout.split() == ["openvino.tools.ovc.telemetry_stub", "None", "0"]
