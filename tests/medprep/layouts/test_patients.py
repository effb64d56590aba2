"""Patients of DICOM headers, the private default, and messages that name nobody."""

import json

import pytest
from click.testing import CliRunner
from miniatures import MAKERS, chest_dicom, export, hospital, layout_of, write
from tiny_collections import write_image, write_table

from medprep import _core
from medprep.cli import main
from medprep.sources.attributes import age_years, sex_code, view_code
from medprep.sources.headers import add_headers
from medprep.sources.listing import Listing
from medprep.sources.options import SourceOptions
from medprep.sources.patient_folders import are_patients
from medprep.types import SourceItem


def plan(src, out, *options):
    result = CliRunner().invoke(main, ["plan", str(src), str(out), "--json", *options])
    assert result.exit_code in (0, 3), result.output
    return json.loads(result.stdout.splitlines()[-1]), result.stderr


def test_dicom_without_suffix_is_found_and_grouped_by_patient(tmp_path, list_of):
    listing = list_of(hospital(tmp_path / "src"))
    assert [(item.path, item.group) for item in listing.items] == [
        ("normal/ST1/IM000001", "PID-1"),
        ("normal/ST2/IM000001", "PID-2"),
        ("pneumonia/ST3/1.2.840.113.7", "PID-1"),
        ("pneumonia/ST3/IM000001", "PID-1"),
        ("pneumonia/ST4/chest.dcm", None),
    ]
    notes = [note.text for note in listing.notes]
    assert "2 patients by the PatientID of DICOM headers; each in one split" in notes
    assert "1 DICOM files name no patient: each counts as one of its own" in notes


@pytest.mark.parametrize("layout", ["files", "folder", "table"])
def test_general_layouts_group_dicom_by_patient(tmp_path, list_of, layout):
    src = hospital(tmp_path / "src")
    rows = [("normal/ST1/IM000001", "a"), ("pneumonia/ST3/IM000001", "b")]
    write_table(src / "t.csv", rows, ("path", "label"))
    listing = list_of(src, layout)
    assert "PID-1" in {item.group for item in listing.items}
    assert listing.items[0].attributes["view"] == "PA"


def test_a_group_column_is_stronger_than_the_header(tmp_path, list_of):
    src = hospital(tmp_path / "src")
    write_table(src / "t.csv", [("normal/ST1/IM000001", "a", "mine")])
    assert list_of(src / "t.csv").items[0].group == "mine"


def test_dicom_under_the_suffix_of_a_picture_is_dicom_all_the_same(tmp_path, list_of):
    for number in range(40):
        write_image(tmp_path / "src" / "a" / f"{number}.jpg", number)
        data = chest_dicom(patient=f"7{number % 2}", seed=number % 2, side=32)
        write(tmp_path / "src" / "b" / f"{number}.jpg", data)
    listing = list_of(tmp_path / "src")
    assert listing.patients and {item.group for item in listing.items} == {None, "70", "71"}


def test_a_picture_without_a_suffix_is_no_patient(tmp_path, list_of):
    write_image(tmp_path / "a.png", 1)
    (tmp_path / "a.png").rename(tmp_path / "picture")
    listing = list_of(write_table(tmp_path / "t.csv", [("picture", "x", "")]))
    assert (len(listing.items), listing.patients) == (1, False)
    assert not any("DICOM" in note.text for note in listing.notes)


def test_free_text_in_a_header_goes_no_further():
    listing = Listing(layout="files", root=None, items=[SourceItem(path="a.dcm")])
    header = {
        "patient_id": "P1",
        "study_uid": "1.2.3",
        "view": "PA Jane Doe",
        "sex": "Doe^Jane",
        "age_years": float("nan"),
        "spacing": ["x", 1],
        "error": None,
    }
    add_headers(listing, SourceOptions(read_headers=lambda root, paths: [header]))
    assert listing.items == [SourceItem(path="a.dcm", group="P1")]


def test_dicom_files_without_an_image_are_counted():
    listing = Listing(layout="files", root=None, items=[SourceItem(path="report.dcm")])
    header = {"patient_id": "P1", "has_pixels": False, "error": None}
    add_headers(listing, SourceOptions(read_headers=lambda root, paths: [header]))
    assert "1 DICOM files hold no image (reports): they will fail" in {
        n.text for n in listing.notes
    }


