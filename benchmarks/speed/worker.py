"""One candidate in a process of its own: `python worker.py REQUEST`, then a JSON line in, a JSON line out.

The request names a job of `JOBS`. Each answers once; 'session' and 'matmul' then run a turn of at least `seconds` for
every line. The end of standard input ends the process.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mdhr_sdk.errors import MDHRError, require
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import Session, SessionOptions, open_session, open_streams
from mdhr_sdk.runtime.backends.torch_module import TorchModuleSession

WARM_UP_RUNS = 3  # TorchScript optimises during the second run
MATMUL_SIZE = {"cpu": 2048, "cuda": 8192}
Answer = dict[str, Any]
Run = Callable[[], Any]


def rss_mib(field: str) -> float | None:
    """'VmRSS', what the process holds, or 'VmHWM', the most it held; None where the kernel does not say.

    Not getrusage: its maximum starts with what the parent held when it made this process.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{field}:")), None)


def _options(request: Answer) -> SessionOptions:
    return SessionOptions(request["device"], request["threads"], request["precision"])


def _inputs(request: Answer) -> dict[str, Any]:
    with np.load(request["inputs"]) as arrays:
        return dict(arrays)


def _open(request: Answer, graph: str) -> Session | TorchModuleSession:
    folder = ModelFolder.open(request["folder"])
    if request["backend"] == "released":
        from benchmarks.speed.released import released_session

        return released_session(folder, graph, _options(request))
    return open_session(folder, request["backend"], _options(request), graph)[0]


def session(request: Answer) -> tuple[Answer, Run]:
    """Load a graph and warm it up; answers with its scores, where it gives some."""
    session, inputs = _open(request, request["graph"]), _inputs(request)
    loaded = rss_mib("VmRSS")
    for _ in range(WARM_UP_RUNS):
        outputs = session.run(inputs)
    scores = outputs["scores"].tolist() if "scores" in outputs else None
    return {"device": session.device, "rss_loaded_mib": loaded, "scores": scores}, lambda: session.run(inputs)


def matmul(request: Answer) -> tuple[Answer, Run]:
    """A square fp32 product of the library that the backend's name ends in: 'matmul-numpy' or 'matmul-torch'."""
    kind = request["device"].partition(":")[0]
    size = MATMUL_SIZE[kind]
    a, b = np.random.default_rng(0).standard_normal((2, size, size), dtype=np.float32)
    run: Run = functools.partial(np.matmul, a, b)
    if request["backend"] == "matmul-torch":
        torch = require("torch", "torch")
        torch.set_num_threads(request["threads"])
        x, y = (torch.from_numpy(array).to(request["device"]) for array in (a, b))

        def run() -> None:
            torch.matmul(x, y)
            if kind == "cuda":
                torch.cuda.synchronize(request["device"])

    for _ in range(WARM_UP_RUNS):
        run()
    return {"size": size}, run


def stream(request: Answer) -> tuple[Answer, Run]:
    """Streaming: a run takes the next frame of every face, from the moment on when scores come out."""
    from mdhr_sdk.runtime.stream.scorer import StreamScorer

    graphs = open_streams(ModelFolder.open(request["folder"]), request["backend"], _options(request))
    scorer, frames = StreamScorer(graphs, request["lookahead"]), _inputs(request)["frames"]
    turns = itertools.cycle(range(len(frames)))

    def run() -> None:
        frame = frames[next(turns)]
        scorer.push(dict.fromkeys(range(request["faces"]), frame))

    for _ in range(WARM_UP_RUNS + graphs.config.clip_length):
        run()
    return {"stream_bytes": scorer.stream_bytes, "place": scorer.place}, run


def features(request: Answer) -> tuple[Answer, None]:
    """Encode the clips with the candidate's own encoder, whose maps only its own head understands; write them."""
    encoder, clip = _open(request, "encoder"), _inputs(request)["clip"]
    frames = [encoder.run({"frames": np.ascontiguousarray(clip[:, t])}) for t in range(clip.shape[1])]
    np.savez(request["out"], **{name: np.stack([f[name] for f in frames], axis=1) for name in frames[0]})
    return {}, None


def check(request: Answer) -> tuple[Answer, None]:
    """How far the baseline is from the model."""
    from benchmarks.speed.released import released_difference

    folder = ModelFolder.open(request["folder"])
    return {"difference": released_difference(folder, request["graph"], _options(request), _inputs(request))}, None


JOBS: dict[str, Callable[[Answer], tuple[Answer, Run | None]]] = {
    "session": session,
    "stream": stream,
    "matmul": matmul,
    "features": features,
    "check": check,
}


def turn(run: Run, seconds: float) -> list[float]:
    """Run at least once and until `seconds` are over; milliseconds of each run."""
    times_ms: list[float] = []
    while not times_ms or sum(times_ms) < seconds * 1e3:
        start = time.perf_counter()
        run()
        times_ms.append((time.perf_counter() - start) * 1e3)
    return times_ms


def main() -> None:
    """Answer on a copy of standard output; what libraries print goes to standard error."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)

        def answer(content: Answer) -> None:
            print(json.dumps(content), file=out, flush=True)

        request = json.loads(sys.argv[1])
        try:
            ready, run = JOBS[request["job"]](request)
            answer(ready)
            for line in sys.stdin:
                if run is None:
                    break
                times_ms = turn(run, json.loads(line)["seconds"])
                answer({"latencies_ms": times_ms, "rss_peak_mib": rss_mib("VmHWM")})
        except MDHRError as error:
            answer({"error": " ".join(str(error).split())})


if __name__ == "__main__":
    main()
