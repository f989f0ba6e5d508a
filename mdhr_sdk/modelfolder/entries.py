"""What `manifest.json` may say of a file: every fact that something reads has the kind that its readers rely on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..arguments import is_number

TEXTS = ("tool", "device", "source_sha256", "config_sha256", "onnx_sha256", "key", "signature")
OBJECTS = ("options", "versions", "target", "parity")  # and whatever begins with one of these:
FOUND = ("parity_in_", "streams_in_")
COUNTS = ("bytes", "layers")
TOLD = ("failure", "on")  # of a comparison
MOST_LETTERS = 10_000  # of what is told


def findings(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Later comparisons of a file. They are kept if it is exported again with the same bytes."""
    return {key: fact for key, fact in entry.items() if key.startswith(FOUND) or (key == "parity" and failed_on(fact))}


def failed_on(fact: Any) -> str | None:
    """The footage on which a comparison failed, or one of several under a key; None if none did."""
    reports = [fact, *fact.values()] if isinstance(fact, dict) else []
    failed = (one for one in reports if isinstance(one, dict) and one.get("failure"))
    return next((one["on"] for one in failed if one.get("on")), None)


def wrong(entry: Mapping[str, Any]) -> Iterator[str]:
    """What of an entry is not of the kind that its readers rely on."""
    yield from _wrong_values(entry)
    for key, value in entry.items():
        if key.startswith((*OBJECTS, *FOUND)) and not isinstance(value, dict | None):
            yield f"a '{key}' that is no object"
        elif key.startswith("parity"):
            yield from _wrong_report(value or {}, key)
        elif key.startswith("streams_in_"):
            yield from _wrong_streams(value or {}, key)
    options = entry.get("options") or {}
    if "graph" in options and not all(isinstance(options.get(key), str) for key in ("graph", "precision")):
        yield "'options' whose graph or precision is no text"
    yield from _wrong_target(entry.get("target") or {})


def _wrong_values(entry: Mapping[str, Any]) -> Iterator[str]:
    digest = entry.get("sha256", "0" * 64)
    if not isinstance(digest, str):
        yield "a 'sha256' that is no text"
    elif not re.fullmatch(r"[0-9a-f]{64}", digest):
        yield "a 'sha256' that is none"
    for key in TEXTS:
        if not _is_text(entry.get(key, "")):
            yield f"a '{key}' that is no text"
    for key in COUNTS:
        if not is_number(entry.get(key, 0)) or int(entry.get(key, 0)) != entry.get(key, 0) or entry.get(key, 0) < 0:
            yield f"a '{key}' that is no count"
    if not is_number(entry.get("build_s", 0)):
        yield "a 'build_s' that is no number"


def _wrong_report(report: Mapping[str, Any], key: str) -> Iterator[str]:
    worst = report.get("max_score")
    if not all(_is_text(report.get(told, "")) for told in TOLD) or not (worst is None or is_number(worst)):
        yield f"a '{key}' that is no comparison"


def _wrong_streams(reports: Mapping[str, Any], key: str) -> Iterator[str]:
    if not all(isinstance(one, dict) for one in reports.values()):
        yield f"a '{key}' that holds something else than objects"
        return
    for one in reports.values():
        yield from _wrong_report(one, key)


def _wrong_target(target: Mapping[str, Any]) -> Iterator[str]:
    capabilities = target.get("compute_capabilities") or []
    named = all(isinstance(target.get(key, ""), str) for key in ("toolchain", "version", "device", "system"))
    if not (named and isinstance(capabilities, list) and all(isinstance(one, str) for one in capabilities)):
        yield "a 'target' that is no machine"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MOST_LETTERS
