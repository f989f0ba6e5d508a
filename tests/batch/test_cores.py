"""Cores of a worker's own: no two workers have one, and a worker that ends leaves its core."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no such call")
TAKES = """
import os, sys
from pathlib import Path
from mdhr_sdk.batch.crews.cores import take_cores
print(take_cores(int(sys.argv[2]), Path(sys.argv[1])), *sorted(os.sched_getaffinity(0)), flush=True)
sys.stdin.read()
"""


def taking(folder: Path, count: int) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", TAKES, str(folder), str(count)], text=True, **pipes)


def told(process: subprocess.Popen[str]) -> tuple[bool, list[int]]:
    assert process.stdout is not None
    took, *cores = process.stdout.readline().split()
    return took == "True", [int(core) for core in cores]


def test_workers_share_the_cores_and_one_too_many_may_use_all(tmp_path: Path) -> None:
    everything = sorted(os.sched_getaffinity(0))
    workers = [taking(tmp_path / "locks", 1) for _ in everything]
    try:
        taken = [told(one) for one in workers]
        assert all(took and len(cores) == 1 for took, cores in taken)
        assert sorted(cores[0] for _, cores in taken) == everything
        with taking(tmp_path / "locks", 1) as late:
            assert told(late) == (False, everything)
            late.kill()
        workers[0].kill()
        workers[0].wait()
        with taking(tmp_path / "locks", 1) as instead:
            assert told(instead) == taken[0]
            instead.kill()
    finally:
        for one in workers:
            one.kill()
            one.communicate()


def test_more_cores_than_there_are_and_a_folder_of_others_take_none(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    for folder, count in ((tmp_path / "locks", 10_000), (tmp_path / "link", 1)):
        with taking(folder, count) as one:
            assert told(one) == (False, sorted(os.sched_getaffinity(0)))
            one.kill()
    assert list((tmp_path / "elsewhere").iterdir()) == []
