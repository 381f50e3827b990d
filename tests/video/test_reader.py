"""What comes out of video files of every kind: pixels, time stamps, and clear errors."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import (
    HEIGHT,
    MILLISECOND,
    WIDTH,
    Sound,
    Track,
    damage,
    decoded_frame,
    difference,
    opened,
    payloads,
    picture,
    pictures,
    tone,
    write_clip,
    write_clip_with_sound,
)
from PIL import Image

from ganon_hf.video import reader as reading
from ganon_hf.video.colorspace import ColorTags, FrameConverter
from ganon_hf.video.reader import UnusableVideoError, VideoFrame, VideoReader


def read(path: Path) -> tuple[list[VideoFrame], VideoReader]:
    """All frames, and the closed reader for its attributes."""
    with VideoReader(path) as reader:
        return list(reader), reader


# ---- pixels ----------------------------------------------------------------------------------------------------------------------

KINDS: dict[str, tuple[str, dict[str, Any], float]] = {
    # name: (file, how it is written, largest mean difference to the picture)
    "h264, what most files are": ("a.mp4", {}, 1.5),
    "h264, BT.709": ("a.mp4", {"matrix": 1, "primaries": 1, "transfer": 1, "full": False}, 1.5),
    "h264, BT.601 NTSC": ("a.mp4", {"matrix": 6, "primaries": 6, "transfer": 6, "full": False}, 1.5),
    "h264, full range by tag": ("a.mp4", {"matrix": 1, "full": True}, 1.5),
    "h264, full range by pixel format": ("a.mp4", {"pixel_format": "yuvj420p", "full": True}, 1.5),
    "h264, 10 bits": ("a.mp4", {"pixel_format": "yuv420p10le", "options": {"profile": "high10"}}, 1.5),
    "h264, 10 bits 4:2:2": ("a.mp4", {"pixel_format": "yuv422p10le", "options": {"profile": "high422"}}, 1.5),
    "h264, 4:4:4": ("a.mp4", {"pixel_format": "yuv444p", "options": {"profile": "high444"}}, 1.5),
    "h264 with B-frames": ("a.mp4", {"options": {"preset": "fast", "bf": "3"}}, 1.5),
    "h264 with B-frames in AVI, which has no times of presentation": ("a.avi", {"options": {"preset": "fast", "bf": "3"}}, 1.5),
    "hevc, 10 bits": ("a.mkv", {"codec": "libx265", "pixel_format": "yuv420p10le"}, 1.5),
    "prores": ("a.mov", {"codec": "prores_ks", "pixel_format": "yuv422p10le"}, 1.0),
    "ffv1, 16 bits": ("a.mkv", {"codec": "ffv1", "pixel_format": "yuv420p16le"}, 0.5),
    "ffv1, RGB": ("a.mkv", {"codec": "ffv1", "pixel_format": "bgr0"}, 0.0),
    "png in mov": ("a.mov", {"codec": "png", "pixel_format": "rgb24"}, 0.0),
    "quicktime animation": ("a.mov", {"codec": "qtrle", "pixel_format": "rgb24"}, 0.0),
    "motion jpeg": ("a.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p", "full": True}, 2.0),
    "mpeg4 with B-frames in AVI": ("a.avi", {"codec": "mpeg4", "options": {"bf": "2"}}, 2.0),
    "mpeg2 transport stream": ("a.ts", {"codec": "mpeg2video"}, 2.0),
    "mpeg2 program stream": ("a.mpg", {"codec": "mpeg2video"}, 2.0),
    "mxf": ("a.mxf", {"codec": "mpeg2video"}, 2.0),
    "flash": ("a.flv", {}, 1.5),
    "windows media": ("a.wmv", {"codec": "wmv2"}, 2.0),
    "vp8": ("a.webm", {"codec": "libvpx"}, 2.0),
    "vp9": ("a.webm", {"codec": "libvpx-vp9"}, 2.0),
    "raw": ("a.y4m", {"codec": "wrapped_avframe"}, 1.0),
    "odd size": ("a.webm", {"codec": "libvpx-vp9", "height": 49, "width": 65}, 2.0),
    "odd size, 4:4:4": ("a.mp4", {"pixel_format": "yuv444p", "options": {"profile": "high444"}, "height": 37, "width": 51}, 1.5),
}


@pytest.mark.parametrize(("name", "options", "limit"), KINDS.values(), ids=KINDS)
def test_every_kind_gives_its_pictures_back(name: str, options: dict[str, Any], limit: float, tmp_path: Path) -> None:
    images = pictures(6, height=options.get("height", HEIGHT), width=options.get("width", WIDTH))
    frames, reader = read(write_clip(tmp_path / name, images, **options))
    assert len(frames) == 6 and reader.notes == []
    for frame, image in zip(frames, images, strict=True):
        assert frame.image.dtype == np.uint8 and frame.image.shape == image.shape == (reader.height, reader.width, 3)
        assert difference(frame.image, image) <= limit
        assert np.abs(frame.image.mean((0, 1)) - image.mean((0, 1))).max() <= max(limit * 0.75, 0.1), "a color cast"
    times = [frame.pts * reader.time_base for frame in frames]
    assert [time - times[0] for time in times] == [Fraction(index, 25) for index in range(6)]


@pytest.mark.parametrize(
    ("tagged", "size", "expected"),
    [
        (1, (48, 64), 1),
        (6, (48, 64), 6),
        (5, (48, 64), 5),
        (2, (48, 64), 6),  # nothing said: small pictures are BT.601 ...
        (2, (720, 64), 1),  # ... and 720 lines or more BT.709
        (1, (720, 64), 1),
        (6, (720, 64), 6),
    ],
)
def test_matrix_is_the_tagged_one_or_what_players_assume(tagged: int, size: tuple[int, int], expected: int, tmp_path: Path) -> None:
    image = picture(height=size[0], width=size[1])
    frame = decoded_frame(image, "yuv444p", matrix=1 if expected == 1 else 5)
    path = write_clip(tmp_path / "a.mkv", [frame], codec="ffv1", pixel_format="yuv444p", matrix=tagged, height=size[0], width=size[1])
    frames, reader = read(path)
    assert difference(frames[0].image, image) < 1
    assert reader.color.matrix == expected


@pytest.mark.parametrize(("full", "white"), [(False, 235), (True, 255), (None, 255)])
def test_gray_of_either_range(full: bool | None, white: int, tmp_path: Path) -> None:
    gray = av.VideoFrame.from_ndarray(np.full((48, 64), white, np.uint8), format="gray")
    gray.color_range = {False: 1, True: 2, None: 0}[full]
    path = write_clip(tmp_path / "a.mp4", [gray], pixel_format="gray", full=full, options={"qp": "0"})
    if full is None:  # libx264 says something, whatever it is told
        converter = FrameConverter(gray, Fraction(1, 25))
        gray.pts = 0
        ((_, image),) = [*converter.convert(gray), *converter.flush()]
    else:
        image = read(path)[0][0].image
    assert image.shape == (48, 64, 3) and np.abs(image.astype(int) - 255).max() <= 1


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mkv", "ffv1", "bgra"),
        ("a.mkv", "ffv1", "yuva420p"),
        ("a.mov", "prores_ks", "yuva444p10le"),
        ("a.mov", "png", "rgba"),
        ("a.mov", "qtrle", "argb"),
        ("a.webm", "libvpx-vp9", "yuva420p"),  # the usual decoder of libav drops the transparency
        ("a.webm", "libvpx", "yuva420p"),
    ],
)
def test_what_transparency_hides_stays_hidden(name: str, codec: str, pixel_format: str, tmp_path: Path) -> None:
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[:, WIDTH // 2 :] = 255
    images = pictures(3)
    options = {"auto-alt-ref": "0"} if codec.startswith("libvpx") else {}
    frames, _ = read(write_clip(tmp_path / name, images, alphas=[alpha] * 3, codec=codec, pixel_format=pixel_format, options=options))
    for frame, image in zip(frames, images, strict=True):
        assert frame.image[:, : WIDTH // 2 - 4].max() <= 4
        assert difference(frame.image[:, WIDTH // 2 + 4 :], image[:, WIDTH // 2 + 4 :]) < 4


# ---- HDR -------------------------------------------------------------------------------------------------------------------------


def pq(nits: np.ndarray) -> np.ndarray:
    """Display light in cd/m2 -> signal 0 to 1 (SMPTE ST 2084)."""
    power = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(nits: np.ndarray) -> np.ndarray:
    """Display light of gray in cd/m2 on a 1000 cd/m2 screen -> signal 0 to 1 (ITU-R BT.2100, system gamma 1.2)."""
    scene = (nits / 1000) ** (1 / 1.2)
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073)


# The table that swscale builds takes seconds.
@pytest.mark.parametrize(("curve", "transfer"), [(pq, 16), pytest.param(hlg, 18, marks=pytest.mark.slow)], ids=["PQ", "HLG"])
def test_hdr_becomes_standard_range(curve: Callable[[np.ndarray], np.ndarray], transfer: int, tmp_path: Path) -> None:
    nits = np.array([0.0, 1, 10, 50, 100, 203, 400, 1000])
    gray = np.repeat(curve(nits), 16)[None].repeat(48, 0)
    rgb = np.stack([gray] * 3, axis=-1)
    rgb[24:, :, 1:] = curve(np.zeros(1))  # below: red of BT.2020
    rgb[24:, 112:] = curve(np.array([60.0, 40, 28]))  # skin
    source = av.VideoFrame.from_ndarray((rgb * 65535).round().astype(np.uint16), format="rgb48le")
    source.color_range = 2
    frame = av.video.reformatter.VideoReformatter().reformat(source, format="yuv420p10le", dst_colorspace=9, dst_color_range=1)
    path = write_clip(
        tmp_path / "a.mp4",
        [frame],
        pixel_format="yuv420p10le",
        options={"profile": "high10"},
        height=48,
        width=128,
        matrix=9,
        primaries=9,
        transfer=transfer,
        full=False,
    )
    frames, reader = read(path)
    steps = frames[0].image[8, 8::16].astype(int)
    assert np.ptp(steps, axis=1).max() <= 4, "gray stays gray"
    light = steps.mean(axis=1)
    assert light[0] <= 4 and (np.diff(light) > 8).all(), "brighter stays brighter, up to the highlights"
    assert 130 <= light[5] <= 230, "diffuse white (203 cd/m2) is bright and leaves room for highlights"
    red = frames[0].image[40, 8 + 16 * 4].astype(int)
    assert red[0] > red[1] + 60 and red[0] > red[2] + 60, "red stays red"
    skin = frames[0].image[28:44, 116:124].reshape(-1, 3).astype(int)
    assert np.ptp(skin, axis=0).max() <= 6 and (np.diff(skin.mean(axis=0)) < -8).all(), "skin stays even and skin"
    assert reader.color == ColorTags(1, 1, 1)
    assert any("BT.709" in note for note in reader.notes)


# ---- orientation, shape ----------------------------------------------------------------------------------------------------------

TURNS: dict[str, tuple[tuple[int, bool, bool], Callable[[np.ndarray], np.ndarray]]] = {
    "upright": ((0, False, False), lambda image: image),
    "90 degrees left": ((90, False, False), np.rot90),
    "180 degrees": ((180, False, False), lambda image: image[::-1, ::-1]),
    "90 degrees right": ((-90, False, False), lambda image: np.rot90(image, 3)),
    "mirrored": ((0, True, False), lambda image: image[:, ::-1]),
    "upside down": ((0, False, True), lambda image: image[::-1]),
    "90 degrees left, then mirrored": ((90, True, False), lambda image: np.rot90(image)[:, ::-1]),
    "90 degrees right, then mirrored": ((-90, True, False), lambda image: np.rot90(image, 3)[:, ::-1]),
}


@pytest.mark.parametrize(("rotation", "expected"), TURNS.values(), ids=TURNS)
def test_frames_are_upright(rotation: tuple[int, bool, bool], expected: Callable[[np.ndarray], np.ndarray], tmp_path: Path) -> None:
    images = pictures(3)
    frames, reader = read(write_clip(tmp_path / "a.mp4", images, rotation=rotation, aspect=Fraction(4, 3)))
    for frame, image in zip(frames, images, strict=True):
        assert frame.image.shape == expected(image).shape == (reader.height, reader.width, 3)
        assert difference(frame.image, expected(image)) < 2
    turned = reader.height != HEIGHT
    assert reader.sample_aspect_ratio == (Fraction(3, 4) if turned else Fraction(4, 3))


def test_crooked_rotation_is_said(tmp_path: Path) -> None:
    images = pictures(1)
    frames, reader = read(write_clip(tmp_path / "a.mp4", images, rotation=(30, False, False)))
    assert difference(frames[0].image, images[0]) < 2
    assert any("multiple of 90" in note for note in reader.notes)


@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_interlaced_frames_lose_their_combs_and_nothing_else(codec: str, tmp_path: Path) -> None:
    def bar(position: int) -> np.ndarray:
        image = np.full((96, 128, 3), 40, np.uint8)
        image[:, position : position + 24] = 220
        return image

    woven = []
    for index in range(8):
        image = bar(10 + 10 * index)
        image[1::2] = bar(15 + 10 * index)[1::2]
        woven.append(image)
    options = {"flags": "+ildct+ilme"} if codec == "mpeg2video" else {"flags": "+ildct", "crf": "5"}
    pts = [0, 1, 2, 3, 5, 6, 7, 9]
    path = write_clip(tmp_path / "a.mkv", woven, pts=pts, codec=codec, interlaced=True, options=options)
    frames, reader = read(path)
    assert [frame.pts * reader.time_base for frame in frames] == [Fraction(stamp, 25) for stamp in pts]
    for frame, image in zip(frames, woven, strict=True):
        combs = [np.abs(np.diff(picture[:, :, 1].astype(int), axis=0)).mean() for picture in (frame.image, image)]
        assert combs[0] < combs[1] / 4
        assert abs(frame.image.mean() - image.mean()) < 4


def test_a_single_interlaced_frame_comes_out(tmp_path: Path) -> None:
    frames, _ = read(write_clip(tmp_path / "a.mkv", pictures(1), codec="mpeg2video", interlaced=True, options={"flags": "+ildct+ilme"}))
    assert len(frames) == 1


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path: Path) -> None:
    small, large = tmp_path / "small.ts", tmp_path / "large.ts"
    write_clip(small, pictures(4), pts=[0, 1, 2, 3])
    write_clip(large, pictures(4, height=96, width=128), pts=[4, 5, 6, 7])
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    frames, reader = read(joined)
    assert len(frames) == 8 and {frame.image.shape for frame in frames} == {(HEIGHT, WIDTH, 3)}
    assert difference(frames[-1].image, picture(3)) < 4
    assert any("another size" in note for note in reader.notes)


# ---- time ------------------------------------------------------------------------------------------------------------------------

UNEVEN = [0, 7, 8, 40, 41, 43, 90]


@pytest.mark.parametrize(
    ("name", "time_base"),
    [
        ("a.mp4", Fraction(1, 90_000)),
        ("a.mp4", Fraction(1, 30_000)),
        ("a.mov", Fraction(1, 600)),
        ("a.mkv", MILLISECOND),
        ("a.nut", Fraction(1, 44_100)),
    ],
)
@pytest.mark.parametrize("start", [0, 500])
def test_uneven_time_stamps_are_kept(name: str, time_base: Fraction, start: int, tmp_path: Path) -> None:
    pts = [start + stamp for stamp in UNEVEN]
    options = {"movie_timescale": str(time_base.denominator)} if name in ("a.mp4", "a.mov") else {}
    encoder = {"preset": "fast", "bf": "0" if name == "a.nut" else "2"}  # NUT moves everything where decoding starts before 0
    path = write_clip(tmp_path / name, pictures(7), pts=pts, time_base=time_base, options=encoder, container_options=options)
    frames, reader = read(path)
    assert [frame.pts * reader.time_base for frame in frames] == [stamp * time_base for stamp in pts]
    assert reader.time_shift == 0


def test_clocks_that_start_anywhere_start_at_zero(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", pictures(3), pts=[90_000, 93_000, 97_000], time_base=Fraction(1, 90_000))
    frames, reader = read(path)
    assert [frame.pts * reader.time_base for frame in frames] == [0, Fraction(1, 30), Fraction(7, 90)]
    assert reader.time_shift < 0


def test_negative_times_are_moved_to_zero(tmp_path: Path) -> None:
    options = {"avoid_negative_ts": "disabled"}
    path = write_clip(tmp_path / "a.ts", pictures(3), pts=[-30, 10, 50], time_base=MILLISECOND, container_options=options)
    frames, reader = read(path)
    assert [frame.pts * reader.time_base for frame in frames] == [0, Fraction(40, 1000), Fraction(80, 1000)]
    assert reader.time_shift == Fraction(30, 1000)


def test_frames_before_the_beginning_of_an_mp4_are_not_shown(tmp_path: Path) -> None:
    """An edit list cuts them off; players do not show them."""
    options = {"avoid_negative_ts": "disabled"}
    path = write_clip(tmp_path / "a.mp4", pictures(4), pts=[-40, 0, 40, 80], time_base=MILLISECOND, container_options=options)
    frames, reader = read(path)
    assert [frame.pts * reader.time_base for frame in frames] == [0, Fraction(40, 1000), Fraction(80, 1000)]
    assert difference(frames[0].image, picture(1)) < 2


def test_a_clock_that_starts_again_is_joined_on(tmp_path: Path) -> None:
    for name, start in (("b.ts", 900_000), ("c.ts", 0)):
        pts = [start + 3600 * index for index in range(5)]
        write_clip(tmp_path / name, pictures(5), pts=pts, time_base=Fraction(1, 90_000))
    joined = tmp_path / "joined.ts"
    joined.write_bytes((tmp_path / "b.ts").read_bytes() + (tmp_path / "c.ts").read_bytes())
    frames, reader = read(joined)
    stamps = [frame.pts for frame in frames]
    assert len(frames) == 10 and stamps == sorted(set(stamps))
    assert (stamps[-1] - stamps[0]) * reader.time_base < 1
    assert any("clock" in note for note in reader.notes)


def test_what_the_writer_and_the_progress_bar_need(tmp_path: Path) -> None:
    with VideoReader(write_clip(tmp_path / "a.mp4", pictures(10), matrix=1, primaries=1, transfer=1)) as reader:
        assert (reader.width, reader.height) == (WIDTH, HEIGHT)
        assert reader.frame_rate == 25 and reader.num_frames == 10
        assert reader.seconds == pytest.approx(0.4)
        assert reader.sample_aspect_ratio == 1 and not reader.has_audio
        assert [frame.duration * reader.time_base for frame in reader] == [Fraction(1, 25)] * 10
    with VideoReader(write_clip_with_sound(tmp_path / "b.mp4", pictures(10))) as reader:
        assert reader.has_audio


# ---- several streams -------------------------------------------------------------------------------------------------------------


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with opened(path) as container:
        art = Track(container, codec="png", pixel_format="rgb24", height=20, width=20)
        art.stream.disposition = 1 << 10
        video = Track(container)
        art.write(np.zeros((20, 20, 3), np.uint8), 0)
        for index, image in enumerate(pictures(3)):
            video.write(image, index)
        art.finish()
        video.finish()
    with av.open(str(path)) as written:
        assert len(written.streams.video) == 2
    frames, reader = read(path)
    assert len(frames) == 3 and reader.width == WIDTH and reader.notes == []


@pytest.mark.parametrize("default", [0, 1])
def test_the_default_stream_is_read(default: int, tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with opened(path) as container:
        tracks = [Track(container, height=32, width=32), Track(container)]
        for index, track in enumerate(tracks):
            track.stream.disposition = 1 if index == default else 0
        for track, side in zip(tracks, ((32, 32), (HEIGHT, WIDTH)), strict=True):
            for index, image in enumerate(pictures(3, height=side[0], width=side[1])):
                track.write(image, index)
        for track in tracks:
            track.finish()
    frames, reader = read(path)
    assert len(frames) == 3 and reader.width == (32, WIDTH)[default]
    assert reader.notes == ["only one of 2 video streams was used"]


# ---- damage ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "libx264"), ("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.ts", "mpeg2video"), ("a.webm", "libvpx-vp9")]
)
def test_damage_costs_frames_and_not_the_rest(name: str, codec: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / name, pictures(30), codec=codec, options={"g": "5"})
    # A transport stream cuts packets into pieces, so that their bytes are not found in a row.
    data = bytearray(path.read_bytes())
    if name == "a.ts":
        for position in range(len(data) // 2, len(data) // 2 + 3000):
            data[position] ^= 0x55 if position % 188 > 20 else 0
        path.write_bytes(data)
    else:
        damage(path, [11, 12, 15, 16])
    frames, reader = read(path)
    assert 20 <= len(frames) <= 30
    if codec != "mpeg4":  # that decoder mends what it can without a word
        assert any("damaged" in note for note in reader.notes)
    assert (frames[-1].pts - frames[0].pts) * reader.time_base == Fraction(29, 25), "no time is lost"
    assert difference(frames[-1].image, picture(29)) < 4 and difference(frames[5].image, picture(5)) < 4
    stamps = [frame.pts for frame in frames]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.webm"])
def test_a_file_that_ends_early_gives_what_is_there(name: str, tmp_path: Path) -> None:
    codec = {"a.mkv": "libx264", "a.avi": "mpeg4", "a.webm": "libvpx-vp9"}[name]
    path = write_clip(tmp_path / name, pictures(30), codec=codec, options={"g": "5"})
    start, length = payloads(path)[20]
    path.write_bytes(path.read_bytes()[: start + length // 2])
    frames, _ = read(path)
    assert 20 <= len(frames) <= 21
    for index in (0, 5, 19):
        assert difference(frames[index].image, picture(index)) < 4


# ---- what is refused -------------------------------------------------------------------------------------------------------------


def _sound_only(path: Path) -> None:
    with opened(path) as container:
        sound = Sound(container)
        sound.write(tone(0.5))
        sound.finish()


def _no_frames(path: Path) -> None:
    with opened(path) as container:
        Track(container)
        container.start_encoding()


def _too_large(path: Path) -> None:
    write_clip(path, [picture(height=300, width=512)], codec="ffv1")
    data = path.read_bytes()
    for tag, side in ((b"\xb0\x82", 512), (b"\xba\x82", 300)):
        assert data.count(tag + side.to_bytes(2, "big")) == 1
        data = data.replace(tag + side.to_bytes(2, "big"), tag + (30_000).to_bytes(2, "big"))
    path.write_bytes(data)


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("a.mp4", lambda path: None, "cannot be opened"),
    "a folder": ("a.mp4", Path.mkdir, "is a folder"),
    "empty": ("a.mp4", Path.touch, "is empty"),
    "a named pipe must not hang": ("a.mp4", os.mkfifo, "is not a regular file"),
    "text": ("a.mp4", lambda path: path.write_text("no video at all\n" * 50), "is not a video"),
    "zeros": ("a.mp4", lambda path: path.write_bytes(bytes(5000)), "is not a video"),
    "a photo": ("a.jpg", lambda path: Image.fromarray(picture()).save(path), "is not a video"),
    "a photo named like a video": ("a.mp4", lambda path: Image.fromarray(picture()).save(path, format="PNG"), "is not a video"),
    "an MP4 cut before its table of contents": (
        "a.mp4",
        lambda path: path.write_bytes(write_clip(path, pictures(9)).read_bytes()[:900]),
        "is not a video",
    ),
    "sound only": ("a.m4a", _sound_only, "no video stream"),
    "no frame inside": ("a.avi", _no_frames, "no frame"),
    "900 megapixels, from the header": ("a.mkv", _too_large, "above 64 megapixels"),
}


@pytest.mark.parametrize(("name", "make", "reason"), BAD.values(), ids=BAD)
def test_unusable_files_are_named_with_the_reason(name: str, make: Callable[[Path], object], reason: str, tmp_path: Path) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(UnusableVideoError, match=reason) as caught:
        VideoReader(path)
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.wmv"])
def test_any_damage_ends_in_frames_or_in_the_one_error(name: str, tmp_path: Path) -> None:
    codec = {"a.avi": "mpeg4", "a.wmv": "wmv2"}.get(name, "libx264")
    whole = write_clip(tmp_path / name, pictures(4), codec=codec).read_bytes()
    rng = np.random.default_rng(7)
    for turn in range(60):
        data = bytearray(whole)
        for position in rng.integers(len(data) if turn % 2 else 1500, size=6):
            data[position % len(data)] = rng.integers(256)
        (tmp_path / name).write_bytes(data[: rng.integers(1, len(data))] if turn % 5 == 0 else data)
        last = -1
        try:
            with VideoReader(tmp_path / name) as reader:
                for frame in reader:
                    assert frame.pts > last and frame.image.shape == (reader.height, reader.width, 3)
                    last = frame.pts
        except UnusableVideoError as error:
            assert name in str(error)


def test_names_cannot_break_the_line_or_reach_elsewhere(tmp_path: Path) -> None:
    for name in ("a\nb.mp4", "http://localhost:1/a.mp4", "concat:a.mp4|b.mp4", "\0.mp4"):
        with pytest.raises(UnusableVideoError, match="cannot be opened") as caught:
            VideoReader(f"{tmp_path}/{name}")
        assert "\n" not in str(caught.value)
    odd = tmp_path / "file:pipe:0 %d.mp4"
    write_clip(tmp_path / "a.mp4", pictures(3)).rename(odd)
    assert len(read(odd)[0]) == 3


PLAYLISTS = {
    "HLS": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n",
    "list of ffmpeg": "ffconcat version 1.0\nfile {}\n",
    "DASH": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
}


@pytest.mark.parametrize("text", PLAYLISTS.values(), ids=PLAYLISTS)
@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8", "a.mpd", "a.sdp", "a.ffconcat"])
def test_no_other_file_is_opened(text: str, name: str, tmp_path: Path) -> None:
    secret = write_clip(tmp_path / "secret.ts", pictures(5))
    path = tmp_path / name
    path.write_text(text.format(secret.name))
    with pytest.raises(UnusableVideoError, match="is not a video"):
        VideoReader(path)


def test_external_references_of_quicktime_are_not_followed(tmp_path: Path) -> None:
    """A movie whose samples lie in another file must not show that file's pictures."""
    path = write_clip(tmp_path / "a.mov", pictures(5))
    data = path.read_bytes()
    entry = b"\0\0\0\x0curl \0\0\0\1"  # "the data are in this file"
    assert data.count(entry) == 1
    path.write_bytes(data.replace(entry, b"\0\0\0\x0curl \0\0\0\0"))
    frames, _ = read(path)  # the reference leads nowhere: the file's own data, or nothing
    assert len(frames) == 5


