"""The record of a run: its folds, its settings, and the versions and machines it ran on."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import logging
import platform
from pathlib import Path
from typing import Any

import torch

from ... import __version__
from ...atomic import write_whole
from ...errors import InputError
from ...plain_json import read_json

RECORD = "record.json"
PACKAGES = ("torch", "timm", "pytorch-lightning", "numpy", "opencv-contrib-python")
log = logging.getLogger("mdhr_sdk")


def read_record(folder: Path) -> dict[str, Any]:
    """What a run was started with: at least 'folds', and 'settings', which is a digest."""
    try:
        record = read_json(folder / RECORD)
        return {**record, "folds": [int(fold) for fold in record["folds"]], "settings": str(record["settings"])}
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(
            f"'{folder / RECORD}' is not what mdhr train wrote ({error!r}); restore it, or judge folds by name: "
            "--fold 1 2 3"
        ) from None


def write_record(out: Path, record: dict[str, Any]) -> None:
    write_whole(out / RECORD, json.dumps(record, indent=2) + "\n", settled=True)


def note_surroundings(out: Path, record: dict[str, Any]) -> None:
    """Record the versions and the machine that a run goes on with, and warn if they have changed."""
    starts, now = list(record.get("starts", [])), surroundings()
    if starts and starts[-1] == now:
        return
    if starts:
        before = starts[-1]
        differing = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        changed = ", ".join(f"{key} {before.get(key)} -> {now.get(key)}" for key in differing)
        log.warning(f"'{out}' goes on with {changed}: its figures are of neither alone")
    write_record(out, {**record, "starts": [*starts, now]})


def surroundings() -> dict[str, str]:
    """Versions, machine and device, by name."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    own = {"mdhr_sdk": __version__, "python": platform.python_version(), "machine": platform.platform()}
    return {**own, "device": device, **_versions()}


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
