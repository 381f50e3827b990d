"""What is held before a face: hands, and what they hold. As :mod:`.occluder_shapes`."""

from __future__ import annotations

import numpy as np

from ..core.occluders import CLOTH, HAND, OBJECT
from .occluder_scene import Layer, Scene, fill, smooth_curve, soft, stroke
from .occluder_textures import folds, photo_patch, plain_color, smooth_noise, surface

# Corners of a finger's nail along it and across, in its widths.
_NAIL = np.array([[-0.5, -0.6], [-0.5, 0.6], [0.5, 0.5], [0.5, -0.5]])


def hand(scene: Scene, generator: np.random.Generator) -> list[Layer]:
    """A hand with some of its fingers before the face, and the arm that it belongs to."""
    points, size, unit = scene.points[:, :2], scene.size, scene.unit
    goal = points[int(generator.choice([13, 4, 50, 280, 205, 425, 159, 386, 152, 199, 9, 151, 172, 397]))] + generator.normal(
        0, 0.12 * unit, 2
    )
    # the arm comes from below or from a side
    angle = generator.uniform(-0.3, np.pi + 0.3) if generator.random() < 0.85 else generator.uniform(0, 2 * np.pi)
    arm = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-arm[1], arm[0]])
    reach = generator.uniform(0.45, 0.8) * unit
    thick = generator.uniform(0.085, 0.125) * unit
    base = scene.skin * np.exp(generator.normal(0, 0.12)) + generator.normal(0, 5, 3)
    if generator.random() < 0.12:
        base = plain_color(generator)  # gloves
    palm = goal + arm * reach
    bend = generator.normal(0, 0.35)
    height = np.full((size, size), -1e3, np.float32)  # of the surface, in pixels
    gain = np.ones((size, size), np.float32)
    parts = []
    fingers = int(generator.integers(1, 5)) if generator.random() < 0.4 else 4
    spread = generator.uniform(0.0, 0.35)
    for number in range(fingers):
        offset = (number - (fingers - 1) / 2) * thick * generator.uniform(1.75, 2.05)
        lean = (number - (fingers - 1) / 2) * spread + bend
        direction = -arm * np.cos(lean) + across * np.sin(lean)
        root = palm + across * offset - arm * 0.15 * unit
        length = reach * generator.uniform(0.75, 1.15)
        knuckle = root + direction * length * 0.5
        curl = generator.normal(0, 0.25)
        onward = direction * np.cos(curl) + np.array([-direction[1], direction[0]]) * np.sin(curl)
        parts += [(root, knuckle, thick * 1.05, thick), (knuckle, knuckle + onward * length * 0.5, thick, thick * 0.82)]
    if generator.random() < 0.5:
        side = generator.choice([-1, 1])
        thumb = palm + across * side * thick * 3.2
        parts.append(
            (
                palm + across * side * thick * 2 + arm * 0.2 * unit,
                thumb - arm * generator.uniform(0.1, 0.5) * unit,
                thick * 1.2,
                thick * 0.95,
            )
        )
    parts.append((palm - arm * 0.1 * unit, palm + arm * 0.25 * unit, thick * 3.3, thick * 3.0))
    parts.append((palm + arm * 0.25 * unit, palm + arm * 3 * unit, thick * 2.2, thick * 2.8))
    rows, columns = np.mgrid[:size, :size].astype(np.float32) + 0.5
    light = generator.uniform(-0.5, 0.5)
    for first, last, wide, end in parts:
        line = last - first
        share = np.clip(((columns - first[0]) * line[0] + (rows - first[1]) * line[1]) / max(float(line @ line), 1e-6), 0, 1)
        dx, dy = columns - first[0] - share * line[0], rows - first[1] - share * line[1]
        radius = wide + share * (end - wide)
        squared = 1 - (dx * dx + dy * dy) / np.square(radius)
        surface_height = np.sqrt(np.clip(squared, 0, None)) * min(float(radius.max()), 1.4 * thick) + np.where(squared > 0, 0, -1e3)
        shade = 0.6 + 0.4 * np.sqrt(np.clip(squared, 0, 1)) + light * (dx - dy) / np.maximum(radius, 1) * 0.25
        upper = surface_height > height
        gain[upper], height[upper] = shade[upper], surface_height[upper]
    alpha = soft((height > 0).astype(np.float32), generator)
    texture: np.ndarray = np.broadcast_to(base.astype(np.float32), (size, size, 3)) * gain[..., None]
    texture = texture * (1 + 0.04 * smooth_noise(size, 3, generator) + 0.06 * smooth_noise(size, 10, generator))[..., None]
    for first, last, wide, _ in parts[: 2 * fingers][1::2]:  # nails and creases
        direction = (last - first) / max(float(np.linalg.norm(last - first)), 1e-6)
        sideways = np.array([-direction[1], direction[0]])
        if generator.random() < 0.6:
            nail = fill(size, smooth_curve(last + wide * _NAIL @ np.array([direction, sideways])))
            polish = base * 1.1 + 15 if generator.random() < 0.6 else plain_color(generator)
            texture = texture + (polish - texture) * (0.7 * nail)[..., None]
        crease = first + np.outer([-1, 1], sideways) * wide * 0.8
        texture = texture * (1 - 0.25 * stroke(size, crease, 1.0))[..., None]
    color = np.clip(texture.astype(np.float32) * (scene.light ** generator.uniform(0, 0.6))[..., None], 0, 255)
    layers = [Layer(HAND, color.astype(np.float32), alpha, generator.uniform(0.2, 0.7))]
    if generator.random() < 0.4:  # a sleeve
        cuff = palm + arm * generator.uniform(0.5, 1.2) * unit
        polygon = np.array(
            [
                cuff - across * thick * 3.5,
                cuff + across * thick * 3.5,
                cuff + arm * 3 * unit + across * thick * 4.5,
                cuff + arm * 3 * unit - across * thick * 4.5,
            ]
        )
        layers.append(
            Layer(
                CLOTH,
                scene.lit(scene.texture(generator) * folds(size, generator)[..., None], generator),
                soft(fill(size, polygon), generator),
                0.4,
            )
        )
    return layers