def test_frames_above_the_limit_in_mid_stream_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [write_clip(tmp_path / "small.h264", pictures(40)), write_clip(tmp_path / "large.h264", pictures(4, height=192, width=256))]
    path, index = tmp_path / "a.avi", 0
    with opened(path) as container:
        for part in parts:
            with av.open(str(part)) as source:
                stream = container.streams.video[0] if index else container.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.stream, packet.time_base = stream, Fraction(1, 25)
                        packet.pts = packet.dts = index
                        index += 1
                        container.mux(packet)
    assert [len(read(path)[0]), read(path)[1].width] == [44, WIDTH]
    monkeypatch.setattr(reading, "MAX_PIXELS", 10_000)
    frames, reader = read(path)
    assert len(frames) == 40
    assert any("left out" in note for note in reader.notes)


def test_without_pyav_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"pip install 'ganon-hf\[video\]'"):
        VideoReader(tmp_path / "a.mp4")


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    images = [decoded_frame(picture(index, height=360, width=640), "yuv420p") for index in range(20)]
    write_clip(path, [images[index % 20] for index in range(250)], pts=list(range(250)), height=360, width=640)
    peaks = []
    with VideoReader(path) as reader:
        for index, _ in enumerate(reader):
            if index in (50, 249):
                peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    assert index == 249 and peaks[1] - peaks[0] < 20  # MB; the 200 frames in between would be 138
