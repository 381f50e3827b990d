"""Segments and joined files: exact times, colors, the same bytes each time, nothing of the source but pictures and sound."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import HEIGHT, MILLISECOND, WIDTH, Sound, Track, difference, opened, picture, pictures, tone, write_clip, write_clip_with_sound
from limited_disk import largest_file

from ganon_hf.video.colorspace import ColorTags
from ganon_hf.video.mux import concatenate_segments
from ganon_hf.video.reader import UnusableVideoError, VideoFrame, VideoReader
from ganon_hf.video.writer import SegmentWriter, VideoFormat, VideoProperties

H264 = VideoFormat()
TICK = Fraction(1, 90_000)
UNEVEN = [3000 * index + (index * index * 7) % 500 for index in range(30)]
FILES = [("h264", ".mp4"), ("h264", ".mov"), ("h264", ".mkv"), ("vp9", ".webm"), ("vp9", ".mkv"), ("lossless", ".mkv")]


def properties(**changes: Any) -> VideoProperties:
    return VideoProperties(**{"width": WIDTH, "height": HEIGHT, "time_base": TICK, "frame_rate": Fraction(30), **changes})


def frames_of(images: Sequence[np.ndarray], pts: Sequence[int] = UNEVEN, last: int = 0) -> list[VideoFrame]:
    """Frames with time stamps; ``last`` is how long the last one is shown."""
    return [VideoFrame(image, stamp, last * (stamp == pts[-1])) for image, stamp in zip(images, pts, strict=False)]


def segment(path: Path, frames: Sequence[VideoFrame], format: VideoFormat = H264, like: Any = None) -> Path:
    with SegmentWriter(path, format, like or properties()) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def read(path: Path) -> tuple[list[VideoFrame], VideoReader]:
    with VideoReader(path) as reader:
        return list(reader), reader


def copy(source: Path, target: Path, format: VideoFormat = H264, **options: Any) -> list[str]:
    """The way of a video through the package, without changing a picture."""
    part = target.with_name("part.segment")
    with VideoReader(source) as reader, SegmentWriter(part, format, reader) as writer:
        for frame in reader:
            writer.write(frame)
    return concatenate_segments([part], target, format, **options)


def atoms(path: Path) -> list[str]:
    """Names of an MP4 file's outermost boxes."""
    data, start, names = path.read_bytes(), 0, []
    while start < len(data):
        names.append(data[start + 4 : start + 8].decode("latin-1"))
        start += int.from_bytes(data[start : start + 4], "big")
    return names


# ---- time ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "suffix"), FILES)
@pytest.mark.parametrize("start", [0, 4500], ids=["from zero", "later"])
def test_segments_joined_are_one_video(codec: str, suffix: str, start: int, tmp_path: Path) -> None:
    format, images = VideoFormat(codec), pictures(30)
    frames = frames_of(images, [start + stamp for stamp in UNEVEN], last=5000)
    parts = [segment(tmp_path / f"{index}", frames[index * 10 : index * 10 + 10], format) for index in range(3)]
    whole = segment(tmp_path / "whole", frames, format)
    assert concatenate_segments(parts, tmp_path / f"joined{suffix}", format) == []
    concatenate_segments([whole], tmp_path / f"single{suffix}", format)
    for name in ("joined", "single"):
        got, reader = read(tmp_path / f"{name}{suffix}")
        times = [frame.pts * reader.time_base for frame in got]
        if suffix in (".mp4", ".mov"):
            assert times == [frame.pts * TICK for frame in frames]
            assert got[-1].duration * reader.time_base == 5000 * TICK
        else:
            assert times == [Fraction(round(frame.pts * TICK * 1000), 1000) for frame in frames]
        assert reader.notes == []
        for frame, image in zip(got, images, strict=True):
            assert difference(frame.image, image) <= (0 if codec == "lossless" else 3)


@pytest.mark.parametrize("time_base", [Fraction(1, 25), Fraction(1001, 30_000), Fraction(1, 10**9), Fraction(1, 48_000)])
def test_every_clock_is_kept_exactly_in_mp4(time_base: Fraction, tmp_path: Path) -> None:
    step = max(1, round(Fraction(1, 30) / time_base))
    pts = [7 * step, 8 * step, 11 * step, 11 * step + 1, 40 * step]
    part = segment(tmp_path / "part", frames_of(pictures(5), pts), like=properties(time_base=time_base))
    concatenate_segments([part], tmp_path / "a.mp4", H264)
    got, reader = read(tmp_path / "a.mp4")
    assert [frame.pts * reader.time_base for frame in got] == [stamp * time_base for stamp in pts]


def test_frames_closer_than_a_millisecond_all_get_into_matroska(tmp_path: Path) -> None:
    part = segment(tmp_path / "part", frames_of(pictures(6), [0, 10, 20, 30, 9000, 9010]), VideoFormat("vp9"))
    concatenate_segments([part], tmp_path / "a.webm", VideoFormat("vp9"))
    got, _ = read(tmp_path / "a.webm")
    assert [frame.pts for frame in got] == [0, 1, 2, 3, 100, 101]


def test_an_hour_does_not_drift(tmp_path: Path) -> None:
    pts = [0, 3003, 3600 * 90_000, 3600 * 90_000 + 3003]
    parts = [segment(tmp_path / f"{index}", frames_of(pictures(2), pts[2 * index : 2 * index + 2])) for index in range(2)]
    concatenate_segments(parts, tmp_path / "a.mp4", H264)
    got, reader = read(tmp_path / "a.mp4")
    assert [frame.pts * reader.time_base / TICK for frame in got] == pts


# ---- pixels ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        {"matrix": 1, "primaries": 1, "transfer": 1, "full": False},
        {"matrix": 6, "primaries": 6, "transfer": 6, "full": False},
        {"matrix": 5, "primaries": 5, "transfer": 6, "full": False},
        {"matrix": 1, "full": True},
        {"pixel_format": "yuvj420p", "full": True},
        {},
        {"pixel_format": "yuv444p", "options": {"profile": "high444"}},
        {"pixel_format": "yuv420p10le", "options": {"profile": "high10"}, "matrix": 1},
    ],
    ids=["BT.709", "BT.601 NTSC", "BT.601 PAL", "BT.709 full range", "yuvj", "untagged", "4:4:4", "10 bits"],
)
@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("vp9", ".webm"), ("lossless", ".mkv")])
def test_colors_survive(source: dict[str, Any], codec: str, suffix: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", pictures(5), **source)
    copy(path, tmp_path / f"out{suffix}", VideoFormat(codec))
    (before, was), (after, now) = read(path), read(tmp_path / f"out{suffix}")
    for one, other in zip(before, after, strict=True):
        assert difference(one.image, other.image) <= (0 if codec == "lossless" else 3)
        assert np.abs(one.image.mean((0, 1)) - other.image.mean((0, 1))).max() < (3 if codec == "vp9" else 1), "a color cast"
    if codec != "lossless":  # RGB has no matrix
        assert now.color == was.color
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            context = container.streams.video[0].codec_context
            assert (context.pix_fmt, context.color_range, context.colorspace) == ("yuv420p", 1, was.color.matrix)


@pytest.mark.parametrize("size", [(49, 65), (48, 65), (49, 64), (1, 1), (3, 5)])
@pytest.mark.parametrize(("codec", "suffix"), [("h264", ".mp4"), ("vp9", ".webm"), ("lossless", ".mkv")])
def test_odd_sizes_lose_nothing(size: tuple[int, int], codec: str, suffix: str, tmp_path: Path) -> None:
    height, width = size
    images = pictures(3, height=height, width=width)
    part = segment(tmp_path / "part", frames_of(images), VideoFormat(codec), properties(height=height, width=width))
    concatenate_segments([part], tmp_path / f"a{suffix}", VideoFormat(codec))
    got, reader = read(tmp_path / f"a{suffix}")
    even = codec == "h264"
    assert (reader.height, reader.width) == (height + height % 2 * even, width + width % 2 * even)
    for frame, image in zip(got, images, strict=True):
        assert difference(frame.image[:height, :width], image) <= (0 if codec == "lossless" else 4 if height > 9 else 20)
        if even and height % 2 and height > 9:
            assert difference(frame.image[-1], frame.image[-2]) < 3


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_shape_of_pixels_is_carried_over(suffix: str, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", pictures(3), aspect=Fraction(16, 11))
    copy(path, tmp_path / f"out{suffix}")
    assert read(tmp_path / f"out{suffix}")[1].sample_aspect_ratio == Fraction(16, 11)


@pytest.mark.parametrize("codec", ["vp9", "lossless"])
def test_oblong_pixels_are_refused_where_they_cannot_be_written(codec: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="square pixels"):
        SegmentWriter(tmp_path / "part", VideoFormat(codec), properties(sample_aspect_ratio=Fraction(4, 3)))
    assert not list(tmp_path.iterdir())


def test_turned_clips_become_upright_without_a_tag(tmp_path: Path) -> None:
    images = pictures(3)
    path = write_clip(tmp_path / "in.mp4", images, rotation=(90, False, False))
    copy(path, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.height, frame.width, frame.rotation) == (WIDTH, HEIGHT, 0)
    assert difference(read(tmp_path / "out.mp4")[0][0].image, np.rot90(images[0])) < 3


def test_mp4_is_what_browsers_play(tmp_path: Path) -> None:
    """8-bit 4:2:0 in the high profile, without B-frames, its table of contents first."""
    copy(write_clip(tmp_path / "in.mkv", pictures(12), codec="ffv1", pixel_format="yuv422p10le"), tmp_path / "out.mp4")
    assert atoms(tmp_path / "out.mp4")[:2] == ["ftyp", "moov"]
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.profile, stream.codec_context.pix_fmt) == ("h264", "High", "yuv420p")
        packets = [packet for packet in container.demux(stream) if packet.size]
    assert [packet.pts for packet in packets] == [packet.dts for packet in packets]
    assert packets[0].is_keyframe


# ---- the same bytes, complete or not at all --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "suffix"), FILES)
def test_the_same_frames_give_the_same_bytes(codec: str, suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [np.kron(rng.integers(0, 256, (18, 32, 3), dtype=np.uint8), np.ones((10, 10, 1), np.uint8)) for _ in range(20)]
    files = []
    for turn in range(2):
        folder = tmp_path / f"{turn}"
        folder.mkdir()
        like = properties(height=180, width=320)
        parts = [
            segment(folder / f"{index}", frames_of(images, UNEVEN)[10 * index : 10 * index + 10], VideoFormat(codec), like)
            for index in range(2)
        ]
        concatenate_segments(parts, folder / f"a{suffix}", VideoFormat(codec))
        files.append([(folder / name).read_bytes() for name in ("0", "1", f"a{suffix}")])
    assert files[0] == files[1]


def test_nothing_lies_under_the_name_before_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "part"
    with SegmentWriter(path, H264, properties()) as writer:
        for frame in frames_of(pictures(30)):
            writer.write(frame)
            assert not path.exists()
        assert [name.name[0] for name in tmp_path.iterdir()] in ([], ["."])
    assert [name.name for name in tmp_path.iterdir()] == ["part"]


@pytest.mark.parametrize("existing", [False, True])
def test_an_error_leaves_the_folder_as_it_was(existing: bool, tmp_path: Path) -> None:
    path = tmp_path / "part"
    if existing:
        path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt), SegmentWriter(path, H264, properties()) as writer:
        for frame in frames_of(pictures(30)):
            writer.write(frame)
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="at least one frame"), SegmentWriter(path, H264, properties()):
        pass
    assert [name.read_bytes() for name in tmp_path.iterdir()] == [b"before"] * existing