def test_dicom_of_kinds_that_are_not_built_in_is_counted_by_name():
    items = [SourceItem(path=f"{number}.dcm") for number in range(4)]
    ends = iter(("4.90", "4.91", "4.80", "4.70"))
    listing = Listing(layout="files", root=None, items=items)

    def read(root, paths):
        return [
            {"transfer_syntax": f"1.2.840.10008.1.2.{end}", "error": None}
            for _, end in zip(paths, ends, strict=True)
        ]

    add_headers(listing, SourceOptions(read_headers=read))
    assert "which will fail: 2 JPEG 2000, 1 JPEG-LS" in "\n".join(n.text for n in listing.notes)


def test_an_unreadable_header_leaves_the_item_to_the_decoder():
    listing = Listing(layout="files", root=None, items=[SourceItem(path="a.dcm")])
    add_headers(listing, SourceOptions(read_headers=lambda root, paths: [{"error": "torn"}]))
    assert listing.items == [SourceItem(path="a.dcm")]
    assert "1 DICOM headers cannot be read" in listing.notes[0].text


@pytest.mark.parametrize(
    ("told", "years"),
    [
        *[("51", 51), ("051Y", 51), ("148", 90), ("018M", 1.5), ("090Y", 90), ("80.0", 80)],
        *[("", None), (" ", None), ("unknown", None), ("-3", None), (None, None), ("nan", None)],
    ],
)
def test_ages_are_years_capped_at_90(told, years):
    assert age_years(told) == years


def test_sex_and_view_are_codes_or_nothing():
    assert [sex_code(v) for v in ("male", "F", "O", "1", "", None)] == ["M", "F", "O"] + [None] * 3
    assert [view_code(v) for v in ("pa", "MLO", "Jane", "")] == ["PA", "MLO", None, None]


PRIVATE = {"rsna", "rsna-mdai", "smdg", "kermany", "ham10000", "subset"}  # the last of kermany


@pytest.mark.parametrize("name", MAKERS)
def test_private_mode_is_the_default_where_people_can_be_identified(name, made, tmp_path):
    src = made(name)
    report, said = plan(src, tmp_path / "out", "--size", "8")
    assert report["layout"] == layout_of(name)
    assert report["private"] is (layout_of(name) in PRIVATE or "(DICOM" in name)
    assert ("--keep-paths stores relative paths instead" in said) is report["private"]


def test_keep_paths_switches_the_default_off(made, tmp_path):
    report, _ = plan(made("kermany"), tmp_path / "out", "--size", "8", "--keep-paths")
    assert report["private"] is False
    assert "person1_virus_6" in (tmp_path / "out" / "plan-samples.jsonl").read_text()


def test_a_rerun_without_flags_agrees_with_the_private_default(made, tmp_path):
    src = made("kermany")
    plan(src, tmp_path / "out", "--size", "8")
    report, said = plan(src, tmp_path / "out", "--size", "8")
    assert report["private"] is True and "the plan is there already" in said


