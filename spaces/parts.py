"""Parts of the page that several tabs share: inputs, controls of the options, examples, links."""

from __future__ import annotations

import html
import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image, ImageOps

import work
from faces import data_uri
from ganon_hf import AnonymizeOptions
from ganon_hf.core.options import choices_of

# The seed has a control of its own; a photo without a face is always refused here; the detector's threshold is left to programs.
LEFT_OUT = ("seed", "min_score", "on_no_face")
# Suggestions: any words of a look can be typed.
LOOKS = ("match", "random", "woman, young", "woman, 50", "woman, old", "man, young", "man, 50, beard", "man, old", "child")
EXAMPLES = {
    "portrait.jpg": "One person",
    "two_people.jpg": "Two people",
    "three_people.jpg": "Three people",
    "old_photo.jpg": "Old photo",
}
EXAMPLE_SIZE = (128, 96)  # of the thumbnails, in pixels
PAPER = "https://doi.org/10.1145/3641107"
CODE = "https://github.com/ganon-hf/ganon-hf"
# Clicks inside an HTML component become events of Python: what is clicked says in its data-... attributes what is meant.
CLICKED = """element.addEventListener('click', event => {
    const button = event.target.closest('button[data-%s]');
    if (button) trigger('select', { ...button.dataset });
})"""

# Gradio's own link to it stands at the very end, and not on phones.
OPEN_API = """element.addEventListener('click', event => {
    if (event.target.closest('[data-opens=api]')) document.querySelector('footer .show-api').click();
})"""


@dataclass(frozen=True)
class Options:
    """The controls of one tab."""

    seed: gr.components.Component
    choices: dict[str, gr.components.Component]

    @property
    def inputs(self) -> dict[str, gr.components.Component]:
        """As ``inputs_kwargs`` of an event."""
        return {"seed": self.seed, **self.choices}


def options(name: str, *, without: tuple[str, ...] = ()) -> Options:
    """A closed accordion with the controls of a tab; the seed's element is called ``seed-NAME``."""
    with gr.Accordion("Options: look, cover, privacy …", open=False, elem_id=f"options-{name}"):
        seed = control("seed", elem_id=f"seed-{name}")
        choices = {
            key: _look() if key == "look" else control(key)
            for key in (option.name for option in fields(AnonymizeOptions))
            if key not in (*LEFT_OUT, *without)
        }
    return Options(seed, choices)


def controls(**settings: Any) -> dict[str, gr.components.Component]:
    """A control for each option but those in :data:`LEFT_OUT`, made from the fields of ``AnonymizeOptions``."""
    return {option.name: control(option.name, **settings) for option in fields(AnonymizeOptions) if option.name not in LEFT_OUT}


def control(name: str, **settings: Any) -> gr.components.Component:
    """One field of ``AnonymizeOptions``, with its choices, default, range and help; ``settings`` are further ones of the component."""
    option = AnonymizeOptions.__dataclass_fields__[name]
    shown = {"value": option.default, **_words(name), **settings}
    if choices := choices_of(option):
        return gr.Radio(list(choices), **shown)
    if option.type is bool:
        return gr.Checkbox(**shown)
    if option.type is str:
        return gr.Textbox(max_lines=1, **shown)
    low, high = option.metadata["range"]
    return gr.Number(minimum=low, maximum=high, precision=None if option.type is float else 0, **shown)


def _words(name: str) -> dict[str, str]:
    return {"label": name.replace("_", " ").capitalize(), "info": AnonymizeOptions.__dataclass_fields__[name].metadata["help"]}


def _look() -> gr.components.Component:
    """Suggestions, and whatever else is typed."""
    return gr.Dropdown(list(LOOKS), value=AnonymizeOptions.look, allow_custom_value=True, **_words("look"))


def photo_input(**settings: Any) -> gr.Image:
    """An upload that is handed on as a path: the app reads it, and says what is wrong with it."""
    image = gr.Image(sources=["upload", "clipboard"], type="filepath", image_mode=None, buttons=["fullscreen"], **settings)
    # not a subclass: Gradio would look for a front end of its own for it
    image.preprocess = lambda payload: None if payload is None else payload.path
    return image


def video_input(**settings: Any) -> gr.Video:
    """An upload that is handed on as a path: Gradio would convert it with the ffmpeg of the system."""
    video = gr.Video(sources=["upload"], **settings)
    video.preprocess = lambda payload: None if payload is None else payload.path
    return video


def examples(name: str) -> gr.HTML:
    """Thumbnails whose ``select`` event has the ``example`` that was clicked.

    Gradio's own examples would put files into the folder that is swept every minute.
    """
    buttons = "".join(
        f'<button type="button" data-example="{file}"><img alt="" width="{EXAMPLE_SIZE[0]}" height="{EXAMPLE_SIZE[1]}" '
        f'src="{_thumbnail(work.HERE / "examples" / file)}"><span>{html.escape(words)}</span></button>'
        for file, words in EXAMPLES.items()
    )
    note = "The first one is NASA's portrait of Eileen Collins (public domain). The people in the others do not exist."
    return gr.HTML(
        f'<div class="examples" role="group" aria-label="Examples">{buttons}</div><p class="note">{note}</p>',
        js_on_load=CLICKED % "example",
        elem_id=f"examples-{name}",
    )


def _thumbnail(path: Path) -> str:
    with Image.open(path) as image:
        return data_uri(ImageOps.fit(image.convert("RGB"), EXAMPLE_SIZE, Image.Resampling.LANCZOS, centering=(0.5, 0.15)))


def links() -> str:
    """HTML: where the paper, the model, the code and the interface for programs are."""
    model, space = os.environ.get("GANON_MODEL", ""), os.environ.get("SPACE_ID", "")
    places = {"Paper": PAPER}
    if re.fullmatch(r"[\w.-]+/[\w.-]+", model) and not Path(model).exists():
        places["Model"] = f"https://huggingface.co/{model}"
    places["Code"] = f"https://huggingface.co/spaces/{space}/tree/main" if space else CODE
    shown = "".join(f'<a href="{html.escape(url)}" target="_blank" rel="noopener">{name}</a>' for name, url in places.items())
    return f'<nav class="links" aria-label="About this program">{shown}<button type="button" data-opens="api">API</button></nav>'
