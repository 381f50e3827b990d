"""Prepared training faces made of nothing: the tiny model's own people, on a plain background. Runs that can be looked at."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from PIL import Image
from tiny import face_at, tiny_model, tiny_processor

from ganon_hf.core.alignment import align_face
from ganon_hf.training import trainer
from ganon_hf.training.options import TrainingOptions
from ganon_hf.training.shards import SCHEMA


def encoded(picture: np.ndarray, form: str) -> dict[str, object]:
    """A picture as the shards hold it; lossless, so that tests may compare."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, form, **({"lossless": True} if form == "WEBP" else {}))
    return {"bytes": buffer.getvalue(), "path": None}


def face_rows(count: int, size: int = 64, seed: int = 0, *, tight: bool = False) -> list[dict[str, object]]:
    """``count`` rows of :data:`SCHEMA`: turned and tilted heads, every third gray, two pictures a person; ``tight`` as in align_face."""
    generator = np.random.default_rng(seed)
    model, processor = tiny_model(), tiny_processor(image_size=size)
    rows = []
    for number in range(count):
        points = face_at(size / 2, size / 2, size * 0.8, yaw=float(generator.uniform(-25, 25))).landmarks
        points = points + generator.normal(0, 0.3 * size / 64, points.shape)
        if tight:
            points = align_face(points, size, tight=True).to_crop(points)
        inputs = dict(processor.preprocess(points))
        gray = number % 3 == 0
        appearance = torch.from_numpy(np.random.default_rng(number // 2).standard_normal((1, 4)).astype(np.float32))
        with torch.inference_mode():
            face = model(**inputs, appearance=appearance, grayscale=torch.tensor([[float(gray)]])).images
        mask = inputs["pixel_values"][0, 2].numpy() > 0
        # two stripes of the UV map that the prior knows nothing of
        stripes = np.abs((inputs["pixel_values"][0, 1].numpy() % 0.4) - 0.2) < 0.05
        light, noise = generator.uniform(0.6, 1.1), generator.normal(0, 4, (size, size, 1))
        pixels = (processor.postprocess(face)[0] - 50 * stripes[..., None]) * light + noise
        picture = np.where(mask[..., None], pixels, 90).clip(0, 255).astype(np.uint8)
        rows.append(
            {
                "image": encoded(picture, "WEBP"),
                "matte": encoded(mask.astype(np.uint8) * 255, "PNG"),
                "landmarks": points.astype(np.float32).ravel().tolist(),
                "person": number // 2,
                "source": "test",
                "emotion": "neutral" if number % 2 else "happiness",
                "grayscale": gray,
                "resolution": 1.2 if number % 4 else 0.5,
                "sharpness": 1.0,
            }
        )
    return rows


def write_faces(folder: Path, count: int = 8, held_out: int = 4, size: int = 64, *, tight: bool = False) -> Path:
    """A prepared folder with a train and a validation split."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in (("train", face_rows(count, size, tight=tight)), ("validation", face_rows(held_out, size, 1, tight=tight))):
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / f"{split}-00000-of-00001.parquet")
    return folder


class Recording(trainer.Trainer):
    """A trainer whose losses a test can look at."""

    def __init__(self, options: TrainingOptions) -> None:
        super().__init__(options)
        self.losses: list[dict[str, float]] = []

    def update(self) -> dict[str, Any]:
        parts = super().update()
        self.losses.append({name: float(value) for name, value in parts.items()})
        return parts


def record_uploads(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The files that runs with ``push_to_hub`` would upload from now on, chosen by the Hub's own rules."""
    uploaded: set[str] = set()

    class Repository:
        repo_id = "user/name"

    def upload(*, folder_path: str, allow_patterns: list[str], ignore_patterns: list[str], **others: object) -> None:
        files = [path.relative_to(folder_path).as_posix() for path in Path(folder_path).rglob("*") if path.is_file()]
        uploaded.update(filter_repo_objects(files, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns))

    monkeypatch.setattr(trainer, "create_repo", lambda *arguments, **options: Repository())
    monkeypatch.setattr(trainer, "upload_folder", upload)
    return uploaded
