"""Folders made with malice, and what happens to who opens one: each in a process of its own, watched.

A process that is forked for one case has its own memory limit and an end in time. Around the model folder lies what it
must not touch: a home, a file that is worth something, the working directory. They are compared before and after.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PATIENCE_S = 240  # the longest takes 28 s on a quiet machine
MOST_MIB = 1024  # of memory that a case may take beyond what the process had
ROOM_MIB = 3072  # of its own memory: beyond it the process is told that there is no more
INSIDE = ("model", "copied", "keys")  # what may change


@dataclass(frozen=True)
class Seen:
    """What became of a case.

    Attributes:
        ended: 'done', 'refused', 'traceback', 'killed' or 'hang'.
        text: what was returned, or the error.
        touched: what differs outside the model folder.
        memory_mib: the most that the process took beyond what it began with.
    """

    ended: str
    text: str
    touched: tuple[str, ...]
    memory_mib: int
    seconds: float

    @property
    def wrong(self) -> str:
        """Why that may not happen; empty where it may."""
        if self.touched:
            return f"touched {', '.join(self.touched)}"
        if self.ended in ("traceback", "killed", "hang"):
            return f"{self.ended}: {self.text}"
        if self.memory_mib > MOST_MIB:
            return f"took {self.memory_mib} MiB"
        if not self.text.isprintable():
            return f"what it says is no plain line: {self.text!r}"
        return ""


def watched(arena: Path, act: Callable[[Path], object], patience_s: float = PATIENCE_S) -> Seen:
    """Call `act` on `arena` in a process of its own, with `arena / 'work'` as its working directory."""
    for name in ("home", "work"):
        (arena / name).mkdir(exist_ok=True)
    before = outside(arena)
    started = time.monotonic()
    inlet, outlet = os.pipe()
    child = os.fork()
    if not child:
        _as_child(arena, act, inlet, outlet)
    os.close(outlet)
    ended, text, memory = _heard(child, inlet, patience_s)
    after = outside(arena)
    touched = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return Seen(ended, text, tuple(touched), memory, round(time.monotonic() - started, 2))


def outside(arena: Path) -> dict[str, Any]:
    """Everything beside the model folder: kind, mode, size, time of change and content."""
    found: dict[str, Any] = {}
    for place, folders, files in os.walk(arena):
        if Path(place) == arena:
            folders[:] = [name for name in folders if name not in INSIDE]
        for name in (*folders, *files):
            path = Path(place, name)
            state = path.lstat()
            about: list[Any] = [state.st_mode, state.st_size if path.is_file() else 0]
            if path.is_symlink():
                about.append(str(path.readlink()))
            elif path.is_file():
                about += [state.st_mtime_ns, path.read_bytes() if state.st_size < 1 << 20 else b""]
            found[str(path.relative_to(arena))] = about
    return found


def _as_child(arena: Path, act: Callable[[Path], object], inlet: int, outlet: int) -> None:
    """Never returns."""
    os.close(inlet)
    os.chdir(arena / "work")
    home = str(arena / "home")
    os.environ.update(HOME=home, XDG_CONFIG_HOME=home, MDHR_CONFIG_DIR=str(arena / "keys"))
    before = _peak_mib()
    limit = (_own_mib() + ROOM_MIB) << 20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    try:
        ended, text = "done", str(act(arena))
    except BaseException as error:
        ours = any(kind.__name__ == "MDHRError" for kind in type(error).__mro__)
        place = traceback.extract_tb(error.__traceback__)[-1]
        at = "" if ours else f" in {Path(place.filename).name}:{place.lineno}"
        ended, text = "refused" if ours else "traceback", f"{type(error).__name__}: {error}{at}"
    message = json.dumps([ended, text[:2000], _peak_mib() - before]).encode()
    os.write(outlet, message[:60000])
    os._exit(0)


def _heard(child: int, inlet: int, patience_s: float) -> tuple[str, str, int]:
    """What the process says before it ends, or how it ended without a word."""
    import select

    heard = b""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        if select.select([inlet], [], [], max(0.0, until - time.monotonic()))[0]:
            if not (block := os.read(inlet, 1 << 16)):
                break
            heard += block
    else:
        os.kill(child, signal.SIGKILL)
    os.close(inlet)
    _, status = os.waitpid(child, 0)
    if heard:
        ended, text, memory = json.loads(heard)
        return ended, text, memory
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return "hang", f"no end after {patience_s:g} s", 0
    return "killed", f"status {status}", 0


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _own_mib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize() >> 20


def told(name: str, seen: Seen) -> str:
    """A line of JSON."""
    return json.dumps({"name": name, "wrong": seen.wrong, **asdict(seen)})


def warm() -> None:
    """Import once what every case needs, and PyTorch, which takes seconds."""
    import onnxruntime  # noqa: F401
    import timm  # noqa: F401
    import torch  # noqa: F401

    import mdhr_sdk.detector  # noqa: F401

    sys.stdout.flush()
