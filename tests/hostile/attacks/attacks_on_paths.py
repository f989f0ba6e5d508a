"""Attacks by what a model folder is made of: links, pipes, devices, names and sizes, and links beside it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECRET = "export TOKEN=s3cret"


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        prepare: makes it of an arena that holds a copy of a sound folder, 'model', and 'home'.
        act: what the victim does.
        refused: whether an error has to come; else the attack has to be without effect.
        torch: whether it needs PyTorch.
    """

    name: str
    prepare: Callable[[Path], object]
    act: Callable[[Path], object]
    refused: bool = True
    torch: bool = False
    given: bool = False


def folder_class() -> Any:
    try:
        from mdhr_sdk.modelfolder import ModelFolder
    except ImportError:  # of an earlier layout
        from mdhr_sdk.folder import ModelFolder  # type: ignore[import-not-found, no-redef]
    return ModelFolder


def opens(arena: Path, **options: Any) -> str:
    from mdhr_sdk import AUDetector

    with AUDetector.from_pretrained(arena / "model", threads=1, **options) as detector:
        return detector.choice


def streams(arena: Path) -> str:
    return opens(arena, mode="stream")


def updates(arena: Path) -> str:
    return str(folder_class().open(arena / "model").update(licence="mine").config.licence)


def rewrites(arena: Path) -> str:
    """Writes an artefact, as export does."""
    with folder_class().open(arena / "model").writing("clip.fp16.onnx", {}) as path:
        path.write_bytes(b"new")
    return "written"


def copies(arena: Path) -> str:
    made = folder_class().open(arena / "model").copy(arena / "copied")
    for path in made.path.iterdir():
        assert not path.is_symlink() and SECRET.encode() not in path.read_bytes(), f"{path.name} holds the secret"
    return str(sorted(path.name for path in made.path.iterdir()))


def says(*words: str) -> Callable[[Path], str]:
    """What a command prints."""

    def act(arena: Path) -> str:
        import runpy

        out = io.StringIO()
        sys.argv = ["mdhr", *(word.replace("ARENA", str(arena)) for word in words)]
        code: Any = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                runpy.run_module("mdhr_sdk", run_name="__main__")
            except SystemExit as error:
                code = error.code
        text = out.getvalue()
        wild = {letter for letter in text if not letter.isprintable() and letter != "\n"}
        assert not wild, f"{wild} reaches the terminal"
        assert "Traceback" not in text, text
        return f"exit {code}: {' '.join(text.split())}"

    return act


def secret(arena: Path) -> Path:
    path = arena / "home" / ".bashrc"
    path.write_text(SECRET)
    return path


