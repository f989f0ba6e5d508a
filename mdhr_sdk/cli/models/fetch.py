"""What `mdhr fetch` does: fetch what mdhr_sdk uses and does not bring, and check it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Optional

import typer

from ...vision.faces.fetch import FACE_LANDMARKER, cached, fetch, take
from ..parts.options import command_app, say

ASSETS = {"faces": FACE_LANDMARKER}
app = command_app()


@app.command("fetch")
def fetch_command(
    what: Annotated[Literal["faces"], typer.Argument(help="faces: MediaPipe's face_landmarker.task, 3.8 MB.")],
    file: Annotated[
        Optional[Path], typer.Option("--from", help="Take this file, downloaded elsewhere, and check it.")
    ] = None,
) -> None:
    """Fetch a file that mdhr_sdk uses and does not bring, once, into the cache (MDHR_CACHE).

    It is checked against the SHA-256 that mdhr_sdk knows. A transfer that breaks off goes on at the next call.
    """
    asset = ASSETS[what]
    before = cached(asset)
    path = take(asset, file) if file is not None else fetch(asset)
    state = "was there already" if before and file is None else "is there now"
    say(f"{path} {state}: {asset.size_bytes:,} bytes, SHA-256 {asset.sha256}; {asset.licence}")
