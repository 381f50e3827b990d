"""`ganon-hf evaluate` end to end: on toy people in this process, on the command line, and on real ones where their pictures are."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from script_loading import load_script
from tiny import KnownFaces, face_at, noise_photo, tiny_engine
from typer.testing import CliRunner

from ganon_hf.cli import main as cli
from ganon_hf.cli.evaluate import SCRIPT_ONLY, parse_attacks
from ganon_hf.core.faces import Box
from ganon_hf.core.options import AnonymizeOptions
from ganon_hf.evaluation.data.picture_sets import open_pictures
from ganon_hf.evaluation.harness.methods import report_methods
from ganon_hf.evaluation.harness.options import ATTACKS, TRAINED_ATTACKS, EvaluationOptions, command_line_fields
from ganon_hf.evaluation.harness.pool import Pool, Tools
from ganon_hf.evaluation.harness.readings import Instruments
from ganon_hf.evaluation.harness.toolkit import Toolkit
from ganon_hf.evaluation.metrics.age_sex import AgeSex
from ganon_hf.evaluation.report.plots import draw_plots
from ganon_hf.evaluation.report.report import read_report
from ganon_hf.evaluation.runner import EvaluationSet, evaluate

FACES = Path(__file__).resolve().parents[3] / "shared"
WIDE, EMPTY = (160, 120), (90, 90)


class Corner:
    """A recognizer that looks beside the face, at what anonymization leaves alone: it knows everybody."""

    name, metric = "corner", "euclidean"

    def __call__(self, photo: np.ndarray, box: Box) -> np.ndarray:
        return photo[:8, :8].astype(float).ravel()


class Blind:
    """Sees nobody."""

    name, metric = "blind", "cosine"

    def __call__(self, photo: np.ndarray, box: Box) -> None:
        return None


def toy_tools() -> Tools:
    faces = KnownFaces({WIDE: [face_at(70, 60, 80)]})
    engine = tiny_engine()
    engine._detector = faces
    return Tools(engine, Instruments(faces, recognizers=[Corner(), Blind()]))


class ToyKit(Toolkit):
    """The real toolkit with toy tools: nothing is loaded."""

    def __call__(self) -> Tools:
        return toy_tools()


def write_people(folder: Path, count: int = 3) -> Path:
    """People of two photos each, whose corner (where no face is) is their own color; one photo more without a face."""
    for person in range(count):
        for number in range(2):
            photo = noise_photo(*WIDE, seed=10 * person + number)
            photo[:8, :8] = 40 * person + 20
            path = folder / f"person {person}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo).save(path)
    Image.fromarray(noise_photo(*EMPTY, seed=99)).save(folder / "person 0" / "9.png")
    return folder


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report about three toy people, once for all tests."""
    folder = tmp_path_factory.mktemp("toy")
    people = write_people(folder / "people")
    (people / "person 1" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    options = EvaluationOptions(engine_options=(AnonymizeOptions(),), processes=1, draws=2, repeats=20, sheets=2, attacks=ATTACKS[1:])
    coverage = {"scenes": 1, "upright": {"ganon-hf": {"rows": [{"height": 24, "found_share": 0.5, "low": 0.4, "high": 0.6}]}}}
    kit = ToyKit(recognizers=(Corner(), Blind()))
    evaluate([EvaluationSet(open_pictures(people))], kit, folder / "out", options, coverage=coverage)
    return folder / "out"


def test_files_of_a_report(toy: Path) -> None:
    content = json.loads((toy / "report.json").read_text())
    (part,) = content["sets"].values()
    assert set(content) == {"schema", "settings", "left_out", "sets", "coverage"} and content["settings"]["draws"] == 2
    assert content["settings"]["model"].startswith("bundled@")
    rows = part["figures"]
    assert rows["ganon-hf"]["replaced"]["value"] == pytest.approx(6 / 7, abs=1e-3) and rows["ganon-hf"]["replaced"]["count"] == 14
    assert rows["ganon-hf"]["corner/rank1"]["value"] == 1, "what stands beside the face still names its owner, and the report says so"
    assert rows["ganon-hf"]["blind/rank1"]["value"] == 0, "unread is a miss"
    for row in rows.values():
        for name, figure in row.items():
            if figure["value"] is not None:
                assert figure["low"] - 1e-6 <= figure["value"] <= figure["high"] + 1e-6 or name.endswith("error"), name
    assert set(part["curves"]) == {"corner", "blind"}
    names = {path.name for path in (toy / "plots").iterdir()}
    assert names == {"coverage.png", "cmc-people-corner.png", "cmc-people-blind.png", "roc-people-corner.png"}, "no pairs, no ROC"
    for path in (toy / "plots").iterdir():
        with Image.open(path) as picture:
            assert picture.width > 600 and np.asarray(picture.convert("L")).std() > 5
    assert len(list((toy / "sheets").iterdir())) == 2


def test_what_is_left_out_is_said(toy: Path) -> None:
    text = (toy / "report.md").read_text()
    for words in (
        "geometry: no pictures of other people",
        "parrot: no pictures of other people",
        "smile AUC: the pictures are not labeled",
        "no face was found in 1 of the 7 originals",
        "not readable:",
        "the first picture is known, the others are to be recognized",
        "Chance: who guesses names the right person first in 33.3% of the cases, and among the first five in 100.0%",
        "## Coverage by face height",
    ):
        assert words in text, words
    assert "smile AUC |" not in text


def test_plots_come_from_the_stored_report(toy: Path, tmp_path: Path) -> None:
    again = draw_plots(read_report(toy / "report.json"), tmp_path)
    assert [path.read_bytes() for path in again] == [(toy / "plots" / path.name).read_bytes() for path in again]


@pytest.mark.parametrize(("man", "left_out"), [((0.9, 0.9, 0.9), False), ((0.9, 0.9, 0.1), True)])
def test_the_control_of_recognition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, man: tuple[float, ...], left_out: bool) -> None:
    """Another real person of the same look is no row of the engine; where somebody has nobody of his sex, the report says so."""
    readings = iter(man)
    monkeypatch.setattr("ganon_hf.evaluation.runner.AgeSexJudge", lambda folder: lambda photo, landmarks: AgeSex(next(readings), 30.0, 1.0))
    options = EvaluationOptions(
        engine_options=(AnonymizeOptions(),), processes=1, repeats=5, sheets=0, attacks=(), baselines=False, age_sex_models="models"
    )
    people = open_pictures(write_people(tmp_path / "people"))
    (part,) = evaluate([EvaluationSet(people)], ToyKit(recognizers=(Corner(), Blind())), tmp_path / "out", options).sets
    control = part.figures["limit: another real person of the same look"]
    assert any("fewer than two other people of the same sex" in note for note in part.notes) == left_out
    if left_out:
        assert control == {}
    else:
        assert control["blind/rank1"].value == 0 and control["corner/tar"].value == 0
        assert "| limit: another real person of the same look |" in (tmp_path / "out" / "report.md").read_text()


