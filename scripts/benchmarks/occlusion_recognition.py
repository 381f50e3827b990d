"""Does what is kept in front of a face help to recognize it? Composed masks, spectacles and hands, with and without the occluder map.

    python scripts/benchmarks/occlusion_recognition.py --faces FACES --recognizer dlib --recognizer runs/models/face_recognition_112.onnx

Of each person of a set with two pictures one is the gallery as it is. Over the other a mask, spectacles or a hand is laid, and it is
anonymized with ``keep_occluders`` on and off. Both are 192 px crops with a face of about 105 px. Printed is how often the right person
comes first (rank-1 re-identification), with the chance level.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from ganon_hf import AnonymizeOptions, Anonymizer, Face
from ganon_hf.core.alignment import crop_image
from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.faces import box_of_points
from ganon_hf.evaluation.data.samples import read_samples
from ganon_hf.evaluation.metrics.recognition import load_recognizer, recognition_measures, similarity
from ganon_hf.training.face_measurement import find_largest_face
from ganon_hf.training.occluder_faces import stored_crop
from ganon_hf.training.occluder_objects import hand
from ganon_hf.training.occluder_samples import STORED_SIZE, BareFaces, compose, make_scene
from ganon_hf.training.occluder_scene import Layer, Scene
from ganon_hf.training.occluder_shapes import glasses, mask

THINGS: dict[str, Callable[[Scene, np.random.Generator], list[Layer]]] = {"mask": mask, "spectacles": glasses, "hand": hand}


def read_pairs(folder: Path, name: str) -> tuple[BareFaces, BareFaces]:
    """First and second picture of each person in whose two pictures a face is found."""
    detector, found = YuNetDetector(), {}
    for sample in read_samples(folder, name):
        _, landmarks = find_largest_face(sample.photo, detector)
        if landmarks is not None:
            crop = stored_crop(landmarks)
            found.setdefault(sample.person, []).append((crop_image(sample.photo, crop), crop.to_crop(landmarks).astype(np.float32)))
    pairs = [pictures[:2] for pictures in found.values() if len(pictures) > 1]
    first, second = (BareFaces(*(np.stack(values) for values in zip(*(pair[i] for pair in pairs), strict=True))) for i in range(2))
    return first, second


def anonymized(engine: Anonymizer, faces: BareFaces, thing: str, keep: bool) -> list[np.ndarray]:
    """Each face with the thing before it, anonymized. The same things and people whether they are kept or not."""
    results = []
    for number in range(len(faces)):
        generator = np.random.default_rng([number, len(thing)])
        layers = THINGS[thing](make_scene(faces, number), generator)
        composed = compose(faces.pictures[number], np.zeros((STORED_SIZE, STORED_SIZE), np.uint8), layers, generator)[0]
        photo = np.clip(np.round(composed), 0, 255).astype(np.uint8)
        box = box_of_points(faces.landmarks[number])
        landmarks = engine.detector.landmarks(photo, box)  # type: ignore[attr-defined]
        options = AnonymizeOptions(seed=1000 + number, keep_occluders=keep)
        results.append(np.array(engine(photo, options, faces=[Face(box, 1.0, landmarks)]).image))
    return results


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--set", default="eval-pairs", help="data set with two pictures a person (default: %(default)s)")
    parser.add_argument("--recognizer", action="append", help="as for scripts/evaluate.py (default: dlib)")
    parser.add_argument("--model", help="folder or Hub repository; default: the weights in the package")
    options = parser.parse_args(argv)
    cv2.setNumThreads(1)
    engine = Anonymizer.from_pretrained(options.model)
    gallery, probes = read_pairs(options.faces, options.set)
    recognizers = [load_recognizer(name) for name in options.recognizer or ["dlib"]]
    print(f"{len(gallery)} people, chance {100 / len(gallery):.1f} %\n")
    print("| thing | recognizer | kept: rank-1 | painted over: rank-1 |\n|---|---|---|---|")
    boxes = [box_of_points(points) for points in gallery.landmarks]
    known = {one.name: [one(*pair) for pair in zip(gallery.pictures, boxes, strict=True)] for one in recognizers}
    for thing in THINGS:
        pictures = {keep: anonymized(engine, probes, thing, keep) for keep in (True, False)}
        for one in recognizers:
            cells = []
            for keep in (True, False):
                vectors = [one(picture, box_of_points(points)) for picture, points in zip(pictures[keep], probes.landmarks, strict=True)]
                rank = recognition_measures(similarity(vectors, known[one.name], one.metric), np.arange(len(vectors)))["rank1"]
                cells.append(f"{100 * rank.value:.0f} % ({100 * rank.low:.0f} to {100 * rank.high:.0f})")
            print(f"| {thing} | {one.name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
