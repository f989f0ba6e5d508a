"""A whole stream from docs/graphs.md alone: plain NumPy, and ONNX Runtime for the graphs; nothing of mdhr_sdk.

The crop is made in crop_from_docs.py; the mesh's own share in the scores is in geometry_from_docs.py.

    mdhr export edge --golden 2 --out golden
    python examples/stream_from_docs.py golden FOLDER_WITH_THE_GRAPHS

It reads pictures and meshes from the golden folder, makes everything else itself, and compares.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from crop_from_docs import normalise, warp
from geometry_from_docs import combined, measured


# -------------------------------------------------------------------------------------------------------- the motion
def read_safetensors(path: Path, prefix: str = "") -> dict[str, np.ndarray]:
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    found, kinds = {}, {"F16": "<f2", "F32": "<f4"}
    for name, told in header.items():
        if name.startswith(prefix) and name != "__metadata__" and told["dtype"] in kinds:
            begin, end = (8 + length + at for at in told["data_offsets"])
            numbers = np.frombuffer(content[begin:end], kinds[told["dtype"]]).astype(np.float32)
            found[name.removeprefix(prefix)] = numbers.reshape(told["shape"])
    return found


def read_wide(path: Path) -> dict[str, np.ndarray]:
    return {name: array.astype(np.float64) for name, array in read_safetensors(path).items()}


def fold(w: dict[str, np.ndarray], scales: int) -> dict[str, np.ndarray]:
    def norm(name: str, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scale = w[f"{name}.weight"] / np.sqrt(w[f"{name}.running_var"] + 1e-5)
        return scale, (bias - w[f"{name}.running_mean"]) * scale + w[f"{name}.bias"]

    squeezed = [norm(f"fusion.norms.{n}", w[f"fusion.squeeze.{n}.bias"]) for n in range(scales)]
    kernels = [w[f"fusion.squeeze.{n}.weight"][:, :, 0, 0] for n in range(scales)]
    return {
        "shift": np.stack([norm(f"norms.{n}", w[f"biases.{n}"])[1] for n in range(scales)]),
        "squeeze": np.stack([k * s[:, None] for k, (s, _) in zip(kernels, squeezed, strict=True)]),
        "squeeze_bias": np.stack([bias for _, bias in squeezed]),
        "weigh": w["fusion.weigh.weight"][:, :, 0, 0],
        "weigh_bias": w["fusion.weigh.bias"],
    }


def active(before: np.ndarray, after: np.ndarray, p: dict[str, np.ndarray]) -> np.ndarray:
    """Eq. 1 and 2 of maps (L, C, P)."""
    return np.maximum(after - before + p["shift"][:, :, None], 0)


def fused(means: np.ndarray, p: dict[str, np.ndarray]) -> np.ndarray:
    """Eq. 4 and 5 of means (L, C, P) -> (C, P)."""
    squeezed = np.maximum(p["squeeze"] @ means + p["squeeze_bias"][:, :, None], 0)
    logits = p["weigh"] @ squeezed.reshape(-1, means.shape[2]) + p["weigh_bias"][:, None]
    weights = np.exp(logits - logits.max(axis=0))
    weights /= weights.sum(axis=0)
    return (weights[:, None] * means).sum(axis=0)


def motion_of(maps: np.ndarray, p: dict[str, np.ndarray], k: int) -> np.ndarray:
    """Maps (T, L, C, P) of all frames of a window -> (T, C, P)."""
    count = len(maps)
    differences = [active(maps[j], maps[j + 1], p) for j in range(count - 1)]
    zero = np.zeros_like(maps[0])
    sums = [sum(differences[max(t - k, 0) : t + k], start=zero) for t in range(count)]
    return np.stack([fused(each / (2 * k), p) for each in sums])


# -------------------------------------------------------------------------------------------------------- the stream
class Graphs:
    def __init__(self, folder: Path, config: dict) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        for name in ("encoder", "relations", "temporal"):
            session = onnxruntime.InferenceSession(folder / f"{name}.onnx", options, ["CPUExecutionProvider"])
            setattr(self, name, session)
        self.length, self.k, self.reach = config["clip_length"], config["model"]["k"], 2 * config["model"]["temporal"]

    def encode(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(3, S, S) -> static (P, W), maps (L, C, P)."""
        static, *maps = self.encoder.run(None, {"frames": frame[None]})
        return static[0], np.stack([m[0].reshape(m.shape[1], -1) for m in maps])

    def relate(self, static: np.ndarray, motion: np.ndarray) -> np.ndarray:
        side = int(motion.shape[-1] ** 0.5)
        given = {"static": static[None], "motion": motion.reshape(1, -1, side, side).astype(np.float32)}
        return self.relations.run(["nodes"], given)[0][0]

    def score(self, nodes: list[np.ndarray]) -> np.ndarray:
        return np.clip(self.temporal.run(["scores"], {"nodes": np.stack(nodes)[None]})[0][0], 0, 1)


