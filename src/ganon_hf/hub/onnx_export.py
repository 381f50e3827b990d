"""The generator as an ONNX file for other runtimes, compared with PyTorch. Pre- and postprocessing of photos stay in this package."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.anonymizer import Anonymizer
from ..core.modeling_ganon import GanonConfig, GanonModel, RefinementNetwork
from ..core.options import AnonymizeOptions
from .card_pictures import SEEDS, read_portrait
from .model_card import OnnxFile

FILE = "onnx/model.onnx"
# The mesh generator needs grid sampling, part of ONNX from opset 16 on; opset 20 names its modes as torch's exporter does.
OPSET = 20
# Largest allowed difference to PyTorch, in the range [-1, 1]: an eighth of an 8-bit step.
TOLERANCE = 1e-3


class OnnxError(RuntimeError):
    """The generator could not be written as ONNX, or its images differ from PyTorch's; the message says what."""


class _Graph(GanonModel):
    """The generator in operations that can be exported.

    The only difference to its base is the refined part of the square: the base finds it with Python's integers, which would stand in the
    graph as constants.
    """

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(*inputs, return_dict=False)[0]  # type: ignore[arg-type, misc]

    def _refine(self, coarse: torch.Tensor, condition: torch.Tensor, appearance: torch.Tensor, grayscale: torch.Tensor) -> torch.Tensor:
        network: RefinementNetwork = self.refinement  # type: ignore[assignment]
        step = network.stride
        used = [(axis, _occupied_blocks(condition[:, 2].amax(dim=(0, 4 - axis)), step)) for axis in (2, 3)]

        def cut(picture: torch.Tensor) -> torch.Tensor:
            for axis, blocks in used:
                picture = _gather_blocks(picture, blocks, axis, step)
            return picture

        change = network(cut(coarse), cut(condition), appearance, grayscale)
        for axis, blocks in used:
            change = _scatter_blocks(change, blocks, axis, step)
        return coarse + change


def _occupied_blocks(line: torch.Tensor, step: int) -> torch.Tensor:
    """(S,) values -> (S / step,) which blocks lie between the first and the last positive value, with one to spare; all where none is."""
    count = line.shape[0] // step
    occupied = line.view(count, step).amax(dim=1) > 0
    places = torch.arange(count, device=line.device)
    first, last = torch.where(occupied, places, count).min(), torch.where(occupied, places, -1).max()
    return ((places >= first - 1) & (places <= last + 1)) | ~occupied.any()


def _gather_blocks(picture: torch.Tensor, blocks: torch.Tensor, axis: int, step: int) -> torch.Tensor:
    """The chosen blocks of an axis, one after the other."""
    chosen = blocks.nonzero()[:, 0]
    torch._check(chosen.shape[0] >= 1)
    torch._check(chosen.shape[0] <= blocks.shape[0])
    return picture.unflatten(axis, (blocks.shape[0], step)).index_select(axis, chosen).flatten(axis, axis + 1)


def _scatter_blocks(picture: torch.Tensor, blocks: torch.Tensor, axis: int, step: int) -> torch.Tensor:
    """The inverse of :func:`_gather_blocks`; zero elsewhere."""
    places = (blocks.long().cumsum(0) - 1).clamp(min=0)
    spread = picture.unflatten(axis, (picture.shape[axis] // step, step)).index_select(axis, places)
    shape = [1] * spread.ndim
    shape[axis] = -1
    return (spread * blocks.to(picture.dtype).view(shape)).flatten(axis, axis + 1)


def write_onnx(engine: Anonymizer, path: Path) -> OnnxFile:
    """Write the engine's generator and compare it with the engine.

    Args:
        path: new file; its folder is made.

    Raises:
        OnnxError: the packages are missing, the generator cannot be written, or the file draws something else.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401  for the comparison
        import onnxscript  # noqa: F401  torch's exporter needs it
    except ImportError as error:
        raise OnnxError(f"ONNX needs packages that are not installed: pip install 'ganon-hf[onnx]' ({error}).") from error
    inputs = real_inputs(engine)[0]
    graph = _Graph(engine.model.config).eval()
    graph.load_state_dict(engine.model.state_dict())
    path.parent.mkdir(parents=True, exist_ok=True)
    batch = torch.export.Dim("batch")
    with _silenced(), torch.no_grad():
        program: Any = torch.onnx.export(
            graph.float(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=["images"],
            dynamic_shapes=(tuple({0: batch} for _ in inputs),),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
        )
        model = program.model_proto
    _strip_metadata(model)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    shapes = {one.name: tuple(d.dim_param or d.dim_value for d in one.type.tensor_type.shape.dim) for one in model.graph.input}
    return OnnxFile(shapes, OPSET, compare(path, engine))


def compare(path: Path, engine: Anonymizer) -> float:
    """The largest difference between the file's pictures and the engine's generator, in [-1, 1], over real conditions.

    Raises:
        OnnxError: it is more than :data:`TOLERANCE`.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest = 0.0
    for inputs in real_inputs(engine):
        drawn = session.run(None, {name: value.numpy() for name, value in inputs.items()})[0]
        with torch.inference_mode():
            expected = engine.model(**{name: value.to(engine.model.device) for name, value in inputs.items()}).images
        largest = max(largest, float(np.abs(drawn - expected.float().cpu().numpy()).max()))
    if not largest <= TOLERANCE:
        raise OnnxError(f"the ONNX file draws something else than this package: {largest:.2g} apart in [-1, 1], allowed {TOLERANCE}.")
    return largest


def real_inputs(engine: Anonymizer) -> list[dict[str, torch.Tensor]]:
    """The generator's inputs for the sample photo: several people at once, then upright, tilted and with its own geometry one by one."""
    photo, names = read_portrait(), _inputs_of(engine.model.config)
    upright = AnonymizeOptions(seed=SEEDS[0], on_no_face="keep")
    people = [engine.plan(photo, replace(upright, seed=seed)).inputs for seed in SEEDS]
    tilted = engine.plan(photo.rotate(20), upright).inputs
    own = engine.plan(photo, replace(upright, geometry="original")).inputs
    singles = [faces[0] for faces in (*people, tilted, own) if faces]
    if len(singles) < 2:
        raise OnnxError("the generator has nothing to draw: no face of the sample photo can be replaced with these weights.")
    together = {name: torch.cat([face[name] for face in singles[: len(SEEDS)]]) for name in names}
    return [together, *({name: face[name] for name in names} for face in singles)]


def _inputs_of(config: GanonConfig) -> Sequence[str]:
    """In the order of ``GanonModel.forward``."""
    if config.conditioning == "landmarks":
        return ["pixel_values"]
    return ["pixel_values", "canonical_landmarks", "angles", "people", "shares", "mouths", "mouth_shares", "grayscale"]


def _strip_metadata(model: Any) -> None:
    """Remove the source lines that the exporter stores in every node: they hold local paths."""
    graph = model.graph
    parts = [model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer]
    parts += [*model.functions, *(node for function in model.functions for node in function.node)]
    for part in parts:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Silence the exporter, which prints its progress and warns about libraries that are not needed."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
