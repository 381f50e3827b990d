"""Faces as public benchmarks of recognition have them: squares that the face fills, eyes, nose and mouth where ArcFace's template has them.

    python scripts/benchmarks/aligned_crops.py ../shared/faces --set eval-pairs --side 112 --output-dir runs/crops
    ganon-hf anonymize runs/crops -o runs/crops-anonymized --report runs/crops.jsonl

The second command gives every crop back under its name and in its size, and says in how many no face was found. Whoever has the crops of a
benchmark needs the second command alone.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.faces import FaceDetector
from ganon_hf.core.keypoints import five_points
from ganon_hf.evaluation.data.picture_sets import open_pictures
from ganon_hf.evaluation.metrics.arcface import SIDE, TEMPLATE
from ganon_hf.evaluation.metrics.template_crops import crop_to_template
from ganon_hf.image_files import save_image
from ganon_hf.training.face_measurement import find_largest_face


def aligned_crop(photo: np.ndarray, detector: FaceDetector, side: int) -> np.ndarray | None:
    """(side, side, 3) uint8 of the largest face of an RGB uint8 photo; None where none with landmarks is found."""
    landmarks = find_largest_face(photo, detector)[1]
    return None if landmarks is None else crop_to_template(photo, five_points(landmarks), TEMPLATE * side / SIDE, side)


def main(argv: Sequence[str] | None = None, detector: FaceDetector | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder with one folder a person, a listing, or with --set a folder of Parquet files")
    parser.add_argument("--set", help="NAME of NAME-*.parquet in the folder")
    parser.add_argument("--people", type=int, help="only the first N people")
    parser.add_argument("--side", type=int, default=SIDE, help="of the crops in pixels (default: %(default)s)")
    parser.add_argument("--output-dir", type=Path, required=True, help="folder for the crops: PERSON/NUMBER.png")
    options = parser.parse_args(argv)
    if options.side < 1:
        parser.error(f"--side must be at least 1, but got {options.side}.")
    pictures = open_pictures(options.photos, set_name=options.set, people=options.people)
    detector = detector or YuNetDetector()
    written: Counter[int] = Counter()
    for sample in tqdm(pictures.samples):
        crop = aligned_crop(sample.photo, detector, options.side)
        if crop is not None:
            target = options.output_dir / str(sample.person) / f"{written[sample.person]}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            save_image(Image.fromarray(crop), target)
            written[sample.person] += 1
    print(f"{written.total()} crops of {len(written)} people; no face in {len(pictures.samples) - written.total()} photos")


if __name__ == "__main__":
    main()
