"""Known data sets as downloaded: who is who, what is left out, and what a user is told."""

import json
from collections import Counter

import pytest
from miniatures import (
    MAKERS,
    RSNA_CLASSES,
    RSNA_NIH,
    layout_of,
    rsna,
    rsna_mdai,
    write,
    write_csv,
)
from tiny_collections import write_classes, write_image

from medprep.errors import UsageError
from medprep.sources import LAYOUTS
from medprep.split import assign_splits, crossing_groups, parse_split
from medprep.types import Box


def groups(listing):
    """Group by the file's name."""
    return {item.path.rsplit("/", 1)[-1]: item.group for item in listing.items}


def said(listing):
    return "\n".join(note.line(private=False) for note in listing.notes)


@pytest.mark.parametrize("name", MAKERS)
def test_auto_recognises_every_miniature_and_says_so(name, made, list_of):
    listing = list_of(made(name))
    assert listing.layout == layout_of(name)
    assert listing.notes[0].text.startswith(f"layout {layout_of(name)}, recognised by ")


GENERAL = {
    "table",
    "arrays",
    "folder",
    "files",
    "subset",
}  # formats that a folder around would hide


@pytest.mark.parametrize("name", [name for name in MAKERS if layout_of(name) not in GENERAL])
def test_a_folder_around_the_download_makes_no_difference(name, tmp_path, list_of):
    MAKERS[name](tmp_path / "src" / "unpacked")
    plain = MAKERS[name](tmp_path / "plain")
    wrapped, bare = list_of(tmp_path / "src"), list_of(plain)
    assert wrapped.layout == bare.layout
    assert [item.path for item in wrapped.items] == [f"unpacked/{i.path}" for i in bare.items]


@pytest.mark.parametrize("name", MAKERS)
def test_with_ratios_no_group_is_ever_in_two_splits(name, made, list_of):
    items = list_of(made(name)).items
    splits = assign_splits(items, parse_split("train=0.6,val=0.2,test=0.2"), seed=3)
    assert crossing_groups(items, splits) == []


@pytest.mark.parametrize("name", MAKERS)
def test_group_by_none_switches_groups_off(name, made, list_of):
    assert {item.group for item in list_of(made(name), group_by="none").items} == {None}


# -- RSNA ----------


def test_rsna_knows_three_classes_boxes_and_true_patients(made, list_of):
    listing = list_of(made("rsna"))
    labelled = [item for item in listing.items if item.class_name is not None]
    assert listing.class_names == ["Normal", "No Lung Opacity / Not Normal", "Lung Opacity"]
    assert Counter(len(item.boxes) for item in labelled) == {0: 8, 1: 1, 2: 1, 3: 1, 4: 1}
    four = next(item for item in labelled if len(item.boxes) == 4)
    assert four.boxes[-1] == Box(624, 624, 1024, 1024, 0)
    assert len({item.group for item in labelled}) == len(set(RSNA_NIH[:12]))


def test_rsna_test_images_are_set_aside_whatever_the_ratios(made, list_of):
    items = list_of(made("rsna")).items
    splits = assign_splits(items, parse_split("train=0.5,val=0.5"), seed=0)
    aside = {item.path for item, split in zip(items, splits, strict=True) if split == "unlabelled"}
    assert {path.split("/")[0] for path in aside} == {"stage_2_test_images"} and len(aside) == 3


def test_rsna_without_the_mapping_has_no_groups_and_warns(tmp_path, list_of):
    listing = list_of(rsna(tmp_path / "src", mapping=False))
    assert {item.group for item in listing.items} == {None}
    assert "patientId is one per image, not per patient" in said(listing)


def test_rsna_ages_are_bare_numbers_capped_at_90(made, list_of):
    attributes = {item.path[-8:-4]: item.attributes for item in list_of(made("rsna")).items}
    assert attributes["0000"]["age"] == 51.0
    assert attributes["0001"]["age"] == 90.0  # 148 in the file
    assert attributes["0001"] == {
        **{"view": "AP", "sex": "F", "age": 90.0},
        **{"spacing_row_mm": 0.143, "spacing_column_mm": 0.143},
    }


