"""What `mdhr export` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import require


def run_export(
    model: str | Path, kind: str, graphs: Sequence[str], precision: str, calibrate: str | None
) -> Iterator[str]:
    """Export, and say of each file as soon as it is kept how large it is and how it compares with the weights."""
    for module in ("torch", "timm", "safetensors"):
        require(module, "export")
    from ..deploy import export_each

    for path, report in export_each(model, kind, graphs, precision, calibrate):
        yield f"{path}: {path.stat().st_size / 1e6:.1f} MB; {report}"
