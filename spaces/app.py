"""The Space: every face in a photo becomes a synthetic one. ``make space`` runs it on this machine; ``work.py`` does the work.

Nothing is kept: uploads and results lie in a folder of this process and are deleted within a minute, Gradio's run history and analytics
are off, the page loads nothing from elsewhere.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # both are read when gradio is imported
SCRATCH = Path(tempfile.mkdtemp(prefix="ganon-space-"))
os.environ["GRADIO_TEMP_DIR"] = str(SCRATCH)
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)

import gradio as gr  # noqa: E402
from PIL import Image  # noqa: E402

import work  # noqa: E402

SWEEP_SECONDS, KEEP_SECONDS = 10, 45  # looked for every 10 seconds, deleted when 45 old: gone within a minute
MAX_FILE = "20mb"
QUEUE = 32
AT_ONCE = 2  # a free Space has two cores
EXAMPLES = {"Example: one face": "portrait.jpg", "Example: two faces": "two_people.jpg"}

HEADER = """# Every face becomes a synthetic one

The same expression, gaze and head pose, and nobody's face. It makes recognition harder and **does not guarantee anonymity**:
hair, the outline of the head, clothes and place stay. Only upload photos that you may use. They are deleted here within a minute."""
PRIVACY = """## How private is it?

Attackers with a gallery of the original photos try to name the person of an anonymized one: a face recogniser, and one who knows faces
by their landmarks alone. Share of people named first (95 % interval), measured with the weights that run here. “Linked”: two anonymized
photos of one person are taken for the same. Blur and solid cover on the same photos for comparison."""
SEEN = """## What the generator sees

Never a pixel of the face: only the places of 478 landmarks. Even those can identify, so by default their shape is exchanged for a
synthetic person's."""
WEBCAM = """Every picture is anonymized on this server and forgotten. A picture in which no face is found is not shown.
A session lasts a minute."""
# Drawn by the browser: an answer of the server could come when people have typed a seed of their own.
NEW_SEED = "() => Math.floor(Math.random() * 2 ** 31)"
CSS = """
.scroll { overflow-x: auto; }
.scroll table { width: 100%; border-collapse: collapse; }
.scroll caption { text-align: left; font-weight: 600; padding: 0.25rem 0; }
.scroll table, .scroll tr { border: 0 !important; }
.scroll tr > * { text-align: left; padding: 0.25rem 0.75rem 0.25rem 0 !important; vertical-align: top; }
.scroll tr > * { border: 0 !important; border-bottom: 1px solid var(--border-color-primary) !important; }
.refused { border-left: 4px solid #c00; padding-left: 0.75rem; }
"""


def photo_input(**settings: Any) -> gr.Image:
    """An upload that is handed on as a path: reading it, and saying what is wrong with it, is the app's work."""
    image = gr.Image(sources=["upload", "clipboard"], type="filepath", buttons=["fullscreen"], **settings)
    # not a subclass: Gradio would look for a front end of its own for it
    image.preprocess = lambda payload: None if payload is None else payload.path
    return image


def controls() -> dict[str, gr.components.Component]:
    """What people can choose: one entry per field of ``AnonymizeOptions``, and nothing else has to know."""
    return {
        "geometry": gr.Radio(
            [("a synthetic person's", "anonymous"), ("as in the photo (it can identify)", "original")],
            value="anonymous",
            label="Shape of the face",
        ),
        "privacy": gr.Radio(
            [("low", "low"), ("medium", "medium"), ("high", "high")],
            value="medium",
            label="Privacy",
            info="Low keeps expressions best, high hides most of the face's shape.",
        ),
        "skin_tone": gr.Radio([("as in the photo", "match"), ("the synthetic person's", "random")], value="match", label="Skin tone"),
        "output": gr.Radio([("the photo", "photo"), ("the synthetic faces alone", "crop")], value="photo", label="Result"),
        "min_face_size": gr.Slider(
            12, 200, value=24, step=4, label="Smallest face to look for, in pixels", info="Smaller finds more and takes longer."
        ),
    }


def status(text: str, *, refused: bool = False) -> str:
    """A line that screen readers say by themselves."""
    return f'<p role="{"alert" if refused else "status"}" class="{"refused" if refused else "done"}">{work.html.escape(text)}</p>'


