"""Attacks by what reads the mesh: files of geometry and of intensities."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from attacks_on_content import config, entry
from attacks_on_paths import Attack, folder_class, is_link_to, is_pipe, is_sparse, moved_out, opens, vouch
from attacks_on_settings import arrays, put

INTENSITY = "intensity.safetensors"


def intensities(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return arrays(change, INTENSITY)


def no_header(arena: Path) -> None:
    (arena / "model" / INTENSITY).write_bytes(bytes(7))
    vouch(arena / "model", INTENSITY)


def many_knots(found: dict[str, Any]) -> None:
    found["knots"] = np.tile(np.arange(100_000, dtype=np.float32), (15, 1))
    found["levels"] = np.zeros((15, 100_000), np.float32)


def no_axes(found: dict[str, Any]) -> None:
    found["knots"] = np.ones((), np.float32)


def close_knots(found: dict[str, Any]) -> None:
    """Knots that the smallest number is between: a line as steep as there is."""
    places = np.arange(16) * np.float32(1.4e-45)
    found["knots"] = np.tile(places.astype(np.float32), (15, 1))
    found["levels"] = np.tile(np.linspace(0, 1, 16, dtype=np.float32), (15, 1))


def geometry(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Other arrays of geometry, of which those of intensities say nothing."""

    def prepare(arena: Path) -> None:
        arrays(change)(arena)
        path = arena / "model" / "manifest.json"
        files = json.loads(path.read_text())["files"]
        del files[INTENSITY]["geometry_sha256"]
        path.write_text(json.dumps({"files": files}))

    return prepare


def extremes(found: dict[str, Any]) -> None:
    """The largest numbers that a geometry may hold."""
    for name in found:
        if name not in ("spread", "absolute_spread"):
            found[name] = np.full_like(found[name], 1e6)
        else:
            found[name] = np.full_like(found[name], 1e-6 * 1.01)


def reads_meshes(arena: Path) -> str:
    """Scores and intensities of odd meshes."""
    from mdhr_sdk.pipeline.scores.geometry import OwnNeutral, logit, read_geometry
    from mdhr_sdk.pipeline.scores.intensity import given, read_intensity
    from mdhr_sdk.vision import Face

    folder = folder_class().open(arena / "model")
    geometry, strong = read_geometry(folder), read_intensity(folder)
    assert geometry is not None and strong is not None
    own, rng = OwnNeutral(geometry), np.random.default_rng(0)
    meshes = [rng.uniform(0, 500, (478, 3)), np.zeros((478, 3)), np.full((468, 3), 1e6), rng.uniform(0, 9, (468, 3))]
    row = np.linspace(0, 1, 15).astype(np.float32)
    for at, mesh in enumerate(meshes * 5):
        read = own.take(at / 25, {0: Face(mesh.astype(np.float32))})[0]
        said = logit(row)
        levels = strong.strengths(given(said, read.logits, own.moved(0, read, said), read.known))[strong.told]
        both = own.combine(0, read, row)
        for found in (levels, both):
            assert ((found >= 0) & (found <= 1)).all(), f"{found} left [0, 1]"
    return "all in [0, 1]"


ATTACKS = (
    Attack("intensity told by words", config(intensity=["true"] * 15), opens),
    Attack("intensity without geometry", config(geometry=[]), opens),
    Attack("intensity: knots that are no numbers", intensities(put("knots", np.nan)), opens),
    Attack("intensity: knots that stand still", intensities(put("knots", 1)), opens),
    Attack("intensity: levels above 1", intensities(put("levels", 2)), opens),
    Attack("intensity: weights of 1e30", intensities(put("weights", 1e30)), opens),
    Attack("intensity: 100,000 knots", intensities(many_knots), opens),
    Attack("intensity: knots as close as numbers are", intensities(close_knots), reads_meshes, refused=False),
    Attack("intensity: words for bytes", no_header, opens),
    Attack("intensity: an array too many", intensities(lambda f: f.update(x=np.zeros(3, np.float32))), opens),
    Attack("intensity: numbers without axes", intensities(no_axes), opens),
    Attack("intensity: no numbers at all", intensities(lambda f: f.update(knots=np.zeros((15, 0), np.float32))), opens),
    Attack("intensity is a link out", moved_out(INTENSITY), opens),
    Attack("intensity is a pipe", is_pipe(INTENSITY), opens),
    Attack("intensity of 1 TB", is_sparse(INTENSITY, 1 << 40), opens),
    Attack("intensity: made from a geometry of another kind", entry(INTENSITY, geometry_sha256={"a": [1]}), opens),
    Attack("geometry: the largest numbers", geometry(extremes), reads_meshes, refused=False),
    Attack("geometry: all points in one place", geometry(put("reference", 0)), reads_meshes, refused=False),
    Attack("geometry: denormal numbers", geometry(put("weight0", 1e-42)), reads_meshes, refused=False),
    Attack("geometry is /proc/self/environ", is_link_to("geometry.safetensors", "/proc/self/environ"), opens),
)  # fmt: skip