def in_windows(graphs: Graphs, frames: np.ndarray, p: dict[str, np.ndarray], lookahead: int) -> np.ndarray:
    """Any lookahead, by the definition: frame s in the window that ends at s + L."""
    features, scores = [graphs.encode(frame) for frame in frames], []
    for s in range(len(frames)):
        last = min(s + lookahead, len(frames) - 1)
        first = max(0, last - graphs.length + 1)
        motion = motion_of(np.stack([maps for _, maps in features[first : last + 1]]), p, graphs.k)
        near = range(s - graphs.reach, s + graphs.reach + 1)
        nodes = {n: graphs.relate(features[n][0], motion[n - first]) for n in near if first <= n <= last}
        zero = np.zeros_like(nodes[s])
        scores.append(graphs.score([nodes.get(n, zero) for n in near]))
    return np.stack(scores)


class Ring:
    """A settled lookahead: every frame's nodes once, in memory that does not grow."""

    def __init__(self, graphs: Graphs, p: dict[str, np.ndarray], lookahead: int) -> None:
        self.graphs, self.p, self.lookahead = graphs, p, lookahead
        self.seen, self.previous, self.slots = 0, None, []
        self.statics: list[np.ndarray] = []
        self.nodes: list[np.ndarray] = []
        self.related = 0
        self.held: list[np.ndarray] = []

    def push(self, frame: np.ndarray) -> list[np.ndarray]:
        """The scores that are now due: none, or those of frame t - L."""
        static, maps = self.graphs.encode(frame)
        self.statics = [*self.statics, static][-self.graphs.k - 1 :]
        if self.previous is None:
            self.slots = [np.zeros_like(maps)] * (2 * self.graphs.k)
        else:
            self.slots = [*self.slots[1:], active(self.previous, maps, self.p)]
        self.previous = maps
        self.seen += 1
        if self.seen > self.graphs.k:
            self._relate(self.statics[0])
        due = self.seen - 1 - self.lookahead
        return [self.held.pop(0)] if due >= 0 else []

    def finish(self) -> list[np.ndarray]:
        for step in range(self.graphs.k):
            self.slots = [*self.slots[1:], np.zeros_like(self.previous)]
            frame = self.seen + step - self.graphs.k
            if frame >= 0:
                self._relate(self.statics[frame - self.seen])
        for _ in range(self.graphs.reach):
            self._window(np.zeros_like(self.nodes[-1]))
        return self.held

    def _relate(self, static: np.ndarray) -> None:
        means = sum(self.slots, start=np.zeros_like(self.previous)) / (2 * self.graphs.k)
        self._window(self.graphs.relate(static, fused(means, self.p)))

    def _window(self, nodes: np.ndarray) -> None:
        width = 2 * self.graphs.reach + 1
        self.nodes = [*(self.nodes or [np.zeros_like(nodes)] * width), nodes][-width:]
        self.related += 1
        if self.related > self.graphs.reach:
            self.held.append(self.graphs.score(self.nodes))


def in_clips(graphs: Graphs, frames: np.ndarray, p: dict[str, np.ndarray]) -> np.ndarray:
    """Every frame of a clip reads the whole of it."""
    scores = []
    for start in range(0, len(frames), graphs.length):
        clip = frames[start : start + graphs.length]
        padded = np.concatenate([clip, np.repeat(clip[-1:], graphs.length - len(clip), axis=0)])
        scores.append(in_windows(graphs, padded, p, graphs.length - 1)[: len(clip)])
    return np.concatenate(scores)


