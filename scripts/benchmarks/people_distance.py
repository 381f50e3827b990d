"""How alike synthetic people are: to each other, and to the portraits that the bank of people was made from.

    python scripts/benchmarks/people_distance.py runs/people/train-*.parquet --recognizer face_recognition.onnx [--draws 300]

A face recognizer compares neutral, frontal pictures of people drawn from seeds, alone on black, with each other and with the prepared
portraits. Printed are quantiles of the cosine similarity to the most similar one. The same person in two expressions shows what "the same"
means to the recognizer. 300 people and 1,300 portraits take four minutes on one core.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import numpy as np

from ganon_hf import Anonymizer
from ganon_hf.core.faces import box_of_points
from ganon_hf.evaluation.metrics.arcface import ArcFaceRecognizer
from ganon_hf.evaluation.metrics.recognition import Recognizer
from ganon_hf.evaluation.report.people_sheet import EXPRESSIONS, ExpressionSpace, portrait
from ganon_hf.training.shards import FaceShards, read_shards

QUANTILES = (0.0, 0.5, 0.9, 0.99, 1.0)


def drawn_people(engine: Anonymizer, recognizer: Recognizer, expression: str, draws: int) -> np.ndarray:
    """(n, d) unit embeddings of people drawn from seeds 0, 1, 2, ...; NaN where no face is found."""
    side = engine.model.config.image_size
    face = ExpressionSpace(engine.shape_model).face(EXPRESSIONS[expression], side)
    return unit([recognizer(portrait(engine, face, side, seed), face.box) for seed in range(draws)])


def portraits(shards: FaceShards, recognizer: Recognizer) -> np.ndarray:
    """(n, d) unit embeddings of prepared portraits; NaN where no face is found."""
    boxes = [box_of_points(points.astype(np.float64)) for points in shards.landmarks]
    return unit([recognizer(shards.image(number), box) for number, box in enumerate(boxes)])


def unit(vectors: list[np.ndarray | None]) -> np.ndarray:
    """Embeddings, some of them missing -> (n, d) of length one, NaN where they are missing."""
    size = max((len(vector) for vector in vectors if vector is not None), default=1)
    rows = np.array([np.full(size, np.nan) if vector is None else vector for vector in vectors])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def nearest(first: np.ndarray, second: np.ndarray, *, same: bool = False) -> np.ndarray:
    """(n,) similarity of each of the first embeddings to the most similar of the second ones; ``same``: to another one of themselves."""
    similarity = np.nan_to_num(first @ second.T, nan=-1.0)
    if same:
        np.fill_diagonal(similarity, -1.0)
    return similarity.max(axis=1)[~np.isnan(first[:, 0])]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+", help="parquet files of prepared portraits")
    parser.add_argument("--recognizer", type=Path, required=True, help="ONNX file for ArcFace's crops")
    parser.add_argument("--checkpoint", help="folder or Hub repository (default: the weights in the package)")
    parser.add_argument("--draws", type=int, default=300, help="people to draw (default: %(default)s)")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    engine, recognizer = Anonymizer.from_pretrained(options.checkpoint), ArcFaceRecognizer(options.recognizer)
    neutral, smiling = (drawn_people(engine, recognizer, name, options.draws) for name in ("neutral", "smile"))
    real = portraits(read_shards(options.shards), recognizer)
    rows = {
        "a drawn person to the most similar other one": nearest(neutral, neutral, same=True),
        "a drawn person to the most similar portrait": nearest(neutral, real),
        "a portrait to the most similar other one": nearest(real, real, same=True),
        "a drawn person to the same one smiling": np.nansum(neutral * smiling, axis=1)[~np.isnan(neutral[:, 0] + smiling[:, 0])],
    }
    print("| cosine similarity of | number | " + " | ".join(f"{100 * share:g} %" for share in QUANTILES) + " |")
    print("|---" * (len(QUANTILES) + 2) + "|")
    for name, values in rows.items():
        print(f"| {name} | {len(values)} | " + " | ".join(f"{np.quantile(values, share):.2f}" for share in QUANTILES) + " |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
