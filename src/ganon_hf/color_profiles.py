"""ICC profiles rebuilt from the few numbers that decide colors.

A profile is a container: private tags, texts, tables of curves and whatever stands behind its end can hold a picture of the face that was
just replaced. So none is copied. What describes RGB by a matrix and three curves of a formula (sRGB, Display P3, Adobe RGB, ProPhoto, what
cameras and phones write) is written anew, 12 to 30 numbers in a fixed frame; for all others the pixels are converted to sRGB.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4 << 20  # real profiles are below 2 MB
_HEADER_BYTES, _MAX_TAGS = 128, 100
_CLASSES = (b"mntr", b"scnr", b"spac")
_LUT_TAGS = {b"A2B0", b"A2B1", b"A2B2", b"B2A0", b"D2B0", b"D2B1", b"D2B2", b"D2B3"}
_CHANNELS = (b"r", b"g", b"b")
_D50 = (0.9642, 1.0, 0.8249)
_DATE = (2000, 1, 1, 0, 0, 0)
_COPYRIGHT = "No copyright, use freely"
# Numbers of ICC's parametric curves by type: gamma, and the coefficients of the formulas in section 10.18 of ICC.1:2022.
_NUM_PARAMETERS = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}
_SRGB_CURVE = (3, (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
_KNOWN_CURVES = (
    _SRGB_CURVE,
    (3, (1.8, 1.0, 0.0, 1 / 16, 0.03125)),  # ProPhoto RGB
    (3, (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)),  # BT.709 and BT.2020
)
# Colorants by name, as XYZ under D50; the name is all that viewers show of a profile.
_NAMES = {
    "sRGB": ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)),
    "Display P3": ((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841)),
    "Adobe RGB (1998)": ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)),
    "ProPhoto RGB": ((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249)),
    "BT.2020": ((0.6734, 0.2790, -0.0019), (0.1657, 0.6753, 0.0300), (0.1251, 0.0456, 0.7968)),
}
_COLORANT_TOLERANCE = 0.003
_CURVE_TOLERANCE = 1 / 1024  # of a table against a formula; a level of 8 bits is four times as much

Curve = tuple[int, tuple[float, ...]]


def rebuild_profile(profile: bytes) -> bytes | None:
    """A profile of the same colors in which nothing else of the given one is left.

    Args:
        profile: untrusted.

    Returns:
        about 500 bytes, the same for the same colors; None where a matrix and three formulas do not describe the profile.

    Raises:
        ValueError: it is malformed, or not for RGB; the message continues "the color profile".
    """
    if len(profile) > MAX_PROFILE_BYTES:
        raise ValueError(f"is larger than {MAX_PROFILE_BYTES >> 20} MiB")
    if len(profile) < _HEADER_BYTES + 4 or profile[36:40] != b"acsp":
        raise ValueError("is malformed")
    if profile[16:20] != b"RGB ":
        raise ValueError("is not for RGB")
    tags = _read_tags(profile)
    if _LUT_TAGS & tags.keys() or profile[12:16] not in _CLASSES or profile[20:24] != b"XYZ ":
        return None
    try:
        colorants = tuple(_read_xyz(tags[channel + b"XYZ"]) for channel in _CHANNELS)
        curves = [_read_curve(tags[channel + b"TRC"]) for channel in _CHANNELS]
    except (KeyError, struct.error) as error:
        raise ValueError("is malformed") from error
    if not all(-0.5 <= value <= 2.0 for colorant in colorants for value in colorant):
        return None
    formulas = [curve for curve in curves if curve is not None]
    return _write(_name_of(colorants), colorants, formulas) if len(formulas) == len(_CHANNELS) else None


def convert_to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The picture, RGB, in the colors of sRGB.

    Raises:
        ValueError: the profile cannot be used; the message continues "the color profile".
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB")
        ImageCms.applyTransform(image, transform, inPlace=True)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise ValueError("is malformed") from error
    return image


def _read_tags(profile: bytes) -> dict[bytes, bytes]:
    """Tag -> its bytes, within the profile's own size."""
    (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
    if count > _MAX_TAGS or _HEADER_BYTES + 4 + 12 * count > len(profile):
        raise ValueError("is malformed")
    tags = {}
    for number in range(count):
        name, start, size = struct.unpack_from(">4sII", profile, _HEADER_BYTES + 4 + 12 * number)
        if start + size > len(profile):
            raise ValueError("is malformed")
        tags[name] = profile[start : start + size]
    return tags


def _read_xyz(tag: bytes) -> tuple[float, float, float]:
    if tag[:4] != b"XYZ ":
        raise ValueError("is malformed")
    x, y, z = struct.unpack_from(">iii", tag, 8)
    return x / 65536, y / 65536, z / 65536


def _read_curve(tag: bytes) -> Curve | None:
    """A tone curve as a formula, or None where no formula fits."""
    if tag[:4] == b"para":
        (kind,) = struct.unpack_from(">H", tag, 8)
        if kind not in _NUM_PARAMETERS:
            return None
        curve: Curve = (kind, tuple(value / 65536 for value in struct.unpack_from(f">{_NUM_PARAMETERS[kind]}i", tag, 12)))
        return curve if _is_plausible(curve) else None
    if tag[:4] != b"curv":
        raise ValueError("is malformed")
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return 0, (1.0,)
    if count == 1:
        return 0, (struct.unpack_from(">H", tag, 12)[0] / 256,)
    if len(tag) < 12 + 2 * count:
        raise ValueError("is malformed")
    table = np.frombuffer(tag, ">u2", count, 12) / 65535.0
    inputs = np.linspace(0.0, 1.0, count)
    inside = (inputs > 0.2) & (inputs < 0.95) & (table > 0.001)
    gammas = np.log(table[inside]) / np.log(inputs[inside]) if inside.any() else np.array([1.0])
    guesses = (*_KNOWN_CURVES, (0, (round(float(np.median(gammas)) * 256) / 256,)))
    return next((one for one in guesses if np.abs(_evaluate(one, inputs) - table).max() <= _CURVE_TOLERANCE), None)


def _is_plausible(curve: Curve) -> bool:
    """Whether a formula rises from about 0 to about 1."""
    values = _evaluate(curve, np.linspace(0.0, 1.0, 64))
    ends = abs(values[0]) < 0.05 and abs(values[-1] - 1) < 0.05
    return bool(np.isfinite(values).all() and ends and (np.diff(values) >= -1e-4).all())


def _evaluate(curve: Curve, inputs: np.ndarray) -> np.ndarray:
    """ICC's parametric curves: above a threshold (a X + b)^gamma + e, below it c X + f."""
    kind, numbers = curve
    gamma, a, b, c, d, e, f = (*numbers, *(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)[len(numbers) - 1 :])
    if kind in (1, 2):  # the threshold is where the power's base is 0; below it the curve is flat
        e = f = c if kind == 2 else 0.0
        c, d = 0.0, -b / a if a else 0.0
    with np.errstate(all="ignore"):
        return np.where(inputs >= d, np.maximum(a * inputs + b, 0.0) ** gamma + e, c * inputs + f)


def _name_of(colorants: tuple[tuple[float, float, float], ...]) -> str:
    for name, known in _NAMES.items():
        if np.abs(np.array(known) - np.array(colorants)).max() <= _COLORANT_TOLERANCE:
            return name
    return "RGB"


def _write(name: str, colorants: tuple[tuple[float, float, float], ...], curves: list[Curve]) -> bytes:
    """A display profile of version 4."""
    tags = {b"desc": _text(name), b"cprt": _text(_COPYRIGHT), b"wtpt": _xyz(_D50)}
    tags |= {channel + b"XYZ": _xyz(colorant) for channel, colorant in zip(_CHANNELS, colorants, strict=True)}
    tags |= {channel + b"TRC": _curve(curve) for channel, curve in zip(_CHANNELS, curves, strict=True)}
    table, content, start = b"", b"", _HEADER_BYTES + 4 + 12 * len(tags)
    for tag, value in tags.items():
        table += struct.pack(">4sII", tag, start + len(content), len(value))
        content += value + bytes(-len(value) % 4)
    body = struct.pack(">I", len(tags)) + table + content
    header = struct.pack(
        ">I4sI4s4s4s6H4s4sI4s4sQI12s4s",
        _HEADER_BYTES + len(body), bytes(4), 0x04200000, b"mntr", b"RGB ", b"XYZ ", *_DATE, b"acsp", bytes(4), 0, bytes(4), bytes(4), 0, 0,
        _fixed(_D50), bytes(4),
    )  # fmt: skip
    return header + bytes(_HEADER_BYTES - len(header)) + body


def _text(text: str) -> bytes:
    encoded = text.encode("utf-16-be")
    return struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", len(encoded), 28) + encoded


def _xyz(values: Iterable[float]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _curve(curve: Curve) -> bytes:
    return struct.pack(">4sIHH", b"para", 0, curve[0], 0) + _fixed(curve[1])


def _fixed(values: Iterable[float]) -> bytes:
    """ICC's s15Fixed16 numbers."""
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)
