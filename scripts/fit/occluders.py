"""Make training data for the occluder map (ganon_hf.training.occluder_samples), train its network, and check it.

    python scripts/fit/occluders.py faces FACES/synthetic-*.parquet FACES/train-*.parquet --output faces.npz
    python scripts/fit/occluders.py make faces.npz --output samples/ --count 20000
    python scripts/fit/occluders.py train samples/ --output occluders.safetensors
    python scripts/fit/occluders.py blend before.safetensors occluders.safetensors --share 0.6 --output blended.safetensors
    python scripts/fit/occluders.py install occluders.safetensors src/ganon_hf/checkpoint --output-dir OUT
    python scripts/fit/occluders.py check occluders.safetensors held-out/

Faces that wear spectacles or have something in front of them must not be among the bare ones. Of synthetic portraits scripts/fit/looks.csv
says so; of the others a network that was trained on the synthetic ones alone: ``faces ... --network first.safetensors``.
"""

from __future__ import annotations

import argparse
import csv
import logging
from pathlib import Path

import numpy as np
import torch
from fit_support import add_training_arguments, open_network, run_command
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.model_loading import load_model
from ganon_hf.core.modeling_ganon import GanonConfig, GanonModel, OccluderNetwork
from ganon_hf.core.occluders import OCCLUDER_NAMES
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.look_samples import set_of
from ganon_hf.training.occluder_faces import read_bare_faces
from ganon_hf.training.occluder_samples import BareFaces, Samples, make_samples
from ganon_hf.training.occluder_training import OccluderTrainingOptions, blend_networks, to_tensors, train_occluders

LABELS = Path(__file__).with_name("looks.csv")
WIDTH = "occluder_channels"  # of the network, in the configuration
PER_FACE = 4  # samples that are made of a face before the next one
SHARD = 512
# Every so many faces one is held out of training.
HELD_OUT = 12


def collect_faces(arguments: argparse.Namespace) -> None:
    """Find bare faces and write them."""
    with open(LABELS, newline="", encoding="utf-8") as file:
        labels = {(row["set"], int(row["row"])): row for row in csv.DictReader(file)}

    def is_wanted(place: tuple[str, int]) -> bool:
        label = labels.get(place)
        return label is not None and not any(label[name] == "1" for name in ("glasses", "covered", "object"))

    synthetic = [path for path in arguments.pictures if set_of(path) == "synthetic"]
    parts = [read_bare_faces(synthetic, YuNetDetector(), is_wanted)] if synthetic else []
    others = [path for path in arguments.pictures if path not in synthetic]
    if others and arguments.network is None:
        raise SystemExit(f"{others[0]} and others are no synthetic portraits: --network must say which of their faces are bare.")
    if others:
        sets = {name for name, _ in labels}  # of which the table names the usable pictures
        network = open_network(arguments.network, OccluderNetwork, WIDTH)
        parts.append(read_bare_faces(others, YuNetDetector(), lambda place: place in labels or place[0] not in sets, network))
    pictures, landmarks = (np.concatenate([getattr(part, name) for part in parts]) for name in ("pictures", "landmarks"))
    np.savez(arguments.output, pictures=pictures, landmarks=landmarks)
    logging.info("%d bare faces", len(pictures))


def open_faces(paths: list[Path], *, held_out: bool) -> BareFaces:
    """Files of :func:`collect_faces`, without the faces that are held out, or these alone."""
    parts = []
    for path in paths:
        with np.load(path) as file:
            parts.append((file["pictures"], file["landmarks"]))
    pictures, landmarks = (np.concatenate(values) for values in zip(*parts, strict=True))
    chosen = (np.arange(len(pictures)) % HELD_OUT == 0) == held_out
    return BareFaces(pictures[chosen], landmarks[chosen])


