"""The settings of `mdhr live`: from a file, from the command line, and what is refused."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mdhr_sdk.cli.parts.live.controls import Controls
from mdhr_sdk.cli.parts.live.settings import LiveSettings, live_settings, size_bytes
from mdhr_sdk.cli.parts.live.stopping import Stop
from mdhr_sdk.errors import ConfigError
from mdhr_sdk.outputs.live.recording import Keep
from mdhr_sdk.results import FrameResult, ModelInfo
from processes import ROOT

YAML = """
sources:
  door: rtsp://user:secret@camera/1
  yard: 0
jsonl: tcp://127.0.0.1:9000
record: picture
segment: 30s
keep: [7d, 20GB]
serve: 127.0.0.1:8000
give-up-after: 5m
"""


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "live.yaml"
    path.write_text(YAML)
    settings = live_settings(path, {"segment": "2h", "csv": True})
    assert settings.named_sources == [("door", "rtsp://user:secret@camera/1"), ("yard", "0")]
    assert settings.jsonl == ("tcp://127.0.0.1:9000",) and settings.csv and settings.record == "picture"
    assert settings.segment_s == 7200.0 and settings.kept == Keep(7 * 86400.0, 20 * 10**9)
    assert settings.served_at == ("127.0.0.1", 8000) and settings.give_up_after_s == 300.0
    assert settings.lookahead is None and settings.neutral_s is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("sorces: [0]", "unknown setting 'sorces'; did you mean 'sources'"),
        ("segment: soon", "segment expects a time"),
        ("segment: 0s", "segment expects a time"),
        ("keep: [7 days]", "an age with its unit"),
        ("keep: 7", "an age with its unit"),
        ("keep: 0GB", "an age with its unit"),
        ("keep: [7d, 8d]", "got '7d, 8d'"),
        ("segment: 0.01s", "at least 1s"),
        ("serve: 127.0.0.1", "PORT or HOST:PORT"),
        ("lookahead: -1", "lookahead"),
        ("record: video", "record must be one of"),
        ("region: left", "a region is"),
        ("person: tallest", "person must be"),
        ("out: ''", "line 1: out is given an empty text"),
        ('token: " "', "line 1: token is given an empty text"),
        ("sources: {'': 0}", "sources is given an empty text"),
        ("jsonl: [a.jsonl, '']", "jsonl is given an empty text"),
        ('out: "a\\0b"', "out holds a character of control"),
        ("min_quality: 2", "min_quality"),
        ("sources: {a/b: 0}", "a source's name"),
        ("sources: [door=0, Door=1]", "'door' comes twice"),
        ("csv: true\nsources:\n  a: 0\n  door: [0]", "line 4: sources.door must be"),
        ("csv: true\n\nlsl: maybe", "line 3: lsl must be yes or no; got 'maybe'"),
        ("csv:", "line 1: 'csv' has no value"),
        ("jsonl: yes", "line 1: 'jsonl' needs more than 'yes'"),
        ("max-faces: 1\nmax_faces: 2", "line 2: 'max_faces' stands there twice"),
        ("segment: 1:30m", "line 1: segment expects a time"),
        ("log_level: loud", "log_level"),
        ("- a", "must hold keys with values"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "live.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as error:
        live_settings(path, {})
    assert says in str(error.value) and "live.yaml" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("csv: no\nlsl: 'off'\nmeasures: \"Yes\"\nshow: on", {"measures": True, "show": True}),
        ("record: off\nkeep: no\nserve: none\ngive_up_after: never\nsmooth: ~", {}),
        ("sources: {on: 0, no: '1'}", {"sources": {"on": "0", "no": "1"}}),
        ("token: 012345678901234567\nmax_faces: 3\nsmooth: 1e0",
         {"token": "012345678901234567", "max_faces": 3, "smooth": 1.0}),
    ],
)  # fmt: skip
def test_words_mean_what_their_setting_expects(tmp_path: Path, content: str, expected: dict[str, object]) -> None:
    """YAML 1.1 takes 'on' for true, also as a source's name, and 012 for ten."""
    path = tmp_path / "live.yaml"
    path.write_text(content)
    assert live_settings(path, {}) == LiveSettings(**expected)


def test_one_source_needs_no_list(tmp_path: Path) -> None:
    path = tmp_path / "live.yaml"
    path.write_text("sources: door=rtsp://camera/1")
    assert live_settings(path, {}).named_sources == [("door", "rtsp://camera/1")]


def test_a_signal_that_comes_twice_at_once_hurries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of `timeout`, which signals a process and its group: the last results would be lost."""
    now = 100.0
    monkeypatch.setattr("mdhr_sdk.cli.parts.live.stopping.time.monotonic", lambda: now)
    stop = Stop()
    stop.ask("terminate")
    stop.ask("terminate")
    assert stop.asked == "terminate" and not stop.hurry
    now += 1.0
    stop.ask("interrupt")
    assert stop.asked == "terminate" and stop.hurry


def test_a_file_does_not_trust_code(tmp_path: Path) -> None:
    """It is passed on with the folder that it names, and would vouch for it."""
    path = tmp_path / "live.yaml"
    path.write_text("sources: [0]\ntrust-code: yes\n")
    with pytest.raises(ConfigError, match=r"line 2: code is trusted on the command line alone.*--trust-code"):
        live_settings(path, {})
    assert live_settings(None, {"sources": ("0",), "trust_code": True}).trust_code


def test_a_message_holds_no_password(tmp_path: Path) -> None:
    path = tmp_path / "live.yaml"
    path.write_text("sources: {door: ['rtsp://user:secret@camera/1']}")
    with pytest.raises(ConfigError) as error:
        live_settings(path, {})
    assert "secret" not in str(error.value) and "sources.door" in str(error.value)


def test_sizes() -> None:
    assert [size_bytes(one) for one in ("20GB", "1.5 GiB", "500mb", "7d", 7)] == [
        2 * 10**10,
        1610612736,
        5 * 10**8,
        None,
        None,
    ]


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(LiveSettings(token="secret"))


def test_the_examples_are_as_they_must_be() -> None:
    settings = live_settings(ROOT / "examples" / "live.yaml", {})
    assert [name for name, _ in settings.named_sources] == ["door", "yard"] and settings.record == "picture"
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(ROOT / "examples" / "mdhr-live.service")
    command = unit["Service"]["ExecStart"].split()
    assert command[1:3] == ["live", "--config"] and "-HUP" in unit["Service"]["ExecReload"]
    assert unit["Service"]["RestartPreventExitStatus"] == "2"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "mdhr-live.service").read_text()
    unit = tmp_path / "mdhr-live.service"
    unit.write_text(text.replace("/opt/mdhr/.venv/bin/mdhr", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "mdhr-live" not in done.stderr, done.stderr


def test_marks_that_wait_for_the_same_result_are_all_in_its_note() -> None:
    controls = Controls(lambda *_: None, ())
    for source, text in (("door", "a"), ("door", "b"), (None, "all"), ("yard", "c")):
        controls.mark(source, text)
    model = ModelInfo("demo", "bp4d", "resnet18", "torch", "cpu", True)
    notes = [
        controls.marked(FrameResult(one, 0, 0.0, (), model), ("door", "yard")).note for one in ("door", "yard") * 2
    ]
    assert notes == ["mark: a; mark: b; mark: all", "mark: c; mark: all", "", ""]
