"""Prepare training faces: any picture data set -> aligned, filtered crops with landmarks and mattes, split by person, as parquet shards.

    python scripts/prepare_dataset.py ../shared/faces/train-*.parquet --output-dir runs/faces/train --license other
    python scripts/prepare_dataset.py my_photos/ --output-dir runs/mine --license cc-by-4.0           (folder of pictures)
    python scripts/prepare_dataset.py my_photos/ --tight --image-size 512 --output-dir runs/paper --license mit       (for --preset paper)
    python scripts/prepare_dataset.py owner/name --split train --columns person=identity --output-dir runs/hub --license mit

A second run continues where the first one stopped. contact_sheet.png in the output folder shows what was kept and what was dropped and why.
With --reselect other thresholds need no new detection. docs/training-data.md explains the folder.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ganon_hf.training.face_selection import SelectionOptions
from ganon_hf.training.prepare import COLUMNS, PrepareOptions, open_source, prepare_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", help="parquet files, or one folder, or one data set of the Hub")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder for the shards")
    parser.add_argument(
        "--license",
        required=True,
        help="license of the pictures for the dataset card: an identifier of the Hub such as cc-by-4.0, or other",
    )
    parser.add_argument("--config", help="configuration of the data set")
    parser.add_argument("--split", default="all", help="split of the data set (default: all splits)")
    parser.add_argument("--columns", nargs="*", default=[], metavar="NAME=COLUMN", help=f"columns of the data set for {', '.join(COLUMNS)}")
    parser.add_argument("--source", default="unknown", help="name of the source for rows without one")
    parser.add_argument("--image-size", type=int, default=PrepareOptions.image_size, help="side of the crops in pixels")
    parser.add_argument("--tight", action="store_true", help="crop to the face oval, as scripts/train.py --preset paper needs it")
    parser.add_argument("--processes", type=int, help="number of worker processes (default: one per core)")
    parser.add_argument(
        "--reselect", action="store_true", help="select anew, with other thresholds, from the faces measured in an earlier run"
    )
    parser.add_argument("--keep-all", action="store_true", help="drop only pictures without a face (for evaluation sets)")
    thresholds = SelectionOptions()
    for name, value in thresholds.as_dict().items():
        if name != "keep_all":
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"default {value}")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    selection = SelectionOptions(**{name: getattr(arguments, name) for name in thresholds.as_dict()})
    options = PrepareOptions(
        arguments.image_size, arguments.license, arguments.source, selection, arguments.processes, arguments.reselect, arguments.tight
    )
    columns = dict(pair.partition("=")[::2] for pair in arguments.columns)
    dataset = open_source(arguments.inputs, config=arguments.config, split=arguments.split, columns=columns)
    logging.info("%s", prepare_dataset(dataset, arguments.output_dir, options))


if __name__ == "__main__":
    main()
