"""Changes to a sound model folder, drawn from a seed: of its texts, its bytes, its links, and of what a name is.

Files are hard links to those of the sound folder. So nothing is changed in place: a file is replaced.
"""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attacks_on_content import _reseal_weights
from attacks_on_paths import vouch

CONFIG, MANIFEST, WEIGHTS = "config.json", "manifest.json", "model.safetensors"
GRAPHS = ("clip.onnx", "encoder.onnx", "relations.onnx", "temporal.onnx")
BESIDE = ("clip.engine", "clip.engine.layers.json", "tensorrt.timing-cache", "clip.torchscript.pt", "trained_on.json")
HIDDEN = (".lock", ".manifest.json.part", ".mdhr-writing-abcdefgh", ".mdhr-results-abcdefgh")
NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 3, 7, 64, 65, 1000, 200_000, 10**9, 1 << 31, 1 << 62, 1 << 64, 10**400, -(10**30)),
    *(0.0, -0.5, 0.5, 1e-300, 1e300, float("nan"), float("inf"), float("-inf")),
)
TEXTS = (
    *("", "x", "A" * 100_000, "\x1b[2J\x1b]0;owned\x07", "a\nb", "\u202egnp", "..", "../../etc/passwd", "/etc/passwd"),
    *("hf-hub:a/b", "local-dir:/etc", "\udcff", "\x00", "%s%n", "{0}", "nan", "resnet50", "\u0441lip.onnx", "CON"),
)
VALUES: tuple[Any, ...] = (*NUMBERS, *TEXTS, None, True, False, [], {}, [[]], {"": {}}, [1] * 5000)


def mutated(rng: random.Random, arena: Path) -> list[str]:
    """Change the folder of an arena one to three times; what was done, for people."""
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        change = rng.choice(CHANGES)
        try:
            done.append(f"{change.__name__} {change(rng, arena)}")
        except Exception as error:  # an earlier one left nothing to it
            done.append(f"{change.__name__} in vain: {type(error).__name__}")
    return done


def content_of(path: Path) -> bytes:
    """What a file holds; an earlier change may have put a pipe there, which would be waited for without end."""
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    return path.read_bytes()


def replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def in_json(rng: random.Random, arena: Path) -> str:
    """A value, a key or a type of a text that is JSON."""
    name = rng.choice((CONFIG, MANIFEST))
    path = arena / "model" / name
    content = json.loads(content_of(path))
    said = _change_value(rng, content)
    text = json.dumps(content)
    if rng.random() < 0.1:
        text = text.replace('": ', '": 0, "twice": 1, "twice": ', 1)
    _replace_text(path, name, text)
    return f"{name} {said}"


def _change_value(rng: random.Random, content: Any) -> str:
    """Walk down to somewhere, and change what is there."""
    at, way = content, ""
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = rng.choice(keys)
        way += f".{key}"
        if not isinstance(at[key], dict | list) or not at[key] or rng.random() < 0.15:
            break
        at = at[key]
    kind = rng.random()
    if kind < 0.7:
        at[key] = rng.choice(VALUES)
        return f"{way} = {str(at[key])[:30]!r}"
    if kind < 0.85 or not isinstance(at, dict):
        del at[key]
        return f"{way} removed"
    at[rng.choice(TEXTS)] = at[key]
    return f"{way} under another name"


def _replace_text(path: Path, name: str, text: str) -> None:
    replace(path, text.encode(errors="surrogatepass"))
    if name == CONFIG:
        _vouch(path.parent, CONFIG)
        _forget_config(path.parent)


def _vouch(folder: Path, name: str) -> None:
    manifest = folder / MANIFEST
    content = content_of(manifest)
    replace(manifest, content)
    vouch(folder, name)


def _forget_config(folder: Path) -> None:
    files = json.loads(content_of(folder / MANIFEST))["files"]
    for entry in files.values():
        entry.pop("config_sha256", None)
    (folder / MANIFEST).write_text(json.dumps({"files": files}))


