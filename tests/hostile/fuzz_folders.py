"""Model folders changed at random, each opened and used in a process of its own: nothing outside a folder is touched,
there is no traceback, no more than 1 GiB of memory is taken, and it ends.

python tests/hostile/fuzz_folders.py --minutes 60 [--seed 0]
python tests/hostile/fuzz_folders.py --cases 300
python tests/hostile/fuzz_folders.py --seed 0 --only 17       one case again
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "attacks"))

from attacks_on_content import loads_in_torch
from attacks_on_paths import copies, folder_class, rewrites, updates
from attacks_on_trust import digests
from mutations import mutated
from watching import Seen, warm, watched

Act = Callable[[Path], object]


def scores(arena: Path) -> str:
    """Opens the clip graph by 'auto', and runs it once."""
    return _run(arena, "auto")


def scores_in_openvino(arena: Path) -> str:
    return _run(arena, "openvino")


def _run(arena: Path, backend: str) -> str:
    import numpy as np

    from mdhr_sdk.runtime import SessionOptions, open_session

    session, choice = open_session(folder_class().open(arena / "model"), backend, SessionOptions("cpu", threads=1))
    (spec,) = session.inputs
    session.run({spec.name: np.zeros([n or 1 for n in spec.shape], spec.dtype)})
    session.close()
    return choice


def streams(arena: Path) -> str:
    """Opens the stream's graphs, and scores a frame or two."""
    import numpy as np

    from mdhr_sdk.runtime import SessionOptions, open_streams
    from mdhr_sdk.runtime.stream.scorer import StreamScorer

    graphs = open_streams(folder_class().open(arena / "model"), "onnxruntime", SessionOptions("cpu", threads=1))
    StreamScorer(graphs)
    encoder = graphs.encoder
    encoder.run({spec.name: np.zeros([n or 1 for n in spec.shape], spec.dtype) for spec in encoder.inputs})
    graphs.close()
    return graphs.choice


def notes(arena: Path) -> str:
    """As `mdhr verify` does after it has compared."""
    folder = folder_class().open(arena / "model")
    folder.note("clip.onnx", folder.manifest.get("clip.onnx", {}).get("sha256", ""), parity={"failure": ""})
    return "noted"


def lists_obstacles(arena: Path) -> str:
    """Why each backend does not run it, as `mdhr doctor` asks, and what the note of the trained says."""
    from mdhr_sdk.runtime import BACKENDS, SessionOptions

    folder = folder_class().open(arena / "model")
    options = SessionOptions("cpu", precision="fp32")
    if folder.has("trained_on.json"):
        folder.read_json("trained_on.json")
    return "; ".join(str(backend.no_file(folder, "clip", options)) for backend in BACKENDS.values()).replace("\n", " ")


ACTS: tuple[Act, ...] = (
    *(scores, scores, scores, streams, streams, scores_in_openvino, loads_in_torch),
    *(updates, updates, rewrites, copies, notes, digests, lists_obstacles),
)


def case(seed: int, number: int, sound: Path) -> tuple[str, Seen]:
    """One folder, and what became of who used it."""
    rng = random.Random(f"{seed} {number}")
    with tempfile.TemporaryDirectory() as place:
        arena = Path(place).resolve()
        for name in ("model", "home", "work"):
            (arena / name).mkdir()
        for path in sound.iterdir():
            os.link(path, arena / "model" / path.name)
        act, done = rng.choice(ACTS), mutated(rng, arena)
        seen = watched(arena, act)
        for path in (arena / "model").iterdir():  # so that it can be removed
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
    return f"{act.__name__}: {'; '.join(done)}", seen


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz model folders.")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--cases", type=int, help="so many, whatever time they take")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this case alone, told in full")
    words = parser.parse_args()
    warm()
    numbers = itertools.count() if words.cases is None else range(words.cases)
    until = time.monotonic() + words.minutes * 60 if words.cases is None else float("inf")
    with tempfile.TemporaryDirectory() as place:
        sound = Path(place) / "sound"
        subprocess.run(
            [sys.executable, str(Path(__file__).with_name("sound.py")), str(sound)], check=True
        )  # with torch
        before = {path.name: path.read_bytes() for path in sound.iterdir()}
        ended, wrong, memory = Counter[str](), 0, 0
        for number in numbers if words.only is None else [words.only]:
            if time.monotonic() > until:
                break
            what, seen = case(words.seed, number, sound)
            ended[seen.ended] += 1
            memory = max(memory, seen.memory_mib)
            if words.cases is None and number % 500 == 499:
                print(f"{number + 1:,} cases, {wrong} wrong, at most {memory} MiB", flush=True)
            if seen.wrong or words.only is not None:
                wrong += bool(seen.wrong)
                print(f"case {number} of seed {words.seed}: {what}\n  {seen.wrong or seen}", flush=True)
        changed = before != {path.name: path.read_bytes() for path in sound.iterdir()}
    print(f"{sum(ended.values()):,} cases of seed {words.seed}: {dict(ended)}, at most {memory} MiB, {wrong} wrong")
    if changed:
        print("a file of the sound folder was written through a hard link")
    return int(bool(wrong) or changed)


if __name__ == "__main__":
    sys.exit(main())