def test_a_rerun_with_keep_paths_on_a_private_plan_is_refused(made, tmp_path):
    src = made("kermany")
    plan(src, tmp_path / "out", "--size", "8")
    words = ["plan", str(src), str(tmp_path / "out"), "--size", "8", "--keep-paths"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2 and "private: True there, False asked" in result.stderr


@pytest.mark.parametrize("name", MAKERS)
def test_in_private_mode_no_message_names_a_file_or_a_group(name, made, tmp_path, list_of):
    src = made(name)
    listing = list_of(src)
    names = {part for item in listing.items for part in item.path.split("/")[-1:]}
    names |= {str(item.group) for item in listing.items if item.group is not None}
    names |= {str(failure.path) for failure in listing.failures}
    names -= {"G1020"}  # a whole source is one group; its name tells nobody
    _, said = plan(src, tmp_path / "out", "--size", "8", "--private", "--keep-captions")
    assert [name for name in names if len(name) > 3 and name in said.replace(str(src), "")] == []


def test_a_missing_split_is_counted_not_named(made, tmp_path):
    words = ["plan", str(made("rsna")), str(tmp_path / "out"), "--split", "folder"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "SRC does not say the split of 12 of its 15 images" in result.stderr
    assert "0000-4000" not in result.output


@pytest.mark.parametrize("name", ["rsna", "folder (DICOM)"])
def test_headers_read_by_the_core_say_what_the_miniature_wrote(name, made, list_of):
    src = made(name)
    by_core = list_of(src, read_headers=lambda r, paths: _core.read_dicom_headers(r, paths, 2))
    assert by_core.items == list_of(src).items
    assert [note.text for note in by_core.notes] == [note.text for note in list_of(src).notes]


# -- folders that are people ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("patients", "folders"),
    [
        ({"ward 1": {"A"}, "ward 2": {"B"}, "ward 3": {"C"}}, 3),  # one patient in each
        ({"visit 1": {"A"}, "visit 2": {"A"}, "visit 3": {"B"}, "visit 4": {"C"}}, 4),
        ({"DOE^JANE": {"A"}, "ROE^JOHN": {"B"}}, 2),
        ({"1.2.840.113619.2.5": set(), "1.2.840.113619.2.6": set()}, 2),
        ({"20190412": {"A", "B"}, "20190413": {"A"}}, 2),
        ({"Jane PID-0042": {"PID-0042", "A"}, "John": {"B"}}, 2),
        ({"MRN 00123456 CT": {"A", "B"}, "others": {"C", "D"}}, 2),
        ({"export": {"A", "B"}}, 1),  # a lone folder is no classification
    ],
)
def test_folders_that_look_like_patients(patients, folders):
    assert are_patients(patients, folders=folders)


@pytest.mark.parametrize(
    ("patients", "folders"),
    [
        ({}, 2),
        ({"normal": {"A"}, "sick": {"B"}}, 2),
        ({"BI-RADS 4": {"1001", "1002"}, "2019 cohort": {"1003", "1004"}}, 2),
        ({"normal": {"A"}, "sick": {"A"}, "dead": {"A"}}, 3),  # all of one made-up patient
        ({"a": {"A"}, "b": {"B"}, "c": {"C", "D"}, "d": {"E", "F"}}, 4),
        ({"a": {"A"}, "b": {"B"}, "c": {"C"}}, 8),  # pictures in five more
        ({"normal": set(), "sick": set(), "dead": set()}, 3),  # headers name nobody
    ],
)
def test_folders_that_look_like_classes(patients, folders):
    assert not are_patients(patients, folders=folders)


def test_an_export_by_patient_is_read_without_classes_and_says_why(tmp_path, list_of):
    listing = list_of(export(tmp_path / "src"))
    assert listing.layout == "files" and listing.class_names == []
    assert len({item.group for item in listing.items}) == 4
    assert "4 folders of DICOM that look like patients" in listing.notes[0].text


def test_folders_of_patients_are_classes_for_those_who_say_so(tmp_path, list_of):
    src = export(tmp_path / "src")
    (src / "Zqxw Roe" / "report.pdf").unlink()
    (src / "Zqxw Roe").rmdir()
    assert len(list_of(src, "folder").class_names) == 4


def test_no_file_of_an_export_by_patient_names_one(tmp_path):
    src, out = export(tmp_path / "src"), tmp_path / "left" / "out"
    for words in (["shard", str(src), str(out), "--size", "8"], ["scan", str(src)]):
        done = CliRunner().invoke(main, [*words, "--json"])
        assert done.exit_code == 0, done.output
        assert "Zqxw" not in done.output.replace(str(src), "")
    left = [path for path in (tmp_path / "left").rglob("*") if path.is_file()]
    assert len(left) > 5
    assert not [path for path in left if b"Zqxw" in path.read_bytes()]


def test_twenty_folders_of_dicom_without_patients_are_no_classes_unasked(tmp_path):
    for number in range(20):
        for image in range(5):
            data = chest_dicom(patient="", seed=image, side=32)
            write(tmp_path / "src" / f"Doe {number}" / f"{image}.dcm", data)
    done = CliRunner().invoke(main, ["plan", str(tmp_path / "src"), str(tmp_path / "out")])
    assert done.exit_code == 5 and "these look like patients, not classes" in done.stderr
