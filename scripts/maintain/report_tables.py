"""Write the figures of a report into README.md, docs/evaluation.md and docs/anonymity.md, so that prose holds none of them.

python scripts/maintain/report_tables.py                                            # the report in the package
python scripts/maintain/report_tables.py PAIRS/report.json PARROT/report.json       # runs of the same weights, see ship_report.py
python scripts/maintain/report_tables.py --pages docs/evaluation.md

Between the lines `<!-- report: NAME -->` and `<!-- /report: NAME -->` of a page everything is replaced; NAME is a key of `BLOCKS`.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from ship_report import joined

from ganon_hf._atomic import write_atomically
from ganon_hf.core.geometry import PRIVACY
from ganon_hf.core.options import AnonymizeOptions, PrivacyLevel
from ganon_hf.evaluation.harness.methods import REENCODED
from ganon_hf.evaluation.metrics.estimates import Estimate
from ganon_hf.evaluation.report.report import Report, SetReport, read_report, tables
from ganon_hf.hub.export import REPORT
from ganon_hf.hub.model_card import DEFAULT_METHOD

ROOT = Path(__file__).resolve().parents[2]
PAGES = tuple(ROOT / name for name in ("README.md", "docs/evaluation.md", "docs/anonymity.md"))
NOT_MEASURED = "Not measured with these weights."
LOOK_ALIKE, HEAD_POSE = "limit: another real person of the same look", "limit: nothing but the head pose"
# What readers call the recognizers of the report.
RECOGNIZERS = {"dlib-resnet": "dlib", "face_recognition_112": "ArcFace crop"}


def privacy_methods() -> dict[str, str]:
    """``privacy`` level -> row of the report; the default level is the row without options."""
    levels = get_args(PrivacyLevel)
    return {level: DEFAULT_METHOD if level == AnonymizeOptions.privacy else f"{DEFAULT_METHOD}, privacy {level}" for level in levels}


def people_set(report: Report) -> SetReport:
    """The first set of pictures on which people were to be recognized.

    Raises:
        ValueError: there is none.
    """
    for part in report.sets:
        if any(key.endswith("/rank1") for key in part.figures.get(DEFAULT_METHOD, {})):
            return part
    raise ValueError(f"no set of pictures of the report has a recognizer's rank-1 in its row {DEFAULT_METHOD!r}.")


def share(estimate: Estimate | None) -> str:
    """``16 % (8 to 26)``; without the interval where it is none, a dash where nothing was measured."""
    if estimate is None or not np.isfinite(estimate.value):
        return "-"
    value, low, high = (f"{100 * number:.0f}" for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} %" if low == high else f"{value} % ({low} to {high})"


def number(digits: int) -> Callable[[Estimate | None], str]:
    """How a figure without unit is written, with so many digits."""

    def written(estimate: Estimate | None) -> str:
        return "-" if estimate is None or not np.isfinite(estimate.value) else f"{estimate.value:.{digits}f}"

    return written


Column = tuple[str, str, Callable[[Estimate | None], str]]  # title, measure, how it is written


def table(part: SetReport, methods: Mapping[str, str], columns: Sequence[Column]) -> str:
    """One line per method that was measured (title -> row of the report), without columns that no method has."""
    rows = {title: part.figures[method] for title, method in methods.items() if part.figures.get(method)}
    columns = [column for column in columns if any(column[1] in row for row in rows.values())]
    lines = ["| | " + " | ".join(title for title, _, _ in columns) + " |", "|---|" + "---|" * len(columns)]
    lines += [f"| {title} | " + " | ".join(write(row.get(key)) for _, key, write in columns) + " |" for title, row in rows.items()]
    return "\n".join(lines)


def names(part: SetReport) -> dict[str, str]:
    """Recognizer of the report -> what readers call it."""
    return {name: RECOGNIZERS.get(name, name) for name in part.recognizers}


def by_recognizer(part: SetReport, title: str, measure: str) -> list[Column]:
    """A column of each recognizer."""
    return [(f"{title}, {name}", f"{key}/{measure}", share) for key, name in names(part).items()]


def headline(report: Report) -> str:
    """README's table, and how to read it."""
    part = people_set(report)
    strictest = list(privacy_methods())[-1]
    methods = {
        "original photo": "original",
        "ganon-hf, default": DEFAULT_METHOD,
        'ganon-hf, `look="random"`': f"{DEFAULT_METHOD}, look random",
        f'ganon-hf, `privacy="{strictest}"`': privacy_methods()[strictest],
        'ganon-hf, `geometry="original"` (as in the paper)': f"{DEFAULT_METHOD}, geometry original",
        "Gaussian blur": "blur",
        "control: another real person of like age and sex": LOOK_ALIKE,
    }
    columns = [
        *by_recognizer(part, "rank-1", "rank1"),
        ("rank-1, landmarks", "geometry_rank1", share),
        *by_recognizer(part, "linkage", "linkage_rank1")[-1:],
        ("expression kept", "blendshape_correlation", number(2)),
    ]
    row = part.figures[DEFAULT_METHOD]
    people = max(estimate.people for estimate in row.values())
    size = f"{people} people. Chance is {100 / people:.0f} %. Parentheses hold 95 % bootstrap intervals."
    return "\n\n".join([table(part, methods, columns), *paragraph(size, parrot(part), across_days(report), rare_expressions(report))])