class App:
    """The functions behind the page, around one engine."""

    def __init__(self) -> None:
        self.engine = work.open_engine()

    def one(self, path: str | None, seed: float | None = None, **choices: Any) -> tuple[Any, str, str]:
        """Photo -> (before, after), table of faces, status. A refusal clears the picture: nothing old stands beside a new message."""
        if path is None:
            return None, "", ""
        try:
            done = work.anonymize(self.engine, work.read_photo(path), work.make_options(seed, **choices))
        except work.Refusal as refusal:
            return None, "", status(str(refusal), refused=True)
        before, after = work.before_and_after(done)
        pair = work.save(SCRATCH, "photo", before), work.save(SCRATCH, "anonymized", after)
        return pair, work.face_table(done), status(work.summary(done))

    def many(self, paths: list[str] | None, seed: float | None = None, **choices: Any) -> tuple[Any, Any, str]:
        """Photos -> gallery, ZIP file, status."""
        if not paths:
            return None, None, status("Please choose photos first.", refused=True)
        if len(paths) > work.MAX_PHOTOS:
            return None, None, status(f"At most {work.MAX_PHOTOS} photos at once, but these are {len(paths)}.", refused=True)
        pictures: dict[str, Image.Image] = {}
        gallery, problems = [], []
        for number, path in enumerate(paths, start=1):
            try:
                done = work.anonymize(self.engine, work.read_photo(path), work.make_options(seed, **choices))
            except work.Refusal as refusal:
                problems.append(f"Photo {number}: {refusal}")
                continue
            name = f"photo-{number:02d}"
            pictures[name] = done.result.image
            gallery.append((work.save(SCRATCH, name, done.result.image), f"Photo {number}: {work.summary(done)}"))
        lines = [status(f"{len(pictures)} of {len(paths)} photos anonymized.", refused=not pictures)]
        lines += [status(problem, refused=True) for problem in problems]
        return gallery, work.save_zip(SCRATCH, pictures) if pictures else None, "".join(lines)

    def frame(self, picture: Image.Image | None, seed: float | None = None, **choices: Any) -> tuple[Any, str]:
        """One webcam picture -> anonymized picture, status. Without a face there is no picture: one may have been missed."""
        if picture is None:
            return None, ""
        picture.thumbnail((work.WEBCAM_SIDE, work.WEBCAM_SIDE))
        try:
            done = work.anonymize(self.engine, picture, work.make_options(seed, **choices))
        except work.Refusal:
            return None, status("No face found, so no picture is shown.")
        return done.result.image, status(f"Live. Seed {done.options.seed}.")

    def seen(self, path: str | None, seed: float | None = None, **choices: Any) -> tuple[Any, ...]:
        """Photo -> what the generator sees and draws, in the order of ``work.SEEN``, and the status."""
        nothing = (None,) * len(work.SEEN)
        if path is None:
            return *nothing, ""
        try:
            return *work.what_the_generator_sees(self.engine, work.read_photo(path), work.make_options(seed, **choices)), ""
        except work.Refusal as refusal:
            return *nothing, status(str(refusal), refused=True)

    def api(self, photo: str, seed: float | None = None, **choices: Any) -> tuple[str, list[dict[str, Any]]]:
        """Anonymize a photo.

        Returns the anonymized picture and a list of faces: box, score, status ("replaced" or "covered"), reason, seed.
        """
        try:
            if photo is None:
                raise work.Refusal("Please send a photo.")
            done = work.anonymize(self.engine, work.read_photo(photo), work.make_options(seed, **choices))
        except work.Refusal as refusal:
            raise gr.Error(str(refusal), print_exception=False) from refusal
        return work.save(SCRATCH, "anonymized", done.result.image), [
            face.to_dict() | {"seed": done.options.seed} for face in done.result.faces
        ]


def build(app: App, *, sweep: int = SWEEP_SECONDS, keep: int = KEEP_SECONDS) -> gr.Blocks:
    """The page. Files are looked for every ``sweep`` seconds and deleted when they are ``keep`` seconds old."""
    with gr.Blocks(title="ganon-hf: every face becomes a synthetic one", analytics_enabled=False, delete_cache=(sweep, keep)) as page:
        gr.Markdown(HEADER)
        with gr.Accordion("Options", open=False):
            seed = gr.Number(precision=0, minimum=0, label="Seed: which synthetic person", elem_id="seed")
            choices = controls()
        page.load(None, outputs=[seed], js=NEW_SEED, api_visibility="private")  # everybody starts with somebody else
        shared: dict[str, Any] = {"inputs_kwargs": {"seed": seed, **choices}, "concurrency_id": "engine"}
        with gr.Tab("Photo"):
            _photo_tab(app, seed, shared)
        with gr.Tab("Several photos"):
            _photos_tab(app, shared)
        with gr.Tab("Webcam"):
            _webcam_tab(app, {**shared, "concurrency_id": "webcam"})
        with gr.Tab("How private is it"):
            _private_tab(app, shared)
        _api(app, choices)
    work.start_sweeping(SCRATCH, every=sweep, older_than=keep)
    return page.queue(max_size=QUEUE, default_concurrency_limit=AT_ONCE, api_open=False)


