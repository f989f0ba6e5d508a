"""Attacks on what vouches for a folder: signatures and their key, digests, copies, what is told and what is left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attacks_on_content import config, entry
from attacks_on_graphs import engine, reads_code
from attacks_on_paths import (
    Attack,
    copies,
    folder_class,
    in_turn,
    is_sparse,
    meanwhile,
    opens,
    rewrites,
    streams,
    updates,
    vouch,
)  # fmt: skip

MANIFEST, WEIGHTS = "manifest.json", "model.safetensors"


def with_key(prepare: Callable[[Path], object]) -> Callable[[Path], None]:
    """The user has exported something before, and so has a key."""

    def prepared(arena: Path) -> None:
        keys = arena / "keys"
        keys.mkdir(mode=0o700)
        key = keys / "signing.key"
        key.write_text("ab" * 32 + "\n")
        key.chmod(0o600)
        prepare(arena)

    return prepared


def with_odd_key(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """What lies in the key's place; and an engine that says it is signed."""

    def prepared(arena: Path) -> None:
        (arena / "keys").mkdir(mode=0o700)
        make(arena / "keys" / "signing.key")
        engine(arena)
        vouch(arena / "model", "clip.engine", signature="0" * 64)

    return prepared


def readable_key(path: Path) -> None:
    path.write_text("ab" * 32)
    path.chmod(0o644)


def linked_key(path: Path) -> None:
    (path.parents[1] / "home").mkdir(exist_ok=True)
    (path.parents[1] / "home" / "key").write_text("ab" * 32)
    path.symlink_to(path.parents[1] / "home" / "key")


def signed_by(key: bytes) -> Callable[[Path], None]:
    """An engine signed with a key that a careless reader would take: empty, or zeros."""

    def prepared(arena: Path) -> None:
        import hashlib
        import hmac

        engine(arena)
        digest = hashlib.sha256((arena / "model" / "clip.engine").read_bytes()).hexdigest()
        said = json.dumps(["mdhr_sdk: code in a model folder, 1", "clip.engine", digest, None, None])
        vouch(arena / "model", "clip.engine", signature=hmac.new(key, said.encode(), hashlib.sha256).hexdigest())

    return prepared


def replayed(arena: Path) -> None:
    """A signature of this machine's own, of another file."""
    engine(arena)
    (arena / "own").mkdir()
    shutil.copytree(arena / "model", arena / "own" / "model")
    before = dict(os.environ)
    os.environ["MDHR_CONFIG_DIR"] = str(arena / "keys")
    try:
        folder = folder_class().open(arena / "own" / "model")
        with folder.writing("clip.fp16.engine", {}) as path:
            path.write_bytes(b"engine")
        signature = folder.manifest["clip.fp16.engine"]["signature"]
    finally:
        os.environ.clear()
        os.environ.update(before)
    shutil.rmtree(arena / "own")
    vouch(arena / "model", "clip.engine", signature=signature)


def failure_on(footage: str) -> Callable[[Path], None]:
    return entry("clip.onnx", parity={"failure": "it differs", "on": footage})


def no_command(arena: Path) -> str:
    """What a person is told to type."""
    from mdhr_sdk.modelfolder.artefacts import no_artefact

    told = no_artefact(folder_class().open(arena / "model"), "clip.onnx", "export it") or ""
    import shlex

    words = shlex.split(told[told.index("mdhr verify") : told.rindex(")")], comments=True)
    assert len(words) == 5, f"a command within a command: {words}"
    return told


def many_lists(name: str) -> Callable[[Path], None]:
    """32 MB of empty lists, each of which takes 56 bytes."""

    def prepare(arena: Path) -> None:
        path = arena / "model" / name
        content = "[" + "[]," * 10_500_000 + "[]]"
        if name == MANIFEST:
            files = json.loads(path.read_text())["files"]
            inner = json.dumps({"files": files})[:-2]
            path.write_text(inner + ', "x.bin": {"a": ' + content + "}}}")
        else:
            path.write_text(content)
            vouch(arena / "model", name)

    return prepare


def reads_note(arena: Path) -> str:
    from mdhr_sdk.training.data.subjects import noted

    return str(noted(folder_class().open(arena / "model")))


def many_links(arena: Path) -> None:
    """900 names of one file of 64 MB."""
    folder = arena / "model"
    is_sparse("part.bin", 64 << 20)(arena)
    vouch(folder, "part.bin")
    files = json.loads((folder / MANIFEST).read_text())["files"]
    for index in range(900):
        (folder / f"part{index}.bin").symlink_to("part.bin")
        files[f"part{index}.bin"] = files["part.bin"]
    (folder / MANIFEST).write_text(json.dumps({"files": files}))


def digests(arena: Path) -> str:
    from mdhr_sdk.cli.models.digest import run_digest

    return run_digest(str(arena / "model"))


def many_holes(arena: Path) -> None:
    """900 files of 1.9 GB that take no place on the disk."""
    folder = arena / "model"
    files = json.loads((folder / MANIFEST).read_text())["files"]
    for index in range(900):
        is_sparse(f"part{index}.bin", 1900 << 20)(arena)
        files[f"part{index}.bin"] = {"sha256": "0" * 64, "bytes": 1900 << 20}
    import hashlib

    found = hashlib.sha256()
    for _ in range(1900):
        found.update(bytes(1 << 20))
    for index in range(900):
        files[f"part{index}.bin"]["sha256"] = found.hexdigest()
    (folder / MANIFEST).write_text(json.dumps({"files": files}))


