"""The Space: every face in a photo or video becomes a synthetic one. ``make space`` runs it; ``work.py`` and ``work_video.py`` do the work.

Nothing is kept: uploads and results lie in a folder of this process and are deleted within a minute, Gradio's run history and analytics
are off, the page loads nothing from elsewhere.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import scratch

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # both are read when gradio is imported
ROOT = scratch.open_scratch()
SCRATCH, UNFINISHED = ROOT / "files", ROOT / "work"  # uploads and results, which are swept; videos that are being anonymized
SCRATCH.mkdir()
UNFINISHED.mkdir()
os.environ["GRADIO_TEMP_DIR"] = str(SCRATCH)

import gradio as gr  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402

import faces  # noqa: E402
import page  # noqa: E402
import parts  # noqa: E402
import serving  # noqa: E402
import work  # noqa: E402
import work_video  # noqa: E402

SWEEP_SECONDS, KEEP_SECONDS = 10, 45  # every 10 seconds what is 45 seconds old is deleted: gone within a minute
MAX_FILE = "20mb"


class App:
    """The functions behind the page, around one engine."""

    def __init__(self) -> None:
        self.engine = work.open_engine()
        self.queue = work_video.VideoQueue()
        self.room = work.PixelRoom()

    def photo(
        self,
        path: str | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  Gradio recognizes it by its default value
        seed: float | None = None,
        **choices: Any,
    ) -> tuple[Any, ...]:
        """Another photo -> (before, after), cards of the faces, status, decisions, whether there is a result."""
        return self._photo(path, None, lambda decisions: decisions, progress, seed, choices)

    def again(
        self,
        path: str | None,
        decided: Any,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
        seed: float | None = None,
        **choices: Any,
    ) -> tuple[Any, ...]:
        """The same photo, after options were changed; what was decided about single faces stays."""
        return self._photo(path, decided, lambda decisions: decisions, progress, seed, choices)

    def new_people(
        self,
        path: str | None,
        decided: Any,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
        seed: float | None = None,
        **choices: Any,
    ) -> tuple[Any, ...]:
        """The same photo with another seed: nobody keeps the synthetic person, what was kept or covered stays so."""
        return self._photo(path, decided, faces.Decisions.without_people, progress, seed, choices)

    def decide(
        self,
        path: str | None,
        decided: Any,
        event: gr.EventData,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
        seed: float | None = None,
        **choices: Any,
    ) -> tuple[Any, ...]:
        """One face of the same photo becomes somebody else, is covered, or stays as it is."""
        clicked = event._data if isinstance(event._data, dict) else {}

        def one_more(decisions: faces.Decisions) -> faces.Decisions:
            return decisions.decide(clicked.get("face"), clicked.get("choice"))

        return self._photo(path, decided, one_more, progress, seed, choices)

    def _photo(
        self,
        path: str | None,
        decided: Any,
        change: Callable[[faces.Decisions], faces.Decisions],
        progress: gr.Progress,
        seed: float | None,
        choices: dict[str, Any],
    ) -> tuple[Any, ...]:
        """A refusal clears the picture: no earlier result stands beside its message."""
        nothing = (None, "")
        if path is None:
            return *nothing, "", None, gr.update(visible=False)
        try:
            name = work.digest(path)
            decisions = change(faces.Decisions.from_dict(decided, name))
            with self.room.photo(path) as photo:
                options = work.make_options(seed, **choices)
                done = work.anonymize(self.engine, photo, options, decisions.corrections, lambda share, step: progress(share, desc=step))
                before, after = work.before_and_after(done)
                pair = work.save(SCRATCH, "photo", before), work.save(SCRATCH, "anonymized", after)
                shown = faces.face_cards(done)
        except work.Refusal as refusal:
            return *nothing, work.status(str(refusal), refused=True), None, gr.update(visible=False)
        said = work.status(work.summary(done), warned=bool(done.num_left))
        return pair, shown, said, faces.decisions_after(done, name).to_dict(), gr.update(visible=True)

    def example(self, event: gr.EventData) -> str:
        """An example, as if it had been uploaded."""
        name = event._data.get("example") if isinstance(event._data, dict) else None
        if name not in parts.EXAMPLES:
            raise gr.Error("This example does not exist.", print_exception=False)
        return work.copy_example(SCRATCH, name)

    def photos(
        self,
        paths: list[str] | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
        seed: float | None = None,
        **choices: Any,
    ) -> tuple[Any, Any, str]:
        """Photos -> gallery, ZIP file, status."""
        if not paths:
            return None, None, work.status("Please choose photos first.", refused=True)
        if len(paths) > work.MAX_PHOTOS:
            return None, None, work.status(f"At most {work.MAX_PHOTOS} photos at once, but you chose {len(paths)}.", refused=True)
        pictures: dict[str, str] = {}
        gallery, told = [], []
        for number, path in enumerate(paths, start=1):
            name = f"photo-{number:02d}"
            progress((number - 1, len(paths)), desc=f"Photo {number} of {len(paths)}", unit="photos")
            try:
                with self.room.photo(path) as photo:
                    done = work.anonymize(self.engine, photo, work.make_options(seed, **choices))
                    pictures[name] = work.save(SCRATCH, name, done.result.image)
            except work.Refusal as refusal:
                told.append(work.status(f"Photo {number}: {refusal}", refused=True))
                continue
            gallery.append((pictures[name], f"Photo {number}"))
            told.append(work.status(f"Photo {number}: {work.counts(done)} Seed {done.options.seed}."))
        look = " Check the results before you use them: a face may have been missed." if pictures else ""
        first = work.status(f"{len(pictures)} of {len(paths)} photos anonymized.{look}", refused=not pictures)
        return gallery, work.save_zip(SCRATCH, pictures) if pictures else None, first + "".join(told)

    def webcam(self, path: str | None, seed: float | None = None, **choices: Any) -> tuple[Any, str]:
        """One webcam picture -> anonymized picture, status. Without a face there is no picture: one may have been missed."""
        if path is None:
            return None, ""
        try:
            with self.room.photo(path) as picture:
                picture.thumbnail((work.WEBCAM_SIDE, work.WEBCAM_SIDE))
                done = work.anonymize(self.engine, picture, work.make_options(seed, **choices))
        except work.NoFace:
            return None, work.status("No face was found, so no image is shown.")
        except work.Refusal as refusal:
            return None, work.status(str(refusal), refused=True)
        return done.result.image, work.status(f"Live. Seed {done.options.seed}.")

    def video(
        self,
        path: str | None,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  Gradio recognizes it by its default value
        seed: float | None = None,
        **choices: Any,
    ) -> tuple[str | None, str, str]:
        """Video -> anonymized video, table of people, status."""
        if path is None:
            return None, "", work.status("Please choose a video first.", refused=True)
        try:
            done = self._anonymize_video(path, progress, seed, choices)
        except work.Refusal as refusal:
            return None, "", work.status(str(refusal), refused=True)
        return done.path, work_video.people_table(done.report), work.status(work_video.summary(done))

    def _anonymize_video(self, path: str, progress: gr.Progress, seed: float | None, choices: dict[str, Any]) -> work_video.AnonymizedVideo:
        def report(done: int, total: int | None) -> None:
            text = f"frame {done} of {total}" if total and done else f"frame {done}" if done else "waiting for other videos"
            progress((done, total) if total else None, desc=text, unit="frames")

        return work_video.anonymize(
            self.engine,
            path,
            work.make_options(seed, **choices),
            queue=self.queue,
            unfinished=UNFINISHED,
            results=SCRATCH,
            progress=report,
        )

    def generator_view(self, path: str | None, seed: float | None = None, **choices: Any) -> tuple[Any, ...]:
        """Photo -> what the generator sees and draws, in the order of ``work.GENERATOR_VIEW``, and the status."""
        nothing = (None,) * len(work.GENERATOR_VIEW)
        if path is None:
            return *nothing, ""
        try:
            with self.room.photo(path) as picture:
                return *work.what_the_generator_sees(self.engine, picture, work.make_options(seed, **choices)), ""
        except work.Refusal as refusal:
            return *nothing, work.status(str(refusal), refused=True)

    def api(self, photo: str, seed: float | None = None, **choices: Any) -> tuple[str, list[dict[str, Any]]]:
        """Anonymize a photo.

        Returns the anonymized image and a list of faces: box, score, status ("replaced", "covered" or "doubtful"), reason, seed.
        """
        try:
            if photo is None:
                raise work.Refusal("Please send a photo.")
            with self.room.photo(photo) as picture:
                done = work.anonymize(self.engine, picture, work.make_options(seed, **choices))
                saved = work.save(SCRATCH, "anonymized", done.result.image)
        except work.Refusal as refusal:
            raise gr.Error(str(refusal), print_exception=False) from refusal
        return saved, [face.to_dict() | {"seed": done.options.seed} for face in done.result.faces]

    def api_video(
        self,
        video: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
        seed: float | None = None,
        **choices: Any,
    ) -> tuple[str, dict[str, Any]]:
        """Anonymize a video: MP4 without sound.

        Returns the anonymized video and a report: frames, seconds, seed, and what was done to each tracked face.
        """
        try:
            if video is None:
                raise work.Refusal("Please send a video.")
            done = self._anonymize_video(video, progress, seed, choices)
        except work.Refusal as refusal:
            raise gr.Error(str(refusal), print_exception=False) from refusal
        return done.path, done.report.to_dict()


def build(app: App, *, sweep: int = SWEEP_SECONDS, keep: int = KEEP_SECONDS) -> gr.Blocks:
    """The page. Every ``sweep`` seconds files that are ``keep`` seconds old are deleted."""
    work.start_sweeping(SCRATCH, every=sweep, older_than=keep)
    return page.build(app, delete_cache=(sweep, keep))


def launch(blocks: gr.Blocks, **changes: Any) -> Any:
    """Serve the page that :func:`build` made; ``changes`` are further arguments of ``Blocks.launch``."""
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
        body_text_color_subdued="*neutral_600",
        block_info_text_color="*neutral_600",  # the theme's own is too pale to read on white
    )
    settings: dict[str, Any] = {
        "theme": theme,
        "css": page.CSS,
        "head": page.HEAD,
        "max_file_size": MAX_FILE,
        "max_threads": 16,
        "footer_links": ["api", "settings"],
        "app_kwargs": {"middleware": [Middleware(serving.Guard)]},
    }
    private = {
        "show_error": False,
        "run_history": False,
        "share": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "mcp_server": False,
    }
    return blocks.launch(**settings, **private, **changes)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # SIGTERM clears the scratch folder, too
    launch(build(App()))
