"""Fit of whom synthetic people are drawn, for a checkpoint as it is, and write it with these numbers exchanged and no other.

    python scripts/fit/people.py src/ganon_hf/checkpoint runs/faces/train/train-*.parquet --output-dir OUT

Geometry, expression code and generator stay. Prints the looks of the groups (ganon_hf.training.attributes) before and now, in standard
deviations over the people in the pictures. About two minutes on one core for 14,000 faces, half a minute with --codes.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from ganon_hf.core.model_loading import load_model
from ganon_hf.training.attributes import LOOKS
from ganon_hf.training.checkpoints import save_model
from ganon_hf.training.gpu_dataset import picture_codes
from ganon_hf.training.population import fit_people, group_looks
from ganon_hf.training.shape_space import measure_population
from ganon_hf.training.shards import read_shards

EXCHANGED = {"geometry.people_centers", "geometry.people_spread"}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="folder or Hub repository")
    parser.add_argument("shards", nargs="+", help="parquet files of prepared faces")
    parser.add_argument("--output-dir", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--codes", type=Path, help="keeps the pictures' appearance codes (.npz) for a second run")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    model = load_model(options.checkpoint)
    if model.prior is None:
        parser.error(f"{options.checkpoint} has no appearance prior (conditioning={model.config.conditioning!r}).")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    shards = read_shards(options.shards)
    codes, measured = picture_codes(shards, model.prior, options.codes)
    population = measure_population(measured["shapes"], shards.persons, measured["angles"], model.geometry)
    logging.info("%d faces, %d of them turned little enough", len(shards), len(population.rows))
    for title in ("before", "now"):
        if title == "now":
            fit_people(population, codes, model.geometry, model.prior)
        print(f"\n| {title}, group | " + " | ".join(LOOKS) + " |\n" + "|---" * (len(LOOKS) + 1) + "|")
        for number, looks in enumerate(group_looks(population, codes, model.geometry, model.prior)):
            print(f"| {number} | " + " | ".join(f"{value:.1f}" for value in looks) + " |")
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    if not changed <= EXCHANGED:
        raise RuntimeError(f"only {', '.join(sorted(EXCHANGED))} may change, but these did: {', '.join(sorted(changed))}.")
    save_model(model, options.output_dir)
    logging.info("wrote %s", options.output_dir)


if __name__ == "__main__":
    main()
