"""Attacks by what lies around a model folder: the working directory, the cache of face graphs, settings, pictures and
videos, archives of arrays, runs of training; and files that change between one look and the next."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from attacks_on_content import config, loads_in_torch, raw_weights
from attacks_on_loading import changed_header
from attacks_on_paths import Attack, folder_class, in_turn, meanwhile, streams
from attacks_on_results import DEEP, written
from attacks_on_settings import live, settles

GRAPHS = ("detector.onnx", "mesh.onnx")


def at(arena: Path, name: str) -> Path:
    path = arena / "copied" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def sparse(name: str, size: int) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        with at(arena, name).open("wb") as file:
            file.truncate(size)

    return prepare


def both(*prepares: Callable[[Path], object]) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        for one in prepares:
            one(arena)

    return prepare


# Face graphs in a cache that others can write to.


def face_graph(output: str = "presence") -> bytes:
    import onnx

    helper = onnx.helper
    nodes = [
        helper.make_node("Cast", ["pixels"], ["real"], to=1),
        helper.make_node("ReduceSum", ["real"], [output], keepdims=0),
    ]
    taken = helper.make_tensor_value_info("pixels", 2, ["N", 64, 64, 3])
    made = helper.make_graph(nodes, "g", [taken], [helper.make_tensor_value_info(output, 1, [])])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def cached_faces(arena: Path) -> None:
    """Two graphs with a record that vouches for them."""
    content = face_graph()
    for name in GRAPHS:
        at(arena, f"cache/faces/{name}").write_bytes(content)
    sums = {name: hashlib.sha256(content).hexdigest() for name in GRAPHS}
    values = {"made_from": "x", "source_sha256": "0", "size_px": 64, "faces": 9, "near": 1.0, "sha256": sums}
    at(arena, "cache/faces/faces.json").write_text(json.dumps(values))


def in_cache(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        cached_faces(arena)
        path = at(arena, f"cache/faces/{name}")
        path.unlink()
        make(path)

    return prepare


def puts_text(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


def hole(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def finds_faces(arena: Path) -> Any:
    from mdhr_sdk.vision.faces.engine import choose_engine, open_engine

    os.environ["MDHR_CACHE"] = str(arena / "copied" / "cache")
    return open_engine(choose_engine("onnx"), 1, True)


def swapped_faces(arena: Path) -> str:
    """Opens the cache's graphs while somebody swaps one for another."""
    taken = 0
    with meanwhile(in_turn(at(arena, "cache/faces/detector.onnx"), [face_graph("false"), face_graph()])):
        for _ in range(60):
            answer = None
            with contextlib.suppress(Exception):
                answer = finds_faces(arena)._detector._session.run(np.zeros((1, 64, 64, 3), np.uint8))
            taken += answer is not None
            assert answer is None or "false" not in answer, "a graph was run whose sum nobody compared"
    return f"opened some: {taken > 0}"


# The working directory: people go to the folder that they downloaded.


