"""ICC profiles that carry a picture of the original: nothing of them but colors gets into a result."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from standins import save, square_photo

from ganon_hf.color_profiles import rebuild_profile
from ganon_hf.image_files import read_image, write_image

pytestmark = pytest.mark.attack
SUFFIXES = (".jpg", ".png", ".webp", ".tif")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ADOBE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))


def thumbnail() -> bytes:
    """What somebody wants to smuggle: a JPEG of the face, and a mark to look for."""
    content = io.BytesIO()
    square_photo().save(content, "JPEG")
    return b"SECRET" + content.getvalue()


def profile_with(tags: dict[bytes, bytes], behind: bytes = b"") -> bytes:
    """A profile of sRGB's header with these tags."""
    table, content, start = b"", b"", 132 + 12 * len(tags)
    for name, value in tags.items():
        table += struct.pack(">4sII", name, start + len(content), len(value))
        content += value
    body = struct.pack(">I", len(tags)) + table + content
    return struct.pack(">I", 128 + len(body)) + SRGB[4:128] + body + behind


def xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def curve(values: list[int]) -> bytes:
    return struct.pack(f">4sII{len(values)}H", b"curv", 0, len(values), *values)


def text(content: bytes) -> bytes:
    return b"text\0\0\0\0" + content


def adobe(gamma: bytes, **more: bytes) -> dict[bytes, bytes]:
    tags = {b"wtpt": xyz((0.9505, 1.0, 1.0891)), b"cprt": text(b"x"), b"desc": text(b"x")}
    tags |= {channel + b"XYZ": xyz(one) for channel, one in zip((b"r", b"g", b"b"), ADOBE, strict=True)}
    tags |= {channel + b"TRC": gamma for channel in (b"r", b"g", b"b")}
    return tags | {name.encode(): value for name, value in more.items()}


GAMMA = curve([563])  # 2.2, as Adobe RGB has it
HOSTILE = {
    "behind the end": SRGB + thumbnail(),
    "a private tag": profile_with(adobe(GAMMA, SECR=thumbnail())),
    "the copyright": profile_with(adobe(GAMMA, cprt=text(thumbnail()))),
    "the description": profile_with(adobe(GAMMA, desc=text(thumbnail()))),
    "behind a curve": profile_with(adobe(GAMMA + thumbnail())),
    "behind a colorant": profile_with(adobe(GAMMA, rXYZ=xyz(ADOBE[0]) + thumbnail())),
    "the header": SRGB[:48] + b"SECRETSECRET" + SRGB[60:84] + b"SECRET" * 2 + b"SECRETSE" * 3 + b"SECR" * 2 + SRGB[128:],
    "a table of tones": profile_with(adobe(curve(list(np.frombuffer(thumbnail()[: len(thumbnail()) // 2 * 2], ">u2"))))),
    "a table of colors": profile_with(adobe(GAMMA, A2B0=b"mft2\0\0\0\0" + thumbnail())),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("row", HOSTILE)
def test_a_profile_carries_nothing(row: str, suffix: str, tmp_path: Path) -> None:
    photo = save(tmp_path / f"a{suffix}", square_photo(), icc_profile=HOSTILE[row])
    assert b"SECRET" in photo.read_bytes() or suffix == ".png"  # PNG packs it
    picture = read_image(photo)
    write_image(picture, tmp_path / f"b{suffix}")
    written = (tmp_path / f"b{suffix}").read_bytes()
    with Image.open(tmp_path / f"b{suffix}") as image:
        profile = image.info.get("icc_profile", b"")
    for found in (written, profile):
        assert b"SECRET" not in found and b"SECR" not in found
    assert len(profile) < 700 and b"\xff\xd8\xff" not in profile
    assert profile or picture.notes, "a profile that is left out is told"


def rendered(image: Image.Image, profile: bytes) -> np.ndarray:
    """The colors that a viewer shows."""
    shown = ImageCms.profileToProfile(image, io.BytesIO(profile), ImageCms.createProfile("sRGB"))
    assert shown is not None
    return np.asarray(shown).astype(int)


def srgb_table(count: int) -> list[int]:
    x = np.linspace(0, 1, count)
    return [round(65535 * y) for y in np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)]


HONEST = {
    "sRGB": (SRGB, "sRGB"),
    "Adobe RGB": (profile_with(adobe(GAMMA)), "Adobe RGB (1998)"),
    "a table of sRGB's tones": (profile_with(adobe(curve(srgb_table(1024)))), "Adobe RGB (1998)"),
    "a table of a power": (profile_with(adobe(curve([round(65535 * (x / 255) ** 1.8) for x in range(256)]))), "Adobe RGB (1998)"),
    "a formula": (profile_with(adobe(struct.pack(">4sIHH5i", b"para", 0, 3, 0, 157286, 62119, 3417, 5072, 2651))), "Adobe RGB (1998)"),
    "other colorants": (profile_with(adobe(GAMMA, rXYZ=xyz((0.5, 0.25, 0.02)))), "RGB"),
}


@pytest.mark.parametrize("row", HONEST)
def test_a_rebuilt_profile_shows_the_same_colors(row: str) -> None:
    profile, name = HONEST[row]
    rebuilt = rebuild_profile(profile)
    assert rebuilt is not None and rebuilt == rebuild_profile(rebuilt), "the same colors, the same bytes"
    assert name in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(rebuilt)))
    steps = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3), -1).reshape(-1, 18, 3).astype(np.uint8)
    difference = np.abs(rendered(Image.fromarray(steps), profile) - rendered(Image.fromarray(steps), rebuilt))
    assert difference.max() <= 2 and difference.mean() < 0.1


def test_what_cannot_be_rebuilt_is_converted_and_told(tmp_path: Path) -> None:
    steps = [round(65535 * (x / 63) ** (1.4 + 0.8 * (x > 31))) for x in range(64)]  # no formula makes this
    profile = profile_with(adobe(curve(sorted(steps))))
    photo = save(tmp_path / "a.png", square_photo(), icc_profile=profile)
    picture = read_image(photo)
    assert picture.icc_profile is None and "converted to sRGB" in picture.notes[0]
    assert np.abs(np.asarray(picture.image).astype(int) - rendered(square_photo(), profile)).max() <= 1


def test_hostile_profiles_never_raise(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for seed in range(400):
        profile = bytearray(list(HOSTILE.values())[seed % len(HOSTILE)])
        for _ in range(int(rng.integers(1, 30))):
            profile[rng.integers(min(len(profile), 400))] = rng.integers(256)
        try:
            rebuilt = rebuild_profile(bytes(profile))
        except ValueError:
            continue
        assert rebuilt is None or len(rebuilt) < 700