def bytes_of(rng: random.Random, arena: Path) -> str:
    """Some bytes of a file, its end, or a piece of it twice; the manifest vouches for what comes out."""
    folder, name = arena / "model", rng.choice((CONFIG, MANIFEST, WEIGHTS, *GRAPHS, *GRAPHS, *GRAPHS))
    content = bytearray(content_of(folder / name))
    near = min(len(content), rng.choice((64, 4096, 1 << 16, len(content))))
    start = rng.choice((0, len(content) - near))  # the structure lies at the ends
    kind = rng.choice(("flip", "flip", "flip", "cut", "twice", "without"))
    at = start + rng.randrange(max(1, near))
    if kind == "flip":
        for _ in range(rng.choice((1, 1, 2, 8, 64))):
            content[start + rng.randrange(max(1, near))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    elif kind == "cut":
        del content[at:]
    else:
        length = rng.choice((1, 8, 100, 5000))
        content[at : at + length] = content[at : at + length] * (2 if kind == "twice" else 0)
    replace(folder / name, bytes(content))
    if name == WEIGHTS:
        replace(folder / MANIFEST, content_of(folder / MANIFEST))
        _reseal_weights(folder)
    elif name != MANIFEST:
        _vouch(folder, name)
    return f"{kind} in {name} near {at}"


def numbers_in_graph(rng: random.Random, arena: Path) -> str:
    """A dimension, an attribute or a constant of a graph becomes another number."""
    import onnx

    folder, name = arena / "model", rng.choice(GRAPHS)
    model = onnx.load_from_string(content_of(folder / name))
    said = _change_graph(rng, onnx, model.graph)
    replace(folder / name, model.SerializeToString())
    _vouch(folder, name)
    return f"{name} {said}"


def _change_graph(rng: random.Random, onnx: Any, graph: Any) -> str:
    number = rng.choice((0, -1, 1, 2, 3, 5, 17, 1000, 65_536, 1 << 31, (1 << 62) + 1))
    kind, node = rng.randrange(5), rng.choice(graph.node)
    small = [one for one in graph.initializer if one.data_type == onnx.TensorProto.INT64]
    if kind == 0 and small:
        tensor = rng.choice(small)
        values = onnx.numpy_helper.to_array(tensor).copy()
        values.reshape(-1)[rng.randrange(max(1, values.size))] = number
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        return f"{tensor.name} holds {number}"
    if kind == 1 and node.attribute:
        attribute = rng.choice(node.attribute)
        attribute.i = number
        if attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = number
        return f"{node.op_type}.{attribute.name} = {number}"
    if kind == 2:
        value = rng.choice((*graph.input, *graph.output))
        axis = rng.choice(value.type.tensor_type.shape.dim)
        axis.dim_value = number
        return f"an axis of {value.name} = {number}"
    if kind == 3:
        node.op_type = rng.choice(("Add", "MatMul", "Concat", "Expand", "Pad", "Reshape", "Loop", "Slice", "Tile"))
        return f"a node becomes {node.op_type}"
    other = rng.choice(graph.node)
    if node.input and other.output:
        node.input[rng.randrange(len(node.input))] = other.output[0]
    return f"{node.op_type} reads what {other.op_type} gives"


def header_of_weights(rng: random.Random, arena: Path) -> str:
    """What the header of a safetensors file says, or how long it claims to be."""
    folder = arena / "model"
    content = content_of(folder / WEIGHTS)
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    said = _change_value(rng, header)
    text = json.dumps(header).encode(errors="surrogatepass")
    claimed = len(text) if rng.random() < 0.9 else rng.choice((0, 1, 1 << 20, 1 << 40, (1 << 63) + 1))
    replace(folder / WEIGHTS, struct.pack("<Q", claimed) + text + content[8 + size :])
    replace(folder / MANIFEST, content_of(folder / MANIFEST))
    _reseal_weights(folder)
    return said


def beside(rng: random.Random, arena: Path) -> str:
    """An engine, a trace, a note: somebody's, with an entry that may say anything."""
    folder, name = arena / "model", rng.choice(BESIDE)
    content = rng.choice((b"", b"{}", b"[]", b'{"dataset": 1}', b"PK\x03\x04", rng.randbytes(1000)))
    replace(folder / name, content)
    _vouch(folder, name)
    manifest = folder / MANIFEST
    files = json.loads(content_of(manifest))["files"]
    entry = files[name]
    entry |= {"options": {"graph": "clip", "precision": "fp32"}, "parity": {"max_score": 0.0}, "build_s": 1.0}
    entry |= {"target": {"toolchain": "tensorrt", "compute_capabilities": ["8.7"]}, "signature": "0" * 64}
    said = _change_value(rng, entry) if rng.random() < 0.7 else ""
    manifest.write_text(json.dumps({"files": files}))
    if rng.random() < 0.3:
        for graph in GRAPHS:
            (folder / graph).unlink(missing_ok=True)
    return f"{name} {said}"


def another_kind(rng: random.Random, arena: Path) -> str:
    """In place of a file, or of one that a writer would make: a link, a pipe, a folder, a hole of a terabyte."""
    names = (CONFIG, MANIFEST, WEIGHTS, *GRAPHS, "MODEL_CARD.md", *HIDDEN, *HIDDEN, *BESIDE[:2], "clip.fp16.onnx")
    path = arena / "model" / rng.choice(names)
    kept = path.read_bytes() if path.is_file() and rng.random() < 0.5 else b"mine"
    path.unlink(missing_ok=True)
    target, kind = arena / "home" / ".bashrc", rng.randrange(10)
    if kind <= 2:
        target.write_bytes(kept)
        path.symlink_to((target, Path("../home/.bashrc"), arena / "home" / "new")[kind])
    elif kind == 3:
        (path.parent / "kept").write_bytes(kept)
        path.symlink_to("kept")
    elif kind == 4:
        path.symlink_to(rng.choice(("/dev/zero", "/proc/self/mem", "/dev/stdin", path.name, "/", "..", "/etc/passwd")))
    elif kind == 5:
        os.mkfifo(path)
    elif kind == 6:
        path.mkdir()
        (path / rng.choice((".lock", "thesis.txt"))).write_bytes(b"years")
    elif kind == 7:
        with path.open("wb") as file:
            file.truncate(rng.choice((1 << 40, 5 << 30, 3 << 20)))
    elif kind == 8:
        target.write_bytes(kept)
        os.link(target, path)
    else:
        (arena / "home" / "folder").mkdir(exist_ok=True)
        (arena / "home" / "folder" / "thesis.txt").write_bytes(b"years")
        path.symlink_to(arena / "home" / "folder")
    return f"{path.name} becomes kind {kind}"


CHANGES: tuple[Callable[[random.Random, Path], str], ...] = (
    *(in_json, in_json, bytes_of, bytes_of, numbers_in_graph, header_of_weights, beside, another_kind, another_kind),
)
