"""For whom does an anonymized photo leave more? Recognition of people in the wild by sex, age and skin tone.

    python scripts/benchmarks/leak_by_group.py --faces FACES --recognizer dlib --recognizer runs/models/face_recognition_112.onnx

`eval-wild` has one photo a person, so the gallery holds the very photo that is anonymized: the worst case, since everything around the face
is the same. Two controls show what that alone gives away: somebody else's landmarks, and the unchanged pixels alone. Written are
report.json and report.md, as by scripts/evaluate.py, with one row for each method and group.

A group with fewer lookalikes in the gallery is easier to find. "Within the group" everybody is therefore searched among people of their own
group alone, in a gallery of one size for all groups (the smallest one's), and the threshold of protection is that of the group's own
impostors. Sex and age are FairFace's labels; an age range counts as the class of its middle. Skin tone is that of the photo, as the program
measures it: an individual typology angle above 41 degrees is light, below 10 dark (skin_tone.py). A gray photo has none.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tqdm import tqdm

from ganon_hf import AnonymizeOptions, Anonymizer, __version__
from ganon_hf.bulk.engine import weights_digest
from ganon_hf.core.look import SHADES, Look, age_class
from ganon_hf.core.look_reading import measure_skin_shade
from ganon_hf.evaluation.data.picture_sets import open_pictures
from ganon_hf.evaluation.data.samples import parquet_files
from ganon_hf.evaluation.harness.methods import ORIGINAL, REFERENCES, engine_method, swapped_landmarks_method, unchanged_alone_method
from ganon_hf.evaluation.harness.pool import Pool
from ganon_hf.evaluation.harness.suite import Run, Suite, locate_all, run_suite
from ganon_hf.evaluation.harness.toolkit import Toolkit
from ganon_hf.evaluation.metrics.estimates import bootstrap_mean, hit_rates
from ganon_hf.evaluation.metrics.recognition import genuine_scores, recognition_values, similarity
from ganon_hf.evaluation.report.figures import Figures, average, embeddings_of, own_threshold, recognizer_names
from ganon_hf.evaluation.report.report import Report, SetReport, markdown, write_report

SET = "eval-wild"
EVERYBODY = "everybody"
SEX = {"woman": "women", "man": "men"}
SKIN = {shade: f"{shade} skin" for shade in SHADES}
AGES = {"child": "0 to 9 years", "young": "10 to 39 years", "middle": "40 to 59 years", "old": "60 years and more"}
DEFAULT = engine_method(AnonymizeOptions())
METHODS = (DEFAULT, engine_method(AnonymizeOptions(look="random")), swapped_landmarks_method(), unchanged_alone_method(DEFAULT))


def age_group(text: str) -> str:
    """The group of an age in years, a range such as ``20-29``, or ``70+``: the class of the range's middle."""
    first, _, last = text.rstrip("+").partition("-")
    age = age_class((int(first) + int(last or first)) / 2)
    return AGES["child" if Look(age=age).is_child else age]


def read_labels(folder: Path, name: str = SET) -> dict[int, tuple[str, str]]:
    """Person -> sex and age as labeled."""
    rows = (row for path in parquet_files(folder, name) for row in pq.read_table(path, columns=["person", "sex", "age"]).to_pylist())
    return {int(row["person"]): (row["sex"], row["age"]) for row in rows}


def make_groups(suite: Suite, labels: Mapping[int, tuple[str, str]]) -> dict[str, np.ndarray]:
    """Name of a group -> row numbers of its photos, in a fixed order; only groups that are there.

    Whoever's skin is not seen is in no group of skin tone.
    """
    names: list[list[str | None]] = []
    for sample, subject in zip(suite.samples, suite.subjects, strict=True):
        sex, age = labels[sample.person]
        shade = None if subject.landmarks is None else measure_skin_shade(sample.photo, subject.landmarks)
        names.append([EVERYBODY, SEX[sex], age_group(age), SKIN[shade] if shade else None])
    order = (EVERYBODY, *SEX.values(), *AGES.values(), *SKIN.values())
    found = {group: np.array([row for row, own in enumerate(names) if group in own], int) for group in order}
    return {group: rows for group, rows in found.items() if len(rows)}