def days_set(report: Report) -> SetReport | None:
    """Photos of people on different days, where the report has them."""
    return next((part for part in report.sets if part.title.startswith("across-days")), None)


def across_days(report: Report) -> str:
    """What is found between photos of different days; empty where it was not measured."""
    part = days_set(report)
    if part is None:
        return ""
    row = part.figures[DEFAULT_METHOD]
    found = [f"{share(row[f'{key}/rank1'])} ({name})".replace(") (", "; ") for key, name in names(part).items()]
    people = row[f"{part.recognizers[0]}/rank1"].people
    start = "These are pairs of one studio session, the worst case. Between photos of different days"
    return f"{start} ({people} other people): {', '.join(found)}."


def expressions_set(report: Report) -> SetReport | None:
    """Photos with all expressions, where the report has them."""
    return next((part for part in report.sets if part.title.startswith("eval-expressions") and DEFAULT_METHOD in part.figures), None)


def rare_expressions(report: Report) -> str:
    """What is kept of rarer expressions than smiles; empty where it was not measured."""
    part = expressions_set(report)
    if part is None:
        return ""
    row, again = (part.figures.get(method, {}).get("emotion_agreement") for method in (DEFAULT_METHOD, REENCODED))
    kept = number(2)(part.figures[DEFAULT_METHOD].get("blendshape_correlation"))
    return (
        f"Rarer expressions ({part.title.partition(': ')[2]}): expression kept {kept}; a classifier sees the same emotion as in the "
        f"original in {share(row)} of the results, and in {share(again)} of the originals if they are only encoded again."
    )


def paragraph(*sentences: str) -> list[str]:
    """The sentences that are there in lines of 120 characters; empty without any."""
    text = " ".join(filter(None, sentences))
    return [textwrap.fill(text, 120, break_long_words=False)] if text else []


PARROTS = {
    "": DEFAULT_METHOD,
    ' With `look="random"`:': f"{DEFAULT_METHOD}, look random",
    " With somebody else's landmarks, the control:": f"{DEFAULT_METHOD}, somebody else's landmarks",
}


def parrot(part: SetReport) -> str:
    """What an attacker finds who has learned from the program's own output; empty where no such attacker was tried."""
    attacks = {"landmarks": "parrot_geometry_", **{name: f"{key}/parrot_" for key, name in names(part).items()}}
    said = ""
    for words, method in PARROTS.items():
        row = part.figures.get(method, {})
        found = [f"{share(row[key + 'rank1'])} ({name})".replace(") (", "; ") for name, key in attacks.items() if key + "rank1" in row]
        among = [f"{share(row[key + 'rank5'])}".partition(" (")[0] for key in attacks.values() if key + "rank5" in row]
        if found:
            start = words or "An attacker who trains on the program's own output reaches a rank-1 of"
            said += f"{start} {', '.join(found)}" + (f"; a rank-5 of {', '.join(among)}." if among else ".")
    return said


