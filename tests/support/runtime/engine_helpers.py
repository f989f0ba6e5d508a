"""What the tests of TensorRT sessions share."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from mdhr_sdk.modelfolder.folder import ModelFolder, sha256
from mdhr_sdk.modelfolder.signing import signed
from mdhr_sdk.runtime import Session, SessionOptions, open_session

ORIN = ("Orin", "8.7")
RTX = ("NVIDIA GeForce RTX 3080", "8.6")


def batch_of(session: Session, size: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs of a session."""
    rng = np.random.default_rng(seed)
    shapes = {spec.name: (size, *(n or 0 for n in spec.shape[1:])) for spec in session.inputs}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def open_head(folder: Path, backend: str = "tensorrt", device: str = "cuda", precision: str = "fp32") -> Session:
    return open_session(ModelFolder.open(folder), backend, SessionOptions(device, precision=precision), "head")[0]


def wanted(folder: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ONNX Runtime says."""
    session, _ = open_session(ModelFolder.open(folder), "onnxruntime", SessionOptions("cpu", threads=1), "head")
    return session.run(inputs)


def backend_of(name: str) -> str:
    return name.replace("_", "-")


@contextlib.contextmanager
def entries(folder: Path) -> Iterator[dict[str, Any]]:
    """What the manifest says of each file, to be changed."""
    manifest = json.loads((folder / "manifest.json").read_text())
    yield manifest["files"]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def vouch(folder: Path, name: str, **entry: Any) -> None:
    """Let the manifest say that the file is what was made, here."""
    with entries(folder) as files:
        size = (folder / name).stat().st_size
        files[name] = signed(name, {**files.get(name, {}), **entry, "bytes": size, "sha256": sha256(folder / name)})


def shift_scores(folder: Path, name: str) -> None:
    """A graph that runs, that the manifest vouches for, and that says something else."""
    model = onnx.load(folder / name)
    added = {node.input[1] for node in model.graph.node if node.op_type == "Add"} if name == "temporal.onnx" else set()
    found = (t for t in model.graph.initializer if t.name in added or t.name.endswith("temporal.conv.bias"))
    bias = next(found)
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 0.5, bias.name))
    onnx.save(model, folder / name)
    vouch(folder, name)
