"""Whether people keep their look: an independent judge of age and sex reads every face before and after.

    python scripts/maintain/fetch_evaluation_models.py --folder runs/models
    python scripts/benchmarks/look_agreement.py --models runs/models --photos FOLDER [--with NAME=VALUE,...] [--json FILE]

Every face that is replaced and at least --min-height high counts once for each seed, read before and after in the same crops (the
original's landmarks). Shares are of those faces where the judge is sure before. "encoded again" reads the originals twice, once scaled to
96 % and back and as a JPEG of quality 90: the judge's own noise. What the judge is worth: ganon_hf/evaluation/metrics/age_sex.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmark_support import make_parser, write_json

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.detection_search import YuNetDetector
from ganon_hf.core.image_loading import load_photo
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.evaluation.harness.baselines import reencode
from ganon_hf.evaluation.harness.options import parse_engine_options
from ganon_hf.evaluation.metrics.age_sex import AgeSex, AgeSexJudge
from ganon_hf.image_files import FORMATS

WANTED = 0.9  # of the faces where the judge is sure before
YEARS = 10.0  # apart at most, to count as the same age


@dataclass(frozen=True)
class JudgedFace:
    """One face: where it is, and what the judge reads.

    Attributes:
        photo: name of the file.
        box: (x_min, y_min, x_max, y_max) in the photo.
        seed: of the anonymization.
        before, after, again: in the original, in the output, in the original encoded again.
    """

    photo: str
    box: tuple[float, ...]
    seed: int
    before: AgeSex
    after: AgeSex
    again: AgeSex


def judge_photo(
    name: str,
    photo: np.ndarray,
    engine: Anonymizer,
    judge: AgeSexJudge,
    options: AnonymizeOptions,
    *,
    seeds: Sequence[int],
    min_height: float,
) -> tuple[list[JudgedFace], int]:
    """The replaced faces of one photo that are high enough, once for each seed, and how many of such height were not replaced."""
    faces = engine.detector(photo, min_face_size=options.min_face_size, min_score=options.min_score)
    high = [(place, face) for place, face in enumerate(faces) if face.box[3] - face.box[1] >= min_height]
    if not high:
        return [], 0
    encoded = reencode(photo, faces[0].box)
    originals = {
        place: (judge(photo, face.landmarks), judge(encoded, face.landmarks)) for place, face in high if face.landmarks is not None
    }
    judged, left = [], 0
    for seed in seeds:
        result = engine(photo, replace(options, seed=seed, on_no_face="keep"), faces=faces)
        pixels, statuses = np.asarray(result.image), {one.box: one.status for one in result.faces}
        for place, face in high:
            if statuses[face.box] != "replaced" or face.landmarks is None:
                left += 1
                continue
            before, again = originals[place]
            judged.append(JudgedFace(name, face.box, seed, before, judge(pixels, face.landmarks), again))
    return judged, left


def agreement(before: Sequence[AgeSex], after: Sequence[AgeSex]) -> dict[str, Any]:
    """Shares of agreement where the judge is sure before, each with its count, and differences of age in years."""
    pairs = list(zip(before, after, strict=True))
    apart = np.array([abs(first.age - second.age) for first, second in pairs])

    def share(values: Iterable[bool]) -> dict[str, Any]:
        some = list(values)
        return {"share": float(np.mean(some)) if some else None, "of": len(some)}

    return {
        "faces": len(pairs),
        "sex": share(a.is_man == b.is_man for a, b in pairs if a.sure_of_sex),
        "age": share(abs(a.age - b.age) <= YEARS for a, b in pairs if a.sure_of_age),
        "child": share(b.is_child for a, b in pairs if a.sure_of_child and a.is_child),
        "adult": share(not b.is_child for a, b in pairs if a.sure_of_child and not a.is_child),
        "both": share(a.is_man == b.is_man and abs(a.age - b.age) <= YEARS for a, b in pairs if a.sure_of_sex and a.sure_of_age),
        "years apart": {"mean": float(apart.mean()), "median": float(np.median(apart))} if len(apart) else None,
        "years older": float(np.mean([b.age - a.age for a, b in pairs])) if pairs else None,
    }


def lines(title: str, measured: dict[str, Any]) -> Iterator[str]:
    """The figures in words."""
    yield f"{title}: {measured['faces']} faces"
    for name, text in (
        ("sex", "same sex"),
        ("age", f"age within {YEARS:.0f} years"),
        ("child", "child stays child"),
        ("adult", "adult stays adult"),
        ("both", f"same sex and age within {YEARS:.0f} years"),
    ):
        share, count = measured[name]["share"], measured[name]["of"]
        yield f"  {text}: " + ("-" if share is None else f"{100 * share:.1f} %") + f" of {count} where the judge is sure"
    if measured["years apart"] is not None:
        apart = measured["years apart"]
        yield f"  age apart: {apart['mean']:.1f} years on average, median {apart['median']:.1f}; {measured['years older']:+.1f} years older"


def faults(judged: Sequence[JudgedFace]) -> Iterator[str]:
    """One line per face whose sure reading before is not that after, the furthest in age first."""
    for one in sorted(judged, key=lambda one: -abs(one.before.age - one.after.age)):
        before, after = one.before, one.after
        wrong = [
            *(["sex"] if before.sure_of_sex and before.is_man != after.is_man else []),
            *(["age"] if before.sure_of_age and abs(before.age - after.age) > YEARS else []),
            *(["child or adult"] if before.sure_of_child and before.is_child != after.is_child else []),
        ]
        if wrong:
            read = " -> ".join(f"{'man' if some.is_man else 'woman'} {some.age:.0f}" for some in (before, after))
            yield f"  {one.photo} {[round(value) for value in one.box]} seed {one.seed}: {read} ({', '.join(wrong)})"


def main(argv: list[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--models", type=Path, default=Path("runs/models"), help="folder of the judge's networks (default: %(default)s)")
    parser.add_argument("--checkpoint", help="folder or Hub name of other weights than the bundled ones")
    parser.add_argument("--with", dest="options", type=parse_engine_options, default=AnonymizeOptions(), metavar="NAME=VALUE,...")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="from which photos' seeds are drawn: each photo is anonymized once for each"
    )
    parser.add_argument("--min-height", type=float, default=60, help="of a face's box in pixels")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    judge = AgeSexJudge(arguments.models)
    engine = Anonymizer.from_pretrained(arguments.checkpoint, detector=YuNetDetector())
    judged: list[JudgedFace] = []
    left = 0
    paths = sorted(path for path in arguments.photos.iterdir() if path.suffix.lower() in FORMATS)
    for number, path in enumerate(paths):
        seeds = [int(np.random.default_rng([seed, number]).integers(2**62)) for seed in arguments.seeds]  # other people in every photo
        some, others = judge_photo(
            path.name, load_photo(path), engine, judge, arguments.options, seeds=seeds, min_height=arguments.min_height
        )
        judged, left = judged + some, left + others
    before = [one.before for one in judged]
    measured = {"anonymized": agreement(before, [one.after for one in judged])}
    measured["encoded again"] = agreement(before, [one.again for one in judged])
    print(f"{len(paths)} photos, {left} faces of that height not replaced")
    for title, figures in measured.items():
        print("\n".join(lines(title, figures)))
    print("\n".join(["not as before:", *faults(judged)]))
    write_json(arguments.json, {**measured, "not replaced": left, "faces": [asdict(one) for one in judged]})


if __name__ == "__main__":
    main()