def beside(name: str, content: str) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        (arena / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (arena / "work" / name).write_text(content)

    return prepare


EVIL = "import pathlib\npathlib.Path('pwned').touch()\nfrom matplotlib.backends.backend_agg import *\n"


def draws(end: str) -> Callable[[Path], str]:
    """A timeline of results, as `mdhr detect` and `mdhr report` draw it."""

    def act(arena: Path) -> str:
        from mdhr_sdk import Results
        from mdhr_sdk.outputs.pictures.timeline import save_timeline

        os.environ["MPLCONFIGDIR"] = str(arena / "copied" / "mpl")
        results = Results.from_file(written(arena) / "clip_aus.csv")
        save_timeline(list(results), at(arena, f"timeline{end}"))
        return f"{at(arena, f'timeline{end}').stat().st_size > 1000}"

    return act


def named_edge(arena: Path) -> None:
    (arena / "model" / "clip.onnx").write_bytes(b"evil")
    (arena / "model").rename(arena / "work" / "edge")


def opens_edge(arena: Path) -> str:
    import warnings

    warnings.simplefilter("ignore")
    return str(folder_class().open("edge").path.parent.name)


# Videos and pictures.


def private_video(arena: Path) -> None:
    import av

    with av.open(str(arena / "home" / "private.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="bgr24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def as_video(text: str, name: str = "clip.mp4") -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        private_video(arena)
        at(arena, name).write_text(text.replace("ARENA", str(arena)))

    return prepare


def reads_video(name: str = "clip.mp4") -> Callable[[Path], str]:
    def act(arena: Path) -> str:
        from mdhr_sdk.vision.sources.resolve import list_sources

        frames = 0
        for source in list_sources(str(at(arena, name))):
            with source:
                frames += sum(1 for _ in source)
        return f"{frames} frames"

    return act


PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\nfile://ARENA/home/private.mp4\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile '../home/private.mp4'\n"


def wide_png(arena: Path) -> None:
    """A picture of 60,000 x 60,000 dots in half a megabyte."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    side = 60_000
    pack = zlib.compressobj(9)
    rows = b"".join(pack.compress(bytes(1 + side // 8)) for _ in range(side)) + pack.flush()
    about = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    at(arena, "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", about) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


# Model folders that change between two looks, and graphs and weights of kinds that were missing.


def swapped_graph(arena: Path) -> str:
    """Opens a pinned folder again and again while a graph in it is swapped for another of the same length."""
    model = arena / "model"
    digest, sound = folder_class().open(model).digest, (model / "clip.onnx").read_bytes()
    taken = 0
    with meanwhile(in_turn(model / "clip.onnx", [sound[:-1] + bytes([sound[-1] ^ 1]), sound])):
        for _ in range(60):
            content = None
            with contextlib.suppress(Exception):
                content = folder_class().open(model, digest).read("clip.onnx")
            taken += content is not None
            assert content in (None, sound), "bytes were given that are not those of the digest"
    return f"taken, and right: {taken > 0}"


def text_sizes(header: bytes) -> bytes:
    """A text among the sizes of a tensor: times the others it is one of 2 GB."""
    told = json.loads(header)
    told["head.dynamics.norms.0.weight"]["shape"] = [30_000, "x" * 60_000]
    return json.dumps(told).encode()


NOTES = {"__metadata__": {f"k{i}": "v" for i in range(200_000)}}
ATTACKS = (
    Attack("face graphs: a record of 1 TB", in_cache("faces.json", hole), finds_faces),
    Attack("face graphs: a record that is a pipe", in_cache("faces.json", os.mkfifo), finds_faces),
    Attack("face graphs: a graph of 1 TB", in_cache("mesh.onnx", hole), finds_faces),
    Attack("face graphs: a graph that is a pipe", in_cache("detector.onnx", os.mkfifo), finds_faces),
    Attack("face graphs: a graph that is /dev/zero",
           in_cache("detector.onnx", lambda path: path.symlink_to("/dev/zero")), finds_faces),
    Attack("face graphs: a record nested too deep", in_cache("faces.json", puts_text(DEEP)), finds_faces),
    Attack("face graphs: swapped while they are opened", cached_faces, swapped_faces, refused=False),
    Attack("matplotlibrc in the working directory: LaTeX",
           beside("matplotlibrc", "text.usetex: True\n"), draws(".png"), refused=False),
    Attack("matplotlibrc in the working directory: a backend of one's own",
           both(beside("matplotlibrc", "backend: module://evil\n"), beside("evil.py", EVIL)),
           draws(".svg"), refused=False),
    Attack("a folder 'edge' in the working directory", named_edge, opens_edge, refused=False),
    Attack("live.yaml: trust_code", live("sources: [0]\ntrust_code: true\n"), settles),
    Attack("a playlist of a private video, as clip.mp4", as_video(PLAYLIST), reads_video()),
    Attack("a list to join of a private video, as clip.mp4", as_video(CONCAT), reads_video()),
    Attack("a list to join of a private video, as clip.ffconcat",
           as_video(CONCAT, "c.ffconcat"), reads_video("c.ffconcat")),
    Attack("a picture of 60,000 x 60,000 dots", wide_png, reads_video("a.png")),
    Attack("a pinned graph swapped while it is read", lambda arena: None, swapped_graph, refused=False),
    Attack("weights: a text as a size", changed_header(text_sizes), streams),
    Attack("weights with 200,000 remarks", raw_weights(NOTES), streams),
    Attack("weights with remarks that are numbers", raw_weights({"__metadata__": {"a": [1]}}), streams),
    Attack("weights with remarks that are numbers; PyTorch", raw_weights({"__metadata__": 5}), loads_in_torch,
           torch=True),
    Attack("a backbone by the other spelling of a hub", config(model__backbone="hf_hub:timm/resnet18"),
           loads_in_torch, torch=True),
)  # fmt: skip
