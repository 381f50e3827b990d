"""A real model of a few kilobytes, faces at known places, and a detector that knows them: an engine for tests, not a good one."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.face_mesh import MEAN_LANDMARKS
from ganon_hf.core.faces import Face, box_of_points
from ganon_hf.core.geometry import Pose
from ganon_hf.core.image_processing_ganon import GanonImageProcessor
from ganon_hf.core.modeling_ganon import GanonConfig, GanonModel

SIZES = {
    "image_size": 64,
    "texture_size": 32,
    "num_shape_components": 6,
    "num_quadratic": 2,
    "num_appearance": 4,
    "num_shape_axes": 8,
    "num_identity": 4,
    "num_expression": 3,
    "expression_width": 8,
    "num_people": 24,
    "people_texture_size": 32,
    "num_mouths": 6,
    "mouth_box": (10, 22, 12, 6),
}


def tiny_model(**changes: object) -> GanonModel:
    """``GanonModel`` with the statistics of an invented population: skin-colored people who differ in blotches; the same on every call."""
    model = GanonModel(GanonConfig(**{**SIZES, **changes}))
    generator = torch.Generator().manual_seed(0)

    def noise(tensor: torch.Tensor, scale: float) -> None:
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)

    mean = torch.from_numpy(MEAN_LANDMARKS.astype(np.float32)).flatten()
    with torch.no_grad():
        model.geometry.mean.copy_(mean)
        axes = torch.linalg.qr(torch.randn(MEAN_LANDMARKS.size, SIZES["num_shape_axes"], generator=generator))[0]
        model.geometry.axes.copy_(axes[:, : model.config.num_shape_axes])
        model.geometry.deviations.fill_(0.1)
        noise(model.geometry.identity_basis, 1.0)
        for parameter in model.geometry.parameters():
            noise(parameter, 0.2)
        if model.prior is not None:
            model.prior.shape_mean.copy_(mean)
            noise(model.prior.shape_basis, 0.02)
            noise(model.prior.luma, 1.0)
            noise(model.prior.luma_appearance, 12.0)
            noise(model.prior.chroma_appearance, 4.0)
            model.prior.luma[0] += 150.0  # the first feature is one: the mean face
            model.prior.chroma[0, 0] -= 15.0
            model.prior.chroma[0, 1] += 20.0
            model.prior.tone_factor.copy_(torch.diag(torch.tensor([0.2, 5.0, 5.0])))
        noise(model.geometry.people_shapes, 1.0)
        # all combinations of age, sex and beard that occur, with brows and skin of any shade
        classes = [(age, sex, beard) for age in range(5) for sex in range(2) for beard in range(2) if not beard or (sex and age > 1)]
        for number in range(model.config.num_people):
            look = torch.tensor([*classes[number % len(classes)], number % 3, number // 3 % 3])
            model.geometry.people_looks[number] = look
        if model.people is not None:
            for maps, scale in (
                (model.people.broad, 12.0),
                (model.people.luma, 12.0),
                (model.people.chroma, 4.0),
                (model.people.mouth_chroma, 8.0),
            ):
                noise(maps, scale)
            model.people.mouth_luma.copy_(torch.randint(20, 180, model.people.mouth_luma.shape, generator=generator))
            model.people.mouth_mask.fill_(1.0)
            model.people.mouth_shapes.copy_(torch.linspace(0.05, 0.5, len(model.people.mouth_shapes))[:, None].expand(-1, 2))
            regions = torch.rand(model.people.regions.shape, generator=generator)
            model.people.regions.copy_(regions / regions.sum(dim=0))
    return model.eval()


def tiny_processor(**changes: object) -> GanonImageProcessor:
    return GanonImageProcessor(**{"image_size": SIZES["image_size"], **changes})


def face_at(x: float, y: float, height: float = 60.0, *, yaw: float = 0.0, landmarks: bool = True, score: float = 0.9) -> Face:
    """The mean face, centered at (x, y), in photo pixels; ``yaw`` in degrees turns the head."""
    sine, cosine = np.sin(np.radians(yaw)), np.cos(np.radians(yaw))
    rotation = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
    scale = height / float(np.ptp(MEAN_LANDMARKS[:, 1]))
    points = Pose(scale, rotation, np.zeros(3)).apply(MEAN_LANDMARKS)
    box = box_of_points(points)
    points += np.array([x - (box[0] + box[2]) / 2, y - (box[1] + box[3]) / 2, 0.0])
    return Face(box_of_points(points), score, points if landmarks else None)


def noise_photo(width: int = 160, height: int = 120, seed: int = 0, *, gray: bool = False) -> np.ndarray:
    """(height, width, 3) uint8 in which every pixel differs from its neighbors: whatever survives can be recognized."""
    photo = np.random.default_rng(seed).integers(60, 220, (height, width, 3), dtype=np.uint8)
    return np.repeat(photo[..., :1], 3, axis=2) if gray else photo


class KnownFaces:
    """A detector for photos of known size: (width, height) -> faces. Counts its calls."""

    def __init__(self, faces: dict[tuple[int, int], list[Face]] | None = None) -> None:
        self.faces = faces if faces is not None else {(160, 120): [face_at(60, 60)]}
        self.calls = 0

    def __call__(self, image: np.ndarray, *, min_face_size: int = 24, min_score: float = 0.5) -> list[Face]:
        self.calls += 1
        known = self.faces.get((image.shape[1], image.shape[0]), [])
        return [face for face in known if face.score >= min_score and face.box[3] - face.box[1] >= min_face_size]


def tiny_engine(faces: dict[tuple[int, int], list[Face]] | None = None, **changes: object) -> Anonymizer:
    return Anonymizer(tiny_model(**changes), tiny_processor(), KnownFaces(faces))


def same(first: object, second: object) -> bool:
    """Whether two pictures (PIL or arrays) have the same bytes."""
    if first is None or second is None:
        return False
    pictures = [picture.convert("RGB") if isinstance(picture, Image.Image) else picture for picture in (first, second)]
    return np.array_equal(np.asarray(pictures[0]), np.asarray(pictures[1]))