# ------------------------------------------------------------------------------------------------------ the comparison
def compare(golden: Path, folder: Path) -> dict[str, float]:
    """Name -> largest difference, over all sequences."""
    index = json.loads((golden / "index.json").read_text(encoding="utf-8"))
    config, arrays = index["config"], index["arrays"]

    def read(name: str) -> np.ndarray:
        told = arrays[name]
        return np.fromfile(golden / told["file"], np.dtype(told["dtype"]).newbyteorder("<")).reshape(told["shape"])

    most: dict[str, float] = {}

    def note(name: str, got: np.ndarray, wanted: np.ndarray) -> None:
        apart = np.nan_to_num(got.astype(np.float64), nan=-1) - np.nan_to_num(wanted, nan=-1)
        most[name] = max(most.get(name, 0.0), float(np.abs(apart).max()))

    pre, size = config["preprocessing"], config["preprocessing"]["size_px"]
    p = fold(read_safetensors(folder / "model.safetensors", "head.dynamics."), len(config["model"]["scales"]))
    for name, array in p.items():
        note(f"parameters: {name}", array, read(f"parameters/{name}"))
    graphs = Graphs(folder, config)
    settled = [
        at for at in range(graphs.length) if graphs.k + graphs.reach <= at < graphs.length - graphs.k - graphs.reach
    ]
    for one in sorted({name.split("/")[0] for name in arrays} - {"parameters"}):
        for view in sorted({name.split("/")[1] for name in arrays if name.startswith(f"{one}/view_")}):
            crop = warp(read(f"{one}/{view}/picture"), read(f"{one}/{view}/mesh"), size)
            note("crops of views, in levels", crop, read(f"{one}/{view}/crop"))
        pairs = zip(read(f"{one}/frames"), read(f"{one}/meshes"), strict=True)
        crops = np.stack([warp(frame, mesh, size) for frame, mesh in pairs])
        note("crops, in levels", crops, read(f"{one}/crops"))
        frames = normalise(crops, pre["mean"], pre["std"])
        own = {"clip_scores": in_clips(graphs, frames, p)}
        note("clip mode", own["clip_scores"], read(f"{one}/clip_scores"))
        for name in (name for name in arrays if name.startswith(f"{one}/stream_scores_")):
            lookahead = int(name.rpartition("_")[2])
            own[f"stream_scores_{lookahead}"] = in_windows(graphs, frames, p, lookahead)
            note(f"stream, L = {lookahead}", own[f"stream_scores_{lookahead}"], read(name))
            if lookahead in settled:
                ring, scores = Ring(graphs, p, lookahead), []
                for frame in frames:
                    scores += ring.push(frame)
                note(f"ring, L = {lookahead}", np.stack(scores + ring.finish()), read(name))
        for name in (name for name in arrays if name.startswith(f"{one}/short_")):
            _, length, _, lookahead = name.rpartition("/")[2].split("_")
            scores = in_windows(graphs, frames[: int(length)], p, int(lookahead))
            note("streams shorter than a clip", scores, read(name))
        if f"{one}/geometry/meshes" in arrays:
            compare_geometry(f"{one}/geometry", own, folder, config, read, note)
    return most


def compare_geometry(
    place: str, own: dict[str, np.ndarray], folder: Path, config: dict, read: Callable, note: Callable
) -> None:
    """Measures, and with this code's own scores of the network what the mesh says, final scores and intensities."""
    g, i = read_wide(folder / "geometry.safetensors"), {}
    shares, told = np.array(config["geometry"]), np.array(config["intensity"], bool)
    if told.any():
        i = read_wide(folder / "intensity.safetensors")
    meshes = read(f"{place}/meshes")
    note("measures", np.stack([measured(mesh, g["reference"]) for mesh in meshes]), read(f"{place}/measures"))
    plain = np.stack([measured(mesh[:468], g["reference"]) + g["refinement"] for mesh in meshes])
    note("measures of 468 points", plain, read(f"{place}/plain_measures"))
    for times in ("steady", "uneven"):
        for kind, scores in own.items():
            found = combined(meshes, read(f"{place}/{times}/times_s"), scores, g, shares, i, told)
            note(f"final {kind}", found.pop("scores"), read(f"{place}/{times}/{kind}"))
            strong, kind = found.pop("intensities"), kind.replace("scores", "intensities")
            if i:
                note(kind, strong, read(f"{place}/{times}/{kind}"))
            for name, array in found.items():
                note(f"geometry: {name}", array, read(f"{place}/{times}/{name}"))


def main() -> None:
    most = compare(Path(sys.argv[1]), Path(sys.argv[2]))
    for name, difference in most.items():
        print(f"{name:28} {difference:.1e}")
    limits = {name: 1e-4 if "intensities" in name else 1e-6 for name in most}
    if any(most[name] > limit for name, limit in limits.items()):
        sys.exit("differs by more than 1e-6, or intensities by more than 1e-4")


if __name__ == "__main__":
    main()
