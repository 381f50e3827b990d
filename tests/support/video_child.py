"""A process that anonymizes a scripted film and can be killed: python video_child.py SOURCE TARGET, some milliseconds a frame."""

from __future__ import annotations

import sys
import time

from scripted import film_script, scripted_engine

from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.video import job

if __name__ == "__main__":
    job.SEGMENT_SECONDS = 0.5
    engine = scripted_engine(film_script())
    job.anonymize_video(
        sys.argv[1], sys.argv[2], AnonymizeOptions(seed=3), anonymizer=engine, progress=lambda done, total: time.sleep(0.02)
    )