def recognition_figures(
    suite: Suite, run: Run, groups: Mapping[str, np.ndarray], name: str, metric: str, *, size: int, repeats: int
) -> dict[str, Figures]:
    """What one recognizer finds of each group: group -> measure -> figure.

    Args:
        suite: with the originals' readings.
        run: of a method.
        groups: name -> rows of the samples, all of whom have landmarks.
        name, metric: of the recognizer.
        size: of the galleries within the groups.
        repeats: bootstrap resamples.
    """
    everybody = groups[EVERYBODY]
    known = embeddings_of(suite.runs[ORIGINAL].readings, everybody, name)
    originals = similarity(known, known, metric)
    found = [similarity(embeddings_of(run.readings, draw[everybody], name), known, metric) for draw in suite.draws(run)]
    threshold = own_threshold(originals, np.arange(len(everybody)))
    figures: dict[str, Figures] = {}
    for group, rows in groups.items():
        columns = np.searchsorted(everybody, rows)
        target, inside = np.arange(len(rows)), np.ix_(columns, columns)
        own = own_threshold(originals[inside], target)
        parts = []
        for values in found:
            part = recognition_values(values[columns], columns, threshold)
            part["protected"] = 1 - part.pop("tar")
            alike = values[inside]
            part |= {f"group_rank{rank}": hit_rates(alike, target, rank, size=size) for rank in (1, 5)}
            part["group_protected"] = np.nan_to_num(genuine_scores(alike, target), nan=-np.inf) <= own
            parts.append(part)
        figures[group] = {f"{name}/{key}": value for key, value in average(parts, suite.persons[rows], repeats=repeats).items()}
    return figures


def status_figures(suite: Suite, run: Run, rows: np.ndarray, *, repeats: int) -> Figures:
    """Shares of a group's photos whose face was replaced, covered, and not found."""
    places = np.concatenate([draw[rows] for draw in suite.draws(run)])
    statuses = np.array([run.outputs[place].status for place in places])
    persons = np.tile(suite.persons[rows], len(suite.draws(run)))
    shares = {status: (statuses == status).astype(float) for status in ("replaced", "covered", "missed")}
    return {status: bootstrap_mean(persons, values, repeats=repeats) for status, values in shares.items()}


def measure(suite: Suite, labels: Mapping[int, tuple[str, str]], metrics: Mapping[str, str], *, repeats: int) -> SetReport:
    """The figures of all methods and groups.

    Args:
        suite: with the originals and the methods.
        labels: of :func:`read_labels`.
        metrics: name of a recognizer -> how its embeddings are compared.
        repeats: bootstrap resamples.

    Raises:
        ValueError: a group has fewer than two people with landmarks.
    """
    groups = make_groups(suite, labels)
    seen = np.array([subject.landmarks is not None for subject in suite.subjects])
    compared = {group: rows[seen[rows]] for group, rows in groups.items()}
    size = min(map(len, compared.values()))
    if size < 2:
        raise ValueError("every group needs two people whose landmarks are found, to tell one from another.")
    figures: dict[str, Figures] = {}
    for method in METHODS:
        run = suite.runs[method.name]
        found = [recognition_figures(suite, run, compared, n, metrics[n], size=size, repeats=repeats) for n in recognizer_names(suite)]
        for group, rows in groups.items():
            row = figures[f"{method.name}: {group}"] = {}
            if not method.is_control and group not in SKIN.values():  # skin is measured where a face is found
                row |= status_figures(suite, run, rows, repeats=repeats)
            for part in found:
                row |= part[group]
    people = len(compared[EVERYBODY])
    notes = [
        f"the gallery holds the photos that were anonymized, of those {people} of {len(suite.samples)} people whose landmarks are found. "
        f"Chance is {100 / people:.1f} % and, within a group, where everybody is searched among {size} people, {100 / size:.1f} %",
        "people with landmarks: " + ", ".join(f"{group} {len(rows)}" for group, rows in compared.items()),
    ]
    return SetReport(f"{SET} by sex, age and skin tone: one photo each of {len(suite.samples)} people", figures, notes=tuple(notes))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of the Parquet files")
    parser.add_argument("--recognizer", action="append", help="as for scripts/evaluate.py (default: dlib)")
    parser.add_argument("--model", help="folder or Hub repository; default: the weights in the package")
    parser.add_argument("--draws", type=int, default=2, help="seeds a photo (default: %(default)s)")
    parser.add_argument("--people", type=int, help="only the first N people")
    parser.add_argument("--repeats", type=int, default=1000, help="bootstrap resamples (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=1, help="worker processes (default: %(default)s)")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/groups"), help="folder for the report (default: %(default)s)")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING)
    toolkit = Toolkit(options.model, tuple(options.recognizer or ["dlib"]), cache=options.output_dir / "cache")
    recognizers = toolkit.load_recognizers()
    with Pool(toolkit, options.processes, tqdm) as pool:
        pictures, subjects = locate_all(open_pictures(options.faces, set_name=SET, people=options.people), pool)
        methods = (REFERENCES[0], *METHODS)
        suite = run_suite(pictures.samples, subjects, pool, methods, draws=options.draws, caches=toolkit.caches(recognizers))
    part = measure(suite, read_labels(options.faces), {one.name: one.metric for one in recognizers}, repeats=options.repeats)
    settings = {
        "ganon-hf": __version__,
        "model": f"{options.model or 'bundled'}@{weights_digest(Anonymizer.from_pretrained(options.model))}",
        "seed": 0,
        "draws": options.draws,
    }
    report = Report((part,), settings)
    write_report(options.output_dir, report)
    print(markdown(report))


if __name__ == "__main__":
    main()
