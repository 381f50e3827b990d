"""corrections.jsonl: what is accepted, and that a run with it is the same everywhere or refuses the photo."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from standins import Run, names, report_of, save, square_photo
from tiny import KnownFaces, face_at, noise_photo, tiny_model, tiny_processor

from ganon_hf.bulk import folder as batch
from ganon_hf.bulk.correction_file import PhotoCorrections, read_corrections, write_corrections
from ganon_hf.bulk.rows import RowTask, RowTaskHandler
from ganon_hf.bulk.tasks import Outcome, Settings
from ganon_hf.core.anonymizer import Anonymizer
from ganon_hf.core.corrections import FaceCorrection
from ganon_hf.core.faces import Box
from ganon_hf.core.options import AnonymizeOptions

FOUND, MISSED = face_at(50, 60, 60), face_at(120, 60, 50)
ADD = FaceCorrection(tuple(round(value, 1) for value in MISSED.box), "replace", drawn=True, seed=5)  # type: ignore[arg-type]
DIGEST = "0" * 64


class Fitting(KnownFaces):
    def landmarks(self, image: np.ndarray, box: Box) -> np.ndarray | None:
        return MISSED.landmarks


def engine(threads: int | None = None) -> Anonymizer:
    return Anonymizer(tiny_model(), tiny_processor(), Fitting({(160, 120): [FOUND]}))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, name in enumerate(("a.png", "sub/b.png", "sub/c.png")):
        save(tmp_path / "in" / name, Image.fromarray(noise_photo(seed=number)))
    return tmp_path / "in"


def row(photos: Path, name: str, *faces: FaceCorrection, seed: int | None = None) -> PhotoCorrections:
    return PhotoCorrections(name, hashlib.sha256((photos / name).read_bytes()).hexdigest(), faces, seed)


def run(
    photos: Path, out: Path, rows: Mapping[str, PhotoCorrections] | None = None, *, overwrite: bool = False, seed: int | None = 7
) -> list[Outcome]:
    jobs, _ = batch.plan([str(photos)], str(out))
    state = batch.State(out)
    try:
        settings = Settings(AnonymizeOptions(seed=seed), overwrite=overwrite, corrections=rows or {})
        return list(batch.run(jobs, settings, engine, state))
    finally:
        state.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder)}


# ---- the file --------------------------------------------------------------------------------------------------------------------


def test_there_and_back(tmp_path: Path) -> None:
    rows = [
        PhotoCorrections("sub/b.jpg", DIGEST, (ADD, FaceCorrection((1, 2, 30, 40), "leave")), 9),
        PhotoCorrections("caf\udce9.png", DIGEST, ()),  # a name that is no UTF-8
    ]
    write_corrections(tmp_path / "corrections.jsonl", rows)
    assert read_corrections(tmp_path / "corrections.jsonl") == {row.photo: row for row in rows}
    assert names(tmp_path) == ["corrections.jsonl"], "no temporary file is left"


GOOD = {"photo": "a.png", "sha256": DIGEST, "faces": []}
HOSTILE = {
    "no JSON": b"{",
    "no object": b"[1]",
    "a part is missing": json.dumps({"photo": "a.png", "faces": []}).encode(),
    "an unknown part": json.dumps({**GOOD, "run": "rm"}).encode(),
    "a part twice": b'{"photo": "a.png", "photo": "b.png", "sha256": "' + DIGEST.encode() + b'", "faces": []}',
    "absolute": json.dumps({**GOOD, "photo": "/etc/passwd"}).encode(),
    "leaves the folder": json.dumps({**GOOD, "photo": "../a.png"}).encode(),
    "leaves the folder further down": json.dumps({**GOOD, "photo": "sub/../../a.png"}).encode(),
    "another spelling of a name": json.dumps({**GOOD, "photo": "./a.png"}).encode(),
    "no name": json.dumps({**GOOD, "photo": ""}).encode(),
    "a name with NUL": json.dumps({**GOOD, "photo": "a\0.png"}).encode(),
    "an endless name": json.dumps({**GOOD, "photo": "a" * 5000}).encode(),
    "a name that is none": json.dumps({**GOOD, "photo": 5}).encode(),
    "a short digest": json.dumps({**GOOD, "sha256": "00"}).encode(),
    "a digest that is none": json.dumps({**GOOD, "sha256": "g" * 64}).encode(),
    "faces are no list": json.dumps({**GOOD, "faces": {}}).encode(),
    "too many faces": json.dumps({**GOOD, "faces": [{"box": [0, 0, 9, 9], "do": "cover"}] * 2001}).encode(),
    "a box that is not finite": b'{"photo": "a.png", "sha256": "'
    + DIGEST.encode()
    + b'", "faces": [{"box": [0, 0, NaN, 9], "do": "cover"}]}',
    "a box that is infinite": b'{"photo": "a.png", "sha256": "'
    + DIGEST.encode()
    + b'", "faces": [{"box": [0, 0, 1e999, 9], "do": "cover"}]}',
    "a seed out of range": json.dumps({**GOOD, "seed": 2**63}).encode(),
    "nested without end": b"[" * 100_000,
    "no text": b"\xff\xfe",
    "two lines for one photo": json.dumps(GOOD).encode() + b"\n" + json.dumps(GOOD).encode(),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_malformed_file_is_refused_and_the_line_named(case: str, tmp_path: Path) -> None:
    file = tmp_path / "corrections.jsonl"
    file.write_bytes(b"\n" + HOSTILE[case])
    with pytest.raises(ValueError, match=r"corrections\.jsonl, line [23]: "):
        read_corrections(file)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "corrections.jsonl"
    with file.open("wb") as opened:
        opened.truncate((64 << 20) + 1)
    with pytest.raises(ValueError, match="larger than 64 MiB"):
        read_corrections(file)


# ---- runs ------------------------------------------------------------------------------------------------------------------------


def test_a_fresh_run_with_the_corrections_gives_the_same_bytes(photos: Path, tmp_path: Path) -> None:
    """As a review leaves a folder, one photo done again after the others, and from the file alone."""
    rows = {"sub/b.png": row(photos, "sub/b.png", ADD)}
    run(photos, tmp_path / "reviewed")
    plain = contents(tmp_path / "reviewed")
    jobs = [job for job in batch.plan([str(photos)], str(tmp_path / "reviewed"))[0] if job.name == "sub/b.png"]
    state = batch.State(tmp_path / "reviewed")
    settings = Settings(AnonymizeOptions(seed=7), overwrite=True, corrections=rows)
    assert [outcome.status for outcome in batch.run(jobs, settings, engine, state)] == ["ok"]
    state.close()
    write_corrections(tmp_path / "corrections.jsonl", rows.values())
    outcomes = run(photos, tmp_path / "fresh", read_corrections(tmp_path / "corrections.jsonl"))
    assert [len(outcome.faces) for outcome in outcomes] == [1, 2, 1]
    assert contents(tmp_path / "fresh") == contents(tmp_path / "reviewed")
    changed = {name for name, content in contents(tmp_path / "fresh").items() if content != plain[name]}
    assert changed == {"sub/b.png"}


def test_a_seed_in_the_file_makes_a_photo_of_a_run_without_one_the_same_everywhere(photos: Path, tmp_path: Path) -> None:
    rows = {"a.png": row(photos, "a.png", ADD, seed=3)}
    for out in ("one", "two"):
        run(photos, tmp_path / out, rows, seed=None)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one["a.png"] == two["a.png"] and one["sub/b.png"] != two["sub/b.png"]


def test_a_photo_that_has_changed_since_is_refused_and_not_written(photos: Path, tmp_path: Path) -> None:
    rows = {"a.png": row(photos, "a.png", ADD)}
    save(photos / "a.png", Image.fromarray(noise_photo(seed=9)))
    outcomes = run(photos, tmp_path / "out", rows)
    assert [outcome.status for outcome in outcomes] == ["refused", "ok", "ok"]
    assert outcomes[0].error.startswith("has changed since it was corrected")
    assert names(tmp_path / "out") == ["sub/b.png", "sub/c.png"]


def test_a_correction_that_fits_no_face_is_refused_and_not_written(photos: Path, tmp_path: Path) -> None:
    rows = {"a.png": row(photos, "a.png", FaceCorrection((100, 5, 140, 45), "leave"))}
    outcomes = run(photos, tmp_path / "out", rows)
    assert outcomes[0].status == "refused" and "no face is found at 100, 5, 140, 45" in outcomes[0].error
    assert names(tmp_path / "out") == ["sub/b.png", "sub/c.png"]


def test_a_corrected_photo_is_done_again_only_with_its_corrections(photos: Path, tmp_path: Path) -> None:
    rows = {"a.png": row(photos, "a.png", ADD)}
    out = tmp_path / "out"
    assert [o.status for o in run(photos, out)] == ["ok"] * 3
    assert [o.status for o in run(photos, out, rows)] == ["ok", "skipped", "skipped"], "an earlier result is made again with them"
    assert [o.status for o in run(photos, out, rows)] == ["skipped"] * 3
    corrected = contents(out)
    without = run(photos, out)
    assert [o.status for o in without] == ["refused", "skipped", "skipped"] and "was corrected by hand" in without[0].error
    assert contents(out) == corrected
    assert [o.status for o in run(photos, out, overwrite=True)] == ["ok"] * 3, "asked for"
    assert contents(out) != corrected


def test_rows_heed_corrections(photos: Path) -> None:
    """As an actor of ``ganon-hf scale`` does them."""
    content = (photos / "a.png").read_bytes()
    handler, corrections = RowTaskHandler(AnonymizeOptions()), row(photos, "a.png", ADD)
    plain, corrected, changed = handler(
        engine(),
        [RowTask("a.png", content, 7), RowTask("a.png", content, 7, 0, corrections), RowTask("a.png", content + b"\0", 7, 0, corrections)],
    )
    assert (len(plain.faces), len(corrected.faces)) == (1, 2)
    assert changed.status == "refused" and changed.image is None and "has changed" in changed.reason


# ---- the command -----------------------------------------------------------------------------------------------------------------


def command_error(run: Run, tmp_path: Path, line: dict[str, Any]) -> str:
    save(tmp_path / "in" / "a.png", square_photo())
    (tmp_path / "corrections.jsonl").write_text(json.dumps(line))
    result = run(tmp_path / "in", "-o", tmp_path / "out", "--corrections", tmp_path / "corrections.jsonl")
    assert result.exit_code == 2 and not (tmp_path / "out").exists(), result.output
    return result.output


def test_corrections_for_a_photo_that_is_not_there_are_an_error(run: Run, tmp_path: Path) -> None:
    assert "corrections for b.png, which is not among the photos" in command_error(run, tmp_path, {**GOOD, "photo": "b.png"})


def test_a_malformed_file_is_an_error(run: Run, tmp_path: Path) -> None:
    assert "corrections.jsonl, line 1" in command_error(run, tmp_path, {"photo": "a.png"})


def test_a_changed_photo_is_named_and_the_exit_code_says_so(run: Run, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", square_photo())
    write_corrections(tmp_path / "corrections.jsonl", [PhotoCorrections("a.png", DIGEST, (ADD,))])
    arguments = (tmp_path / "in", "-o", tmp_path / "out", "--corrections", tmp_path / "corrections.jsonl", "--report", tmp_path / "r.jsonl")
    result = run(*arguments)
    assert result.exit_code == 3 and "has changed since it was corrected" in result.output
    assert names(tmp_path / "out") == []
    (line,) = report_of(tmp_path / "r.jsonl")
    assert (line["name"], line["status"], line["output"]) == ("a.png", "refused", None)
    assert line["options"]["privacy"] == "medium" and line["keep_metadata"] == [], "what a review needs to do a photo again"