def test_rsna_without_class_info_has_two_classes(made, list_of):
    src = made("rsna")
    (src / "stage_2_detailed_class_info.csv").unlink()
    assert list_of(src).class_names == ["No Lung Opacity", "Lung Opacity"]


def test_rsna_contradictions_are_failures_not_samples(made, list_of):
    src = made("rsna")
    labels = src / "stage_2_train_labels.csv"
    text = labels.read_text().splitlines()
    text[1] = text[1].replace(",,,,,0", ",,,,,1")  # a finding without a box
    text[2] = text[2].replace(",,,,,0", ",1,2,x,4,0")
    text.append("00000000-gone,,,,,0")
    labels.write_text("\n".join(text))
    reasons = sorted(failure.reason for failure in list_of(src).failures)
    assert reasons == [
        "Target and boxes contradict each other",
        "a box must be four numbers",
        "cannot read: No such file or directory",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not valid JSON"), ("{}", "expected a list"), ("[1, {}]", "no entry has subset_img_id")],
)
def test_rsna_refuses_a_damaged_mapping(made, list_of, content, message):
    src = made("rsna")
    (src / "pneumonia-challenge-dataset-mappings_2018.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        list_of(src)


def test_rsna_of_mdai_takes_the_consensus_and_no_single_reader(made, list_of):
    listing = list_of(made("rsna-mdai"))
    labelled = [item for item in listing.items if item.class_name is not None]
    assert Counter(item.class_name for item in labelled) == Counter(RSNA_CLASSES)
    assert Counter(len(item.boxes) for item in labelled) == {0: 8, 1: 1, 2: 1, 3: 1, 4: 1}
    assert {item.split for item in listing.items if item.class_name is None} == {"unlabelled"}
    assert "3 images without a label of the group Calculated are set aside" in said(listing)


def test_both_distributions_of_rsna_have_the_same_true_patients(tmp_path, list_of):
    kaggle, mdai = list_of(rsna(tmp_path / "k")), list_of(rsna_mdai(tmp_path / "m"))
    assert Counter(item.group for item in kaggle.items) == Counter(i.group for i in mdai.items)
    alone = list_of(rsna_mdai(tmp_path / "alone", mapping=False))
    assert {item.group for item in alone.items} == {None}
    assert "patientId is one per image, not per patient" in said(alone)


def edited_annotations(src, edit):
    path = src / "pneumonia-challenge-annotations-adjudicated-kaggle_2018.json"
    content = json.loads(path.read_bytes())
    edit(content, content["datasets"][0]["annotations"])
    path.write_text(json.dumps(content))


def test_rsna_of_mdai_contradictions_are_failures_not_samples(made, list_of):
    src = made("rsna-mdai")

    def edit(content, annotations):
        normal = next(a for a in annotations if a["labelId"] == "L_o8w")
        annotations.append({**normal, "labelId": "L_yd0"})
        boxed = [a for a in annotations if a["labelId"] == "L_v8n"]
        boxed[0]["data"] = None
        boxed[1]["data"]["x"] = "left"
        annotations.append({**normal, "SOPInstanceUID": "1.2.3"})
        annotations.append({**normal, "SOPInstanceUID": "../../secret"})

    edited_annotations(src, edit)
    assert sorted(failure.reason for failure in list_of(src).failures) == [
        "a box must be four numbers",
        "class and boxes contradict each other",
        "no image of this UID in any folder",
        "not a UID",
        "two classes in the annotations",
    ]


def test_rsna_of_mdai_without_a_consensus_is_refused(made, list_of):
    src = made("rsna-mdai")
    edited_annotations(src, lambda content, _: content["labelGroups"].pop())
    with pytest.raises(UsageError, match="no label group 'Calculated'"):
        list_of(src)


# -- SMDG and its copies ----------


def test_smdg_names_patients_as_far_as_its_sources_do(made, list_of):
    found = groups(list_of(made("smdg")))
    for one, other in (
        ("OIA-ODIR-TRAIN-1.png", "OIA-ODIR-TRAIN-2.png"),
        ("PAPILA-2.png", "PAPILA-246.png"),
        ("CRFO-v4-1.png", "CRFO-v4-2.png"),
        ("BEH-1.png", "BEH-2.png"),
        ("BEH-1.png", "BEH-3.png"),
        ("G1020-1.png", "G1020-3.png"),
    ):
        assert found[one] == found[other] is not None
    assert found["CRFO-v4-79.png"] != found["CRFO-v4-1.png"]  # P_10 of the healthy is another
    assert found["EyePACS-Glaucoma-1.png"] is None


def test_smdg_finds_doubled_folders_and_single_ones(made, list_of):
    src = made("smdg")
    assert all(i.path.startswith("full-fundus/full-fundus/") for i in list_of(src).items)
    (src / "full-fundus" / "full-fundus").rename(src / "moved")
    (src / "full-fundus").rmdir()
    (src / "moved").rename(src / "full-fundus")
    assert all(i.path.count("full-fundus") == 1 for i in list_of(src).items)


def test_smdg_leaves_suspects_out_unless_they_are_asked_for(made, list_of):
    src = made("smdg")
    listing = list_of(src)
    assert "left out 2 glaucoma suspects (types -1); --unlabelled suspect" in said(listing)
    asked = list_of(src, unlabelled="suspect")
    assert len(asked.items) == len(listing.items) + 2
    assert Counter(i.class_name for i in asked.items)[None] == 2
    assert asked.class_names == ["non-glaucoma", "glaucoma"]


def test_smdg_takes_sex_and_age_and_no_blank_or_coded_values(made, list_of):
    found = {i.path.rsplit("/", 1)[-1]: i.attributes for i in list_of(made("smdg")).items}
    assert found["OIA-ODIR-TRAIN-1.png"] == {"sex": "F", "age": 58.0}
    assert found["PAPILA-2.png"] == {"age": 58.0}  # gender 0/1 is not sex
    assert found["HRF-2.png"] is None


def test_fundus_pytorch_copies_share_a_group_and_its_leaking_split_is_counted(made, list_of):
    listing = list_of(made("fundus-pytorch"))
    found = groups(listing)
    assert found["BEH-1.png"] == found["BEH-1_aug_1.png"] == found["BEH-1 (2).png"]
    assert found["BEH-10.png"] != found["BEH-1.png"]
    assert "leaks: 2 of 11 SMDG images have copies in more than one split" in said(listing)


def test_numbered_classes_of_another_set_are_plain_folders(tmp_path, list_of):
    write_classes(tmp_path, {"train/0": 2, "train/1": 2, "test/0": 1, "test/1": 1})
    assert list_of(tmp_path).layout == "folder"


# -- Kermany ----------


def test_kermany_reads_the_outer_copy_once(made, list_of):
    listing = list_of(made("kermany"))
    assert len(listing.items) == 14 and listing.failures == []
    assert not any("chest_xray/chest_xray" in i.path or "MACOSX" in i.path for i in listing.items)
    assert "the second copy of the images in chest_xray/chest_xray is left out" in said(listing)


def test_kermany_names_tell_the_child(made, list_of):
    found = groups(list_of(made("kermany")))
    assert found["person1_bacteria_1.jpeg"] == found["person1_virus_6.jpeg"] == "person1"
    assert found["NORMAL2-IM-0927-0001.jpeg"] == found["NORMAL2-IM-0927-0001-0002.jpeg"]
    assert found["IM-0115-0001.jpeg"] != found["IM-0117-0001.jpeg"]


def test_kermany_names_without_splits_are_read_when_asked(tmp_path, list_of):
    for at in range(3):
        write_image(tmp_path / "pneumonia" / f"person3_virus_{at}.jpeg", at)
        write_image(tmp_path / "normal" / f"IM-000{at}-0001.jpeg", 9 + at)
    assert list_of(tmp_path).layout == "folder"
    assert "--layout kermany keeps each child in one split" in said(list_of(tmp_path))
    assert len({i.group for i in list_of(tmp_path, "kermany").items}) == 4


def test_kermany_is_recognised_by_names_in_capitals(tmp_path, list_of):
    for split in ("Train", "TEST"):
        write_image(tmp_path / split / "Pneumonia" / "person3_virus_15.jpeg", 1)
        write_image(tmp_path / split / "Normal" / "IM-0001-0001.jpeg", 2)
    listing = list_of(tmp_path)
    assert (listing.layout, listing.class_names) == ("kermany", ["NORMAL", "PNEUMONIA"])
    assert Counter(item.split for item in listing.items) == {"train": 2, "test": 2}


def test_other_class_folders_get_no_advice_on_children(tmp_path, list_of):
    write_classes(tmp_path, {"normal": 2, "pneumonia": 2})
    assert "kermany" not in said(list_of(tmp_path))


# -- skin ----------


def test_ham10000_takes_each_image_once_with_its_lesion(made, list_of):
    listing = list_of(made("ham10000"))
    assert len(listing.items) == 10
    assert groups(listing)["ISIC_0027419.jpg"] == groups(listing)["ISIC_0025030.jpg"]
    assert "left out 10 second copies of images" in said(listing)
    assert "left out 1 images that no row names" in said(listing)


def test_ham10000_of_dataverse_has_its_table_with_tabs(made, list_of):
    src = made("ham10000")
    table = src / "HAM10000_metadata.csv"
    lines = [f'"{line}"'.replace(",", '"\t"') for line in table.read_text().splitlines()]
    (src / "HAM10000_metadata.tab").write_text("\n".join(lines))
    with_commas = list_of(src).items
    table.unlink()
    assert list_of(src).items == with_commas and len(with_commas) == 10


def test_isic_2019_reads_one_hot_rows_and_downsampled_names(made, list_of):
    src = made("ham10000 (ISIC 2019)")
    truth = src / "ISIC_2019_Training_GroundTruth.csv"
    lines = truth.read_text().splitlines()
    lines[3] = lines[3].replace("0.0", "1.0")
    truth.write_text("\n".join(lines))
    listing = list_of(src)
    assert groups(listing)["ISIC_0000001_downsampled.jpg"] == "MSK4_0011169"
    assert [failure.reason for failure in listing.failures] == ["not exactly one class is 1"]


def test_isic_2018_tables_say_the_split(made, list_of):
    listing = list_of(made("ham10000 (ISIC 2018)"))
    assert Counter(item.split for item in listing.items) == {"train": 4, "val": 2}


def test_isic_2020_groups_by_patient(made, list_of):
    listing = list_of(made("ham10000 (ISIC 2020)"))
    assert Counter(item.group for item in listing.items).most_common(1)[0][1] == 2
    assert listing.class_names == ["benign", "malignant"]


def test_skin35_keeps_odd_names_and_groups_copies(made, list_of):
    listing = list_of(made("skin35"))
    assert len(listing.class_names) == 35
    assert {"Ba  Cellulitis", "Heathy"} <= set(listing.class_names)
    shared = Counter(item.group for item in listing.items if item.group is not None)
    assert sorted(shared.values()) == [2, 2, 3]  # same bytes, over classes, augmented
    assert "1 images lie in several classes: their labels contradict" in said(listing)


# -- captions, tables, detection ----------


def test_pmc_oa_groups_by_article_and_counts_tiny_captions(made, list_of):
    listing = list_of(made("pmc-oa"))
    assert groups(listing)["PMC212319_Fig3_4.jpg"] == groups(listing)["PMC212319_Fig3_5.jpg"]
    assert "1 captions have fewer than 10 characters" in said(listing)
    assert "6 images of 4 articles (PMCID)" in said(listing)
    assert {f.path: f.stage for f in listing.failures}["pmc_oa.jsonl:8"] == "plan"


def test_pmc_oa_tables_named_by_split_say_the_split(tmp_path, list_of):
    for at, name in enumerate(("train", "valid", "test")):
        write_image(tmp_path / "images" / f"PMC{at}_F1.jpg", at)
        line = {"image": f"PMC{at}_F1.jpg", "caption": "A figure", "pmcid": f"PMC{at % 2}"}
        write(tmp_path / f"{name}.jsonl", json.dumps(line).encode())
    listing = list_of(tmp_path)
    assert [item.split for item in listing.items] == ["train", "val", "test"]
    assert [item.group for item in listing.items] == ["PMC0", "PMC1", "PMC0"]


def test_an_overlong_line_of_captions_is_one_failure(made, list_of):
    src = made("pmc-oa")
    with (src / "pmc_oa.jsonl").open("a") as stream:
        stream.write("\n" + '{"image": "x", "caption": "' + "x" * 2**21 + '"}\n')
        stream.write(json.dumps({"image": "PMC212319_Fig3_4.jpg", "caption": "other"}) + "\n")
    failures = {f.path: f.reason for f in list_of(src).failures}
    assert "pmc_oa.jsonl:9" in failures
    assert any("different captions" in reason for reason in failures.values())


def test_table_rows_of_one_image_are_its_boxes(made, list_of):
    listing = list_of(made("table"))
    first = listing.items[0]
    assert listing.box_classes == ("mass", "nodule")
    assert first.boxes == (Box(2, 3, 7, 9, 1), Box(9, 3, 13, 7, 0))
    assert (first.caption, first.attributes) == ("A nodule and a mass", {"sex": "F", "age": 61.0})
    assert listing.items[1].boxes == ()
    assert listing.items[2].attributes["age"] == 90.0
    assert listing.failures[0].reason == "a box must be wider and higher than nothing"


@pytest.mark.parametrize("names", ["x_min,y_min,x_max,y_max", "xmin,ymin,xmax,ymax", "x1,y1,x2,y2"])
def test_corner_columns_are_read_as_corners(two_classes, list_of, names):
    table = two_classes / "t.csv"
    write_csv(table, f"path,{names}", [("normal/normal_000.jpg", 1, 2, 11, 22)])
    item = list_of(table).items[0]
    assert (item.class_name, item.boxes) == (None, (Box(1, 2, 11, 22, 0),))


def test_a_parquet_table_reads_like_the_csv(made, list_of):
    pandas_like = pytest.importorskip("pyarrow")
    from pyarrow import csv as pyarrow_csv
    from pyarrow import parquet

    src = made("table")
    expected = list_of(src)
    parquet.write_table(pyarrow_csv.read_csv(src / "labels.csv"), src / "labels.parquet")
    (src / "labels.csv").unlink()
    assert pandas_like is not None
    listing = list_of(src)
    assert (listing.items, listing.failures) == (expected.items, expected.failures)


def test_parquet_without_pyarrow_names_the_missing_package(tmp_path, list_of, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="reading Parquet needs pyarrow, which is not installed"):
        list_of(tmp_path / "t.parquet")


def test_coco_boxes_have_the_labels_of_their_categories(made, list_of):
    listing = list_of(made("coco"))
    by_name = {item.path: item for item in listing.items}
    assert listing.box_classes == ("nodule", "mass")
    assert by_name["train2017/000000000002.jpg"].boxes == (
        Box(0, 2, 5.5, 8, 0),
        Box(1, 2, 6.5, 8, 1),
    )
    assert by_name["val2017/000000000004.jpg"].split == "val"


def test_yolo_shares_become_pixels_of_the_upright_image(made, list_of):
    listing = list_of(made("yolo"))
    first = listing.items[0]  # 20 high, 24 wide
    assert first.boxes == (Box(9, 5, 15, 15, 0), Box(0, 0, 12, 10, 1))
    assert "1 images have no text file" in said(listing)


def test_when_two_layouts_fit_the_more_specific_wins_and_the_other_is_named(made, list_of):
    src = made("ham10000")
    write_csv(src / "labels.csv", "path,label", [("HAM10000_images_part_1/ISIC_0027419.jpg", "a")])
    listing = list_of(src)
    assert listing.layout == "ham10000"
    assert "it also looks like table; --layout table reads it so" in said(listing)


@pytest.mark.parametrize("layout", sorted(LAYOUTS.keys() - GENERAL | {"arrays"}))
def test_a_layout_that_does_not_fit_is_refused_in_one_line(layout, two_classes, list_of):
    with pytest.raises(UsageError) as caught:
        list_of(two_classes, layout)
    assert "\n" not in str(caught.value)


# -- real samples ----------


@pytest.mark.real_data
def test_real_samples_are_recognised(real_data, list_of):
    chest = list_of(real_data / "cxr-dicom", read_headers=None)
    assert chest.layout == "rsna" and sum(len(i.boxes or ()) for i in chest.items) > 12
    captions = list_of(real_data / "captions")
    assert captions.layout == "pmc-oa" and all(item.caption for item in captions.items)
    arrays = list_of(real_data / "medmnist")
    assert Counter(i.split for i in arrays.items) == {"train": 4682, "val": 524, "test": 312}
