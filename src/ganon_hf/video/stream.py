"""Frames in, anonymized frames out a moment later: with a look-ahead, gaps are filled and new faces are followed back.

Frames wait in a buffer while later ones are analyzed. When no later frame can change one any more, it is rendered on worker threads and
handed out in order, with the time stamp with which it came.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..bulk.process_pool import usable_cores
from ..core.anonymizer import Anonymizer
from ..core.faces import Box, FaceReport, area_of
from ..core.look import RANDOM, Look, parse_look
from ..core.options import AnonymizeOptions
from ..core.threads import single_threaded_pool
from .cuts import CutDetector
from .edits import Casting, FilmEdits
from .gap_filling import GapFiller
from .reader import VideoFrame
from .reidentification import PersonGallery
from .tracking import COARSER, FaceTracker, Track

# Seconds between two searches; in between the detector only glances at the frames, if it can (see tracking.py). The smallest faces are
# searched for once per look-ahead: whatever is found then is followed back through all the frames that are still waiting.
SEARCH_INTERVAL = 0.25
# Seconds that a frame waits for later ones: the longest gap that is filled.
LOOK_AHEAD = 1.0
# The buffer holds at most so many bytes of pictures: with very large frames the look-ahead is shorter.
MAX_BUFFER = 800_000_000


@dataclass(frozen=True, eq=False)
class FrameFace:
    """What was done with one face of a frame.

    Attributes:
        person: number of the synthetic person; the same one throughout the video.
        track: number of the stretch of frames in which the face was followed.
        kind: ``"seen"`` in this frame, ``"filled"`` in a gap between two frames where it was seen, or ``"held"`` before the first or
            after the last of them.
        report: box, score, ``"replaced"``, ``"covered"`` or ``"doubtful"``, and the reason.
    """

    person: int
    track: int
    kind: str
    report: FaceReport


@dataclass(frozen=True, eq=False, kw_only=True)
class AnonymizedFrame(VideoFrame):
    """One frame whose faces are replaced or covered.

    Attributes:
        image: (height, width, 3) uint8 RGB.
        pts, duration: of the input frame; if that was a plain array, its number in the stream and 1.
        index: its number in the stream, from 0.
        faces: one entry per face.
        left: track and box (x_min, y_min, x_max, y_max) of what a correction marks as not a face; it is left as it was.
    """

    index: int
    faces: tuple[FrameFace, ...]
    left: tuple[tuple[int, Box], ...] = ()


class FrameStream:
    """What :func:`anonymize_frames` is made of. A snapshot can be kept and restored, so that a killed run goes on with the same results.

    Args:
        anonymizer: the engine.
        options: see :func:`anonymize_frames`.
        frame_rate: frames per second.
        look_ahead: seconds.
        workers: threads that render; None takes one per core.
        snapshot_every: keep a snapshot about every so many frames, see :meth:`snapshot`; 0 keeps none.
        edits: what to do otherwise than by itself. Snapshots do not depend on them.

    Raises:
        ValueError: an option or a number is out of range.
    """

    def __init__(
        self,
        anonymizer: Anonymizer,
        options: AnonymizeOptions,
        *,
        frame_rate: float,
        look_ahead: float = LOOK_AHEAD,
        workers: int | None = None,
        snapshot_every: int = 0,
        edits: FilmEdits | None = None,
    ) -> None:
        if not 0.1 <= frame_rate <= 1000:
            raise ValueError(f"frame_rate must be 0.1 to 1000 frames per second, but got {frame_rate!r}.")
        if not 0 <= look_ahead <= 10:
            raise ValueError(f"look_ahead must be 0 to 10 seconds, but got {look_ahead!r}.")
        if options.output != "photo":
            raise ValueError(f"frames are anonymized with output='photo', but got {options.output!r}.")
        self._anonymizer = anonymizer
        self._seed = secrets.randbits(62) if options.seed is None else int(options.seed)
        self._options = replace(options, seed=self._seed, on_no_face="keep")
        self._tracker = FaceTracker(
            anonymizer.detector, frame_rate=frame_rate, min_face_size=options.min_face_size, min_score=options.min_score
        )
        self._rate, self._look_ahead = frame_rate, look_ahead
        self._gaps = GapFiller(frame_rate, small=1.5 * COARSER * options.min_face_size)
        self._gallery = PersonGallery(anonymizer.shape_model)
        self._looks = dict[int, Look | None]()  # of each person, read once: another look would be another synthetic person
        self._workers = workers or usable_cores()
        self._snapshot_every, self._snapshots = snapshot_every, dict[int, dict[str, Any]]()
        self._searches = 0  # in this scene
        self._planned = 0  # frames that are decided on
        self._shape: tuple[int, ...] | None = None
        self._is_cut = CutDetector()
        self._edits = edits or FilmEdits()

    @property
    def seed(self) -> int:
        """Decides the synthetic people of this stream."""
        return self._seed

    @property
    def planned(self) -> int:
        """Number of the first undecided frame: the one that :meth:`run` must begin with."""
        return self._planned

    def run(self, frames: Iterable[VideoFrame | np.ndarray]) -> Iterator[AnonymizedFrame]:
        """Anonymize frames, beginning with number :attr:`planned`.

        Args:
            frames: with time stamps, which travel with them, or plain arrays; else as for :func:`anonymize_frames`.

        Yields:
            every frame, in order.
        """
        waiting: deque[VideoFrame] = deque()  # frames from self._planned on
        rendering: deque[Future[AnonymizedFrame]] = deque()
        chunk: list[VideoFrame] = []
        # Frames are rendered side by side with one thread each: this is faster, and rounding does not depend on the number of cores.
        # Matrix products in between are small: numpy's threads would wait for each other by spinning, a sixth of the processor's time.
        with threadpool_limits(1, user_api="blas"), single_threaded_pool(self._workers, "ganon-frames") as pool:
            try:
                for frame in frames:
                    index = self._planned + len(waiting)
                    checked = self._checked(frame, index)
                    cut = self._is_cut(checked.image)
                    if index >= self._tracker.seen:  # after a restart the first frames have been analyzed before
                        # a chunk waits for the frame after it, which says whether it was the last of a scene
                        if chunk and (cut or len(chunk) == self._interval):
                            self._analyze(chunk, waiting, last=cut)
                            chunk = []
                        if not chunk:
                            yield from self._decide(self._tracker.seen - self._ahead, waiting, rendering, pool)
                        if cut:
                            self._tracker.cut()
                        chunk.append(checked)
                    waiting.append(checked)
                    if not self._ahead:  # live: nothing waits
                        if chunk:
                            self._analyze(chunk, waiting)
                            chunk = []
                        yield from self._decide(self._tracker.seen, waiting, rendering, pool)
                if chunk:
                    self._analyze(chunk, waiting, last=True)
                while waiting:  # in small steps, which need less memory
                    yield from self._decide(self._planned + self._interval, waiting, rendering, pool)
                yield from self._finished(rendering, 0)
            finally:
                for future in rendering:
                    future.cancel()

    def _analyze(self, chunk: Sequence[VideoFrame], waiting: Sequence[VideoFrame], *, last: bool = False) -> None:
        """Search the last frame of a chunk; for the smallest faces only once per look-ahead, since they can be followed back that far."""
        self._searches += 1
        thorough = last or self._searches % max(1, self._ahead // self._interval) == 0
        before = [frame.image for frame in waiting][: self._tracker.seen - self._planned]
        self._tracker.analyze([frame.image for frame in chunk], before, thorough=thorough)
        self._searches = 0 if last else self._searches

    @property
    def _ahead(self) -> int:
        """Frames of the look-ahead."""
        size = int(np.prod(self._shape)) if self._shape else 1
        return min(round(self._look_ahead * self._rate), max(0, MAX_BUFFER // size - self._interval))

    @property
    def _interval(self) -> int:
        """Frames from one search to the next."""
        wanted = round(min(SEARCH_INTERVAL, self._look_ahead) * self._rate) if self._tracker.can_follow else 1
        return max(1, wanted)

    def _checked(self, frame: VideoFrame | np.ndarray, index: int) -> VideoFrame:
        """A frame as it waits: read-only, with a time stamp."""
        image = np.asarray(frame.image if isinstance(frame, VideoFrame) else frame)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"frames must be RGB uint8 arrays (height, width, 3), but got {image.dtype} {image.shape}.")
        if self._shape not in (None, image.shape):
            raise ValueError(f"all frames must have one size, {self._shape}, but got {image.shape}.")
        self._shape = image.shape
        if image.flags.writeable:
            image = image.copy()  # callers reuse their buffers
            image.flags.writeable = False
        return VideoFrame(image, frame.pts, frame.duration) if isinstance(frame, VideoFrame) else VideoFrame(image, index, 1)

    def _decide(
        self, end: int, waiting: deque[VideoFrame], rendering: deque[Future[AnonymizedFrame]], pool: ThreadPoolExecutor
    ) -> Iterator[AnonymizedFrame]:
        """Decide on the waiting frames before number ``end``, have them rendered, and hand out those that are ready."""
        if self._snapshot_every and waiting and end > self._planned:
            if self._planned - max(self._snapshots, default=0) >= self._snapshot_every:
                before = dict(list(self._snapshots.items())[-1:])  # its frame may still be rendering
                self._snapshots = before | {self._planned: self._state()}
        while waiting and self._planned < end:
            shown = self._gaps.faces_at(self._tracker.tracks, self._planned)
            shown.sort(key=lambda one: (-area_of(one.face.box), one.face.box))  # in the engine's order
            people = [self._gallery.identify(one.track) for one in shown]
            looks = [self._look_of(person, one.track, waiting) for person, one in zip(people, shown, strict=True)]
            rows = zip(shown, people, looks, strict=True)
            castings = [Casting(one, one.track.number, person, look) for one, person, look in rows]
            castings, left = self._edits.apply(castings, self._planned)
            rendering.append(pool.submit(self._render, self._planned, waiting.popleft(), castings, left))
            self._planned += 1
        self._tracker.forget_before(self._planned - round(1.1 * self._rate))  # held faces and smoothing look back less than that
        self._gallery.forget({track.number for track in self._tracker.tracks})
        yield from self._finished(rendering, self._interval + 2 * self._workers)

    def _look_of(self, person: int, track: Track, waiting: Sequence[VideoFrame]) -> Look | None:
        """The look of a person, read where the face is largest in the frames that are waiting; None where there is no mesh yet."""
        if person not in self._looks:
            places = range(self._planned, self._planned + len(waiting))
            meshes = {frame: face for frame, face in track.faces.items() if frame in places and face.landmarks is not None}
            if not meshes:
                return None
            best = max(meshes, key=lambda frame: (area_of(meshes[frame].box), -frame))
            self._looks[person] = self._anonymizer.look_of(waiting[best - self._planned].image, meshes[best], self._options)
        return self._looks[person]

    @staticmethod
    def _finished(rendering: deque[Future[AnonymizedFrame]], limit: int) -> Iterator[AnonymizedFrame]:
        """Hand out frames that are ready, in order; wait for them while more than ``limit`` are rendering."""
        while rendering and (len(rendering) > limit or rendering[0].done()):
            yield rendering.popleft().result()

    def _render(self, index: int, frame: VideoFrame, castings: Sequence[Casting], left: tuple[tuple[int, Box], ...]) -> AnonymizedFrame:
        engine, faces = self._anonymizer, [one.shown.face for one in castings]
        people, looks = [one.person for one in castings], [one.look for one in castings]
        plan = engine.plan(frame.image, self._options, faces=faces, people=people, looks=looks)
        picture, reports = engine.paint(plan, engine.generate(plan.inputs))
        rows = zip(castings, reports, strict=True)
        done = tuple(FrameFace(one.person, one.track, one.shown.kind, _with_reason(report, one)) for one, report in rows)
        return AnonymizedFrame(picture, frame.pts, frame.duration, index=index, faces=done, left=left)

    def snapshot(self, index: int) -> dict[str, Any] | None:
        """The state from which the frames from number ``index`` on can be made again exactly; None where none was kept.

        JSON-ready except for numpy arrays. It holds landmarks of original faces.
        """
        return self._snapshots.get(index)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot of a stream with the same arguments; :meth:`run` must then begin with frame number :attr:`planned`."""
        self._planned, self._searches = int(state["planned"]), int(state["searches"])
        self._seed = int(state["seed"])
        self._options = replace(self._options, seed=self._seed)
        self._tracker.restore(state["tracker"])
        self._gallery.restore(state["people"])
        self._looks = {int(person): None if words == RANDOM else parse_look(words) for person, words in state["looks"]}

    def _state(self) -> dict[str, Any]:
        looks = [[person, RANDOM if look is None else str(look)] for person, look in sorted(self._looks.items())]
        parts = {"tracker": self._tracker.state(), "people": self._gallery.state(), "looks": looks}
        return {"planned": self._planned, "searches": self._searches, "seed": self._seed, **parts}


