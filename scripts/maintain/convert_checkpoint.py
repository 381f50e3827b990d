"""Convert a checkpoint of GANonymization's authors into a folder that ``Anonymizer.from_pretrained`` and ``pipeline`` load.

    python scripts/maintain/convert_checkpoint.py publicModel_25.ckpt -o ganon-landmarks

The input is a PyTorch Lightning file (Hellmann et al., ACM TOMM 2024, doi 10.1145/3641107; code: hcmlab/GANonymization, MIT). It is read
without running any code in it, and only its ``generator.*`` tensors are used. The paper's network knows nothing of identities in shape: the
statistics for ``geometry="anonymous"`` come from another checkpoint, by default the one in the package.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ganon_hf.core.face_mesh import MEAN_LANDMARKS
from ganon_hf.core.image_processing_ganon import GanonImageProcessor
from ganon_hf.core.modeling_ganon import GanonConfig, GanonModel, LandmarkGenerator, ShapeStatistics
from ganon_hf.core.task import CHECKPOINT

PREFIX = "generator."
SIZES = ("num_shape_axes", "num_identity", "num_expression", "expression_width", "num_people")


class ConversionError(ValueError):
    """The checkpoint is not one of the published generator; the message says what is wrong with it."""


def read_generator(path: Path) -> dict[str, torch.Tensor]:
    """The ``generator.*`` tensors of a Lightning checkpoint, without the prefix, as float32.

    Raises:
        ConversionError: not such a file.
    """
    try:
        # mmap: the optimizers' states make up two thirds of the file and are never read
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise ConversionError(f"{path}: cannot be read as a checkpoint ({type(error).__name__}: {str(error).splitlines()[0]})") from error
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict):
        raise ConversionError(f"{path}: has no 'state_dict'; a checkpoint written by PyTorch Lightning is needed.")
    tensors = {name.removeprefix(PREFIX): value for name, value in state.items() if str(name).startswith(PREFIX)}
    if not tensors:
        raise ConversionError(
            f"{path}: no entry of its 'state_dict' starts with {PREFIX!r}; it has {', '.join(map(str, list(state)[:5]))}."
        )
    return {name: value.to(torch.float32) if isinstance(value, torch.Tensor) else value for name, value in tensors.items()}


def check_generator(tensors: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], path: Path) -> None:
    """Raise ConversionError unless names, shapes and values are those of a published generator."""
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} is not part of the published generator" for name in tensors if name not in expected]
    for name in expected.keys() & tensors.keys():
        value = tensors[name]
        if not isinstance(value, torch.Tensor) or value.shape != expected[name].shape:
            problems.append(f"{name} should be {tuple(expected[name].shape)}, but is {tuple(getattr(value, 'shape', ()))}")
        elif not torch.isfinite(value).all():
            problems.append(f"{name} holds values that are not finite")
    if problems:
        more = f", and {len(problems) - 6} more" if len(problems) > 6 else ""
        raise ConversionError(f"{path}: {'; '.join(sorted(problems)[:6])}{more}.")


def read_statistics(folder: Path) -> tuple[dict[str, int], dict[str, torch.Tensor]]:
    """Sizes and tensors of a checkpoint's shape statistics; without a checkpoint the mean shape alone: everybody gets the average face."""
    if not (folder / "model.safetensors").is_file():
        sizes = dict.fromkeys(SIZES, 1)
        empty = ShapeStatistics(GanonConfig(**sizes)).state_dict()
        return sizes, {name: torch.zeros_like(tensor) for name, tensor in empty.items()} | {
            "mean": torch.from_numpy(MEAN_LANDMARKS).float().flatten()
        }
    try:
        config = GanonConfig.from_pretrained(folder)
        with safe_open(folder / "model.safetensors", framework="pt") as file:
            names = ShapeStatistics(config).state_dict()
            return {name: getattr(config, name) for name in SIZES}, {name: file.get_tensor(f"geometry.{name}") for name in names}
    except (OSError, SafetensorError) as error:
        raise ConversionError(f"{folder}: no shape statistics can be read ({error})") from error


def convert(checkpoint: Path, output: Path, *, image_size: int = 512, statistics: Path = CHECKPOINT) -> None:
    """Write config, preprocessor config and safetensors.

    Args:
        checkpoint: Lightning file of the authors.
        output: folder, made where it is missing.
        image_size: side of the crops, a multiple of 256; the published networks were trained at 512.
        statistics: folder of a checkpoint whose shape statistics are copied.

    Raises:
        ConversionError: the file is no such checkpoint. ValueError: an impossible ``image_size``.
    """
    sizes, shapes = read_statistics(statistics)
    config = GanonConfig(conditioning="landmarks", image_size=image_size, **sizes)
    with torch.device("meta"):
        expected = LandmarkGenerator().state_dict()
    tensors = read_generator(checkpoint)
    check_generator(tensors, expected, checkpoint)
    model = GanonModel(config)
    parts = {"generator": tensors, "geometry": shapes}
    model.load_state_dict({f"{part}.{name}": tensor for part, values in parts.items() for name, tensor in values.items()}, strict=True)
    model.save_pretrained(output)
    GanonImageProcessor(conditioning="landmarks", image_size=image_size).save_pretrained(output)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkpoint", type=Path, help="Lightning .ckpt of the authors")
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--image-size", type=int, default=512, help="side of the crops, a multiple of 256 (default: 512, as trained)")
    parser.add_argument(
        "--statistics", type=Path, default=CHECKPOINT, help="folder whose shape statistics are copied (default: the package's)"
    )
    options = parser.parse_args(arguments)
    if not (options.statistics / "model.safetensors").is_file():
        print(f"{options.statistics} has no shape statistics: geometry='anonymous' will give everybody the average face.", file=sys.stderr)
    try:
        convert(options.checkpoint, options.out, image_size=options.image_size, statistics=options.statistics)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 3
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