def thing(scene: Scene, generator: np.random.Generator) -> list[Layer]:
    """A microphone, a cup, a phone, or something of any shape and surface."""
    points, size, unit = scene.points[:, :2].astype(np.float64), scene.size, scene.unit
    goal = points[int(generator.choice([13, 17, 199, 4, 50, 280, 152, 159, 386]))] + generator.normal(0, 0.15 * unit, 2)
    angle, kind = generator.uniform(0.2, np.pi - 0.2), generator.random()
    arm = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-arm[1], arm[0]])
    texture = photo_patch(scene.pictures, size, generator) if generator.random() < 0.3 else surface(size, generator)
    if kind < 0.3:  # microphone
        radius = generator.uniform(0.1, 0.22) * unit
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        head = goal + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        handle = np.array(
            [
                goal + across * radius * 0.8,
                goal - across * radius * 0.8,
                goal + arm * 3 * unit - across * radius * 0.5,
                goal + arm * 3 * unit + across * radius * 0.5,
            ]
        )
        alpha = np.maximum(fill(size, head), fill(size, handle))
        texture = texture * (1 + generator.uniform(0, 0.3) * smooth_noise(size, 1.5, generator))[..., None] * generator.uniform(0.1, 1)
    elif kind < 0.65:  # cup, phone, book
        wide, tall = generator.uniform(0.15, 0.5, 2) * unit
        taper = generator.uniform(0.6, 1.0)
        box = np.array([[-wide, -tall], [wide, -tall], [wide * taper, tall * 1.5], [-wide * taper, tall * 1.5]])
        turned = goal + box @ np.stack([across, arm])
        alpha = fill(size, smooth_curve(turned, rounds=1) if generator.random() < 0.5 else turned)
    else:
        count = int(generator.integers(4, 12))
        turn = np.sort(generator.uniform(0, 2 * np.pi, count))
        radii = generator.uniform(0.12, 0.5) * unit * generator.uniform(0.5, 1.3, count)
        shape = goal + np.stack([np.cos(turn), np.sin(turn)], axis=1) * radii[:, None]
        alpha = fill(size, smooth_curve(shape) if generator.random() < 0.6 else shape)
    layers = [Layer(OBJECT, scene.lit(texture, generator), soft(alpha, generator), generator.uniform(0, 0.5))]
    return layers if generator.random() < 0.7 else [*layers, *hand(scene, generator)]