def _with_reason(report: FaceReport, casting: Casting) -> FaceReport:
    """The report of a face without landmarks says why there are none, which the engine cannot know."""
    guessed = casting.shown.kind != "seen" and casting.shown.face.landmarks is None
    reason = casting.reason or ("the face was lost in this frame" if guessed else "")
    return replace(report, reason=reason) if reason else report


def anonymize_frames(
    frames: Iterable[np.ndarray],
    options: AnonymizeOptions | None = None,
    *,
    frame_rate: float,
    look_ahead: float = LOOK_AHEAD,
    anonymizer: Anonymizer | None = None,
) -> Iterator[AnonymizedFrame]:
    """Anonymize a stream of frames: everybody keeps one synthetic person, and a face that is lost for a moment stays hidden.

    Args:
        frames: RGB uint8 arrays (height, width, 3), all of the same size. OpenCV gives BGR: ``cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)``.
        options: ``seed`` determines the people of the whole stream, None draws it once; ``min_face_size`` affects the run time most.
            ``output`` must be ``"photo"``; ``on_no_face`` has no effect, because frames without a face are normal in a video.
        frame_rate: frames per second, 0.1 to 1000.
        look_ahead: delay of the output in seconds, up to 10. Gaps shorter than this can be filled. 0 is for live video: every frame is
            searched by itself, and if a face is lost, its last position is covered for half a second.
        anonymizer: the engine; None loads the bundled weights.

    Yields:
        every frame, in order.

    Raises:
        ValueError: an option or a number is out of range, or frames have another type or changing sizes.
    """
    stream = FrameStream(
        anonymizer or Anonymizer.from_pretrained(), options or AnonymizeOptions(), frame_rate=frame_rate, look_ahead=look_ahead
    )
    yield from stream.run(frames)