def test_a_failed_join_leaves_nothing(tmp_path: Path) -> None:
    first = segment(tmp_path / "0", frames_of(pictures(10)))
    broken = tmp_path / "1"
    broken.write_bytes(first.read_bytes()[:200])
    other = segment(tmp_path / "2", frames_of(pictures(9, height=96), UNEVEN[10:]), like=properties(height=96))
    vp9 = segment(tmp_path / "3", frames_of(pictures(9), UNEVEN[10:]), VideoFormat("vp9"))
    before = sorted(tmp_path.iterdir())
    cases: list[tuple[list[Path], type[Exception], str]] = [
        ([], ValueError, "at least one"),
        ([first, broken], UnusableVideoError, "is not a video"),
        ([first, tmp_path / "missing"], UnusableVideoError, "cannot be opened"),
        ([first, other], ValueError, "other properties"),
        ([first, vp9], ValueError, "other properties"),
        ([first, first], ValueError, "does not follow"),
    ]
    for segments, kind, reason in cases:
        with pytest.raises(kind, match=reason):
            concatenate_segments(segments, tmp_path / "a.mp4", H264)
        assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("codec", ["h264", "lossless"])
def test_a_full_disk_leaves_nothing(codec: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for _ in range(30)]
    with largest_file(25_000), pytest.raises(OSError):
        segment(tmp_path / "part", frames_of(images), VideoFormat(codec))
    assert not list(tmp_path.iterdir())
    parts = [segment(tmp_path / f"{index}", frames_of(images)[5 * index : 5 * index + 5]) for index in range(3)]
    before = sorted(tmp_path.iterdir())
    with largest_file(25_000), pytest.raises(OSError):
        concatenate_segments(parts, tmp_path / "a.mp4", H264)
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        segment(tmp_path / "missing" / "part", frames_of(pictures(10)))
    part = segment(tmp_path / "part", frames_of(pictures(2)))
    with pytest.raises(OSError):
        concatenate_segments([part], tmp_path / "missing" / "a.mp4", H264)


