"""Train the look classifier (ganon_hf.training.look_classifier) and write its weights, or check weights against labeled photos.

    python scripts/fit/look.py train FACES/synthetic-*.parquet FACES/train-*.parquet --output look_classifier.safetensors \
        --channels 24 --steps 4600
    python scripts/fit/look.py check look_classifier.safetensors FACES/eval-wild-*.parquet

Labels come from scripts/fit/looks.csv: sex, class of age and beard, given by eye; of a third of "train-expressions" the sex by a logistic
regression on features of another network, where it was sure, under the same eyes; the rest has neither sex nor beard. The years of adults
are estimates, see docs/look.md. Training takes 36 minutes on one core, finding the heads half an hour before that; --heads keeps them.

Checking needs the columns image, sex (woman, man) and age (years or a range such as 20-29), which training never sees.
"""

from __future__ import annotations

import argparse
import logging
import math
from collections import Counter
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow.parquet as pq
import torch
from fit_support import add_training_arguments, open_network, run_command
from safetensors.torch import save_file

from ganon_hf.core.color import luma_of
from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.faces import box_of_points
from ganon_hf.core.look import AGES, Age, Look, parse_look
from ganon_hf.core.look_reading import decide_look, measure_skin_angle, read_look
from ganon_hf.core.modeling_ganon import LookClassifier
from ganon_hf.core.opencv import cv2
from ganon_hf.training.face_measurement import find_largest_face, read_picture
from ganon_hf.training.look_classifier import LookTrainingOptions, train_look_classifier
from ganon_hf.training.look_samples import SEEN_SIZE, STORED_SIZE, LookSamples, make_samples, read_heads, read_labels, shrink_face

LABELS = Path(__file__).with_name("looks.csv")
WIDTH = "look_channels"  # of the network, in the configuration
SIZES = (None, 64, 24)  # heights of faces in pixels at which photos are read, with the landmarks found there; None is as they are


def train(arguments: argparse.Namespace) -> None:
    """Train and write the weights."""
    labels = read_labels(arguments.labels)
    if arguments.heads and arguments.heads.exists():
        with np.load(arguments.heads) as kept:
            places, heads = list(zip(kept["sets"].tolist(), kept["rows"].tolist(), strict=True)), kept["heads"]
            shapes = kept["shapes"]
    else:
        places, heads, shapes = read_heads(arguments.pictures, YuNetDetector(), labels.__contains__)
        if arguments.heads:
            np.savez(arguments.heads, sets=[name for name, _ in places], rows=[row for _, row in places], heads=heads, shapes=shapes)
    rows = np.array([number for number, place in enumerate(places) if place in labels])
    held_out = hold_out([places[row] for row in rows], arguments.hold_out)
    parts = [make_samples([places[row] for row in part], heads[part], shapes[part], labels) for part in (rows[~held_out], rows[held_out])]
    samples, unseen = parts
    logging.info("%d heads to train with, %d held out", len(samples), len(unseen))
    start = open_network(arguments.start, LookClassifier, WIDTH) if arguments.start else None
    options = LookTrainingOptions(channels=arguments.channels, steps=arguments.steps, seed=arguments.seed)
    network = train_look_classifier(samples, options, start)
    report_held_out(network, unseen)
    save_file(network.state_dict(), arguments.output)
    logging.info("wrote %s; its configuration is look_channels=%d", arguments.output, len(network.stem.bias))  # type: ignore[arg-type]


def hold_out(places: list[tuple[str, int]], shares: dict[str, float]) -> np.ndarray:
    """(n,) bool, which heads training does not see: a share of each set."""
    draws = np.random.default_rng(5).random(len(places))
    return np.array([draw < shares.get(name, 0.0) for draw, (name, _) in zip(draws, places, strict=True)])


def report_held_out(network: LookClassifier, samples: LookSamples) -> None:
    """Print how well the classes of heads that training did not see are read, as they are and at 24 px."""
    margin = (STORED_SIZE - SEEN_SIZE) // 2
    gray = luma_of(np.ascontiguousarray(samples.pictures[:, margin:-margin, margin:-margin].reshape(-1, SEEN_SIZE, 3)).astype(np.float32))
    gray = gray.reshape(-1, SEEN_SIZE, SEEN_SIZE)
    small = np.stack([cv2.resize(cv2.resize(one, (38, 38), interpolation=cv2.INTER_AREA), (SEEN_SIZE, SEEN_SIZE)) for one in gray])
    for title, pictures, size in (("as they are", gray, 0), ("24 px", small, 2)):
        with torch.inference_mode():
            components = network.components(torch.from_numpy(samples.shapes[:, size]))
            logits = network(torch.from_numpy(pictures)[:, None], components).double().numpy()
        looks = [decide_look(one) for one in logits]
        adult = (samples.ages[:, :2].sum(axis=1) < 0.5) & (samples.weights[:, 1] > 0)
        read = np.array([look.sex != "unsure" for look in looks]) & adult
        right = np.array([(look.sex == "woman") == woman for look, woman in zip(looks, samples.woman > 0.5, strict=True)])
        children = np.array([look.is_child for look in looks]) != (samples.ages[:, :2].sum(axis=1) > 0.5)
        beards, bearded = np.array([bool(look.beard) for look in looks]), samples.beard > 0.5
        told = samples.weights[:, 2] == 1
        print(
            f"held out, {title}: sex read of {read.sum()} of {adult.sum()} adults, {right[read].mean():.3f} right; {children.sum()} of "
            f"{len(looks)} on the wrong side of child and adult; {(beards & bearded & told).sum()} of {(bearded & told).sum()} beards "
            f"seen, {(beards & ~bearded & told).sum()} of {(~bearded & told).sum()} where there is none"
        )


