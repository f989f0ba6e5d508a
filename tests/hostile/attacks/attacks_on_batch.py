"""Attacks by what a run over many files goes on with: records of runs before, lists, links in the folder of results."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attacks_on_paths import Attack, secret
from attacks_on_results import BASE, DEEP, SCRIPT, folder, sparse, written


def record(**changes: Any) -> Callable[[Path], None]:
    """A record that claims to be of the file that is asked for."""

    def prepare(arena: Path) -> None:
        place = written(arena)
        values = {"format": 1, "source": "clip.mp4", "fingerprint": "f", "key": "k", "files": {}, "frames": 3}
        values |= {"with_face": 3, "seconds": 1.0, **changes}
        (place / f"{BASE}_run.json").write_text(json.dumps(values))

    return prepare


def raw_record(content: bytes) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        (written(arena) / f"{BASE}_run.json").write_bytes(content)

    return prepare


def resumes(arena: Path) -> str:
    """What a second run makes of the record."""
    from mdhr_sdk.batch.places import destination
    from mdhr_sdk.batch.record import is_done

    found = is_done(destination(folder(arena)), BASE, "f", "k")
    return "done again" if found is None else f"{found.frames + 0} frames, {found.with_face + 0}, {found.seconds:.1f} s"


def puts(arena: Path) -> str:
    """A result of the run that comes next."""
    from mdhr_sdk.batch.places import destination

    place = destination(folder(arena))
    with place.staging() as own:  # type: ignore[attr-defined]
        (own / "x").write_text("result")
        place.put(own / "x", "P01/clip_aus.csv")
        (own / "x").write_text("result")
        place.put(own / "x", "clip_aus.csv")
    place.write("P02/clip_run.json", "{}")
    return "written"


def linked(name: str) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        secret(arena)
        (folder(arena) / name).parent.mkdir(parents=True, exist_ok=True)
        (folder(arena) / name).symlink_to(arena / "home" / (".bashrc" if "." in name else "."))

    return prepare


def listed(*lines: str) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        os.mkfifo(folder(arena) / "pipe.mp4")
        (folder(arena) / "list.txt").write_text("\n".join(line.replace("ARENA", str(arena)) for line in lines))

    return prepare


def lists(arena: Path) -> str:
    from mdhr_sdk.batch.listing import jobs_of_list, read_list
    from mdhr_sdk.vision import Scope

    jobs = jobs_of_list(read_list(str(folder(arena) / "list.txt")), Scope())
    bases = [Path(job.base) for job in jobs]
    assert not any(".." in base.parts or base.is_absolute() for base in bases), bases
    return str([job.base for job in jobs])


ATTACKS = (
    Attack("resume: frames of another kind", record(frames=[1]), resumes, refused=False),
    Attack("resume: seconds that are markup", record(seconds=SCRIPT), resumes, refused=False),
    Attack("resume: a record nested too deep", raw_record(DEEP.encode()), resumes, refused=False),
    Attack("resume: a record of 1 TB", sparse(f"{BASE}_run.json", 1 << 40), resumes, refused=False),
    Attack("resume: a folder of results is a link", linked("P01"), puts),
    Attack("resume: a folder of records is a link", linked("P02"), puts),
    Attack("resume: a result is a link", linked("clip_aus.csv"), puts, refused=False),
    Attack("a list with zero bytes", listed("a\0b.mp4", "ARENA/copied/\0"), lists, refused=False),
    Attack("a list of devices", listed("/dev/zero", "ARENA/copied/pipe.mp4", "/dev/stdin"), lists, refused=False),
    Attack("a list of paths above", listed("../../x.mp4", "/etc/../etc/passwd", "~/../x.mp4"), lists, refused=False),
    Attack("a list of 1 TB", sparse("list.txt", 1 << 40), lists),
)  # fmt: skip
