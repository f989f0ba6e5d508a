"""What of a folder is opened and run: anybody's data, this machine's code; and of a pinned one no other files."""

from __future__ import annotations

import json
import os
import re
import stat
import threading
from pathlib import Path

import pytest

from attacks_on_paths import vouch
from mdhr_sdk import AUDetector
from mdhr_sdk.aus import label_set
from mdhr_sdk.cli.models.digest import run_digest
from mdhr_sdk.errors import ConfigError, ModelFolderError
from mdhr_sdk.modelfolder import bundled, inside, signing
from mdhr_sdk.modelfolder.artefacts import no_artefact
from mdhr_sdk.modelfolder.config import FolderConfig, ModelConfig
from mdhr_sdk.modelfolder.folder import ModelFolder

CODE = "clip.torchscript.pt"


@pytest.fixture
def key_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(signing.VARIABLE, str(tmp_path / "keys"))
    return tmp_path / "keys"


@pytest.fixture
def folder(tmp_path: Path, key_folder: Path) -> ModelFolder:
    """With code that was made here, and a note."""
    made = ModelFolder.create(tmp_path / "model", FolderConfig(ModelConfig(label_set("disfa"))))
    for name, content in ((CODE, b"code"), ("note.json", b'{"a": 1}')):
        with made.writing(name, {"tool": "a test"}) as path:
            path.write_bytes(content)
    return made


def entries(folder: ModelFolder, **changes: object) -> None:
    """Change what the manifest says of the code."""
    manifest = folder.path / "manifest.json"
    files = json.loads(manifest.read_text())["files"]
    files[CODE] |= changes
    manifest.write_text(json.dumps({"files": files}))


def test_code_of_this_machine_is_read(folder: ModelFolder, tmp_path: Path) -> None:
    assert folder.untrusted(CODE) is None and folder.read(CODE) == b"code"
    assert folder.copy(tmp_path / "copy").read(CODE) == b"code", "where it lies does not matter"
    folder.note(CODE, folder.manifest[CODE]["sha256"], parity={"failure": ""})
    assert folder.read(CODE) == b"code", "nor what was found of it later"


def test_the_key_is_the_users_alone(folder: ModelFolder, key_folder: Path) -> None:
    key = key_folder / signing.KEY
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and stat.S_IMODE(key_folder.stat().st_mode) == 0o700
    assert re.fullmatch(r"[0-9a-f]{64}\n", key.read_text())
    assert key.read_text().strip() not in (folder.path / "manifest.json").read_text()
    key.chmod(0o644)
    with pytest.raises(ModelFolderError, match=r"must be yours alone to read; run: chmod 600"):
        folder.read(CODE)


@pytest.mark.parametrize("what", ["bytes", "name", "signature", "no signature", "no key", "another key"])
def test_code_of_anybody_else_is_not_read(folder: ModelFolder, key_folder: Path, what: str) -> None:
    name, key = CODE, key_folder / signing.KEY
    if what == "bytes":
        (folder.path / CODE).write_bytes(b"evil")
        vouch(folder.path, CODE)
    elif what == "name":
        name = "encoder.torchscript.pt"
        (folder.path / name).write_bytes(b"code")
        vouch(folder.path, name, **{fact: folder.manifest[CODE][fact] for fact in ("signature", "config_sha256")})
    elif what == "signature":
        entries(folder, signature="0" * 64)
    elif what == "no signature":
        entries(folder, signature="")
    elif what == "no key":
        key.unlink()
    else:
        key.write_text("0" * 64 + "\n")
    with pytest.raises(ModelFolderError, match=r"is code, and no signature .* trust='code' \(--trust-code\)"):
        folder.read(name)
    assert "is code" in str(no_artefact(folder, name, "mdhr export"))
    trusting = ModelFolder.open(folder.path, trust="code")
    assert trusting.read(name) in (b"code", b"evil") and no_artefact(trusting, name, "mdhr export") is None


