"""OpenVINO and signals: sessions that come and go leave the process able to handle Ctrl-C."""

from __future__ import annotations

from pathlib import Path

import pytest

from processes import run_python

pytest.importorskip("openvino")

CODE = """
import signal, sys
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.runtime import SessionOptions, open_session

folder = ModelFolder.open(sys.argv[1])
sessions = [open_session(folder, "openvino", SessionOptions("cpu", 1), graph)[0] for graph in ("encoder", "head")]
for session in sessions:  # the first one first
    session.close()
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_signal_after_sessions_were_closed_in_their_order_is_handled(tiny_onnx_folder: Path) -> None:
    done = run_python("-c", CODE, tiny_onnx_folder)
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr
