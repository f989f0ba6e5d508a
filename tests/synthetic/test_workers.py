"""Workers of a data set end with the run."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from processes import alive, environment, started

INTERRUPTED = """
import os, sys
from pathlib import Path
(Path(os.environ["PIDS"]) / f"starting.{os.getpid()}").touch()  # workers begin with it too
from mdhr_sdk.synthetic.labelled import ClipOptions
from mdhr_sdk.synthetic.dataset import MakeOptions, make_dataset
from toy_mesher import SlowToyMesher
if __name__ == "__main__":
    kit, out = map(Path, sys.argv[1:])
    try:
        make_dataset(kit, out, MakeOptions(20, 1, 1, ClipOptions(4, 0.2, 64), 48, workers=2), make_mesher=SlowToyMesher)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("blow", "at_work"), [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGKILL, True)]
)  # fmt: skip
def test_workers_end_with_the_run_and_in_silence(
    blow: signal.Signals, at_work: bool, kit_file: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    words, deadline = [sys.executable, script, kit_file, tmp_path / "out"], time.monotonic() + 120
    with (
        (tmp_path / "errors").open("w") as errors,
        started(words, env=environment(PIDS=tmp_path), stderr=errors) as process,
    ):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while process.poll() is None and time.monotonic() < deadline:
            pids = children.read_text().split()  # two workers, and the one that multiprocessing keeps its semaphores by
            signs = tmp_path.glob("worker.*" if at_work else "starting.*")
            if len(pids) == 3 and len(list(signs)) == (2 if at_work else 3):
                break
            time.sleep(0.02)
        assert process.poll() is None and len(pids) == 3, (tmp_path / "errors").read_text()
        time.sleep(0.1)  # into what they import, or into a frame
        if blow == signal.SIGINT:
            os.killpg(process.pid, blow)  # as a terminal does
        else:
            process.kill()
        code = process.wait(timeout=120)
        while any(alive(int(pid)) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not any(alive(int(pid)) for pid in pids)
        assert code == (130 if blow == signal.SIGINT else -signal.SIGKILL)
        assert "Traceback" not in (tmp_path / "errors").read_text()
