"""The builder of TensorRT 10, 11 and TensorRT-RTX: one recipe, from ONNX bytes to engine bytes.

Networks are strongly typed: the precision of each layer stands in the ONNX graph, and the builder changes none. That
is the only way in TensorRT 11 and RTX, and the same in TensorRT 10.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

from ...errors import ExportError
from ...modelfolder.config import FolderConfig
from ...runtime.cuda.toolchains import last_error, trt_logger
from ...runtime.session import graph_specs
from .plan import EnginePlan, known_capabilities

log = logging.getLogger("mdhr_sdk.tensorrt")


@dataclass(frozen=True)
class BuiltEngine:
    """What the builder gave.

    Attributes:
        content: the serialised engine.
        layers: name, type, precision and output shapes of each layer, before TensorRT merged any.
        timing_cache: to be given to the next build; empty where the toolchain keeps none.
    """

    content: bytes
    layers: list[dict[str, Any]]
    timing_cache: bytes


def build_serialized(plan: EnginePlan, config: FolderConfig, onnx: bytes, timing_cache: bytes = b"") -> BuiltEngine:
    """Parse and build.

    Args:
        timing_cache: of an earlier build; one that TensorRT rejects is dropped with a warning.

    Raises:
        ExportError: the graph cannot be parsed or built; the message names the node, or TensorRT's own reason.
    """
    trt = plan.options.chain.load()
    logger = trt_logger(trt)
    logger.errors.clear()
    try:
        builder = trt.Builder(logger)
    except (RuntimeError, TypeError):
        raise ExportError(f"{plan.options.chain.title} cannot start: {last_error(logger, 'no reason given')}") from None
    network = _parse(trt, logger, builder, plan, onnx)
    _check_names(network, plan, config)
    settings = _configure(trt, builder, network, plan)
    cache = None if plan.options.chain.portable else _set_timing_cache(settings, timing_cache)
    content = builder.build_serialized_network(network, settings)
    if content is None:
        reason = last_error(logger, "no reason given")
        remedy = "; allow more with --workspace-mib, or a smaller --batch-max" if "OutOfMemory" in reason else ""
        raise ExportError(f"{plan.options.chain.title} cannot build {plan.name} from {plan.source}: {reason}{remedy}")
    return BuiltEngine(bytes(content), _layers(network), bytes(cache.serialize()) if cache is not None else b"")


def inspect_engine(trt: Any, content: bytes) -> list[Any] | None:
    """The layers of a built engine as TensorRT's inspector tells them; None if it cannot be loaded here."""
    runtime = trt.Runtime(trt_logger(trt))
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        return None
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    return list(json.loads(text)["Layers"])


def _parse(trt: Any, logger: Any, builder: Any, plan: EnginePlan, onnx: bytes) -> Any:
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        logger.errors.clear()
        told = "; ".join(map(_told, errors[:3])) + (f"; and {len(errors) - 3} more" if len(errors) > 3 else "")
        raise ExportError(f"{plan.options.chain.title} cannot read {plan.source}: {told or 'no reason given'}")
    return network


def _check_names(network: Any, plan: EnginePlan, config: FolderConfig) -> None:
    """The graph's own inputs and outputs, before minutes go into a build that no session would take."""
    inputs, outputs = graph_specs(config, plan.options.graph, config.clip_length)
    has_in = [network.get_input(index) for index in range(network.num_inputs)]
    has_out = [network.get_output(index) for index in range(network.num_outputs)]
    for kind, specs, tensors in (("inputs", inputs, has_in), ("outputs", outputs, has_out)):
        wanted = {spec.name: spec.shape[1:] for spec in specs}
        has = {tensor.name: tuple(tensor.shape)[1:] for tensor in tensors}
        if wanted != has:
            raise ExportError(f"{plan.source} must have the {kind} {wanted}; it has {has}; export it again")


def _configure(trt: Any, builder: Any, network: Any, plan: EnginePlan) -> Any:
    options, settings = plan.options, builder.create_builder_config()
    settings.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, plan.workspace_mib << 20)
    settings.builder_optimization_level = options.optimization_level
    settings.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for the inspector
    settings.clear_flag(trt.BuilderFlag.TF32)  # on by default; what the graph keeps in fp32 is to be fp32
    if options.chain.portable:
        known = known_capabilities(trt)
        settings.num_compute_capabilities = len(plan.target.compute_capabilities)
        for index, name in enumerate(plan.target.compute_capabilities):
            settings.set_compute_capability(known[name], index)
    profile = builder.create_optimization_profile()
    for tensor in (network.get_input(index) for index in range(network.num_inputs)):
        rest = tuple(tensor.shape)[1:]
        batches = (options.batch_min, options.batch_opt, options.batch_max)
        profile.set_shape(tensor.name, *((batch, *rest) for batch in batches))
    if settings.add_optimization_profile(profile) < 0:
        reason = last_error(builder.logger, "no reason given")
        raise ExportError(f"{options.chain.title} refuses the batches {batches} for {plan.source}: {reason}")
    return settings


def _set_timing_cache(settings: Any, content: bytes) -> Any:
    cache = settings.create_timing_cache(content)
    if cache is None or not settings.set_timing_cache(cache, False):
        log.warning("the timing cache is of another device or TensorRT, and starts anew")
        cache = settings.create_timing_cache(b"")
        settings.set_timing_cache(cache, False)
    return cache


def _layers(network: Any) -> list[dict[str, Any]]:
    found = []
    for layer in (network.get_layer(index) for index in range(network.num_layers)):
        outputs = [layer.get_output(index) for index in range(layer.num_outputs)]
        found.append(
            {
                "name": layer.name,
                "type": layer.type.name,
                "precision": [tensor.dtype.name for tensor in outputs],
                "output_shapes": [list(tensor.shape) for tensor in outputs],
            }
        )
    return found


def _told(error: Any) -> str:
    """A parser's error: the node, where it is one, and what is wrong with it."""
    node = f"{error.node_operator()} '{error.node_name()}': " if error.node_name() else ""
    return f"{node}{error.code().name}: {' '.join(error.desc().split())[:240]}"
