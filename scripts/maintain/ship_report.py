"""Put the figures of one or several reports into the package, where `ganon-hf export` and the Space find them.

python scripts/maintain/ship_report.py runs/report/report.json
python scripts/maintain/ship_report.py PAIRS/report.json EXPRESSIONS/report.json   # sets or attacks measured in several runs

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
from typing import Any

from ganon_hf import Anonymizer
from ganon_hf._atomic import write_atomically
from ganon_hf.evaluation.report.report import Report, SetReport, to_json
from ganon_hf.evaluation.report.risk import LINKABILITY, SINGLING_OUT, recognition_risks
from ganon_hf.hub.export import REPORT, ExportError, require_same_weights
from ganon_hf.hub.model_card import load_report

RECOGNITION_RISKS = (f"{SINGLING_OUT}_", f"{LINKABILITY}_")
RUN = ("model", "minutes", "processes")  # settings that say nothing about the figures


def joined(reports: Sequence[Report]) -> Report:
    """One report with the sets of all; where a later run had other settings than the first, its sets say so.

    A later run of a set that is there already (an attack that takes long, say) adds the measures that are missing.

    Raises:
        ValueError: a later run of a set adds nothing, or a figure that both runs have differs.
    """
    first, sets = reports[0], {part.title: part for part in reports[0].sets}
    for report in reports[1:]:
        differing = [f"{name}: {value}" for name, value in report.settings.items() if name not in RUN and value != first.settings.get(name)]
        for part in report.sets:
            note = f"{'more measures from ' * (part.title in sets)}a run of its own, " + "; ".join(differing)
            part = replace(part, notes=(*([note] if differing else []), *part.notes))
            sets[part.title] = _with_measures_of(sets[part.title], part) if part.title in sets else part
    return replace(first, sets=tuple(sets.values()), notes=tuple(dict.fromkeys(note for report in reports for note in report.notes)))


def _with_measures_of(part: SetReport, later: SetReport) -> SetReport:
    figures = {method: dict(row) for method, row in part.figures.items()}
    added = 0
    for method, row in later.figures.items():
        known = figures.setdefault(method, {})
        for key, estimate in row.items():
            if key.startswith(RECOGNITION_RISKS):  # of the attacks of one run: told anew below
                continue
            if key in known and known[key].to_dict() != estimate.to_dict():
                raise ValueError(f"two runs of {part.title!r} differ in {key!r} of {method!r}: {known[key]} and {estimate}.")
            added += key not in known
            known[key] = estimate
    if not added:
        raise ValueError(f"every set of pictures may be there once, but a later run of {part.title!r} adds no measure to it.")
    for method in later.figures:
        figures[method] |= recognition_risks(figures, method) if any(key.startswith(RECOGNITION_RISKS) for key in figures[method]) else {}
    return replace(part, figures=figures, notes=tuple(dict.fromkeys((*part.notes, *later.notes))))


def shipped_text(report: Report) -> str:
    """What is written: every figure with its interval on a line of its own, settings and notes.

    Raises:
        ValueError: it names a path.
    """
    text = _in_lines(to_json(replace(report, sets=tuple(replace(part, curves={}) for part in report.sets)))) + "\n"
    path = re.search(r"(?<![\w.])(?:/[\w.-]+){2,}|[A-Za-z]:\\\\", text)
    if path:
        raise ValueError(f"the report names a path, which must not be published: {path.group(0)}")
    return text


def _in_lines(content: Any, indent: str = "") -> str:
    """JSON with a line for each entry; what holds no further objects takes one line."""
    if not isinstance(content, dict) or not any(isinstance(value, dict | list) for value in content.values()):
        return json.dumps(content, separators=(",", ":"))
    entries = (f"{indent} {json.dumps(key)}: {_in_lines(value, indent + ' ')}" for key, value in content.items())
    return "{\n" + ",\n".join(entries) + f"\n{indent}}}"


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