def _photo_tab(app: App, seed: gr.Number, shared: dict[str, Any]) -> None:
    with gr.Row():
        with gr.Column(min_width=280):
            photo = photo_input(label="Your photo", elem_id="photo", height=380)
            with gr.Row():
                again = gr.Button("Anonymize", variant="primary", elem_id="anonymize")
                others = gr.Button("New people", elem_id="new-people")
            _examples(photo)
        with gr.Column(min_width=280):
            said = gr.HTML(elem_id="said")
            slider = gr.ImageSlider(
                label="Before and after: drag the handle", interactive=False, format="jpeg", elem_id="slider", max_height=560
            )
            handle = gr.Slider(
                0, 100, value=50, step=5, label="The same handle for the keyboard: % of the original shown", elem_id="handle"
            )
            faces = gr.HTML(elem_id="faces")
    ask = {
        "fn": app.one,
        "inputs": [photo],
        "outputs": [slider, faces, said],
        "show_progress_on": slider,
        "api_visibility": "private",
        "concurrency_limit": AT_ONCE,
        **shared,
    }
    handle.input(
        lambda share: gr.update(slider_position=share), [handle], [slider], api_visibility="private", queue=False, show_progress="hidden"
    )
    photo.change(**ask)
    again.click(**ask)
    others.click(None, outputs=[seed], js=NEW_SEED, api_visibility="private").then(**ask)


def _examples(photo: gr.Image) -> None:
    with gr.Row():
        for label, name in EXAMPLES.items():
            take = functools.partial(work.copy_example, SCRATCH, name)
            gr.Button(label, size="sm").click(take, outputs=[photo], api_visibility="private", queue=False)
    gr.Markdown("<small>The examples: NASA's portrait of Eileen Collins (public domain), and two people who do not exist.</small>")


def _photos_tab(app: App, shared: dict[str, Any]) -> None:
    files = gr.File(
        file_count="multiple", file_types=["image"], type="filepath", label=f"Photos, at most {work.MAX_PHOTOS}", elem_id="photos"
    )
    button = gr.Button("Anonymize all", variant="primary", elem_id="anonymize-all")
    said = gr.HTML(elem_id="said-many")
    gallery = gr.Gallery(label="Anonymized photos", columns=3, format="jpeg", interactive=False, elem_id="gallery")
    archive = gr.File(label="All of them, as ZIP", interactive=False, elem_id="zip")
    button.click(
        app.many, [files], [gallery, archive, said], show_progress_on=gallery, api_visibility="private", concurrency_limit=AT_ONCE, **shared
    )


def _webcam_tab(app: App, shared: dict[str, Any]) -> None:
    gr.Markdown(WEBCAM)
    with gr.Row():
        camera = gr.Image(
            sources=["webcam"],
            streaming=True,
            type="pil",
            format="jpeg",
            label="Webcam",
            elem_id="camera",
            webcam_options=gr.WebcamOptions(mirror=False),
        )
        with gr.Column(min_width=280):
            alt = "The webcam's picture with synthetic faces"
            live = gr.Image(
                label="Anonymized", format="jpeg", interactive=False, buttons=["fullscreen"], elem_id="live", alt_text=alt
            )  # no button that shares
            said = gr.HTML(elem_id="said-live")
    camera.stream(
        app.frame,
        [camera],
        [live, said],
        stream_every=0.4,
        time_limit=60,
        concurrency_limit=AT_ONCE,
        api_visibility="private",
        show_progress="hidden",
        **shared,
    )


def _private_tab(app: App, shared: dict[str, Any]) -> None:
    gr.Markdown(PRIVACY)
    gr.HTML(work.report_tables(), elem_id="report")
    gr.Markdown(SEEN)
    photo = photo_input(label="A photo", elem_id="private-photo", height=300)
    _examples(photo)
    said = gr.HTML(elem_id="said-private")
    with gr.Row(elem_id="seen"):
        pictures = [gr.Image(label=label, format="png", interactive=False, buttons=["fullscreen"], min_width=200) for label in work.SEEN]
    ask = {"fn": app.seen, "inputs": [photo], "outputs": [*pictures, said], "show_progress_on": pictures, "concurrency_limit": AT_ONCE}
    photo.change(**ask, api_visibility="private", **shared)


def _api(app: App, choices: dict[str, Any]) -> None:
    """``/anonymize`` for programs; what it takes and gives does not depend on how the page looks."""
    photo = photo_input(label="photo", visible=False)
    seed = gr.Number(precision=0, label="seed", visible=False)
    picture = gr.Image(label="anonymized", type="filepath", format="jpeg", visible=False)
    faces = gr.JSON(label="faces", visible=False)
    gr.Button(visible=False).click(
        app.api,
        [photo],
        [picture, faces],
        inputs_kwargs={"seed": seed, **choices},
        api_name="anonymize",
        concurrency_id="engine",
        concurrency_limit=AT_ONCE,
    )


def launch(page: gr.Blocks, **changes: Any) -> Any:
    """Serve the page; ``changes`` are further arguments of ``Blocks.launch``."""
    theme = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    settings: dict[str, Any] = {
        "theme": theme,
        "css": CSS,
        "max_file_size": MAX_FILE,
        "max_threads": 16,
        "footer_links": ["api", "settings"],
    }
    private = {
        "show_error": False,
        "run_history": False,
        "share": False,
        "enable_monitoring": False,
        "ssr_mode": False,
        "mcp_server": False,
    }
    return page.launch(**settings, **private, **changes)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # a polite kill clears the scratch folder, too
    launch(build(App()))
