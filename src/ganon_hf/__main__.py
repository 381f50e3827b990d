"""``python -m ganon_hf`` is ``ganon-hf``."""

from __future__ import annotations

from .cli.main import app

app(prog_name="ganon-hf")
