"""A forked process lets its sessions be, whose threads are in its parent, and ends."""

from __future__ import annotations

import os

import pytest

from processes import run_python

FORKED = """
import os, sys
from mdhr_sdk import AUDetector

how, detector = sys.argv[1], AUDetector.from_pretrained("edge", threads=2)
child = os.fork()
if not child:
    if how == "close":
        detector.close()
        detector.close()
    elif how == "del":
        del detector
    elif how == "session":
        detector._opened["clip"][0].close()
    elif how == "with":
        with detector:
            pass
    sys.exit(3)  # as an interpreter ends, which frees everything
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks there")
@pytest.mark.parametrize("how", ["close", "del", "session", "with", "exit"])
def test_a_fork_frees_no_session(how: str):
    done = run_python("-c", FORKED, how, timeout_s=60)
    assert (done.returncode, done.stdout.strip()) == (0, "3"), done.stderr