def empty_look_alikes(arena: Path) -> None:
    (arena / "model" / ".mdhr-writing-abcdefgh" / ".mdhr-writing-abcdefgi").mkdir(parents=True)
    (arena / "model" / ".mdhr-results-abcdefgh").mkdir()
    (arena / "home" / "precious").mkdir()
    (arena / "model" / ".mdhr-writing-links000").symlink_to(arena / "home" / "precious")
    left = arena / "model" / ".mdhr-results-withlock"
    left.mkdir()
    (left / ".lock").symlink_to(arena / "home" / ".bashrc")
    (arena / "home" / ".bashrc").write_text("mine")
    (left / "thesis.txt").symlink_to(arena / "home" / ".bashrc")


def marked_look_alike(arena: Path) -> None:
    """One whose lock says what a writer's would, as if the number were guessed."""
    (arena / "home" / ".bashrc").write_text("mine")
    left = arena / "model" / ".mdhr-results-marked00"
    left.mkdir()
    (left / "clip_aus.csv").symlink_to(arena / "home" / ".bashrc")
    (left / "folder").symlink_to(arena / "home")
    state = left.lstat()
    (left / ".lock").write_text(f"mdhr_sdk {state.st_dev} {state.st_ino}\n")


def swapped(arena: Path) -> str:
    """The digest of a folder whose manifest somebody swaps while it is proved."""
    from mdhr_sdk.modelfolder.manifest import folder_digest

    path = arena / "model" / MANIFEST
    sound = json.loads(path.read_text())
    false = json.loads(json.dumps(sound))
    false["files"]["config.json"]["sha256"] = "0" * 64
    found = set()
    with meanwhile(in_turn(path, [json.dumps(one).encode() for one in (false, sound)])):
        for _ in range(60):
            with contextlib.suppress(Exception):
                found.add(digests(arena))
    assert folder_digest(false["files"]) not in found, "a digest of files that nobody has was printed as proved"
    return "never"


def pinned(arena: Path) -> str:
    """Opens by a digest, after which somebody takes a graph's failure out of the manifest."""
    folder = folder_class()
    digest = folder.open(arena / "model").digest
    opened = folder.open(arena / "model", digest)
    (arena / "model" / "config.json").write_text("{}")
    vouch(arena / "model", "config.json")
    copied = opened.copy(arena / "copied")
    return str(copied.config.clip_length)


SMALL: dict[str, Any] = {"model__input_size_px": 160, "preprocessing": {"size_px": 160}}
ATTACKS = (
    Attack("a signature of other letters", with_key(entry("clip.onnx", signature="\u00e9" * 64)), opens, refused=False),
    Attack(
        "an engine's signature of other letters",
        with_key(lambda a: (engine(a), vouch(a / "model", "clip.engine", signature="\u00e9"))), reads_code,
    ),
    Attack("a signature by an empty key", signed_by(b""), reads_code),
    Attack("a signature by a key of zeros", with_key(signed_by(bytes(32))), reads_code),
    Attack("a signature of another file, by this machine", replayed, reads_code),
    Attack("the key is for all to read", with_odd_key(readable_key), reads_code),
    Attack("the key is a link out", with_odd_key(linked_key), reads_code),
    Attack("the key is a pipe", with_odd_key(os.mkfifo), reads_code),
    Attack("the key is a folder; export", with_odd_key(Path.mkdir), rewrites, refused=False),
    Attack("the key is a pipe; export", with_odd_key(os.mkfifo), rewrites, refused=False),
    Attack(
        "the key has 1 TB",
        with_odd_key(lambda path: is_sparse("../keys/signing.key", 1 << 40)(path.parents[1])), reads_code,
    ),
    Attack("a command in a manifest's footage", failure_on("x.mp4; touch pwned #"), no_command, refused=False),
    Attack(
        "a command in a manifest's footage, quoted",
        failure_on("x.mp4' $(touch pwned) '"), no_command, refused=False,
    ),
    Attack("32 MB of lists in the manifest", many_lists(MANIFEST), opens),
    Attack("32 MB of lists in the note of subjects", many_lists("trained_on.json"), reads_note, torch=True),
    Attack("a difference of 10**400", entry("clip.onnx", parity={"max_score": 10**400}), opens, refused=False),
    Attack(
        "rings of 3 GB for each face",
        config(clip_length=1024, model__k=500, model__projection_width=8192, **SMALL),
        streams,
    ),
    Attack("60 GB of copies by links", many_links, copies),
    Attack("60 GB of links; digest", many_links, digests),
    Attack("1.7 TB of holes; digest", many_holes, digests),
    Attack("1.7 TB of holes; copy", many_holes, copies),
    Attack("empty look-alikes and links of a writer's; update", empty_look_alikes, updates, refused=False),
    Attack("a look-alike with the right mark; update", marked_look_alike, updates, refused=False),
    Attack("a manifest swapped while a digest is made", lambda arena: None, swapped, refused=False),
    Attack("a folder changed after it was pinned; copy", lambda arena: None, pinned),
)  # fmt: skip
