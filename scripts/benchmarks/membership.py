"""Do the weights tell whether somebody's photo was used to fit them? Membership inference (Shokri et al. 2017) on prior and shape space.

    python scripts/benchmarks/membership.py --faces FACES

Members are people of ``train-expressions``; non-members are those of the same set who are held out. An attacker who has the weights and a
photo takes somebody for a member whom they describe well: by the error of the prior's texture, by what the shape space leaves of the shape,
or by how usual the shape is in it. Printed are the area under the ROC curve (0.5 is guessing) and the true positive rate at a false
positive rate of 1 % (Carlini et al. 2022; 1 % is guessing). The bank of people holds synthetic portraits only and has no members.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from ganon_hf import Anonymizer
from ganon_hf.core.alignment import align_face, crop_image
from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.evaluation.data.held_out import HELD_OUT, read_with_held_out
from ganon_hf.evaluation.data.samples import Sample
from ganon_hf.evaluation.metrics.estimates import auc, bootstrap
from ganon_hf.training.appearance_prior import squared_errors
from ganon_hf.training.face_measurement import find_largest_face
from ganon_hf.training.textures import FaceSample, TextureSet, unwrap_samples

PHOTOS = 2
FALSE_POSITIVES = 0.01
CROP = 256


@dataclass(frozen=True, eq=False)
class Pictures:
    """Faces, who they are, and whether they were used."""

    textures: TextureSet
    persons: np.ndarray
    members: np.ndarray


def choose(folder: Path, seed: int) -> list[tuple[Sample, bool]]:
    """The first photos of everybody who is held out, and of as many other people with as many photos, drawn at random."""
    photos: dict[int, list[Sample]] = {}
    for sample in read_with_held_out(folder):
        photos.setdefault(sample.person, []).append(sample)
    others = [person for person, some in photos.items() if person not in HELD_OUT and len(some) >= PHOTOS]
    drawn = np.random.default_rng(seed).choice(others, min(len(HELD_OUT), len(others)), replace=False)
    people = [(person, False) for person in sorted(HELD_OUT)] + [(int(person), True) for person in drawn]
    return [(sample, member) for person, member in people for sample in photos.get(person, [])[:PHOTOS]]


def read_faces(chosen: Sequence[tuple[Sample, bool]], size: int) -> Pictures:
    """Textures of the photos in which a face is found."""
    detector, samples, persons, members = YuNetDetector(), [], [], []
    for sample, member in chosen:
        photo = sample.photo
        _, landmarks = find_largest_face(photo, detector)
        if landmarks is None:
            continue
        try:
            crop = align_face(landmarks, CROP)
        except ValueError:  # no head pose
            continue
        samples.append(FaceSample(crop_image(photo, crop), crop.to_crop(landmarks), sample.person, True, False, 1 / crop.scale))
        persons.append(sample.person)
        members.append(member)
    return Pictures(unwrap_samples(samples, size), np.array(persons), np.array(members))


def texture_scores(engine: Anonymizer, textures: TextureSet) -> np.ndarray:
    """(n,) minus the RMS luma error of the prior's texture, the light removed from the pictures."""
    with torch.inference_mode():
        squares, seen = squared_errors(textures, engine.model.prior)
    return -np.sqrt(squares[:, 1] / seen)


def shape_scores(engine: Anonymizer, shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) minus what the shape space leaves of the canonical landmarks, and (n,) minus the distance from the mean in it."""
    model = engine.shape_model
    coordinates = np.stack([model.coordinates(shape) for shape in shapes])
    left = np.stack([shape - model.canonical_landmarks(place) for shape, place in zip(shapes, coordinates, strict=True)])
    return -np.sqrt((left**2).mean(axis=(1, 2))), -np.linalg.norm(coordinates, axis=1)


def true_positives(members: np.ndarray, others: np.ndarray) -> float:
    """Share of members above the threshold that lets so many of the others pass."""
    return float((members > np.quantile(others, 1 - FALSE_POSITIVES)).mean())


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--model", help="folder or Hub repository; default: the weights in the package")
    parser.add_argument("--seed", type=int, default=0, help="of the members that are drawn (default: %(default)s)")
    options = parser.parse_args(argv)
    cv2.setNumThreads(1)
    engine = Anonymizer.from_pretrained(options.model)
    pictures = read_faces(choose(options.faces, options.seed), engine.model.prior.luma.shape[-1])
    counts = [len(np.unique(pictures.persons[pictures.members == member])) for member in (True, False)]
    print(f"{len(pictures.persons)} photos of {counts[0]} members and {counts[1]} others\n")
    print(f"| the attacker looks at | area under the curve | true positives at {FALSE_POSITIVES:.0%} false positives |\n|---|---|---|")
    residual, usual = shape_scores(engine, pictures.textures.shapes.astype(np.float64))
    named = {"texture": texture_scores(engine, pictures.textures), "shape, what the space leaves": residual, "shape, how usual": usual}
    for name, scores in named.items():
        cells = []
        for statistic, form in ((auc, "{:.3f} ({:.3f} to {:.3f})"), (true_positives, "{:.1%} ({:.1%} to {:.1%})")):

            def compare(rows: np.ndarray, statistic=statistic, scores=scores) -> float:
                own = pictures.members[rows]
                return statistic(scores[rows][own], scores[rows][~own])

            estimate = bootstrap(pictures.persons, compare)
            cells.append(form.format(estimate.value, estimate.low, estimate.high))
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
