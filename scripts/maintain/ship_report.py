"""Put the figures of one or several reports into the package, where `ganon-hf export` and the Space find them.

python scripts/maintain/ship_report.py runs/report/report.json
python scripts/maintain/ship_report.py PAIRS/report.json EXPRESSIONS/report.json      # sets of pictures measured in two runs

They must have measured the package's present weights. Curves (for plots) are left out; a report that names paths is refused.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ganon_hf import Anonymizer
from ganon_hf._atomic import write_atomically
from ganon_hf.evaluation.report.report import Report, to_json
from ganon_hf.hub.export import REPORT, ExportError, require_same_weights
from ganon_hf.hub.model_card import load_report

RUN = ("model", "minutes", "processes")  # settings that say nothing about the figures


def joined(reports: Sequence[Report]) -> Report:
    """One report with the sets of all; where a later run had other settings than the first, its sets say so.

    Raises:
        ValueError: a set is there twice.
    """
    first, sets = reports[0], list(reports[0].sets)
    for report in reports[1:]:
        differing = [f"{name}: {value}" for name, value in report.settings.items() if name not in RUN and value != first.settings.get(name)]
        note = ["a run of its own, " + "; ".join(differing)] if differing else []
        sets += [replace(part, notes=(*note, *part.notes)) for part in report.sets]
    titles = [part.title for part in sets]
    if len(set(titles)) < len(titles):
        raise ValueError(f"every set of pictures may be there once, but these are {titles}.")
    return replace(first, sets=tuple(sets), notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)))


def shipped_text(report: Report) -> str:
    """What is written: every figure with its interval, settings and notes.

    Raises:
        ValueError: it names a path.
    """
    text = json.dumps(to_json(replace(report, sets=tuple(replace(part, curves={}) for part in report.sets))), indent=1) + "\n"
    path = re.search(r"(?<![\w.])(?:/[\w.-]+){2,}|[A-Za-z]:\\\\", text)
    if path:
        raise ValueError(f"the report names a path, which must not be published: {path.group(0)}")
    return text


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, nargs="+", metavar="report", help="report.json")
    options = parser.parse_args(argv)
    try:
        engine, reports = Anonymizer.from_pretrained(), [load_report(path) for path in options.reports]
        for report, path in zip(reports, options.reports, strict=True):
            require_same_weights(report, engine, path)
        text = shipped_text(joined(reports))
    except (ExportError, ValueError) as error:
        parser.error(str(error))
    write_atomically(REPORT, text)
    print(f"{REPORT.name}: {len(text):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
