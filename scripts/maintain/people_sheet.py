"""Make docs/images/people.png: people who do not exist, one a line, in eight expressions and poses; no real person's picture goes in.

python scripts/maintain/people_sheet.py --out docs/images/people.png [--checkpoint DIR] [--seeds 1 2 3]
python scripts/maintain/people_sheet.py --out docs/images/people_24.jpg --seeds $(seq 101 124) --abreast 3 --side 120 \
    --expressions neutral laugh surprise "eyes closed"
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np
from PIL import Image

from ganon_hf import Anonymizer
from ganon_hf.evaluation.report.people_sheet import EXPRESSIONS, people_sheet


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/people.png"))
    parser.add_argument("--checkpoint", type=Path, help="folder with the weights; the bundled ones otherwise")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 9)))
    parser.add_argument("--expressions", nargs="+", choices=EXPRESSIONS, default=list(EXPRESSIONS), help="columns (default: all)")
    parser.add_argument("--abreast", type=int, default=1, help="people in a line")
    parser.add_argument("--side", type=int, help="pixels of a face on the sheet (default: as the generator draws it)")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.abreast < 1 or len(options.seeds) % options.abreast:
        parser.error(f"{len(options.seeds)} seeds cannot stand {options.abreast} abreast.")
    engine, lines = Anonymizer.from_pretrained(options.checkpoint), len(options.seeds) // options.abreast
    columns = {name: EXPRESSIONS[name] for name in options.expressions}
    blocks = [people_sheet(engine, options.seeds[start : start + lines], columns) for start in range(0, len(options.seeds), lines)]
    sheet = Image.fromarray(np.hstack(blocks))
    if options.side is not None:
        sheet = sheet.resize((options.side * len(columns) * options.abreast, options.side * lines), Image.Resampling.LANCZOS)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(options.out, optimize=True)
    logging.info("wrote %s", options.out)


if __name__ == "__main__":
    main()
