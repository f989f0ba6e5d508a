"""Nothing is loaded before it is needed, and the light runtime never needs PyTorch."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PRELUDE = """
import json, sys

HEAVY = ("torch", "timm", "safetensors", "onnx", "onnxscript", "onnxruntime", "cv2", "mediapipe")

def loaded():
    return [name for name in HEAVY if name in sys.modules]

def tell(**facts):
    print(json.dumps(facts))

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "timm", "safetensors", "onnx", "onnxscript"):
            raise ImportError(f"{name} must not be imported here")

"""


def run(code: str, *args: str | Path) -> list[dict[str, Any]]:
    """What a fresh interpreter tells, line by line."""
    done = subprocess.run([sys.executable, "-c", PRELUDE + code, *map(str, args)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_importing_the_package_loads_no_backend():
    code = """
import mdhr_sdk
tell(loaded=loaded(), numpy="numpy" in sys.modules)
from mdhr_sdk import AUDetector, MDHRError, Results
tell(loaded=loaded(), numpy=True)
import mdhr_sdk.runtime, mdhr_sdk.modelfolder.config, mdhr_sdk.modelfolder.folder, mdhr_sdk.results, mdhr_sdk.pipeline
tell(loaded=loaded(), numpy=True)
"""
    package, *others = run(code)
    assert package == {"loaded": [], "numpy": False}
    assert all(other["loaded"] == [] for other in others)


def test_a_prediction_with_onnxruntime_needs_no_pytorch(tiny_onnx_folder: Path, demo_path: Path):
    code = """
import itertools
sys.meta_path.insert(0, Blocked())
from mdhr_sdk import AUDetector
from mdhr_sdk.vision import list_sources
(source,) = list_sources(sys.argv[2])
with AUDetector.from_pretrained(sys.argv[1], threads=1) as detector, source:
    images = (frame.image for frame in itertools.islice(source, 5))
    results = detector.predict(images)
    tell(choice=detector.choice, frames=len(results), faces=sum(len(frame.faces) for frame in results),
         probabilities=[face["AU12"].probability for frame in results for face in frame.faces], loaded=loaded())
"""
    (told,) = run(code, tiny_onnx_folder, demo_path)
    assert told["choice"] == "onnxruntime fp32 on cpu"
    assert (told["frames"], told["faces"]) == (5, 5)
    assert len(set(told["probabilities"])) > 1
    assert not {"torch", "timm", "safetensors", "onnx", "onnxscript"} & set(told["loaded"])
    assert "onnxruntime" in told["loaded"]


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed")
def test_openvino_is_loaded_without_its_telemetry():
    code = """
from mdhr_sdk.runtime.backends import openvino as openvino_session
openvino_session._capabilities()
import multiprocessing
import openvino.tools.ovc
told = type(openvino.tools.ovc.telemetry).__module__
tell(telemetry=told, loaded=sys.modules.get("openvino_telemetry") is not None,
     children=len(multiprocessing.active_children()))
"""
    assert run(code) == [{"telemetry": "openvino.tools.ovc.telemetry_stub", "loaded": False, "children": 0}]
