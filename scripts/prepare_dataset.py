"""Prepare training faces: any picture data set -> aligned, filtered crops with landmarks and mattes, split by person, as parquet shards.

    python scripts/prepare_dataset.py ../shared/faces/train-*.parquet --output-dir runs/faces/train --license other
    python scripts/prepare_dataset.py my_photos/ --output-dir runs/mine --license cc-by-4.0           (folder of pictures)
    python scripts/prepare_dataset.py my_photos/ --tight --image-size 512 --output-dir runs/paper --license mit       (for --preset paper)
    python scripts/prepare_dataset.py owner/name --split train --columns person=identity --output-dir runs/hub --license mit

A second run continues where the first one stopped. Look at contact_sheet.png in the output folder: it shows what was kept and dropped, and
why; other thresholds (--reselect) need no new detection. docs/training-data.md explains the folder.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from ganon_hf.training.prepare import COLUMNS, PrepareOptions, open_source, prepare_dataset
from ganon_hf.training.selection import SelectionOptions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="+", help="parquet files, or one folder, or one data set of the Hub")
    parser.add_argument("--output-dir", type=Path, required=True, help="where the shards go")
    parser.add_argument("--license", required=True, help="license of the pictures, as the card names it (cc-by-4.0, other, ...)")
    parser.add_argument("--config", help="configuration of the data set")
    parser.add_argument("--split", default="all", help="split of the data set (default: all of them)")
    parser.add_argument("--columns", nargs="*", default=[], metavar="OURS=THEIRS", help=f"names of the columns {', '.join(COLUMNS)}")
    parser.add_argument("--source", default="unknown", help="name of the source where the rows name none")
    parser.add_argument("--image-size", type=int, default=PrepareOptions.image_size, help="side of the crops in pixels")
    parser.add_argument("--tight", action="store_true", help="the face oval fills the crop: what scripts/train.py --preset paper needs")
    parser.add_argument("--processes", type=int, help="workers (default: one per core)")
    parser.add_argument("--reselect", action="store_true", help="select anew from the faces measured before, with other thresholds")
    parser.add_argument("--keep-all", action="store_true", help="drop only what has no face (for evaluation sets)")
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