def make(arguments: argparse.Namespace) -> None:
    """Lay things over faces and write shards of samples."""
    faces, generator = open_faces(arguments.faces, held_out=arguments.held_out), np.random.default_rng([arguments.seed, arguments.held_out])
    arguments.output.mkdir(parents=True, exist_ok=True)
    order = iter(())
    for shard in tqdm(range(-(-arguments.count // SHARD)), unit="shard"):
        made = []
        for _ in range(SHARD // PER_FACE):
            number = next(order, None)
            if number is None:
                order = iter(generator.permutation(len(faces)))
                number = next(order)
            made.append(make_samples(faces, int(number), PER_FACE, generator))
        Samples.concatenate(made).save(arguments.output / f"samples-{arguments.seed}-{shard:05d}.npz")


def train(arguments: argparse.Namespace) -> None:
    """Train and write the weights, the averaged ones so far every 500 steps."""

    def load(generator: np.random.Generator) -> Samples:
        paths = sorted(arguments.samples.glob("samples-*.npz"))
        if not paths:
            raise ValueError(f"{arguments.samples} holds no samples-*.npz: run `make` first.")
        return Samples.concatenate([Samples.load(paths[place]) for place in generator.integers(0, len(paths), 4)])

    def save(network: OccluderNetwork, step: int) -> None:
        save_file(network.state_dict(), arguments.output)

    start = open_network(arguments.start, OccluderNetwork, WIDTH) if arguments.start else None
    options = OccluderTrainingOptions(channels=arguments.channels, steps=arguments.steps, seed=arguments.seed)
    save(train_occluders(load, options, start, save), options.steps)


def blend(arguments: argparse.Namespace) -> None:
    """Write weights between those before and after a training."""
    before, after = (open_network(path, OccluderNetwork, WIDTH) for path in (arguments.before, arguments.after))
    save_file(blend_networks(before, after, arguments.share).state_dict(), arguments.output)


def check(arguments: argparse.Namespace) -> None:
    """Print intersection over union by class of samples with known truth."""
    network, paths = open_network(arguments.network, OccluderNetwork, WIDTH), sorted(arguments.samples.glob("samples-*.npz"))
    both, either = np.zeros(len(OCCLUDER_NAMES)), np.zeros(len(OCCLUDER_NAMES))
    for path in paths:
        samples = Samples.load(path)
        for first in range(0, len(samples), 32):
            pictures, hulls, labels = to_tensors(samples, np.arange(first, min(first + 32, len(samples))))
            with torch.inference_mode():
                found = network(pictures, hulls).argmax(dim=1)
            known = labels < len(OCCLUDER_NAMES)
            for number in range(len(OCCLUDER_NAMES)):
                ours, theirs = (found == number) & known, labels == number
                both[number] += float((ours & theirs).sum())
                either[number] += float((ours | theirs).sum())
    for name, share in zip(OCCLUDER_NAMES, both / np.maximum(either, 1), strict=True):
        print(f"{name:12} {share:.3f}")


def install(arguments: argparse.Namespace) -> None:
    """Write a copy of a checkpoint with these weights."""
    weights, model = load_file(arguments.network), load_model(arguments.checkpoint)
    config = GanonConfig(**{**model.config.to_dict(), WIDTH: len(weights["stem.bias"])})
    copy = GanonModel(config).eval()
    kept = {name: value for name, value in model.state_dict().items() if not name.startswith("occluders.")}
    copy.load_state_dict(kept | {f"occluders.{name}": value for name, value in weights.items()})
    save_model(copy, arguments.output_dir)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    faces = commands.add_parser("faces", help="find bare faces in pictures")
    faces.add_argument("pictures", nargs="+", type=Path, help="parquet files with the column image")
    faces.add_argument("--network", type=Path, help="weights of a first network, by which faces of real people are chosen")
    faces.add_argument("--output", type=Path, required=True, help="file of the faces (.npz)")
    faces.set_defaults(run=collect_faces)
    making = commands.add_parser("make", help="lay things over faces")
    making.add_argument("faces", nargs="+", type=Path)
    making.add_argument("--output", type=Path, required=True, help="folder of the samples")
    making.add_argument("--count", type=int, default=20000)
    making.add_argument("--seed", type=int, default=0)
    making.add_argument("--held-out", action="store_true", help="of the faces that are held out of training")
    making.set_defaults(run=make)
    training = commands.add_parser("train", help="train and write weights")
    training.add_argument("samples", type=Path, help="folder of the samples")
    add_training_arguments(training, OccluderTrainingOptions)
    training.set_defaults(run=train)
    blending = commands.add_parser("blend", help="write weights between those before and after a training")
    blending.add_argument("before", type=Path)
    blending.add_argument("after", type=Path)
    blending.add_argument("--share", type=float, required=True, help="of those after it, from 0 to 1")
    blending.add_argument("--output", type=Path, required=True, help="file of the weights (.safetensors)")
    blending.set_defaults(run=blend)
    installing = commands.add_parser("install", help="write a copy of a checkpoint with the weights")
    installing.add_argument("network", type=Path)
    installing.add_argument("checkpoint", help="folder or Hub repository")
    installing.add_argument("--output-dir", type=Path, required=True)
    installing.set_defaults(run=install)
    checking = commands.add_parser("check", help="print how well samples with known truth are read")
    checking.add_argument("network", type=Path)
    checking.add_argument("samples", type=Path)
    checking.set_defaults(run=check)
    run_command(parser, argv)


if __name__ == "__main__":
    main()
