"""Train the generator on prepared faces (scripts/prepare_dataset.py).

    accelerate launch scripts/train.py --train_data_dir FACES --output_dir RUN                      # refine the mesh generator
    accelerate launch scripts/train.py --preset paper --train_data_dir FACES512 --output_dir RUN    # GANonymization as published

FACES512 is prepared with --tight --image-size 512. To resume an interrupted run, repeat its command with --resume_from_checkpoint latest.
"""

from __future__ import annotations

import logging
import sys

from transformers import HfArgumentParser

from ganon_hf.training.options import PRESETS, TrainingOptions
from ganon_hf.training.trainer import Trainer


def parse(arguments: list[str]) -> TrainingOptions:
    """Parse the command line; options that are not given take the values of the preset."""
    parser = HfArgumentParser(TrainingOptions, description=__doc__)
    preset = parser.parse_known_args(arguments)[0].preset
    parser.set_defaults(**PRESETS.get(preset, {}))
    return parser.parse_args_into_dataclasses(arguments)[0]


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        trainer = Trainer(parse(sys.argv[1:]))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"{error}")
    logging.info("docs/fine-tuning.md explains what is logged.")
    folder = trainer.run()
    if trainer.accelerator.is_main_process:
        logging.info("Done, the model is in %s. Now run: ganon-hf anonymize photo.jpg -o out.jpg --model %s", folder, folder)


if __name__ == "__main__":
    main()
