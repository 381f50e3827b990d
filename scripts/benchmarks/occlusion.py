"""How much of a face would be kept as something in front of it, and how much of what is in front stays: composed cases with known truth.

    python scripts/benchmarks/occlusion.py FACES/eval-wild-*.parquet FACES/eval-pairs-*.parquet

Things are laid over bare faces that training never saw (ganon_hf.training.occluder_samples), landmarks are found in the composed picture,
and the engine's own map is compared with the truth. A second part shows what must not be kept: paint, tattoos, make-up, colored light and
hard shadows over bare faces, two layers each.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ganon_hf import AnonymizeOptions, Anonymizer, Face
from ganon_hf.core.alignment import crop_image
from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.faces import box_of_points
from ganon_hf.core.head_warping import warp_head
from ganon_hf.core.landmarks import mesh_mask
from ganon_hf.core.model_loading import load_model
from ganon_hf.core.occluder_map import read_occluders
from ganon_hf.core.occluders import GLASSES, NONE, OCCLUDER_NAMES, draw_hulls
from ganon_hf.core.task import CHECKPOINT
from ganon_hf.training.occluder_faces import read_bare_faces
from ganon_hf.training.occluder_samples import STORED_SIZE, BareFaces, bare_labels, compose, degrade, draw_layers, make_scene, paint


@dataclass
class Counts:
    """Pixels, summed over faces."""

    face: int = 0
    kept: int = 0
    features: int = 0
    kept_features: int = 0
    thing: int = 0
    stayed: int = 0
    worst: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def lines(self, title: str) -> list[str]:
        shares = np.array(self.worst)
        return [
            f"{title}: {len(self.worst)} faces",
            f"  face pixels kept           {100 * self.kept / max(self.face, 1):.2f} %",
            f"  of eyes, nose and mouth    {100 * self.kept_features / max(self.features, 1):.2f} %",
            f"  faces with more than 2 % of these kept  {int((shares > 0.02).sum())}",
            f"  what is in front and stays {100 * self.stayed / max(self.thing, 1):.1f} %",
            f"  milliseconds a face        {1000 * float(np.median(self.seconds)):.1f}",
        ]


def measure(engine: Anonymizer, photo: np.ndarray, labels: np.ndarray, bare: np.ndarray, counts: Counts, seed: int) -> None:
    """One composed picture.

    Args:
        engine: its model, options at their defaults.
        photo: (S, S, 3) uint8.
        labels: (S, S) what is in front.
        bare: (478, 3) landmarks of the face before anything was laid over it.
        counts: are added to.
        seed: of the synthetic person.
    """
    landmarks = engine.detector.landmarks(photo, box_of_points(bare))  # type: ignore[attr-defined]
    if landmarks is None:
        return  # covered
    plan = engine.plan(photo, AnonymizeOptions(seed=seed), faces=[Face(box_of_points(landmarks), 1.0, landmarks)])
    face, made = plan.faces[0], engine.generate(plan.inputs)
    if face.inputs is None or face.crop is None or face.original is None or isinstance(made[0], str):
        return  # covered
    mesh = mesh_mask(bare, len(photo))
    features = (draw_hulls(bare, len(photo))[..., 1:].max(axis=2) > 0) & mesh
    # what belongs to the face, to its features, and what stays by right; as pictures that move with the head
    parts = np.stack(
        [mesh & (labels == NONE), features & (labels == NONE), mesh & (labels > GLASSES) & (labels < len(OCCLUDER_NAMES))], axis=2
    )
    truth, canvas = parts.astype(np.uint8) * 255, photo.copy()
    if face.head_warp is not None:
        warp_head(canvas, face.head_warp)
        warp_head(truth, face.head_warp)
    begun = time.perf_counter()
    occluders = read_occluders(engine.model.occluders, canvas, face.crop, face.original, made[0])  # type: ignore[arg-type]
    counts.seconds.append(time.perf_counter() - begun)
    # where no synthetic face is painted, nothing is kept that would not stay anyway
    painted = mesh_mask(face.points, face.crop.size)  # type: ignore[arg-type]  # there are points where there is a crop
    own, feature, thing = ((crop_image(truth, face.crop)[..., number] > 200) & painted for number in range(3))
    kept = occluders.keep > 0.5
    counts.face += int(own.sum())
    counts.kept += int((own & kept).sum())
    counts.features += int(feature.sum())
    counts.kept_features += int((feature & kept).sum())
    counts.thing += int(thing.sum())
    counts.stayed += int((thing & kept).sum())
    counts.worst.append(float((feature & kept).sum() / max(feature.sum(), 1)))


def run(engine: Anonymizer, faces: BareFaces, count: int, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    covered, painted = Counts(), Counts()
    for turn in range(count):
        number = turn % len(faces)
        picture, points, scene = faces.pictures[number], faces.landmarks[number], make_scene(faces, number)
        bare = bare_labels(picture, points)
        for counts, layers in (
            (covered, draw_layers(scene, generator)),
            (painted, [layer for _ in range(2) for layer in paint(scene, generator)]),
        ):
            image, labels = compose(picture, bare, layers, generator)
            measure(engine, degrade(image, generator), labels, points.astype(np.float64), counts, seed=turn)
    return [*covered.lines("things in front"), *painted.lines("paint and light")]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=Path, help="parquet files with the column image, none of training")
    package = str(CHECKPOINT)
    parser.add_argument("--model", default=package, help="folder or Hub repository; default: the weights in the package")
    parser.add_argument("--bare-by", default=package, help="weights whose network says which faces are bare; default: those in the package")
    parser.add_argument("--count", type=int, default=400, help="composed pictures of each part (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=100)
    options = parser.parse_args(argv)
    cv2.setNumThreads(1)
    engine = Anonymizer.from_pretrained(options.model)
    if engine.model.occluders is None:
        parser.error("these weights have no network for the occluder map.")
    # the same faces whatever weights are measured
    chooser = engine.model if options.bare_by == options.model else load_model(options.bare_by)
    if chooser.occluders is None:
        parser.error(f"{options.bare_by} has no network for the occluder map.")
    faces = read_bare_faces(options.pictures, YuNetDetector(), lambda place: True, chooser.occluders)
    print(f"{len(faces)} bare faces, shown at {STORED_SIZE} px")
    print("\n".join(run(engine, faces, options.count, options.seed)))


if __name__ == "__main__":
    main()
