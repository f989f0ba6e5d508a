"""A file that is fetched once, from a server that lies in every way."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lying_server import CONTENT, WRONG, LyingServer, lying_server
from mdhr_sdk.cli.app import app
from mdhr_sdk.errors import ConfigError, FetchError
from mdhr_sdk.vision.faces import transfer
from mdhr_sdk.vision.faces.fetch import FACE_LANDMARKER, Asset, cache_folder, cached, fetch, take

SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[LyingServer]:
    with lying_server() as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MDHR_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(transfer, "PAUSE_S", 0.0)
    return tmp_path / "cache"


def asset(server: LyingServer, path: str) -> Asset:
    return Asset("model.task", server.url(path), len(CONTENT), SUM, "nobody's")


@pytest.mark.parametrize(
    ("path", "requests"),
    [("good", 1), ("moved", 2), ("cut", 3), ("ignores_range", 2), ("other_range", 3), ("busy_once", 2)],
)
def test_a_whole_file_comes_out(server, cache, caplog, path, requests):
    one = asset(server, path)
    assert cached(one) is None
    assert fetch(one).read_bytes() == CONTENT and fetch(one) == cached(one) == cache / "model.task"
    assert len(server.asked) == requests
    (said,) = caplog.messages
    assert "fetching model.task (0.1 MB, once) from http://127.0.0.1" in said
    assert [path.name for path in cache.iterdir() if path.suffix == ".part"] == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("shrinks", "ended after 1,000 of 150,000 bytes"),
        ("grows", "more than the 150,000 bytes"),
        ("wrong", "has SHA-256 .* and not "),
        ("loop", "302 .*infinite loop"),
        ("to_a_file", "file:///etc/hostname"),
        ("missing", "404 Not Found"),
        ("busy", "503 Service Unavailable"),
        ("silent", "timed out"),
        ("slow", "less than 1,000,000 bytes a second"),
    ],
)
def test_nothing_else_does(server, cache, monkeypatch, path, reason):
    monkeypatch.setattr(transfer, "TIMEOUT_S", 0.3 if path == "silent" else 20.0)
    monkeypatch.setattr(transfer, "FROM_S", 0.1 if path == "slow" else 60.0)
    monkeypatch.setattr(transfer, "LEAST_RATE", 1_000_000)
    told = rf"^model.task cannot be fetched from http.*{reason}.*mdhr fetch faces --from FILE$"
    with pytest.raises(FetchError, match=told):
        fetch(asset(server, path))
    assert not (cache / "model.task").exists()


@pytest.mark.parametrize(("path", "begun"), [("good", CONTENT[:60_000]), ("cut", CONTENT[:60_000])])
def test_what_an_earlier_call_brought_is_not_asked_for_again(server, cache, path, begun):
    one = asset(server, path)
    cache.mkdir()
    (cache / f".{SUM[:16]}.part").write_bytes(begun)
    assert fetch(one).read_bytes() == CONTENT
    assert server.asked[0] == (f"/{path}", "bytes=60000-")


@pytest.mark.parametrize("begun", [WRONG[::-1][:60_000], WRONG, CONTENT + b"more"])
@pytest.mark.parametrize("path", ["good", "no_such_range"])
def test_a_part_of_another_file_is_fetched_anew(server, cache, path, begun):
    one = asset(server, path)
    cache.mkdir()
    (cache / f".{SUM[:16]}.part").write_bytes(begun)
    assert fetch(one).read_bytes() == CONTENT
    assert server.asked[-1] == (f"/{path}", None)


def test_a_damaged_copy_is_fetched_anew_and_said_so(server, cache, caplog):
    cache.mkdir()
    (cache / "model.task").write_bytes(WRONG)
    assert fetch(asset(server, "good")).read_bytes() == CONTENT
    assert caplog.messages[0].endswith("the copy there is damaged")


def test_several_that_want_it_at_once_fetch_it_once(server, cache):
    one, got = asset(server, "good"), []
    threads = [threading.Thread(target=lambda: got.append(fetch(one).read_bytes())) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [CONTENT] * 6 and server.asked == [("/good", None)]


def test_the_environments_proxy_is_asked(server, cache, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url(""))
    elsewhere = Asset("model.task", "http://models.invalid/good", len(CONTENT), SUM, "nobody's")
    assert fetch(elsewhere).read_bytes() == CONTENT
    assert server.asked == [("http://models.invalid/good", None)]


def test_without_a_network_the_error_says_what_to_do(cache):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    closed = Asset("model.task", f"http://127.0.0.1:{port}/good", len(CONTENT), SUM, "nobody's")
    with pytest.raises(FetchError, match=r"Connection refused.*try again when the network is there, or download it"):
        fetch(closed)


def test_a_cache_that_cannot_be_written_is_told(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("MDHR_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(FetchError, match="cannot be written"):
        fetch(asset(server, "good"))
    monkeypatch.setenv("MDHR_CACHE", "relative")
    with pytest.raises(ConfigError, match="MDHR_CACHE must be an absolute path; got 'relative'"):
        cache_folder()


def test_a_file_that_was_downloaded_elsewhere_is_taken_if_it_is_the_one(server, cache, tmp_path):
    one = asset(server, "good")
    for name, content in (("right", CONTENT), ("wrong", WRONG)):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FetchError, match=rf"wrong' is not the model.task with SHA-256 {SUM}"):
        take(one, tmp_path / "wrong")
    assert take(one, tmp_path / "right") == cached(one) and server.asked == []


def test_the_command_refuses_another_file_and_tells_what_to_do_offline(cache, tmp_path, monkeypatch):
    (tmp_path / "junk.task").write_bytes(b"junk")
    wrong = CliRunner().invoke(app, ["fetch", "faces", "--from", str(tmp_path / "junk.task")])
    assert isinstance(wrong.exception, FetchError) and FACE_LANDMARKER.url in str(wrong.exception)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    command = [sys.executable, "-m", "mdhr_sdk", "fetch", "faces"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    said = done.stderr.splitlines()
    assert "fetching face_landmarker.task (3.8 MB, once) from https://storage.googleapis.com/" in said[0]
    assert said[1].startswith("error: face_landmarker.task cannot be fetched") and len(said) == 2


def test_a_link_in_the_place_of_a_part_is_not_followed(server, cache, tmp_path):
    one = asset(server, "good")
    cache.mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    (cache / f".{SUM[:16]}.part").symlink_to(tmp_path / "mine.txt")
    assert fetch(one).read_bytes() == CONTENT
    assert (tmp_path / "mine.txt").read_text() == "mine"
