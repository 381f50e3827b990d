"""The source's sound for the finished file: the first audio stream, copied where the container can carry it, else encoded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from types import TracebackType
from typing import Any

from ..image_files import printable
from .colorspace import load_av
from .reader import UnusableVideoError, VideoReader, open_container, open_video_file

# Copied as it is; anything else is encoded. Not Vorbis, whose header holds titles and comments.
_COPIED = {
    "mp4": ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"),
    "mov": ("aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le"),
    "matroska": ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac", "dts", "pcm_s16le", "pcm_s24le"),
    "webm": ("opus",),
}
_ENCODERS = {"mp4": "aac", "mov": "aac", "matroska": "libopus", "webm": "libopus"}
_RATES = (48_000, 44_100)  # the first one where the source has neither
_FLAC_HEADER = 34  # bytes; a longer one holds comments
_BITS_PER_CHANNEL = 96_000
_BITEXACT = 1 << 23  # of libav's encoders: no version in the sound


class AudioTrack:
    """The first audio stream of a file on its way into an output; use it in ``with``.

    Args:
        path: the source.
        output: libav's container for writing; the stream is added at once, the packets come from :meth:`packets`.

    Attributes:
        notes: what a user should know, in words.
    """

    def __init__(self, path: str | os.PathLike[str], output: Any) -> None:
        self._av = load_av()
        name = printable(path)
        with VideoReader(path) as reader:
            self._shift = reader.time_shift
            if not reader.has_audio:
                raise UnusableVideoError(f"{name}: holds no sound to keep.")
        self.notes: list[str] = []
        self._container = open_container(open_video_file(path), name)
        try:
            self._add(name, output)
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> AudioTrack:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._container.close()

    def _add(self, name: str, output: Any) -> None:
        """Add the stream to the output, as it is or with an encoder."""
        self._stream, *others = self._container.streams.audio
        if others:
            self.notes.append(f"only the first of {1 + len(others)} audio streams was kept")
        source = self._stream.codec_context
        if source is None:
            raise UnusableVideoError(f"{name}: its sound cannot be decoded.")
        codec, container = source.codec.canonical_name, output.format.name
        self._keeps_negative = container in ("mp4", "mov")
        self._copied = codec in _COPIED[container] and not (codec == "flac" and len(source.extradata or b"") > _FLAC_HEADER)
        if self._copied:
            self._track = output.add_stream_from_template(self._stream)
            self._track.time_base = self._stream.time_base
            return
        rate = source.sample_rate if source.sample_rate in _RATES and _ENCODERS[container] == "aac" else _RATES[0]
        layout = "mono" if source.channels == 1 else "stereo"
        self._track = output.add_stream(_ENCODERS[container], rate=rate, layout=layout)
        self._track.bit_rate = _BITS_PER_CHANNEL * (1 if layout == "mono" else 2)
        self._track.codec_context.flags |= _BITEXACT
        self._track.codec_context.open()
        self.notes.append(f"sound was converted from {codec} to {self._track.codec_context.codec.canonical_name}")

    def packets(self) -> Iterator[tuple[Fraction, Any]]:
        """(seconds, packet) in order of time."""
        for packet in self._in_order() if self._copied else self._encoded():
            packet.stream = self._track
            yield packet.dts * packet.time_base, packet

    def _in_order(self) -> Iterator[Any]:
        """The source's packets on the video's clock; where their clock jumps back, they are joined on."""
        unit = Fraction(self._stream.time_base)
        shift, last = round(self._shift / unit), None
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (self._av.error.FFmpegError, OSError) as error:
                self.notes.append(f"the sound is damaged and was kept up to there ({printable(error.strerror)})")
                return
            if packet is None:
                return
            if packet.dts is None and packet.pts is None:  # the mark of the end, or nothing to go by
                continue
            dts = packet.dts if packet.dts is not None else packet.pts
            if last is not None and dts + shift < last - 1 / unit:
                shift = last - dts + 1
            if last is not None and dts + shift <= last:
                continue
            if dts + shift + (packet.duration or 0) <= 0 and not self._keeps_negative:
                continue
            last = dts + shift
            packet.pts = last if packet.pts is None else packet.pts + shift
            packet.dts = last
            yield packet

    def _encoded(self) -> Iterator[Any]:
        """The source's sound, decoded and encoded; gaps become silence so that it stays with the pictures."""
        encoder, graph = self._track.codec_context, None
        for packet in self._in_order():
            try:
                frames = packet.decode()
            except self._av.error.FFmpegError:  # becomes a gap
                continue
            for frame in frames:
                if graph is None:
                    graph = self._build(frame, encoder)
                graph.push(frame)
                yield from self._pulled(graph)
        if graph is not None:
            graph.push(None)
            yield from self._pulled(graph)
            yield from self._track.encode(None)

    def _build(self, frame: Any, encoder: Any) -> Any:
        """Resampling to what the encoder takes."""
        graph = self._av.filter.Graph()
        unit = Fraction(self._stream.time_base)
        wanted = f"sample_fmts={encoder.format.name}:sample_rates={encoder.sample_rate}:channel_layouts={encoder.layout.name}"
        source = graph.add_abuffer(sample_rate=frame.sample_rate, format=frame.format.name, layout=frame.layout.name, time_base=unit)
        graph.link_nodes(source, graph.add("aresample", "async=1"), graph.add("aformat", wanted), graph.add("abuffersink")).configure()
        graph.set_audio_frame_size(encoder.frame_size)
        return graph

    def _pulled(self, graph: Any) -> Iterator[Any]:
        """Encode what the graph has ready."""
        while True:
            try:
                frame = graph.pull()
            except (self._av.error.BlockingIOError, self._av.error.EOFError):
                return
            yield from self._track.encode(frame)
