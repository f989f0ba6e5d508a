"""Attacks by what training reads: archives of arrays, and runs that somebody else trained."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from attacks_on_paths import Attack
from attacks_on_results import DEEP
from attacks_on_surroundings import at, hole, puts_text


def array_head(shape: tuple[int, ...], kind: str) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue()


def archive(name: str, wrong: str, content: bytes, zeros: int = 0) -> Callable[[Path], None]:
    """Arrays of which one is wrong: `content`, and then so many zeros, which take little room in it."""

    def prepare(arena: Path) -> None:
        sound = {
            "codes": np.array(["AU1"]), "subjects": np.array(["a"]), "paths": np.array(["b"]),
            "labels": np.zeros((1, 1), np.int8), "starts": np.ones(1, bool), "scores": np.zeros((1, 1), np.float32),
        }  # fmt: skip
        with zipfile.ZipFile(at(arena, name), "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            for key in dict.fromkeys((*sound, wrong)):
                with file.open(f"{key}.npy", "w", force_zip64=True) as member:
                    if key != wrong:
                        np.lib.format.write_array(member, sound[key])
                        continue
                    member.write(content)
                    for _ in range(zeros >> 20):
                        member.write(bytes(1 << 20))

    return prepare


def broken_archive(arena: Path) -> None:
    """A member whose compressed bytes are none."""
    archive("p.npz", "none", b"x")(arena)
    path = at(arena, "p.npz")
    content = bytearray(path.read_bytes())
    begin = content.index(b"scores.npy") + len(b"scores.npy")
    content[begin + 20 : begin + 60] = b"\xff" * 40
    path.write_bytes(content)


def reads_predictions(arena: Path) -> str:
    from mdhr_sdk.training.evaluate.predictions import Predictions

    return str(Predictions.load(at(arena, "p.npz")).scores.shape)


# A run of training that somebody else trained.


def run_file(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        make(at(arena, f"run/{name}"))

    return prepare


def judges(arena: Path) -> str:
    from mdhr_sdk.training.evaluate.evaluation import evaluate_run

    return str(evaluate_run(at(arena, "run")))[:200]


def stops(arena: Path) -> str:
    from mdhr_sdk.training.evaluate.evaluation import stopped_after

    return str(stopped_after(at(arena, "run")))


LARGE = 1280 << 20
ATTACKS = (
    Attack("predictions: 1.3 GB of labels in 6 MB",
           archive("p.npz", "labels", array_head((LARGE >> 1, 2), "|i1"), LARGE), reads_predictions, torch=True),
    Attack("predictions: 10**15 rows that are not there",
           archive("p.npz", "scores", array_head((10**15, 1), "<f4")), reads_predictions, torch=True),
    Attack("predictions: labels of objects",
           archive("p.npz", "labels", array_head((1, 1), "|O") + b"\x80\x04N."), reads_predictions, torch=True),
    Attack("predictions: bytes that do not inflate", broken_archive, reads_predictions, torch=True),
    Attack("a run: a record nested too deep", run_file("record.json", puts_text(DEEP)), judges, torch=True),
    Attack("a run: a record that is a pipe", run_file("record.json", os.mkfifo), judges, torch=True),
    Attack("a run: a record of 1 TB", run_file("record.json", hole), judges, torch=True),
    Attack("a run: 10**400 as a fold",
           run_file("record.json", puts_text('{"folds": [1e400], "settings": "x"}')), judges, torch=True),
    Attack("a run: the note of its end nested too deep", run_file("stopped.json", puts_text(DEEP)), stops, torch=True),
)  # fmt: skip