class LookKit(ToyKit):
    """With a judge that takes light pictures for men."""

    def __call__(self) -> Tools:
        tools = toy_tools()
        tools.instruments.age_sex = lambda photo, landmarks: AgeSex(float(photo[40:80, 50:90].mean() > 139), 30.0, 1.0)
        return tools


def test_a_report_answers_what_the_law_asks(tmp_path: Path) -> None:
    options = EvaluationOptions(engine_options=(AnonymizeOptions(),), processes=1, repeats=5, sheets=0, attacks=("seeds",))
    people = open_pictures(write_people(tmp_path / "people"))
    (part,) = evaluate([EvaluationSet(people)], LookKit(recognizers=(Corner(), Blind())), tmp_path / "out", options).sets
    rows = {name for name, row in part.figures.items() if "singling_out_risk" in row}
    assert rows == {"ganon-hf", "ganon-hf, one seed a person", "ganon-hf, one seed for all"}, "controls anonymize nobody"
    found = part.figures["ganon-hf"]
    assert (found["singling_out_attack"].value, found["singling_out_control"].value) == (1, 1), "the corner is beside the face"
    assert np.isnan(found["singling_out_risk"].value), "nothing is left to find beyond the control"
    assert 0 <= found["inference_sex_attack"].value <= 1 and found["inference_sex_attack"].count == 6
    text = (tmp_path / "out" / "report.md").read_text()
    assert "### As the law asks (WP 216)" in text and "| ganon-hf, one seed for all | linkability |" in text
    assert "| ganon-hf | inference: sex | networks of age and sex |" in text


