"""Is somebody easier to recognize in a film than in a photo? The mean of what a recognizer reads in several pictures of one person.

    python scripts/benchmarks/clip_recognition.py --faces FACES --recognizer dlib --recognizer runs/models/face_recognition_112.onnx

Everybody who is held out of training is in the gallery with one photo. Of those with enough further photos, each with another expression
and pose, these are anonymized as the frames of a film are: one seed, one synthetic person, one look, read in the first of them. Printed is
how often the right person comes first (rank-1 re-identification) by the mean embedding of 1, 2 and 4 of them, with the chance level. The
photos are of different days, so light and hair change more than in one film.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from ganon_hf import AnonymizeOptions, Anonymizer, Face
from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.faces import box_of_points
from ganon_hf.evaluation.data.held_out import HELD_OUT, read_with_held_out
from ganon_hf.evaluation.metrics.recognition import Recognizer, load_recognizer, recognition_measures, similarity
from ganon_hf.training.face_measurement import find_largest_face

FRAMES = (1, 2, 4)
METHODS = {"original": None, "default": AnonymizeOptions(), 'look="random"': AnonymizeOptions(look="random")}
Picture = tuple[np.ndarray, Face]


def read_people(folder: Path) -> list[list[Picture]]:
    """The photos of everybody who is held out, those in which a face is found."""
    detector, found = YuNetDetector(), {}
    for sample in read_with_held_out(folder):
        if sample.person not in HELD_OUT or len(found.setdefault(sample.person, [])) > max(FRAMES):
            continue
        _, landmarks = find_largest_face(photo := sample.photo, detector)
        if landmarks is not None:
            found[sample.person].append((photo, Face(box_of_points(landmarks), 1.0, landmarks)))
    return [pictures for pictures in found.values() if pictures]


def as_film(engine: Anonymizer, pictures: Sequence[Picture], options: AnonymizeOptions) -> list[np.ndarray]:
    """Pictures of one person with one synthetic person of one look."""
    results = []
    for photo, face in pictures:
        result = engine(photo, options, faces=[face])
        results.append(np.array(result.image))
        if not results[1:] and options.look == "match" and result.faces[0].look:
            options = replace(options, look=result.faces[0].look)
    return results


def mean_embedding(vectors: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Of unit vectors; None where nothing was read."""
    read = [vector / np.linalg.norm(vector) for vector in vectors if vector is not None]
    return np.mean(read, axis=0) if read else None


def embed(recognizer: Recognizer, photo: np.ndarray, face: Face) -> np.ndarray | None:
    """A unit vector of a face; None where the recognizer reads none."""
    return mean_embedding([recognizer(photo, face.box)])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--recognizer", action="append", help="as for scripts/evaluate.py (default: dlib)")
    parser.add_argument("--model", help="folder or Hub repository; default: the weights in the package")
    parser.add_argument("--draws", type=int, default=4, help="seeds a person (default: %(default)s)")
    options = parser.parse_args(argv)
    cv2.setNumThreads(1)
    engine, people = Anonymizer.from_pretrained(options.model), read_people(options.faces)
    filmed = [number for number, pictures in enumerate(people) if len(pictures) > max(FRAMES)]
    recognizers = [load_recognizer(name) for name in options.recognizer or ["dlib"]]
    print(f"{len(people)} people in the gallery, {len(filmed)} of them filmed, chance {100 / len(people):.1f} %\n")
    print(f"| | recognizer | {' | '.join(f'rank-1 by {count}' for count in FRAMES)} |\n|---|---|{'---|' * len(FRAMES)}")
    known = {one.name: [embed(one, *pictures[0]) for pictures in people] for one in recognizers}
    for name, method in METHODS.items():
        films = []
        for draw in range(options.draws if method else 1):
            for number in filmed:
                probes = people[number][1 : 1 + max(FRAMES)]
                seeded = replace(method, seed=1000 * draw + number) if method else None
                frames = as_film(engine, probes, seeded) if seeded else [photo for photo, _ in probes]
                films.append((number, [(frame, face) for frame, (_, face) in zip(frames, probes, strict=True)]))
        persons = np.array([number for number, _ in films])
        for one in recognizers:
            vectors = [[embed(one, *frame) for frame in frames] for _, frames in films]
            cells = []
            for count in FRAMES:
                alike = similarity([mean_embedding(some[:count]) for some in vectors], known[one.name], one.metric)
                rank = recognition_measures(alike, persons, target=persons)["rank1"]
                cells.append(f"{100 * rank.value:.0f} % ({100 * rank.low:.0f} to {100 * rank.high:.0f})")
            print(f"| {name} | {one.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