def possible_ages(text: str) -> set[str]:
    """Classes that an age in years, a range such as ``20-29``, or ``70+`` may be of."""
    first, _, last = text.rstrip("+").partition("-")
    years = range(int(first), int(last or first) + 1)
    return {str(parse_look(str(year)).age) for year in years}


def shrunk(
    photo: np.ndarray, landmarks: np.ndarray, height: int | None, detector: YuNetDetector, *, gray: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """The photo with a face of that height, and the landmarks found there; None where there are none."""
    if gray:
        photo = np.repeat(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    small, points = shrink_face(photo, landmarks, height or math.inf)
    return (photo, landmarks) if small is photo else (small, detector.landmarks(small, box_of_points(points)))


def check(arguments: argparse.Namespace) -> None:
    """Print how well the looks of labeled photos are read."""
    network, detector, people = open_network(arguments.weights, LookClassifier, WIDTH), YuNetDetector(), []
    for path in arguments.pictures:
        for row in pq.read_table(path, columns=["image", "sex", "age"]).to_pylist():
            photo = read_picture(row["image"])
            _, landmarks = find_largest_face(photo, detector)
            if landmarks is not None:
                people.append((photo, landmarks, row["sex"], possible_ages(row["age"]), measure_skin_angle(photo, landmarks)))
    print(f"{len(people)} people with a face that is found\n")
    print("| face | sex read | right where read | adults called children | children called adults | class of age right | beards on women |")
    print("|---|---|---|---|---|---|---|")
    for height in SIZES:
        for gray in (False, True):
            photos = [shrunk(photo, points, height, detector, gray=gray) for photo, points, *_ in people]
            found = [(photo, points, person) for (photo, points), person in zip(photos, people, strict=True) if points is not None]
            cells = row_of([read_look(network, photo, points) for photo, points, _ in found], [person for *_, person in found])
            print(f"| {f'{height} px' if height else 'as it is'}{', gray' if gray else ''} | {cells} |", flush=True)
    looks = [read_look(network, photo, points) for photo, points, *_ in people]
    shares = np.array(list(Counter(map(str, looks)).values())) / len(looks)
    coarse = np.array(list(Counter((look.age, look.sex, look.beard) for look in looks).values())) / len(looks)
    for title, values in (("all five parts", shares), ("age, sex and beard", coarse)):
        bits, left = -float((values * np.log2(values)).sum()), 1000 * float((values**2).sum())
        print(f"\n{title}: {len(values)} looks, {bits:.1f} bits; of 1,000 such people {left:.0f} have the look of one on average")
    print("\n| typology angle of the skin | people | sex read | right where read | adults called children | children called adults |")
    print("|---|---|---|---|---|---|")
    angles = np.array([np.nan if person[4] is None else person[4] for person in people])
    for low, high in ((41, 91), (10, 41), (-91, 10)):
        chosen = np.flatnonzero((angles > low) & (angles <= high))
        cells = row_of([looks[place] for place in chosen], [people[place] for place in chosen]).split(" | ")[:4]
        print(f"| {low} to {high} degrees | {len(chosen)} | {' | '.join(cells)} |")
    words = get_args(Age)
    print("\n| years | " + " | ".join(words) + " |\n|---" * 1 + "|---" * len(words) + "|")
    counts = Counter((tuple(sorted(person[3], key=words.index)), look.age) for person, look in zip(people, looks, strict=True))
    for ages in sorted({ages for ages, _ in counts}, key=lambda ages: (words.index(ages[0]), len(ages))):
        print(f"| {' or '.join(ages)} | " + " | ".join(str(counts[ages, age]) for age in words) + " |")


def row_of(looks: list[Look], people: list[tuple]) -> str:
    """Cells of the tables; the sex only of those above 12."""
    children = [person[3] <= set(AGES[:2]) for person in people]
    adults = [not person[3] & set(AGES[:2]) for person in people]
    grown = [(look, person) for look, person, adult in zip(looks, people, adults, strict=True) if adult]
    read = [(look, person) for look, person in grown if look.sex != "unsure"]
    right = sum(look.sex == person[2] for look, person in read)
    young = [look for look, child in zip(looks, children, strict=True) if child]
    ages = sum(look.age in person[3] for look, person in zip(looks, people, strict=True))
    women = [look for look, person in grown if person[2] == "woman"]
    return " | ".join(
        f"{count} of {total} ({100 * count / max(total, 1):.0f} %)"
        for count, total in (
            (len(read), len(grown)),
            (right, len(read)),
            (sum(look.is_child for look, _ in grown), len(grown)),
            (sum(not look.is_child for look in young), len(young)),
            (ages, len(looks)),
            (sum(bool(look.beard) for look in women), len(women)),
        )
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train", help="train and write weights")
    training.add_argument("pictures", nargs="+", type=Path, help="parquet files")
    add_training_arguments(training, LookTrainingOptions)
    training.add_argument("--labels", type=Path, default=LABELS, help="table of labels")
    training.add_argument("--heads", type=Path, help="file (.npz) that keeps the heads for later runs")
    training.set_defaults(hold_out={"synthetic": 0.12, "train-staff": 0.25})
    training.set_defaults(run=train)
    checking = commands.add_parser("check", help="print how well looks are read")
    checking.add_argument("weights", type=Path)
    checking.add_argument("pictures", nargs="+", type=Path, help="parquet files with the columns image, sex and age")
    checking.set_defaults(run=check)
    run_command(parser, argv)


if __name__ == "__main__":
    main()
