"""Make the bank of synthetic people for a checkpoint and write a copy in which only the bank differs.

    python scripts/prepare_dataset.py PORTRAITS/*.parquet --output-dir runs/people --license other --image-size 384 --validation-share 0
    python scripts/fit/people.py src/ganon_hf/checkpoint runs/people/train-*.parquet --output-dir OUT

The portraits must show people who do not exist. scripts/fit/synthetic_people.csv says how they look and which are used: a row names source
and person of a portrait, age, sex and beard in the words of ganon_hf.core.look or nothing where it is not used, and whether its open mouth
is used. This takes about two minutes on one core for 1,400 portraits.
"""

from __future__ import annotations

import argparse
import csv
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from ganon_hf.core.look import parse_look
from ganon_hf.core.look_reading import measure_shades
from ganon_hf.core.model_loading import load_model
from ganon_hf.core.modeling_ganon import GanonConfig, GanonModel
from ganon_hf.core.people import look_classes
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.people_bank import fill_bank
from ganon_hf.training.persons import person_id
from ganon_hf.training.portrait_mouths import read_mouths
from ganon_hf.training.portraits import read_portraits
from ganon_hf.training.shards import FaceShards, read_shards
from ganon_hf.training.texture_extraction import unwrap_shards

TABLE = Path(__file__).with_name("synthetic_people.csv")
BANK = ("people.", "geometry.people_")


def read_table(path: Path) -> dict[int, tuple[str, bool]]:
    """Number of each person -> the words of the look, and whether the open mouth is used."""
    with path.open(newline="") as file:
        return {person_id(row["source"], int(row["person"])): (row["look"], row["mouth"] == "yes") for row in csv.DictReader(file)}


def look_of(shards: FaceShards, number: int, words: str) -> tuple[int, ...]:
    """Classes of the look of one portrait: age, sex and beard as the table says, shades of brows and skin measured."""
    brows, skin = measure_shades(shards.image(number), shards.landmarks[number].astype(np.float64))
    return look_classes(replace(parse_look(words), brows=brows, skin=skin))


def with_bank(model: GanonModel, num_people: int, num_mouths: int, look: dict[str, torch.Tensor] | None = None) -> GanonModel:
    """A copy of a model with an empty bank of these sizes, and with another look classifier where there are weights of one."""
    sizes = {**model.config.to_dict(), "num_people": num_people, "num_mouths": num_mouths}
    if look is not None:
        sizes["look_channels"] = len(look["stem.weight"])
    copy = GanonModel(GanonConfig(**sizes)).eval()
    kept = {name: value for name, value in model.state_dict().items() if not name.startswith(BANK)}
    if look is not None:
        kept = {name: value for name, value in kept.items() if not name.startswith("look.")}
        kept |= {f"look.{name}": value for name, value in look.items()}
    copy.load_state_dict({**copy.state_dict(), **kept})
    return copy


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="folder or Hub repository")
    parser.add_argument("shards", nargs="+", help="parquet files of prepared portraits")
    parser.add_argument("--output-dir", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--table", type=Path, default=TABLE, help="how the people look (default: %(default)s)")
    parser.add_argument(
        "--look", type=Path, help="weights of a look classifier (scripts/fit/look.py) that take the place of the present one"
    )
    parser.add_argument("--work-dir", type=Path, help="folder that keeps the unwrapped portraits, about 200 kB each (default: not kept)")
    parser.add_argument("--num-people", type=int, default=216)
    parser.add_argument("--num-mouths", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of people and regions")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    look = None if options.look is None else load_file(options.look)
    model = with_bank(load_model(options.checkpoint), options.num_people, options.num_mouths, look)
    if model.prior is None:
        parser.error(f"{options.checkpoint} has no appearance prior (conditioning={model.config.conditioning!r}).")
    table = read_table(options.table)
    shards = read_shards(options.shards)
    textures = unwrap_shards(options.shards, model.config.people_texture_size, work_dir=options.work_dir, processes=1)
    rows = [table.get(int(person), ("", False)) for person in shards.persons]
    usable = np.array([bool(words) for words, _ in rows])
    looks = np.array([look_of(shards, number, words) if words else (0,) * 5 for number, (words, _) in enumerate(rows)])
    groups = looks[:, 0] + 10 * looks[:, 1] + 100 * looks[:, 2]
    resolution = shards.resolution
    with torch.no_grad():
        portraits = read_portraits(textures, model.prior, model.geometry, resolution, usable, groups)
        mouths = read_mouths(textures, model.prior, resolution, np.array([mouth for _, mouth in rows]), options.num_mouths)
    fill_bank(model, portraits, looks[portraits.rows], mouths, seed=options.seed)
    save_model(model, options.output_dir)
    logging.info("wrote %s", options.output_dir)


if __name__ == "__main__":
    main()
