"""How tests start processes: interruptible from wherever the tests run, and never left behind."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from processes import alive, run_python, until

INTERRUPTED = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    print("ignored")
except KeyboardInterrupt:
    print("interrupted")
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1], "w").write(str(child.pid))
print("waits", flush=True)
time.sleep(600)
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and groups of POSIX")


def test_a_process_hears_sigint_where_the_tests_ignore_it() -> None:
    """As in `nohup make test &`."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = run_python("-c", INTERRUPTED)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr


def test_a_deadline_ends_the_process_and_its_children_and_says_what_was_said(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match=r"still running after 5 s: (.|\n)*waits"):
        run_python("-c", PARENT, tmp_path / "pid", timeout_s=5)
    child = int((tmp_path / "pid").read_text())
    until(lambda: not alive(child))
