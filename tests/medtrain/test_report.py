"""What the report says: the run folder's numbers, and words for what is missing."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
from fake_runs import DIGEST, make_run

from medtrain.errors import UsageError
from medtrain.metrics import single_feature_auroc
from medtrain.reports import report_data, write_html
from medtrain.reports.collect import read_run


class Page(HTMLParser):
    """Collect what the tests ask about."""

    def __init__(self, text):
        super().__init__()
        self.values, self.addresses, self.untitled, self.scripts = [], [], [], 0
        self._open = []
        self.words = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "data":
            self.values.append(float(given["value"]))
        self.addresses += [v for k, v in attributes if k in ("href", "src", "xlink:href", "action")]
        self.scripts += tag in ("script", "link", "iframe", "object")
        if tag in ("svg", "img") and not (given.get("aria-label") or given.get("alt")):
            self.untitled.append(tag)

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", "".join(self.words))


def page_of(tmp_path, *runs, **options):
    path = write_html(list(runs), tmp_path / "report.html", **options)
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "pneumonia-a")


def test_page_needs_nothing_else(run, tmp_path):
    page = page_of(tmp_path, run)
    text = (tmp_path / "report.html").read_text()
    assert page.addresses == [] and page.scripts == 0
    assert not re.search(r"https?://|url\(|@import", text)
    assert page.untitled == [] and text.count("<svg") == text.count("</title></svg>") + len(
        re.findall(r"<svg[^>]*><title>[^<]+</title>", text)
    )


def test_numbers_are_those_of_metrics_json(run, tmp_path):
    page = page_of(tmp_path, run)
    metrics = json.loads((run / "metrics.json").read_text())
    for split in ("val", "test"):
        for name in ("auroc", "accuracy", "sensitivity", "specificity", "f1", "loss", "brier"):
            assert metrics[split][name] in page.values, (split, name)
            assert f"{metrics[split][name]:.3f}" in page.text
        for side in ("low", "high"):
            assert metrics[split]["auroc_interval"][side] in page.values
        for row in metrics[split]["confusion"]:
            assert all(count in page.values for count in row)


def test_page_names_what_ran_and_the_positive_class(run, tmp_path):
    text = page_of(tmp_path, run).text
    assert "Positive class: 'PNEUMONIA'" in text
    assert DIGEST in text and "training 4,200, validation 520, test 624" in text
    assert "208 patients" in text and "patients (groups) resampled" in text
    assert "CPU (AMD EPYC 7543 32-Core Processor)" in text


@pytest.mark.parametrize(
    ("recorded", "said"),
    [
        ({"images": 8, "over": "one of 4 micro-batches"}, "over 8 images: one of 4 micro-batches"),
        ({"images": 0, "over": "group normalisation"}, "none: group normalisation"),
        (None, "not recorded"),  # by a run of an older version
    ],
)
def test_page_states_what_batch_normalisation_saw(tmp_path, recorded, said):
    run = make_run(tmp_path / "run", epochs=1)
    facts = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps(facts | {"batch_statistics": recorded}))
    records = (run / "records.jsonl").read_text().replace('"batch_statistics"', '"older"')
    (run / "records.jsonl").write_text(records)
    words = page_of(tmp_path, run).words
    assert words[words.index("Batch statistics") + 1] == said


def test_text_from_the_run_is_escaped(tmp_path):
    run = make_run(tmp_path / "x", classes=("no <b>x</b>", "<script>alert(1)</script>"), epochs=2)
    page = page_of(tmp_path, run)
    assert page.scripts == 0
    assert "<script>alert(1)</script>" in page.text
    assert "shards <a&b>" in page.text


def test_same_run_gives_the_same_page(run, tmp_path):
    first = write_html([run], tmp_path / "a.html").read_bytes()
    assert first == write_html([run], tmp_path / "b.html").read_bytes()


def test_reports_do_not_import_torch():
    code = "import sys, medtrain.reports; print(sorted(m for m in sys.modules if m == 'torch'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_missing_folder_and_foreign_folder_are_refused(tmp_path):
    with pytest.raises(UsageError, match="nothing-here: no such run folder"):
        write_html([tmp_path / "nothing-here"], tmp_path / "r.html")
    (tmp_path / "photos").mkdir()
    with pytest.raises(UsageError, match=r"photos: no records\.jsonl in it; give the folder"):
        write_html([tmp_path / "photos"], tmp_path / "r.html")
    with pytest.raises(UsageError, match="at least one run folder"):
        write_html([], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize("epochs", [0, 1, 5])
def test_run_still_training_has_a_page(epochs, tmp_path):
    run = make_run(tmp_path / "r", state="running", epochs=epochs, planned=20)
    text = page_of(tmp_path, run).text
    assert f"The run is not finished: {epochs} of 20 epochs so far." in text
    assert "There are no final metrics yet" in text
    assert ("No epoch has been recorded yet." in text) == (epochs == 0)


def test_records_alone_are_enough(tmp_path):
    run = make_run(tmp_path / "r", epochs=3)
    for name in ("config.yaml", "environment.json", "status.json", "metrics.json"):
        (run / name).unlink()
    for path in run.glob("predictions-*"):
        path.unlink()
    (run / "records.jsonl").write_text('{"event": "epoch", "epoch": 1, "train": {"loss": 0.5}}\n')
    text = page_of(tmp_path, run).text
    assert "In the run folder, there is no config.yaml." in text
    assert "The run's state is not recorded; its records hold 1 epoch." in text


def test_torn_and_damaged_files_are_said_not_fatal(tmp_path):
    run = make_run(tmp_path / "r", epochs=3)
    with (run / "records.jsonl").open("a") as stream:
        stream.write('{"event": "epo')
    (run / "predictions-test.npz").write_bytes(b"not a zip")
    (run / "environment.json").write_text("{")
    text = page_of(tmp_path, run).text
    assert "the last line of records.jsonl is torn and was left out" in text
    assert "predictions-test.npz cannot be read" in text
    assert "environment.json cannot be read" in text


def test_keys_of_the_contract_are_enough(tmp_path):
    run = make_run(tmp_path / "r", epochs=2)
    full = json.loads((run / "metrics.json").read_text())
    keys = "loss accuracy auroc sensitivity specificity f1 confusion n classes positive_class"
    kept = {
        split: {key: values[key] for key in [*keys.split(), "auroc_interval"]}
        for split, values in full.items()
    }
    (run / "metrics.json").write_text(json.dumps(kept))
    page = page_of(tmp_path, run)
    assert full["test"]["auroc"] in page.values and "Positive class: 'PNEUMONIA'" in page.text


def test_pickled_predictions_are_not_loaded(tmp_path):
    run = make_run(tmp_path / "r", epochs=2)
    np.savez(run / "predictions-test.npz", labels=np.array([{}], object), logits=np.zeros((1, 2)))
    assert "predictions-test.npz cannot be read" in page_of(tmp_path, run).text


def test_later_record_of_an_epoch_wins(tmp_path):
    run = make_run(tmp_path / "r", epochs=2)
    with (run / "records.jsonl").open("a") as stream:
        stream.write('{"event": "start"}\n{"event": "epoch", "epoch": 2, "train": {"loss": 9.5}}\n')
    found = read_run(run)
    assert found.series("train", "loss")[1] == 9.5
    assert "The run was resumed 1 time" in page_of(tmp_path, run).text


def test_honest_sentences_about_a_small_run(tmp_path):
    run = make_run(
        tmp_path / "r",
        sizes=(60, 14, 12),
        per_patient=None,
        splits=("val",),
        epochs=3,
        waiting=0.5,
        skill=0.3,
    )
    said = " ".join(report_data([run])["runs"][0]["cautions"])
    for sentence in (
        "No test split was evaluated.",
        "No patient information: images of one patient may be in several splits",
        "The validation split holds only 14 samples (",
        "The validation AUROC cannot be told from chance",
        "is no better than always answering 'PNEUMONIA'",
        "of the training time was spent waiting for data",
    ):
        assert sentence in said


def test_one_class_is_explained(tmp_path):
    run = make_run(tmp_path / "r", per_patient=None, sizes=(60, 40, 40), labels=np.zeros(40, int))
    page = page_of(tmp_path, run)
    assert "only class 'NORMAL' is present; both are needed" in page.text
    assert "nan" not in page.text.lower().split()


def test_several_looks_at_the_test_split_are_said(tmp_path):
    run = make_run(tmp_path / "r", epochs=2)
    with (run / "records.jsonl").open("a") as stream:
        stream.write('{"event": "evaluation", "split": "test"}\n' * 2)
    assert "The test split was evaluated 3 times." in page_of(tmp_path, run).text


def test_stopped_run_says_why(tmp_path):
    run = make_run(tmp_path / "r", state="stopped", epochs=4, planned=10)
    text = page_of(tmp_path, run).text
    assert "The run was stopped after 4 of 10 epochs (signal SIGTERM); it can be resumed." in text


def test_shortcut_that_nearly_predicts_is_said(run, tmp_path):
    labels = np.arange(80) % 2
    width = np.random.default_rng(0).normal(size=80) + 1.4 * labels
    shortcut = single_feature_auroc(width, labels, width, labels)
    page = page_of(tmp_path, run, shortcuts={"image width": shortcut})
    assert f"'image width' alone predicts with AUROC {shortcut['auroc']:.3f}" in page.text
    assert shortcut["auroc"] in page.values and "larger is positive" in page.text


def test_shortcuts_are_given_to_the_command_as_a_file(run, tmp_path, capsys):
    from medtrain.cli import main

    row = {"direction": "larger is positive", "auroc": 0.81, "auroc_interval": None}
    table = tmp_path / "shortcuts.json"
    table.write_text(json.dumps({"shortcuts": {"file size": row}}))
    out = tmp_path / "page.html"
    arguments = ["report", str(run), "--out", str(out), "--shortcuts", str(table)]
    with pytest.raises(SystemExit, match="0"):
        main(arguments)
    assert "'file size' alone predicts with AUROC 0.810" in Page(out.read_text()).text
    table.write_text("[1]")
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "expected an object of NAME: {'auroc': ...}" in capsys.readouterr().err


def test_many_classes_use_averages_and_a_map(tmp_path):
    classes = tuple(f"class {i:02}" for i in range(24))
    run = make_run(
        tmp_path / "r",
        classes=classes,
        per_patient=None,
        epochs=2,
        skill=2.5,
        sizes=(900, 300, 480),
    )
    page = page_of(tmp_path, run)
    assert "Macro one-vs-rest AUROC" in page.text and "Most frequent confusions" in page.text
    assert "24 classes: averages over classes (macro)" in page.text


def test_data_is_json_and_carries_the_metrics(run):
    data = json.loads(json.dumps(report_data([run]), allow_nan=False))
    metrics = json.loads((run / "metrics.json").read_text())
    assert data["runs"][0]["test"] == metrics["test"]
    assert data["runs"][0]["quoted_split"] == "test"
    assert "comparison" not in data
