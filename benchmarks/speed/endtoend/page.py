"""Write the measured part of docs/performance.md from `benchmarks/results/end_to_end.json`.

`python -m benchmarks.speed.endtoend.page`; with --check nothing is written, and exit code 1 says that the page is not
what the file gives.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
RESULTS, PAGE = ROOT / "benchmarks" / "results" / "end_to_end.json", ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "images" / "end_to_end.svg"
BEGIN, END = "<!-- begin: made by benchmarks/speed/endtoend/page.py -->", "<!-- end -->"
COLOURS = {"solutions": "#4c78a8", "tasks": "#f58518", "onnx": "#54a24b"}
BAR, GAP, LEFT, WIDTH = 16, 10, 190, 620
LEAST_STEPS = 20  # of fewer frames, most come at once at the end, there are no percentiles
PERCENTILES = ("p50", "p90", "p99", "p99.9")


def main(check: bool) -> int:
    """Write page and plot, or compare them; the exit code."""
    measured = json.loads(RESULTS.read_text(encoding="utf-8"))
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END, 1)[1]
    wanted = {PAGE: f"{before}{BEGIN}\n{section(measured)}\n{END}{after}", PLOT: plot(measured)}
    if check:
        return int(any(not path.is_file() or path.read_text(encoding="utf-8") != one for path, one in wanted.items()))
    for path, one in wanted.items():
        path.write_text(one, encoding="utf-8")
    return 0


def section(measured: dict[str, Any]) -> str:
    """The measured part of the page, in Markdown."""
    return "\n\n".join([_machine(measured), f"![Frames a second by engine and video](images/{PLOT.name})",
                        _speed(measured), _advice(measured), _profile(measured)])  # fmt: skip


def frame_times(row: dict[str, Any]) -> list[str]:
    """Milliseconds from one written frame to the next, a percentile each; '-' where too few were counted."""
    return [f"{row['frame_ms'][name]:.1f}" if row["steps"] >= LEAST_STEPS else "-" for name in PERCENTILES]


def share_told(row: dict[str, Any]) -> str:
    """The speed beside that of FaceMesh alone: the median over the turns, the least and the most; '-' without it."""
    share = row.get("share_of_facemesh_alone")
    return "-" if share is None else f"{share:.2f} ({row['least_share']:.2f} to {row['most_share']:.2f})"


def _machine(measured: dict[str, Any]) -> str:
    machine = measured["machine"]
    versions = ", ".join(f"{name} {machine['versions'][name]}" for name in ("onnxruntime", "openvino", "numpy")
                         if name in machine["versions"])  # fmt: skip
    warning = f" Warning: {machine['warning']}." if machine["warning"] else ""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}, {versions}; "
        f"{machine['date'][:10]}, load average {machine['load_average']:.1f} before the start.{warning}"
    )


def _speed(measured: dict[str, Any]) -> str:
    rows = [
        "| video | engine | overlay | frames | frames/s | of FaceMesh alone | CPU ms a frame | "
        "p50 / p90 / p99 / p99.9 ms | first result s | peak MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in measured["rows"]:
        peak = row["peak_mib"]
        times = " / ".join(frame_times(row))
        rows.append(
            f"| {row['scene']} | {row['engine']} | {'yes' if row['overlay'] else 'no'} | {row['frames']} | "
            f"{row['frames_per_s']:.0f} | "
            f"{share_told(row)} | {row['cpu_ms_a_frame']:.1f} | {times} | "
            f"{row['first_result_s']:.1f} | {'-' if peak is None else f'{peak:.0f}'} |"
        )
    alone = "; ".join(f"{scene}: {one['frames_per_s']:.0f}" for scene, one in measured["facemesh_alone"].items())
    return "\n".join(rows) + (f"\n\nFaceMesh alone on one core, frames/s: {alone}." if alone else "")


def _advice(measured: dict[str, Any]) -> str:
    """Three plain sentences: which engine, the overlay, more faces or pixels."""
    one = [row for row in measured["rows"] if row["scene"] == measured["rows"][0]["scene"]]
    plain = {row["engine"]: row["frames_per_s"] for row in one if not row["overlay"]}
    drawn = {row["engine"]: row["frames_per_s"] for row in one if row["overlay"]}
    best = max(plain, key=lambda engine: plain[engine])
    others = ", ".join(f"{engine} {rate:.0f}" for engine, rate in plain.items() if engine != best)
    slowest = min((row for row in measured["rows"] if row["engine"] == best), key=lambda row: row["frames_per_s"])
    return (
        f"- For one face in a small video take `{best}`: {plain[best]:.0f} frames/s"
        f"{f' ({others})' if others else ''}.\n"
        f"- Leave out the overlay (`--no-overlay`) where only tables are needed: {drawn[best]:.0f} frames/s with it, "
        f"{plain[best]:.0f} without.\n"
        f"- Faces and pixels cost: {slowest['scene']} with `{best}` gives {slowest['frames_per_s']:.0f} frames/s, so "
        "for many people or large pictures use `--max-faces`, `--region` or a smaller video."
    )


def _profile(measured: dict[str, Any]) -> str:
    profiles = measured["profiles"]
    names = list(dict.fromkeys(name for one in profiles.values() for name in one["steps_ms"]))
    rows = [f"| step | {' | '.join(profiles)} |", f"| --- |{' --- |' * len(profiles)}"]
    for name in names:
        cells = " | ".join(f"{one['steps_ms'].get(name, 0.0):.2f}" for one in profiles.values())
        rows.append(f"| {name} | {cells} |")
    sums = {engine: sum(one["steps_ms"].values()) for engine, one in profiles.items()}
    rows.append(f"| all of these | {' | '.join(f'{one:.2f}' for one in sums.values())} |")
    return (
        "The profile of a frame: milliseconds of processor time, one step after the other, one face in 640x360. Three "
        "threads share them: one decodes and compares scenes, one finds meshes, one does what follows.\n\n"
        + "\n".join(rows)
    )


def plot(measured: dict[str, Any]) -> str:
    """Bars of frames a second, as SVG."""
    rows = measured["rows"]
    most = max(row["frames_per_s"] for row in rows)
    height = GAP + (BAR + 4) * len(rows) + GAP * len({row["scene"] for row in rows})
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 90}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    y, scene = 0, ""
    for row in rows:
        if row["scene"] != scene:
            y, scene = y + GAP, row["scene"]
            lines.append(f'<text x="4" y="{y + 12}">{scene}</text>')
        length = max(1, round(WIDTH * row["frames_per_s"] / most))
        opacity = "0.6" if row["overlay"] else "1"
        colour = COLOURS.get(row["engine"], "#888888")
        lines.append(f'<rect x="{LEFT}" y="{y}" width="{length}" height="{BAR}" fill="{colour}" opacity="{opacity}"/>')
        told = f"{row['frames_per_s']:.0f} {row['engine']}{', overlay' if row['overlay'] else ''}"
        inside = length > WIDTH - 60
        x, anchor = (LEFT + length - 4, "end") if inside else (LEFT + length + 4, "start")
        lines.append(f'<text x="{x}" y="{y + 12}" text-anchor="{anchor}">{told}</text>')
        y += BAR + 4
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
