"""Segments, and the source's sound where it is kept -> the finished file, without encoding pictures again.

Nothing but pictures and one audio stream gets into the file: no titles, places, dates, chapters, subtitles, cover art or data streams.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

from .._atomic import atomic_file
from ..image_files import printable
from .audio import AudioTrack
from .reader import open_container, open_video_file
from .writer import VideoFormat, open_output

_CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}


def concatenate_segments(
    segments: Sequence[str | os.PathLike[str]],
    target: str | os.PathLike[str],
    format: VideoFormat,
    *,
    audio_from: str | os.PathLike[str] | None = None,
) -> list[str]:
    """Write segments one after the other into one file, which appears under its name complete or not at all.

    Args:
        segments: files of :class:`~ganon_hf.video.writer.SegmentWriter` with the same format and properties, in order.
        target: the file to write; its suffix decides the container. An existing file is replaced.
        format: what the segments were written with.
        audio_from: the source; its first audio stream is copied, or encoded to AAC (.mp4, .mov) or Opus (.mkv, .webm) where the
            container cannot carry it. None: no sound, since a voice identifies.

    Returns:
        What a user should know, in words ("sound was converted from vorbis to opus").

    Raises:
        ValueError: no segments, segments that do not fit together, a suffix that does not fit the format.
        UnusableVideoError: a segment or the source cannot be read.
        OSError: the file cannot be written; nothing is left behind.
    """
    format.check_target(target)
    if not segments:
        raise ValueError("segments must hold at least one file, but it is empty.")
    target = Path(target)
    container = _CONTAINERS[target.suffix.lower()]
    options = {"movflags": "+faststart"} if container in ("mp4", "mov") else {}
    with ExitStack() as stack:
        temporary = stack.enter_context(atomic_file(target))
        template = stack.enter_context(open_segment(segments[0])).streams.video[0]
        output = stack.enter_context(open_output(temporary, container, Fraction(template.time_base), **options))
        video = output.add_stream_from_template(template)
        video.time_base = template.time_base
        streams = [_video_packets(segments, template, video)]
        sound = None if audio_from is None else stack.enter_context(AudioTrack(audio_from, output))
        if sound is not None:
            streams.append(sound.packets())
        for _, packet in heapq.merge(*streams, key=lambda item: item[0]):  # the muxer buffers what is ahead
            output.mux(packet)
        output.close()  # here, so that an error at the very end is one too
    return sound.notes if sound is not None else []


def open_segment(path: str | os.PathLike[str]) -> Any:
    """libav's container of a segment, which closes its file."""
    return open_container(open_video_file(path), printable(path))


def _video_packets(segments: Sequence[str | os.PathLike[str]], template: Any, video: Any) -> Iterator[tuple[Fraction, Any]]:
    """(seconds, packet) of all segments in order."""
    last = -1
    for path in segments:
        with open_segment(path) as container:
            stream = container.streams.video[0]
            if _shape(stream) != _shape(template):
                raise ValueError(f"{printable(path)}: was written with another format or other properties than {printable(segments[0])}.")
            for packet in container.demux(stream):
                if packet.pts is None:  # the mark of the end
                    continue
                if packet.pts <= last:
                    raise ValueError(f"{printable(path)}: does not follow the segment before it ({packet.pts} after {last}).")
                last = packet.dts = packet.pts
                packet.stream = video
                yield packet.pts * packet.time_base, packet


def _shape(stream: Any) -> tuple[object, ...]:
    """What must be the same in all segments."""
    codec = stream.codec_context
    return codec.name, codec.width, codec.height, codec.pix_fmt, codec.extradata, stream.time_base
