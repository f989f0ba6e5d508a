"""Exported graphs: what they are called, which precisions they have, and why one may not be used."""

from __future__ import annotations

import shlex

from .entries import failed_on
from .folder import ModelFolder

# fp16 and int8 live in the graph that was exported; bf16 is how a CPU that has it computes an fp32 graph.
PRECISIONS = ("fp32", "fp16", "bf16", "int8")
GRAPHS = ("clip", "encoder", "head", "relations", "temporal", "clip_u8", "encoder_u8")
HEADS = ("head", "relations", "temporal")  # small parts: they have no int8 form, and stay in fp32 beside an encoder's


def artefact(graph: str, precision: str, suffix: str) -> str:
    """File name of an exported graph: 'clip.onnx' in fp32 and bf16, else 'clip.fp16.onnx'."""
    return f"{graph}.{suffix}" if precision in ("fp32", "bf16") else f"{graph}.{precision}.{suffix}"


def parity_entry(backend: str, precision: str) -> str:
    """Where the manifest keeps how a file answers in a backend beside the one that its export was judged in."""
    return f"parity_in_{backend}_{precision}"


def no_artefact(folder: ModelFolder, name: str, remedy: str, entry: str = "parity") -> str | None:
    """Why an exported file cannot be used, with the command that makes it; None if it can.

    Args:
        entry: of the manifest, a comparison that counts beside 'parity'.
    """
    if folder.has(name) and name not in folder.manifest:
        return f"the manifest does not vouch for {name} ({remedy})"
    if not folder.has(name):
        return f"the folder has no {name} ({remedy})"
    if reason := folder.untrusted(name):
        return f"{reason} ({remedy})"
    for kept in ("parity", entry):
        if failure := (folder.manifest.get(name, {}).get(kept) or {}).get("failure"):
            return f"{name} does not answer like the weights: {failure} ({_again(folder, name, kept)})"
    return folder.stale(name)


def _again(folder: ModelFolder, name: str, kept: str) -> str:
    """What lifts a failure that the manifest keeps; people type it, and the footage is what the manifest says."""
    on = failed_on(folder.manifest[name][kept])
    return f"take another, or compare again: mdhr verify {folder.path}{f' --on {shlex.quote(on)}' if on else ''}"


def stream_entry(backend: str, precision: str) -> str:
    """Where the manifest keeps how streams of an encoder answer in a backend."""
    return f"streams_in_{backend}_{precision}"


def no_stream(folder: ModelFolder, encoder: str, backend: str, precision: str) -> str | None:
    """Why streams do not run on an exported encoder in a backend although each of their graphs does.

    None if they do, and where they were never compared there.
    """
    streams = folder.manifest.get(encoder, {}).get(stream_entry(backend, precision)) or {}
    for lookahead, report in streams.items():
        if failure := report.get("failure"):
            return (
                f"streams of {encoder} do not answer like the weights in {backend} {precision} at lookahead "
                f"{lookahead}: {failure} (export it again)"
            )
    return None


def export_command(folder: ModelFolder, kind: str, graph: str, precision: str) -> str:
    """What a person types to make an artefact."""
    if graph in HEADS and precision == "int8":
        return f"a {graph} graph has no int8 form; take it in fp32"
    first, path = (f"mdhr copy {folder.path.name} FOLDER, then ", "FOLDER") if folder.bundled else ("", folder.path)
    words = f"{first}mdhr export {path} --format {kind} --graph {graph}"
    if precision == "int8":
        return f"{words} --precision int8 --calibrate VIDEO_OR_FOLDER"
    return words if precision in ("fp32", "bf16") else f"{words} --precision {precision}"
