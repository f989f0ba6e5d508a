"""Builds TensorRT engines from a model folder, on the device that is to run them.

python export/build_engine.py                                   an untrained ResNet-50, made if it is not there
python export/build_engine.py models/mine --graph encoder --graph head --precision fp16
python export/build_engine.py models/mine --toolchain rtx       for RTX GPUs, on any machine
"""

from __future__ import annotations

from typing import Annotated

import typer

from mdhr_sdk.cli.app import run_app
from mdhr_sdk.cli.parts.engine_building import DEFAULT_MODEL, run_build
from mdhr_sdk.cli.parts.options import MODEL
from mdhr_sdk.deploy import EngineOptions
from mdhr_sdk.modelfolder.artefacts import GRAPHS

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})
OWN = EngineOptions()


@app.command()
def build(
    model: Annotated[str, typer.Argument(help=MODEL)] = str(DEFAULT_MODEL),
    graph: Annotated[list[str], typer.Option(help=f"{', '.join(GRAPHS)}; may be given again.")] = [OWN.graph],
    precision: Annotated[str, typer.Option(help="fp32, fp16 or int8: which ONNX graph to build from.")] = OWN.precision,
    toolchain: Annotated[str, typer.Option(help="tensorrt, or rtx (TensorRT-RTX; needs no GPU).")] = OWN.toolchain,
    batch_min: Annotated[int, typer.Option(help="Smallest batch; all three the same: one CUDA graph.")] = OWN.batch_min,
    batch_opt: Annotated[int, typer.Option(help="Batch that the engine is tuned for.")] = OWN.batch_opt,
    batch_max: Annotated[int, typer.Option(help="Largest batch; more runs in parts.")] = OWN.batch_max,
    workspace_mib: Annotated[
        int | None, typer.Option(help="Most scratch memory of a layer, in MiB; half of what is free if not given.")
    ] = None,
    compute_capability: Annotated[
        list[str], typer.Option(help="Of rtx: such as 8.6; may be given again. Desktop ones from 8.0 on if not given.")
    ] = [],
    optimization_level: Annotated[int, typer.Option(help="0 (built fast) to 5 (runs fast).")] = OWN.optimization_level,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be built, and build nothing.")] = False,
) -> None:
    """Build TensorRT engines into a model folder.

    Built again only when the graph, the TensorRT, the device or an option changed. An engine that can run here is
    kept only if it answers like the weights. The report of its layers lies beside it.
    """
    options = [
        EngineOptions(
            one,
            precision,
            batch_min,
            batch_opt,
            batch_max,
            toolchain,
            workspace_mib,
            tuple(compute_capability),
            optimization_level,
        )
        for one in dict.fromkeys(graph)
    ]
    run_build(model, options, dry_run)


if __name__ == "__main__":
    run_app(app)