def test_networks_that_are_not_there_are_said_before_the_work(tmp_path: Path) -> None:
    people = open_pictures(write_people(tmp_path / "people"))
    options = EvaluationOptions(processes=1, age_sex_models=str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match="fetch_evaluation_models"):
        evaluate([EvaluationSet(people)], ToyKit(recognizers=(Corner(),)), tmp_path / "out", options)


def _square(tools: Tools, number: int) -> int:
    return number * number if number >= 0 else 1 // 0


@pytest.mark.parametrize("processes", [1, 2])
def test_pool_keeps_the_order(processes: int) -> None:
    with Pool(toy_tools, processes) as pool:
        assert pool.map(_square, range(7), desc="") == [0, 1, 4, 9, 16, 25, 36]
        with pytest.raises(ZeroDivisionError):
            pool.map(_square, [1, -1], desc="")
        if processes > 1:
            with pytest.raises(RuntimeError, match="worker"):
                pool.map(lambda tools, number: number, [1], desc="")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"attacks": ("telepathy",)}, "attacks must be among seeds"),
        ({"draws": 0}, "draws must be a whole number from 1"),
        ({"processes": True}, "processes must be"),
        ({"engine_options": ()}, "engine_options"),
        ({"engine_options": (AnonymizeOptions(), AnonymizeOptions(seed=3))}, "all different"),
    ],
)
def test_options_check_themselves(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EvaluationOptions(**change)  # type: ignore[arg-type]


def test_both_command_lines_have_every_option_with_its_default() -> None:
    """One place says what there is to choose; a new field is a new option of both."""
    script, defaults = load_script("evaluate"), EvaluationOptions()
    names = [one.name for one, _ in command_line_fields()]
    assert names == [one.name for one in fields(EvaluationOptions)], "every field has a help text"
    command = typer.main.get_command(cli.app).commands["evaluate"]  # type: ignore[attr-defined]
    parameters = {parameter.name: parameter for parameter in command.params}
    assert set(names) - set(parameters) == set(SCRIPT_ONLY)
    _, chosen = script.parse_arguments([])
    given = {name: parameter.default for name, parameter in parameters.items() if name in names}
    ours = EvaluationOptions.from_command_line({**given, "attacks": parse_attacks(given["attacks"])})
    for name in names:
        assert getattr(chosen, name) == getattr(defaults, name) == getattr(ours, name), name


def test_what_the_script_is_told_arrives(capsys: pytest.CaptureFixture[str]) -> None:
    parse = load_script("evaluate").parse_arguments
    words = "--with privacy=low --with geometry=original --recognizer a:b --attacks seeds parrot --no-baselines --attack-pictures 60"
    arguments, options = parse([*words.split(), "--repeats", "7", "--processes", "2", "--people", "5", "--sets", "eval-pairs"])
    assert options.engine_options == (AnonymizeOptions(privacy="low"), AnonymizeOptions(geometry="original"))
    assert (options.recognizers, options.attacks, options.baselines) == (("a:b",), ("seeds", "parrot"), False)
    assert (options.attack_pictures, options.repeats, options.processes, arguments.people) == (60, 7, 2, 5)
    for wrong, message in ((["--with", "geometry=round"], "geometry must be one of"), (["--draws", "0"], "draws must be a whole number")):
        with pytest.raises(SystemExit):
            parse(wrong)
        assert message in capsys.readouterr().err


def test_rows_of_a_report() -> None:
    names = [method.name for method in report_methods(EvaluationOptions(), identity=True)]
    assert names[:3] == ["original", "original, encoded again", "ganon-hf"]
    assert names[3:7] == ["ganon-hf, look random", "ganon-hf, privacy low", "ganon-hf, privacy high", "ganon-hf, geometry original"]
    assert "ganon-hf, unchanged pixels alone" in names
    assert "ganon-hf, one seed for all" in names and "ganon-hf, somebody else's landmarks" in names and names[-1] == "solid cover"
    bare = report_methods(EvaluationOptions(attacks=(), baselines=False), identity=True)
    assert [method.name for method in bare] == names[:7]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["people", "--attacks", "telepathy"], "attacks must be among"),
        (["people", "--with", "geometry=round"], "geometry must be one of"),
        (["people", "--recognizer", "nothing"], "module:name"),
        (["people", "--coverage", "people/person 0/0.png"], "is not JSON"),
        (["people/person 0"], "nobody has two"),
        (["people", "--set", "eval-pairs"], r"holds no eval-pairs-*.parquet"),
    ],
)
def test_command_line_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_people(Path("people"), 2)
    result = CliRunner().invoke(cli.app, ["evaluate", *arguments, "-o", "out", "--processes", "1"])
    assert (result.exit_code, words in result.output) == (2, True), result.output
    assert not Path("out/report.json").exists()


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From arguments to files, with toy tools in place of the installed ones."""
    monkeypatch.setattr("ganon_hf.evaluation.harness.toolkit.Toolkit.from_options", lambda options: ToyKit(recognizers=(Corner(), Blind())))
    people, out = write_people(tmp_path / "people"), tmp_path / "out"
    arguments = ["--processes", "1", "--attacks", "none", "--no-baselines", "--with", "geometry=original", "--people", "2", "--sheets", "0"]
    result = CliRunner().invoke(cli.app, ["evaluate", str(people), "-o", str(out), *arguments])
    assert result.exit_code == 0, result.output
    assert "report.md" in result.output and "smile AUC" in result.output
    (part,) = read_report(out / "report.json").sets
    limits = ["limit: nothing but the head pose", "limit: every resting face taken off exactly"]
    assert list(part.figures) == ["original", "original, encoded again", "ganon-hf, geometry original", *limits]
    assert "of 2 people" in part.title and not (out / "sheets").exists()


@pytest.mark.detection
@pytest.mark.slow
def test_real_people(tmp_path: Path) -> None:
    """Every part that needs no training, on three real people; ranges only."""
    pytest.importorskip("dlib")
    pytest.importorskip("pyarrow")
    if not (FACES / "faces").is_dir():
        pytest.skip("the pictures are not beside the project")
    kit = Toolkit(recognizers=("dlib",), second=True)
    options = EvaluationOptions(attacks=("seeds",), repeats=20, sheets=1, processes=2)
    report = evaluate([EvaluationSet(open_pictures(FACES / "faces", set_name="eval-pairs", people=3))], kit, tmp_path, options)
    (part,) = report.sets
    assert not report.notes and part.figures["original"]["dlib-resnet/rank1"].value == 1
    ours = part.figures["ganon-hf"]
    assert 0.3 < ours["blendshape_correlation"].value < 1 == pytest.approx(part.figures["original"]["blendshape_correlation"].value)
    assert ours["replaced"].value == 1 and 0.2 < ours["seam"].value < 3 and 0 <= ours["dlib-resnet/rank1"].value <= 1
    assert part.figures["solid cover"]["seam"].value > ours["seam"].value
    assert len(list((tmp_path / "plots").iterdir())) == 3 and set(ATTACKS) >= set(TRAINED_ATTACKS)
    again = evaluate([EvaluationSet(open_pictures(FACES / "faces", set_name="eval-pairs", people=3))], kit, tmp_path, options)
    assert repr(again.sets[0].figures) == repr(part.figures), "the same seed gives the same figures"