def always_found(part: SetReport) -> str:
    """Share of people whom no draw protects; empty where there was but one draw."""
    methods = {
        "default": DEFAULT_METHOD,
        '`look="random"`': f"{DEFAULT_METHOD}, look random",
        "control: somebody else's landmarks": CONTROLS["control: somebody else's landmarks"],
    }
    said = []
    for title, method in methods.items():
        row = part.figures.get(method, {})
        found = [f"{share(row[key])} ({name})" for n, name in names(part).items() if (key := f"{n}/always_found") in row]
        said += [f"{title} {', '.join(found)}".replace(") (", "; ")] if found else []
    return f"People found in all draws, whatever the seed: {'; '.join(said)}." if said else ""


CONTROLS = {
    "control: somebody else's landmarks": f"{DEFAULT_METHOD}, somebody else's landmarks",
    "control: unchanged pixels alone": f"{DEFAULT_METHOD}, unchanged pixels alone",
}


def days(report: Report) -> str:
    """Recognition across days, of docs/anonymity.md; says so where it was not measured."""
    part = days_set(report)
    if part is None:
        return NOT_MEASURED
    methods = {
        "original photo": "original",
        '`geometry="original"` (as in the paper)': f"{DEFAULT_METHOD}, geometry original",
        "ganon-hf, default": DEFAULT_METHOD,
        'ganon-hf, `look="random"`': f"{DEFAULT_METHOD}, look random",
        **CONTROLS,
        "control: another real person of like age and sex": LOOK_ALIKE,
    }
    columns = [
        ("rank-1, landmarks", "geometry_rank1", share),
        *by_recognizer(part, "rank-1", "rank1"),
        *by_recognizer(part, "rank-5", "rank5"),
        *by_recognizer(part, "linkage", "linkage_rank1"),
    ]
    people = part.figures[DEFAULT_METHOD][f"{part.recognizers[0]}/rank1"].people
    return "\n\n".join([table(part, methods, columns), *paragraph(f"{people} people. Chance is {100 / people:.1f} %.", always_found(part))])


def levels(report: Report) -> str:
    """The privacy levels and what bounds them, of docs/anonymity.md."""
    part = people_set(report)
    methods = {
        '`geometry="original"` (as in the paper)': f"{DEFAULT_METHOD}, geometry original",
        **{f"`{level}`" + ", the default" * (method == DEFAULT_METHOD): method for level, method in privacy_methods().items()},
        'default level, `look="random"`': f"{DEFAULT_METHOD}, look random",
        **CONTROLS,
        "control: another real person of like age and sex": LOOK_ALIKE,
        "control: nothing but the head pose": HEAD_POSE,
    }
    columns = [
        ("rank-1, landmarks", "geometry_rank1", share),
        *by_recognizer(part, "rank-1", "rank1"),
        *by_recognizer(part, "rank-5", "rank5")[-1:],
        *by_recognizer(part, "linkage", "linkage_rank1"),
        ("blendshape correlation", "blendshape_correlation", number(3)),
        ("same emotion", "emotion_agreement", share),
        ("gaze error, degrees", "gaze_error", number(1)),
        ("pose error, degrees", "pose_error", number(1)),
    ]
    return "\n\n".join([table(part, methods, columns), *paragraph(parrot(part)), *paragraph(always_found(part))])


def expressions(report: Report) -> str:
    """What is kept where all expressions are shown, of docs/anonymity.md; says so where it was not measured."""
    part = expressions_set(report)
    if part is None:
        return NOT_MEASURED
    methods = {
        "original photo": "original",
        "original, encoded again": REENCODED,
        "ganon-hf, default": DEFAULT_METHOD,
        'ganon-hf, `look="random"`': f"{DEFAULT_METHOD}, look random",
    }
    columns = [
        ("same emotion", "emotion_agreement", share),
        ("beyond chance (kappa)", "emotion_kappa", number(2)),
        ("emotion as labeled", "emotion_accuracy", share),
        ("mean over labels", "emotion_balanced_accuracy", share),
        ("blendshape correlation", "blendshape_correlation", number(3)),
        ("gaze error, degrees", "gaze_error", number(1)),
        ("pose error, degrees", "pose_error", number(1)),
    ]
    return "\n\n".join([table(part, methods, columns), f"{part.title.partition(': ')[2]}."])


