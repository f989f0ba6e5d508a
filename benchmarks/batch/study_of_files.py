"""A study of many short files by `mdhr detect --jobs`: killed and resumed, and how much faster workers are."""

from __future__ import annotations

import ctypes
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Optional

import av
import numpy as np
import typer

from benchmarks.machine import describe_machine
from benchmarks.report import Json, console, write_json
from mdhr_sdk import Scope
from mdhr_sdk.batch.listing import jobs_of_list
from mdhr_sdk.batch.outcome import Outcome
from mdhr_sdk.batch.totals import Totals
from mdhr_sdk.children import usable_cores
from mdhr_sdk.cli.app import run_app
from mdhr_sdk.errors import MDHRError
from mdhr_sdk.vision import list_sources

DEMO = Path(__file__).resolve().parents[2] / "mdhr_sdk" / "assets" / "demo.mp4"
BROKEN_EVERY = 20  # one file of so many

Few = Annotated[int, typer.Option(help="Files of the comparison of one worker and several; 0 to leave it out.")]
Frames = Annotated[int, typer.Option(help="Frames of each file.")]
Seed = Annotated[int, typer.Option(help="Random seed of what is killed.")]
Folder = Annotated[Optional[Path], typer.Option(help="Work there and keep everything.")]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@contextmanager
def workplace(folder: Path | None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Print what machine this is; gives `folder`, or one that is removed in the end, and what is to be written."""
    machine = describe_machine()
    console.print(machine.header())
    with tempfile.TemporaryDirectory() as scratch:
        yield folder or Path(scratch), {"machine": asdict(machine)}


def make_study(folder: Path, files: int, frames: int, broken: bool = True) -> int:
    """Short files of the bundled clip, each from another frame on, in ten folders; returns how many are broken."""
    with list_sources(DEMO)[0] as source:
        images = [frame.image for frame in source]
    bad = 0
    for number in range(files):
        path = folder / f"P{number % 10:02d}" / f"session{number:04d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        start = number * 7 % (len(images) - frames)
        write_clip(path, images[start : start + frames])
        if broken and number % BROKEN_EVERY == 3:
            path.write_bytes(path.read_bytes()[: 2000 + number])
            bad += 1
    return bad


def write_clip(path: Path, images: Sequence[np.ndarray]) -> None:
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        track.height, track.width = images[0].shape[:2]
        track.pix_fmt = "yuv420p"
        for image in images:
            container.mux(track.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(track.encode())


def command(study: Path, out: Path, *words: object) -> list[str]:
    call = [sys.executable, "-m", "mdhr_sdk", "detect", f"{study}/**/*.mp4", "--out", out, "--quiet", *words]
    return list(map(str, call))


@contextmanager
def started(call: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, all of which is killed at the end."""
    process = subprocess.Popen(call, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def timed(call: Sequence[str]) -> tuple[float, int]:
    """Seconds and exit code."""
    spent = spent_by(call)
    return spent.seconds, spent.code


class Spent(NamedTuple):
    """What a command took: seconds on the clock, and processor seconds of it and all processes that it started.

    Attributes:
        others_s: processor seconds of the rest of the machine meanwhile.
        idle_s: seconds that cores had nothing to do, summed.
    """

    seconds: float
    processor_s: float
    code: int
    others_s: float
    idle_s: float


def spent_by(call: Sequence[str]) -> Spent:
    adopt_orphans()
    before, machine = processor_s(), machine_s()
    began_s = time.perf_counter()
    done = subprocess.run(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    seconds, (busy_s, idle_s) = time.perf_counter() - began_s, machine_s()
    with suppress(ChildProcessError):
        while True:  # its fork server ends after it
            os.wait()
    used_s = processor_s() - before
    return Spent(seconds, used_s, done.returncode, max(0.0, busy_s - machine[0] - used_s), idle_s - machine[1])


def adopt_orphans() -> None:
    """From now on this process waits for what its children leave behind, and so counts it."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def processor_s() -> float:
    """Of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def machine_s() -> tuple[float, float]:
    """Seconds that all cores together were busy, and idle, since the machine was started."""
    user, nice, system, idle, waiting, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + sum(rest[:2])) / tick, (idle + waiting) / tick


def records(out: Path) -> int:
    return len(list(out.glob("P*/*_run.json")))


def killed_after(call: Sequence[str], out: Path, count: int) -> int:
    """Run until so many files are done, then kill the first process of all; returns how many are done."""
    with started(call) as process:
        while records(out) < count and process.poll() is None:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)  # its workers end by themselves
        process.wait()
        time.sleep(1.0)
    return records(out)


def with_a_killed_worker(call: Sequence[str], rng: random.Random) -> tuple[float, int, str]:
    """Run to the end, and kill one worker on the way; returns seconds, exit code and what was said of it."""
    began_s = time.perf_counter()
    with started(call) as process:
        time.sleep(6.0)
        if workers := children(process.pid):
            os.kill(rng.choice(workers), signal.SIGKILL)
        _, error = process.communicate()
        told = next((line for line in error.decode().splitlines() if "it is done again" in line), "")
        return time.perf_counter() - began_s, process.returncode, told


def children(pid: int) -> list[int]:
    """The worker processes of a process: those that multiprocessing spawned, or that its fork server became."""
    found: dict[int, list[tuple[int, bytes]]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            found.setdefault(parent, []).append((int(path.name), (path / "cmdline").read_bytes()))
        except (OSError, ValueError, IndexError):
            continue
    own = found.get(pid, [])
    forked = [one for server, line in own if b"forkserver" in line for one, _ in found.get(server, [])]
    return [one for one, line in own if b"spawn_main" in line] + forked


def tables(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.csv"))}


def leftovers(out: Path) -> list[str]:
    return [str(path) for path in out.rglob("*") if path.name.startswith(".") or ".incomplete" in path.name]


def study(folder: Path, files: int, frames: int, jobs: int, seed: int) -> dict[str, Any]:
    """Make the study, kill it twice, resume it, and compare its tables with those of a run that nobody disturbed."""
    rng = random.Random(seed)
    bad = make_study(folder / "study", files, frames)
    out, calm = folder / "out", folder / "calm"
    call = command(folder / "study", out, "--jobs", jobs, "--resume")
    done = [killed_after(call, out, round(files * share)) for share in (0.2, 0.5)]
    seconds, code, told = with_a_killed_worker(call, rng)
    summary = json.loads((out / "summary.json").read_text())
    again_s, again_code = timed(call)
    again = json.loads((out / "summary.json").read_text())
    calm_s, _ = timed(command(folder / "study", calm, "--jobs", jobs))
    report_s, report_code = timed(report_command(out, folder))
    pages = len(list((folder / "report").rglob("*.html")))
    return {
        "files": files, "broken": bad, "frames_each": frames, "jobs": jobs, "done_when_killed": done,
        "exit_code": code, "seconds_after": round(seconds, 1), "worker_killed": told,
        "counts": {name: summary[name] for name in ("done", "skipped", "failed", "not_read")},
        "again": {"seconds": round(again_s, 1), "exit_code": again_code, "skipped": again["skipped"]},
        "undisturbed_s": round(calm_s, 1), "tables_equal": tables(out) == tables(calm), "leftovers": leftovers(out),
        "report": {"seconds": round(report_s, 1), "exit_code": report_code, "pages": pages},
    }  # fmt: skip


def report_command(out: Path, folder: Path) -> list[str]:
    """`mdhr report` of a study's results into `folder / "report"`: a person a folder, and two conditions in turns."""
    sources = [row["source"] for row in json.loads((out / "summary.json").read_text())["sources"]]
    lines = [f"{name},{Path(name).parent.name},{'rest' if n % 2 else 'task'}\n" for n, name in enumerate(sources)]
    (folder / "about.csv").write_text("source,person,condition\n" + "".join(lines), encoding="utf-8")
    words = ["report", out, "--out", folder / "report", "--about", folder / "about.csv"]
    return [sys.executable, "-m", "mdhr_sdk", *map(str, words)]


def speed(folder: Path, files: int, frames: int, jobs: int, rounds: int) -> dict[str, Any]:
    """Seconds for the same files one after the other and by workers, in turns, start of Python and model included.

    One worker uses more than one core already. `at_most` is what any number of workers could gain over it if they did
    the same work and left no core idle for a moment: its seconds, over its processor seconds shared by all cores.
    """
    make_study(folder / "few", files, frames, broken=False)
    spent: dict[int, list[Spent]] = {1: [], jobs: []}
    made: dict[int, dict[str, bytes]] = {}
    for number in range(rounds):
        for count, runs in spent.items():
            out = folder / f"speed{count}-{number}"
            runs.append(spent_by(command(folder / "few", out, "--jobs", count)))
            made[count] = tables(out)
            if runs[-1].code or len(made[count]) != 2 * files:
                raise MDHRError(f"a run of {files} files ended with code {runs[-1].code}, {len(made[count])} tables")
            shutil.rmtree(out)
    clock = {count: float(np.median([run.seconds for run in runs])) for count, runs in spent.items()}
    work = {count: float(np.median([run.processor_s for run in runs])) for count, runs in spent.items()}
    return {
        "files": files,
        "one_after_the_other_s": [round(run.seconds, 2) for run in spent[1]],
        f"jobs_{jobs}_s": [round(run.seconds, 2) for run in spent[jobs]],
        "processor_s": {count: round(seconds, 1) for count, seconds in work.items()},
        "idle_s": {count: [round(run.idle_s, 1) for run in runs] for count, runs in spent.items()},
        "others_processor_s": {count: [round(run.others_s, 1) for run in runs] for count, runs in spent.items()},
        "times": round(clock[1] / clock[jobs], 2),
        "most_mib_of_a_process": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10,
        "at_most": round(clock[1] / (work[1] / usable_cores()), 2),
        "tables_equal": made[1] == made[jobs],
    }


def listed(folder: Path, files: int) -> dict[str, Any]:
    """Memory and time for what is kept of so many files: their jobs, and then the counts of their outcomes."""
    make_study(folder / "one", 1, 25, broken=False)
    (film,), names = (folder / "one").rglob("*.mp4"), list[str]()
    for number in range(files):
        link = folder / "links" / f"P{number % 100:02d}" / f"{number:05d}.mp4"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.hardlink_to(film)
        names.append(str(link))
    jobs_of_list(names[:1], Scope())
    memory, began_s = [rss_mib()], time.perf_counter()
    jobs = jobs_of_list(names, Scope())
    spent_s = time.perf_counter() - began_s
    memory.append(rss_mib())
    totals = Totals(len(jobs))
    for job in jobs:
        totals.add(job, Outcome(job.source, job.label, read=True))
    memory.append(rss_mib())
    return {
        "files": files, "mib_before": round(memory[0]), "mib_more_for_jobs": round(memory[1] - memory[0], 1),
        "mib_more_for_outcomes": round(memory[2] - memory[1], 1), "seconds_to_list": round(spent_s, 1),
    }  # fmt: skip


def rss_mib() -> float:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@app.command()
def main(
    files: Annotated[int, typer.Option(help="Files of the study; 0 to leave it out.")] = 200,
    frames: Frames = 40,
    few: Few = 40,
    jobs: Annotated[int, typer.Option(help="Workers.")] = 2,
    rounds: Annotated[int, typer.Option(help="Runs of each, for the speed.")] = 1,
    many: Annotated[int, typer.Option(help="Files that are only listed; 0 to leave it out.")] = 10_000,
    seed: Seed = 0,
    folder: Folder = None,
    json: Json = None,
) -> None:
    """Make a study, disturb it, and print what came of it."""
    with workplace(folder) as (place, found):
        if few:
            found["speed"] = speed(place, few, frames, jobs, rounds)
            console.print("speed:", found["speed"])
        if many:
            found["listed"] = listed(place, many)
            console.print("listed:", found["listed"])
        if files:
            found["study"] = study(place, files, frames, jobs, seed)
            for name, value in found["study"].items():
                console.print(f"  {name}: {value}")
    found["load_after"] = os.getloadavg()[0]
    write_json(json, found)


if __name__ == "__main__":
    run_app(app)