def test_data_needs_no_trust(folder: ModelFolder, key_folder: Path) -> None:
    (key_folder / signing.KEY).unlink()
    assert folder.read_json("note.json") == {"a": 1} and "signature" not in folder.manifest["note.json"]
    names = ("config.json", "clip.onnx", "model.safetensors", "MODEL_CARD.md")
    assert not any(map(signing.is_code, names))
    names = (CODE, "clip.engine", "clip.rtx.engine", "tensorrt.timing-cache", "clip.pt2", "clip.so", "clip.onnx.exe")
    assert all(map(signing.is_code, names))
    with pytest.raises(ConfigError, match="trust must be 'code' or None"):
        ModelFolder.open(folder.path, trust="yes")  # type: ignore[arg-type]


def test_without_a_key_code_is_written_and_told(
    folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(signing.VARIABLE, str(tmp_path / "file"))
    with folder.writing(CODE, {}) as path:
        path.write_bytes(b"new")
    assert f"{CODE} is not signed, so that nothing will run it" in caplog.text
    assert "signature" not in folder.manifest[CODE] and folder.untrusted(CODE)


def test_one_key_for_all_who_begin_at_once(key_folder: Path) -> None:
    found: list[dict[str, object]] = []
    threads = [
        threading.Thread(target=lambda: found.append(signing.signed(CODE, {"sha256": "0" * 64}))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({str(one["signature"]) for one in found}) == 1 and len(found) == 8


def test_where_the_key_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(signing.VARIABLE)
    monkeypatch.delenv("APPDATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert signing.config_folder() == tmp_path / ".config" / "mdhr_sdk"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert signing.config_folder() == tmp_path / "xdg" / "mdhr_sdk"
    monkeypatch.setenv(signing.VARIABLE, "relative")
    with pytest.raises(ModelFolderError, match="must be an absolute path"):
        signing.config_folder()


def test_a_digest_pins_what_the_files_are(folder: ModelFolder) -> None:
    digest = run_digest(str(folder.path))
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest) and digest == folder.digest
    pinned = ModelFolder.open(folder.path, digest=digest)
    assert pinned.read_json("note.json") == {"a": 1}
    folder.note(CODE, folder.manifest[CODE]["sha256"], parity={"failure": ""})
    assert folder.digest == digest, "what was measured of a file is no part of it"
    with folder.writing("note.json", {}) as path:
        path.write_bytes(b'{"a": 2}')
    with pytest.raises(ModelFolderError, match="other bytes"):
        pinned.read("note.json")
    with pytest.raises(ModelFolderError, match=f"has the digest {folder.digest}, and {digest} was asked for"):
        ModelFolder.open(folder.path, digest=digest)
    with pytest.raises(ModelFolderError, match="has the digest"):
        AUDetector.from_pretrained(folder.path, digest=digest)
    for change in (lambda path: path.write_bytes(b"{}"), Path.unlink):
        change(folder.path / "note.json")
        with pytest.raises(ModelFolderError, match=r"note\.json' (has other bytes|is missing)"):
            run_digest(str(folder.path))


def test_a_link_is_followed_within_the_folder(folder: ModelFolder, tmp_path: Path) -> None:
    path, kept = folder.path / "note.json", folder.path / "kept" / "note"
    kept.parent.mkdir()
    path.rename(kept)
    path.symlink_to("kept/note")
    assert folder.read("note.json") == b'{"a": 1}'
    kept.rename(tmp_path / "out")
    kept.symlink_to(tmp_path / "out")
    with pytest.raises(ModelFolderError, match=r"note\.json' is a link that leads out of the folder"):
        folder.read("note.json")


def test_an_installer_may_make_the_package_of_links(
    folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.path / "note.json").rename(tmp_path / "cache")
    (folder.path / "note.json").symlink_to(tmp_path / "cache")
    monkeypatch.setattr(bundled, "ROOT", folder.path.parent)
    assert folder.read("note.json") == b'{"a": 1}'


def test_a_step_that_becomes_a_link_meanwhile_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "model" / "sub").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    for place in (tmp_path / "model" / "sub", tmp_path / "out"):
        (place / "file").write_text(place.name)
    assert os.read(inside._open(tmp_path / "model", ("sub", "file")), 10) == b"sub"
    (tmp_path / "model" / "sub").rename(tmp_path / "model" / "old")
    (tmp_path / "model" / "sub").symlink_to(tmp_path / "out")
    with pytest.raises(OSError, match=r"directory|links"):
        inside._open(tmp_path / "model", ("sub", "file"))
