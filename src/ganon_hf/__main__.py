"""``python -m ganon_hf`` is ``ganon-hf``."""

from __future__ import annotations

from .cli.main import app

if __name__ == "__main__":  # worker processes import this file under another name
    app(prog_name="ganon-hf")
