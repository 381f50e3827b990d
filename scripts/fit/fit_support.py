"""What the scripts share: arguments, files of weights, and one way to run a command."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file

from ganon_hf.core.modeling_ganon import GanonConfig, LookClassifier, OccluderNetwork
from ganon_hf.core.opencv import cv2
from ganon_hf.training.look_classifier import LookTrainingOptions
from ganon_hf.training.occluder_training import OccluderTrainingOptions

Network = TypeVar("Network", LookClassifier, OccluderNetwork)


def add_training_arguments(parser: argparse.ArgumentParser, defaults: type[LookTrainingOptions] | type[OccluderTrainingOptions]) -> None:
    """Where the weights go, from which ones training starts, and the options of it that have an argument."""
    parser.add_argument("--output", type=Path, required=True, help="file of the weights (.safetensors)")
    parser.add_argument("--start", type=Path, help="weights that are trained further")
    parser.add_argument("--channels", type=int, default=defaults.channels)
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--seed", type=int, default=defaults.seed)


def add_checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """A checkpoint, faces by which a part of it is fitted, and where its copy goes."""
    parser.add_argument("checkpoint", help="folder or Hub repository")
    parser.add_argument("shards", nargs="+", help="parquet files of prepared faces")
    parser.add_argument("--output-dir", type=Path, required=True, help="checkpoint folder")


def open_network(path: Path, kind: type[Network], width: str) -> Network:
    """Weights of a file -> network.

    Args:
        path: of the file.
        kind: class of the network.
        width: name of its width in the configuration; the weights say how wide it is.
    """
    weights = load_file(path)
    network = kind(GanonConfig(**{width: len(weights["stem.bias"])})).eval()  # type: ignore[arg-type]  # widths are numbers
    network.load_state_dict(weights)
    return network


def run_command(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> None:
    """Run the command that the arguments name, on one core: its ``run`` takes the arguments."""
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    arguments.run(arguments)