def test_odd_names_are_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    part = segment(Path("pipe:1 %d é\n.part"), frames_of(pictures(3)))
    concatenate_segments([part], "http:a.mp4", H264)
    assert sorted(os.listdir()) == ["http:a.mp4", "pipe:1 %d é\n.part"]


# ---- what is refused -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "name"), [("h264", "a.webm"), ("h264", "a.avi"), ("h264", "a"), ("vp9", "a.mp4"), ("lossless", "a.mp4")])
def test_a_suffix_that_does_not_fit_is_refused(codec: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"goes into \.") as caught:
        VideoFormat(codec).check_target(tmp_path / name)
    assert name in str(caught.value)
    with pytest.raises(ValueError, match=r"goes into \."):
        concatenate_segments([tmp_path / "missing"], tmp_path / name, VideoFormat(codec))


@pytest.mark.parametrize(("codec", "suffix"), FILES)
def test_a_suffix_that_fits_is_taken_in_any_case(codec: str, suffix: str) -> None:
    VideoFormat(codec).check_target(f"a{suffix}")
    VideoFormat(codec).check_target(f"A{suffix.upper()}")


BAD_FRAMES: dict[str, tuple[Callable[[], VideoFrame], str]] = {
    "another size": (lambda: VideoFrame(picture(height=50), 3000), "48 pixels as the first one"),
    "the same time": (lambda: VideoFrame(picture(), 0), "must increase"),
    "float": (lambda: VideoFrame(picture() / 255, 3000), "uint8"),
    "gray": (lambda: VideoFrame(picture()[..., 0], 3000), "uint8 array"),
    "alpha": (lambda: VideoFrame(np.dstack([picture(), picture()[..., :1]]), 3000), "uint8 array"),
    "no pixels": (lambda: VideoFrame(picture()[:0], 3000), "uint8 array"),
    "a negative time": (lambda: VideoFrame(picture(), -1), "at least 0"),
    "a time in seconds": (lambda: VideoFrame(picture(), 0.5), "integer"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("make", "reason"), BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_frames_that_do_not_fit_are_refused(make: Callable[[], VideoFrame], reason: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=reason), SegmentWriter(tmp_path / "part", H264, properties()) as writer:
        writer.write(VideoFrame(picture(), 0))
        writer.write(make())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: VideoFormat("divx"), "codec must be one of h264, vp9, lossless"),
        (lambda: properties(width=0), "width must be"),
        (lambda: properties(height=2.5), "height must be"),
        (lambda: properties(time_base=0.04), "time_base must be a positive Fraction"),
        (lambda: properties(frame_rate=Fraction(-25)), "frame_rate must be"),
        (lambda: ColorTags(matrix=9), "matrix must be"),
        (lambda: ColorTags(transfer=0), "transfer must be"),
    ],
)
def test_options_check_themselves(make: Callable[[], object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make()


def test_clocks_too_fine_for_mp4_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="denominator"):
        SegmentWriter(tmp_path / "part", H264, properties(time_base=Fraction(1, 2**31)))


# ---- what must not get through ---------------------------------------------------------------------------------------------------

SECRETS = {
    "title": "SecretTitle",
    "comment": "SecretComment",
    "artist": "SecretArtist",
    "location": "+48.3705+010.8978/",
    "com.apple.quicktime.location.ISO6709": "+48.3706+010.8979/",
    "com.apple.quicktime.model": "SecretPhone",
    "creation_time": "2021-03-04T05:06:07.000000Z",
    "encoder": "SecretEncoder",
    "description": "SecretDescription",
}


def _secretive(path: Path) -> Path:
    """A clip with metadata everywhere: file, streams, chapters, subtitles, a second sound track, cover art."""
    subtitles = path.with_suffix(".srt")
    subtitles.write_text("1\n00:00:00,000 --> 00:00:00,300\nSecretWords\n")
    with (
        av.open(str(subtitles)) as words,
        opened(path, container_options={"movflags": "use_metadata_tags"} if path.suffix in (".mp4", ".mov") else {}) as container,
    ):
        container.metadata.update(SECRETS)
        video, sound, other = Track(container), Sound(container), Sound(container)
        streams = [video.stream, sound.stream, other.stream]
        if path.suffix == ".mkv":
            streams.append(container.add_stream_from_template(words.streams[0]))
            container.add_attachment("SecretFont.ttf", "font/ttf", b"SecretAttachment")
        for stream in streams:
            stream.metadata.update({"title": "SecretStream", "handler_name": "SecretHandler", "language": "deu"})
        container.set_chapters([{"id": 1, "start": 0, "end": 200, "time_base": MILLISECOND, "metadata": {"title": "SecretChapter"}}])
        sound.write(tone(0.4))
        other.write(tone(0.4, hertz=660))
        for index, image in enumerate(pictures(10)):
            video.write(image, index)
        for packet in words.demux() if path.suffix == ".mkv" else ():
            if packet.size:
                packet.stream = streams[-1]
                container.mux(packet)
        for stream in (video, sound, other):
            stream.finish()
    return path


@pytest.mark.parametrize(("codec", "suffix"), FILES)
@pytest.mark.parametrize("source", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("audio", [False, True])
def test_only_pictures_and_one_sound_get_through(codec: str, suffix: str, source: str, audio: bool, tmp_path: Path) -> None:
    path = _secretive(tmp_path / f"in{source}")
    planted = path.read_bytes()
    expected = [b"SecretTitle", b"SecretChapter", b"+48.37"] + [b"SecretWords", b"SecretAttachment", b"SecretStream"] * (source == ".mkv")
    assert all(text in planted for text in expected)
    target = tmp_path / f"out{suffix}"
    notes = copy(path, target, VideoFormat(codec), audio_from=path if audio else None)
    written = target.read_bytes()
    versions = [b"Lavf6"] if audio else [b"Lavc6", b"Lavf6"]  # sound that is copied says inside what encoded it
    for trace in (b"Secret", b"+48.3", b"010.89", b"2021", b"deu", b"ger", str(tmp_path).encode(), *versions):
        assert trace not in written, trace
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"][: 1 + audio]
        assert not container.chapters()
        allowed = {"major_brand", "minor_version", "compatible_brands", "encoder"}
        assert set(container.metadata) <= allowed and container.metadata.get("encoder", "Lavf") == "Lavf"
        for stream in container.streams:
            assert set(stream.metadata) <= {"language", "handler_name", "vendor_id", "DURATION"}
            assert stream.metadata.get("language", "und") == "und"
    assert ("only the first of 2 audio streams was kept" in notes) == audio


def test_creation_dates_are_zero(tmp_path: Path) -> None:
    copy(write_clip(tmp_path / "in.mp4", pictures(2)), tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    for name in (b"mvhd", b"tkhd", b"mdhd"):
        start = data.index(name) + 4
        assert data[start] == 0 and data[start + 4 : start + 12] == bytes(8)


# ---- sound -----------------------------------------------------------------------------------------------------------------------


def loudest(path: Path) -> tuple[float, float, float]:
    """(loudest frequency in Hz, seconds of sound, seconds at which it starts)."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    rate = frames[0].sample_rate
    wave = np.concatenate([frame.to_ndarray().reshape(-1, frame.samples)[0] for frame in frames]).astype(np.float64)
    start = next(index for index, value in enumerate(np.abs(wave)) if value > np.abs(wave).max() / 10)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(np.argmax(spectrum) * rate / len(wave)), len(wave) / rate, float(frames[0].pts * frames[0].time_base) + start / rate


@pytest.mark.parametrize(
    ("source", "codec", "target", "kept"),
    [
        (".mp4", "aac", ".mp4", "aac"),
        (".mp4", "aac", ".mov", "aac"),
        (".mp4", "aac", ".mkv", "aac"),
        (".mp4", "aac", ".webm", "opus"),
        (".mp4", "libmp3lame", ".mp4", "mp3"),
        (".mkv", "libopus", ".mp4", "opus"),
        (".webm", "libopus", ".webm", "opus"),
        (".mkv", "flac", ".mp4", "flac"),
        (".mov", "pcm_s16le", ".mp4", "aac"),
        (".mov", "pcm_s16le", ".mov", "pcm_s16le"),
        (".avi", "pcm_s16le", ".mp4", "aac"),
        (".avi", "libmp3lame", ".webm", "opus"),
        (".mkv", "vorbis", ".mkv", "opus"),  # its header holds titles and comments
        (".mkv", "vorbis", ".mp4", "aac"),
        (".ts", "aac", ".mp4", "aac"),  # with headers that MP4 does not have
        (".ts", "ac3", ".mp4", "ac3"),
    ],
)
def test_sound_is_copied_or_converted(source: str, codec: str, target: str, kept: str, tmp_path: Path) -> None:
    video = {"codec": "libvpx"} if source == ".webm" else {"codec": "mpeg4"} if source == ".avi" else {}
    channels = 2 if codec == "vorbis" else 1
    path = write_clip_with_sound(tmp_path / f"in{source}", pictures(30), sound_codec=codec, channels=channels, **video)
    format = VideoFormat("vp9" if target == ".webm" else "h264")
    output = tmp_path / f"out{target}"
    notes = copy(path, output, format, audio_from=path)
    with av.open(str(output)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == kept
    hertz, seconds, start = loudest(output)
    assert hertz == pytest.approx(440, abs=2)
    assert seconds == pytest.approx(1.2, abs=0.1)
    assert start == pytest.approx(loudest(path)[2] + float(read(path)[1].time_shift), abs=0.03)
    name = {"libopus": "opus", "libmp3lame": "mp3"}.get(codec, codec)
    assert notes == ([] if name == kept else [f"sound was converted from {name} to {kept}"])
    (before, was), (after, now) = read(path), read(output)
    assert [frame.pts * now.time_base for frame in after] == [frame.pts * was.time_base for frame in before], "sound moved the pictures"


def test_without_audio_from_there_is_no_sound(tmp_path: Path) -> None:
    path = write_clip_with_sound(tmp_path / "in.mp4", pictures(10))
    copy(path, tmp_path / "out.mp4")
    assert not read(tmp_path / "out.mp4")[1].has_audio


def test_sound_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "in.mp4", pictures(10))
    with pytest.raises(UnusableVideoError, match="no sound"):
        copy(path, tmp_path / "out.mp4", audio_from=path)
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("target", [".mp4", ".webm"])
def test_gaps_in_the_sound_stay_gaps(target: str, tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    with opened(path) as container:
        video, sound = Track(container), Sound(container, codec="pcm_s16le")
        for index, image in enumerate(pictures(50)):
            video.write(image, index)
        sound.write(tone(0.5))
        sound.write(tone(0.5, hertz=880), start=72_000)  # after a second of nothing
        video.finish()
        sound.finish()
    output = tmp_path / f"out{target}"
    copy(path, output, VideoFormat("h264" if target == ".mp4" else "vp9"), audio_from=path)
    with av.open(str(output)) as container:
        frames = list(container.decode(audio=0))
    second = np.concatenate([frame.to_ndarray().reshape(-1, frame.samples)[0] for frame in frames]).astype(float)
    loud = np.flatnonzero(np.abs(second) > np.abs(second).max() / 4)
    gap = loud[np.argmax(np.diff(loud)) + 1] / frames[0].sample_rate
    assert float(frames[0].pts * frames[0].time_base) + gap == pytest.approx(1.5, abs=0.05)


def test_sound_follows_the_pictures_when_clocks_are_moved(tmp_path: Path) -> None:
    path = tmp_path / "in.ts"
    with opened(path) as container:
        video = Track(container, time_base=Fraction(1, 90_000))
        sound = Sound(container, codec="aac")
        for index, image in enumerate(pictures(25)):
            video.write(image, 900_000 + 3600 * index)
        sound.write(np.concatenate([np.zeros((1, 24_000), np.float32), tone(0.5)], axis=1), start=480_000)
        video.finish()
        sound.finish()
    copy(path, tmp_path / "out.mp4", audio_from=path)
    got, reader = read(tmp_path / "out.mp4")
    first = float(got[0].pts * reader.time_base)
    assert first < 0.05 and loudest(tmp_path / "out.mp4")[2] == pytest.approx(first + 0.5, abs=0.03)