def groups(report: Report) -> str:
    """Recognition by sex, age and skin tone, of docs/anonymity.md; says so where it was not measured."""
    part = next((part for part in report.sets if part.title.startswith("eval-wild")), None)
    if part is None:
        return NOT_MEASURED
    methods = {"default": DEFAULT_METHOD, '`look="random"`': f"{DEFAULT_METHOD}, look random", "control": next(iter(CONTROLS.values()))}
    groups = [row.partition(": ")[2] for row in part.figures if row.startswith(f"{DEFAULT_METHOD}: ")]
    rows = {group: {title: part.figures[f"{method}: {group}"] for title, method in methods.items()} for group in groups}
    found = [(f"{title}, {name}", title, f"{key}/group_rank1") for key, name in names(part).items() for title in methods]
    key, name = list(names(part).items())[-1]
    protected = [
        (f"{words}: {title}", title, f"{key}/{measure}")
        for words, measure in (("common threshold", "protected"), ("own threshold", "group_protected"))
        for title in methods
    ]
    people = {group: row["default"][found[0][2]].people for group, row in rows.items()}
    smallest = min(people.values())

    def lines(columns: Sequence[tuple[str, str, str]]) -> str:
        head = ["| | people | " + " | ".join(title for title, _, _ in columns) + " |", "|---|---|" + "---|" * len(columns)]
        cells = {group: " | ".join(share(row[title].get(measure)) for _, title, measure in columns) for group, row in rows.items()}
        return "\n".join([*head, *(f"| {group} | {people[group]} | {cells[group]} |" for group in rows)])

    chance = f"Everybody is searched among {smallest} people of the same group, so chance is {100 / smallest:.1f} % in every row."
    return "\n\n".join([f"Rank-1 within the group. {chance}", lines(found), f"Protection success rate, {name}:", lines(protected)])


def settings(report: Report) -> str:
    """What the privacy levels set; not a measurement, so the report is not read."""
    lines = [
        "| `privacy` | noise on the code | noise on the pitch of the head, before it is shrunk (standard deviation) |",
        "|---|---|---|",
    ]
    for name, level in PRIVACY.items():
        lines.append(f"| `{name}`{', the default' * (name == AnonymizeOptions.privacy)} | {level.noise:g} | {level.turn:g}° |")
    return "\n".join(lines)


def all_tables(report: Report) -> str:
    """Every table of the report, notes in short lines."""
    lines = tables(report).split("\n")
    return "\n".join(
        textwrap.fill(line, 120, subsequent_indent="  ", break_long_words=False) if line[:2] == "* " else line for line in lines
    )


BLOCKS: dict[str, Callable[[Report], str]] = {
    "headline": headline,
    "levels": levels,
    "days": days,
    "groups": groups,
    "expressions": expressions,
    "settings": settings,
    "tables": all_tables,
}


def filled(text: str, report: Report) -> str:
    """A page with all its blocks written anew.

    Raises:
        ValueError: it has no block, a block is not closed, or its name is unknown.
    """
    names = re.findall(r"^<!-- report: (\w+) -->$", text, re.M)
    if not names or sorted(names) != sorted(re.findall(r"^<!-- /report: (\w+) -->$", text, re.M)):
        raise ValueError(f"it must hold pairs of lines <!-- report: NAME --> and <!-- /report: NAME -->, NAME one of {', '.join(BLOCKS)}.")
    for name in names:
        if name not in BLOCKS:
            raise ValueError(f"there is no block {name!r}: use one of {', '.join(BLOCKS)}.")
        begin, end = f"<!-- report: {name} -->\n", f"<!-- /report: {name} -->\n"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{BLOCKS[name](report)}\n\n{end}{rest.partition(end)[2]}"
    return text


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, nargs="*", metavar="report", help="report.json; default: the one in the package")
    parser.add_argument("--pages", type=Path, nargs="+", default=PAGES, help="Markdown pages with blocks; default: those of the docs")
    options = parser.parse_args(argv)
    try:
        reports = [read_report(path) for path in options.reports or [REPORT]]
        models = sorted({str(report.settings.get("model")) for report in reports})
        if len(models) > 1:
            raise ValueError(f"the reports are of different weights: {', '.join(models)}.")
        report = joined(reports)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    for page in options.pages:
        try:
            text = filled(page.read_text(encoding="utf-8"), report)
        except (OSError, ValueError) as error:
            parser.error(f"{page}: {error}")
        write_atomically(page, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