def vouch(folder: Path, name: str, **facts: Any) -> None:
    """What whoever writes a file can do, too."""
    import hashlib

    manifest = folder / "manifest.json"
    files = json.loads(manifest.read_text())["files"]
    content = (folder / name).read_bytes()
    files[name] = {**files.get(name, {}), "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), **facts}
    manifest.write_text(json.dumps({"files": files}))


def links(name: str, made: bool = True) -> Callable[[Path], None]:
    """`name` of the folder is a link to the user's rc file."""

    def prepare(arena: Path) -> None:
        target = secret(arena) if made else arena / "home" / "new"
        (arena / "model" / name).unlink(missing_ok=True)
        (arena / "model" / name).symlink_to(target)

    return prepare


def moved_out(name: str) -> Callable[[Path], None]:
    """The right bytes, by a link that leaves the folder."""

    def prepare(arena: Path) -> None:
        (arena / "model" / name).rename(arena / "home" / name)
        (arena / "model" / name).symlink_to(arena / "home" / name)

    return prepare


def is_pipe(name: str) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        (arena / "model" / name).unlink(missing_ok=True)
        os.mkfifo(arena / "model" / name)

    return prepare


def is_folder(name: str) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        (arena / "model" / name).unlink(missing_ok=True)
        (arena / "model" / name).mkdir()
        (arena / "model" / name / "inside").write_text("x")

    return prepare


def is_link_to(name: str, target: str) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        (arena / "model" / name).unlink(missing_ok=True)
        (arena / "model" / name).symlink_to(target)

    return prepare


def is_socket(arena: Path) -> None:
    path = arena / "model" / "clip.onnx"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as one:
        before = Path.cwd()
        os.chdir(path.parent)
        one.bind(path.name)
        os.chdir(before)


def is_sparse(name: str, size: int) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        with (arena / "model" / name).open("wb") as file:
            file.truncate(size)

    return prepare


def hard_link(name: str) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        (arena / "model" / name).unlink(missing_ok=True)
        os.link(secret(arena), arena / "model" / name)

    return prepare


def names_in_manifest(*names: str) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        import hashlib

        secret(arena)
        manifest = arena / "model" / "manifest.json"
        files = json.loads(manifest.read_text())["files"]
        digest = hashlib.sha256(SECRET.encode()).hexdigest()
        files |= {name.replace("ARENA", str(arena)): {"sha256": digest, "bytes": len(SECRET)} for name in names}
        manifest.write_text(json.dumps({"files": files}))

    return prepare


def beside(name: str) -> Callable[[Path], None]:
    """A link beside a folder that is to be made, to a folder that holds something."""

    def prepare(arena: Path) -> None:
        (arena / "home" / "precious").mkdir()
        (arena / "home" / "precious" / "thesis.txt").write_text("years")
        (arena / "model" / name).symlink_to(arena / "home" / "precious")

    return prepare


def makes_within(arena: Path) -> str:
    """As `mdhr init FOLDER/m`."""
    from mdhr_sdk.model import build_mdhr, save_model

    size = {"input_size_px": 64, "projection_width": 8, "au_width": 8, "weight_width": 4}
    return str(save_model(build_mdhr("disfa", "test_resnet", **size), arena / "model" / "m").path.name)


def leads_nowhere(arena: Path) -> None:
    (arena / "copied").symlink_to(arena / "home" / "new")


def leftovers(arena: Path) -> None:
    """What looks like a killed writer's folder, with something in it that no writer made."""
    for name in (".mdhr-writing-abcdefgh", ".mdhr-results-abcdefgh"):
        left = arena / "model" / name
        left.mkdir()
        (left / ".lock").touch()
        (left / "thesis.txt").write_text("years")


def keeps_leftovers(arena: Path) -> str:
    updates(arena)
    for name in (".mdhr-writing-abcdefgh", ".mdhr-results-abcdefgh"):
        assert (arena / "model" / name / "thesis.txt").is_file(), f"{name} was deleted, or emptied"
    return "kept"


@contextlib.contextmanager
def meanwhile(change: Callable[[], object]) -> Iterator[None]:
    """Somebody does this over and over while the block runs."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            change()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def in_turn(path: Path, contents: Sequence[bytes]) -> Callable[[], None]:
    """Puts one content after the other into a file's place, each whole."""

    def change() -> None:
        for content in contents:
            spare = path.with_name("spare")
            spare.write_bytes(content)
            spare.rename(path)

    return change


def swaps(arena: Path) -> str:
    """Opens again and again while somebody swaps files for links to the user's own."""
    target, path = arena / "home" / ".bashrc", arena / "model" / "MODEL_CARD.md"
    kept = path.read_bytes()

    def swap() -> None:
        spare = path.with_name("spare")
        spare.symlink_to(target)
        spare.rename(path)
        in_turn(path, [kept])()

    with meanwhile(swap):
        for _ in range(30):
            shutil.rmtree(arena / "copied", ignore_errors=True)
            with contextlib.suppress(Exception):
                folder_class().open(arena / "model").copy(arena / "copied")
            card = arena / "copied" / "MODEL_CARD.md"
            assert not card.exists() or SECRET.encode() not in card.read_bytes(), "the card holds the secret"
    return "never"


def half_written(arena: Path) -> None:
    """A folder whose clip graph and manifest disagree, so that a reader looks for what a killed writer left."""
    (arena / "model" / ".lock").touch()
    (arena / "model" / "clip.onnx").write_bytes(b"other")
    os.mkfifo(arena / "model" / ".manifest.json.part")


def huge_part(arena: Path) -> None:
    (arena / "model" / ".lock").touch()
    (arena / "model" / "clip.onnx").write_bytes(b"other")
    is_sparse(".manifest.json.part", 1 << 40)(arena)


PART, TIB = ".manifest.json.part", 1 << 40
ATTACKS = (
    Attack("part of the manifest links to an rc file; update", links(PART), updates, refused=False, given=True),
    Attack("the same part leads to no file yet; update", links(PART, made=False), updates, refused=False, given=True),
    Attack("link m.part beside a new folder", beside(".m.part"), makes_within, refused=False, torch=True, given=True),
    Attack("the card is a link; copy", links("MODEL_CARD.md"), copies, given=True),
    Attack("the lock is a link; update", links(".lock"), updates, given=True),
    Attack("the lock leads to no file yet; update", links(".lock", made=False), updates, given=True),
    Attack("the lock is a hard link to an rc file; update", hard_link(".lock"), updates, refused=False),
    Attack("the lock is a pipe; update", is_pipe(".lock"), updates),
    Attack("the lock is a folder; update", is_folder(".lock"), updates),
    Attack("config.json is a link out", moved_out("config.json"), opens, given=True),
    Attack("manifest.json is a link out", moved_out("manifest.json"), opens),
    Attack("a graph is a link out", moved_out("clip.onnx"), opens),
    Attack("the weights are a link out; stream", moved_out("model.safetensors"), streams),
    Attack("config.json is a pipe", is_pipe("config.json"), opens, given=True),
    Attack("manifest.json is a pipe", is_pipe("manifest.json"), opens),
    Attack("a graph is a pipe", is_pipe("clip.onnx"), lambda arena: opens(arena, backend="onnxruntime")),
    Attack("the card is a pipe; copy", is_pipe("MODEL_CARD.md"), copies, refused=False),
    Attack("part of the manifest is a pipe, found in reading", half_written, opens),
    Attack("part of the manifest has 1 TB, found in reading", huge_part, opens),
    Attack("part of the manifest is a folder; update", is_folder(PART), updates),
    Attack("config.json is /dev/zero", is_link_to("config.json", "/dev/zero"), opens),
    Attack("manifest.json is /dev/urandom", is_link_to("manifest.json", "/dev/urandom"), opens),
    Attack("the card is /dev/zero; copy", is_link_to("MODEL_CARD.md", "/dev/zero"), copies),
    Attack("a graph is a socket", is_socket, lambda arena: opens(arena, backend="onnxruntime")),
    Attack("manifest.json is a folder", is_folder("manifest.json"), opens),
    Attack("config.json links to itself", is_link_to("config.json", "config.json"), opens),
    Attack("config.json of 1 TB", is_sparse("config.json", TIB), opens),
    Attack("manifest.json of 1 TB", is_sparse("manifest.json", TIB), opens),
    Attack("a graph of 1 TB", is_sparse("clip.onnx", TIB), opens),
    Attack("the card of 1 TB; copy", is_sparse("MODEL_CARD.md", TIB), copies),
    Attack("the card is a hard link; update", hard_link("MODEL_CARD.md"), updates, refused=False),
    Attack("a graph is replaced that is a hard link", hard_link("clip.fp16.onnx"), rewrites, refused=False),
    Attack("a graph is replaced that is a link", links("clip.fp16.onnx"), rewrites, refused=False),
    Attack("'..' in the manifest; copy", names_in_manifest("../home/.bashrc"), copies),
    Attack("an absolute name in the manifest; copy", names_in_manifest("ARENA/home/.bashrc"), copies),
    Attack("an escape in a manifest's name", names_in_manifest("\x1b[2J\x1b]0;owned\x07.onnx"), opens),
    Attack("names that differ in case only; copy", names_in_manifest("Clip.onnx"), copies),
    Attack("a look-alike name (Cyrillic c)", names_in_manifest("\u0441lip.onnx"), opens),
    Attack("what looks like a killed writer's; update", leftovers, keeps_leftovers, refused=False),
    Attack("the new folder's name is a link that leads nowhere; copy", leads_nowhere, copies),
    Attack("files swapped for links while it is copied", lambda arena: secret(arena), swaps, refused=False),
)
