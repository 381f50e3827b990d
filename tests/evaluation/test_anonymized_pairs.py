"""What an attacker collects: pictures before and after, cut where he finds the face."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import KnownFaces, face_at, noise_photo, tiny_engine

from ganon_hf.core.alignment import align_face, crop_image
from ganon_hf.core.face_mesh import MEAN_LANDMARKS
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.evaluation.attacks import anonymized_pairs as pairs
from ganon_hf.evaluation.data.samples import to_grayscale
from ganon_hf.evaluation.harness import baselines

FACE = face_at(60, 60)


def photo(seed: int = 0) -> np.ndarray:
    return noise_photo(160, 120, seed)


def test_the_engine_s_pictures_before_and_after() -> None:
    engine = tiny_engine()
    anonymize = pairs.engine_anonymizer(engine, AnonymizeOptions(seed=3), 1)
    empty = noise_photo(50, 50)  # nobody is there
    found = pairs.collect_pairs([photo(0), empty, photo(0)], [4, 5, 4], anonymize, engine.detector, size=32)
    assert found.rows.tolist() == [0, 2] and found.persons.tolist() == [4, 4]
    assert found.places([2, 1, 0]).tolist() == [1, -1, 0]
    wanted = crop_image(to_grayscale(photo(0)), align_face(FACE.landmarks, 32))
    assert (found.originals == wanted).all() and (found.targets == wanted).all()
    assert (found.anonymized != found.originals).mean() > 0.3
    assert (found.anonymized[0] != found.anonymized[1]).any(), "every photo gets a seed of its own, whatever the options say"
    again = pairs.collect_pairs(
        [photo(0), photo(0)], [4, 4], pairs.engine_anonymizer(engine, AnonymizeOptions(), 1), engine.detector, size=32
    )
    assert (again.anonymized == found.anonymized).all(), "the same seed, the same pictures"


def test_somebody_else_s_landmarks_hide_the_shape() -> None:
    engine, options = tiny_engine(), AnonymizeOptions(geometry="original")
    donor = 70 * (MEAN_LANDMARKS + 0.08 * np.sin(np.arange(478))[:, None]) + [200, 90, 5]
    own, swapped, again = (
        pairs.collect_pairs([photo(0)], [4], pairs.engine_anonymizer(engine, options, 1, points), engine.detector, size=32)
        for points in (None, donor, donor)
    )
    assert (own.anonymized != swapped.anonymized).any() and (swapped.anonymized == again.anonymized).all()
    assert (own.originals == swapped.originals).all()


class GoneAfterwards(KnownFaces):
    """Sees the face at first and not again."""

    def __call__(self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5) -> list:  # type: ignore[type-arg]
        return super().__call__(image) if self.calls % 2 == 0 else self._nothing()

    def _nothing(self) -> list:  # type: ignore[type-arg]
        self.calls += 1
        return []


def test_who_finds_no_face_is_told_where_it_was() -> None:
    found = pairs.collect_pairs([photo(1)], [0], pairs.box_anonymizer(baselines.solid), GoneAfterwards(), size=32)
    assert np.isnan(found.found).all()
    assert found.anonymized[0, 10:22, 10:22].max() == 0 and (found.targets == found.originals).all()


def test_the_face_is_looked_for_where_it_was() -> None:
    other = face_at(120, 60, 40.0)
    detector = KnownFaces({(160, 120): [FACE, other]})
    assert pairs.redetect(detector, photo(), other.box) is other.landmarks
    assert pairs.redetect(detector, photo(), (0.0, 100.0, 20.0, 119.0)) is None


def test_what_comes_to_nothing_is_left_out() -> None:
    found = pairs.collect_pairs([photo(), photo()], [0, 1], lambda picture, face: None, KnownFaces())
    assert len(found) == 0 and found.landmarks.shape == (0, 478, 3) and found.originals.shape == (0, 128, 128)
    with pytest.raises(ValueError, match="1 persons were given for 2 photos"):
        pairs.collect_pairs([photo(), photo()], [0], pairs.box_anonymizer(baselines.solid), KnownFaces())


def test_files(tmp_path: Path) -> None:
    found = pairs.collect_pairs([photo(), photo(1)], [0, 1], pairs.box_anonymizer(baselines.blur), KnownFaces(), size=16)
    path = tmp_path / "new" / "e.npz"
    found.save(path)
    loaded = pairs.AnonymizedPairs.load(path)
    assert all(np.array_equal(getattr(found, f.name), getattr(loaded, f.name), equal_nan=True) for f in fields(found))
    assert [p.name for p in path.parent.iterdir()] == ["e.npz"], "nothing half-written stays"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="delete it"):
        pairs.AnonymizedPairs.load(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("landmarks", np.zeros((2, 468, 3)), "landmarks must be"),  # without irises
        ("rows", np.zeros(3, int), "rows must be"),  # more than persons
        ("anonymized", np.zeros((2, 8, 9), np.uint8), "anonymized must be"),  # not square
        ("targets", np.zeros((2, 8, 8)), "targets must be"),  # no bytes
    ],
)
def test_pairs_check_themselves(field: str, value: np.ndarray, message: str) -> None:
    points, crops = np.zeros((2, 478, 3)), np.zeros((2, 8, 8), np.uint8)
    fine = dict(persons=np.arange(2), rows=np.arange(2), landmarks=points, found=points, originals=crops, anonymized=crops, targets=crops)
    pairs.AnonymizedPairs(**fine)
    with pytest.raises(ValueError, match=message):
        pairs.AnonymizedPairs(**{**fine, field: value})


def test_the_digest_tells_programs_apart() -> None:
    engine, options = tiny_engine(), AnonymizeOptions()
    digest = pairs.program_digest(engine, options)
    assert digest == pairs.program_digest(tiny_engine(), AnonymizeOptions(seed=9)), "a seed is no other program"
    assert digest != pairs.program_digest(engine, AnonymizeOptions(geometry="original"))
    with torch.no_grad():
        engine.model.geometry.mean[0] += 1
    assert digest != pairs.program_digest(engine, options)


def test_crops_are_embedded_at_the_face() -> None:
    class Eye:
        name, metric = "eye", "euclidean"

        def __call__(self, picture: np.ndarray, box: tuple[float, ...]) -> np.ndarray | None:
            assert picture.shape == (20, 20, 3) and picture.dtype == np.uint8
            return None if picture.max() == 0 else np.array([*box, picture.mean()])

    vectors = pairs.embed_crops(Eye(), np.stack([np.zeros((20, 20)), np.full((20, 20), 7)]).astype(np.uint8))  # type: ignore[arg-type]
    assert vectors[0] is None
    assert vectors[1] == pytest.approx([*(20 * share for share in pairs.FACE_IN_CROP), 7])
