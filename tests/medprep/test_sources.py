"""Layouts: what becomes of a collection as downloaded."""

import os

import pytest
from tiny_collections import write_classes, write_image, write_table

from medprep.errors import NoInputError, UsageError
from medprep.sources import SourceOptions, list_source

OPTIONS = SourceOptions()


def listing_of(src, layout="auto", **options):
    return list_source(src, layout=layout, options=SourceOptions(**options))


def reasons(listing):
    return {failure.path: failure.reason for failure in listing.failures}


def test_class_folders_are_listed_in_path_order_with_sorted_classes(two_classes):
    listing = listing_of(two_classes)
    assert listing.layout == "folder"
    assert listing.class_names == ["normal", "sick"]
    assert [item.path for item in listing.items] == sorted(item.path for item in listing.items)
    assert len(listing.items) == 20
    assert not listing.has_splits


def test_numbered_classes_are_ordered_by_number(tmp_path):
    write_classes(tmp_path, {"10": 1, "2": 1})
    assert listing_of(tmp_path).class_names == ["2", "10"]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Val"])
def test_split_folders_above_classes_say_the_split(tmp_path, val):
    write_classes(tmp_path, {"train/a": 2, "train/b": 1, f"{val}/a": 1, "test/b": 1})
    listing = listing_of(tmp_path)
    assert listing.has_splits
    assert {item.split for item in listing.items} == {"train", "val", "test"}
    assert listing.class_names == ["a", "b"]


def test_an_empty_class_folder_is_refused_by_name(two_classes):
    (two_classes / "later").mkdir()
    (two_classes / "later" / "notes.txt").write_text("no image")
    with pytest.raises(UsageError, match=r"src/later: the class folder holds no images"):
        listing_of(two_classes)


def test_a_split_beside_other_folders_is_refused(tmp_path):
    write_classes(tmp_path, {"train/a": 1, "extra": 1})
    with pytest.raises(UsageError, match="'train' is a split but 'extra' is not"):
        listing_of(tmp_path)


def test_the_unlabelled_class_has_no_class_name(tmp_path):
    write_classes(tmp_path, {"a": 1, "b": 1, "unknown": 2})
    listing = listing_of(tmp_path, unlabelled="unknown")
    assert listing.class_names == ["a", "b"]
    assert [item.class_name for item in listing.items] == ["a", "b", None, None]


def test_a_mistyped_unlabelled_class_gets_a_suggestion(two_classes):
    with pytest.raises(UsageError, match="did you mean 'normal'"):
        listing_of(two_classes, unlabelled="norml")


def test_other_files_are_left_out_but_text_named_jpg_is_an_input(with_broken):
    (with_broken / "normal" / "Thumbs.db").write_bytes(b"x")
    (with_broken / "normal" / ".hidden.jpg").write_bytes(b"x")
    (with_broken / "sick" / "._resource.jpg").write_bytes(b"x")
    paths = [item.path for item in listing_of(with_broken).items]
    assert "sick/aa_text.jpg" in paths
    assert len(paths) == 23


def test_images_beside_class_folders_are_counted_in_a_note(two_classes):
    write_image(two_classes / "stray.jpg", 0)
    note = listing_of(two_classes).notes[1]
    assert note.line(private=False).endswith("in no class folder, first 'stray.jpg'")
    assert note.line(private=True) == "left out 1 images that lie in no class folder"


def test_images_without_folders_have_no_label(tmp_path):
    for name in ("b.jpg", "a.png", "deep/er/c.jpg"):
        write_image(tmp_path / name, 1)
    flat = listing_of(tmp_path, layout="files")
    assert [item.path for item in flat.items] == ["a.png", "b.jpg", "deep/er/c.jpg"]
    assert flat.class_names == []
    (tmp_path / "x").mkdir()
    lone = tmp_path / "x" / "images"
    write_image(lone / "1.jpg", 1)
    assert listing_of(tmp_path / "x").layout == "files"


def test_links_that_leave_src_fail_with_a_reason(two_classes, tmp_path):
    outside = tmp_path / "outside"
    write_image(outside / "secret.jpg", 1)
    (two_classes / "normal" / "link.jpg").symlink_to(outside / "secret.jpg")
    (two_classes / "normal" / "folder").symlink_to(outside)
    (two_classes / "sick" / "inside.jpg").symlink_to(two_classes / "sick" / "sick_000.jpg")
    (two_classes / "sick" / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(two_classes / "sick" / "pipe.jpg")
    listing = listing_of(two_classes)
    found = reasons(listing)
    assert found["normal/link.jpg"] == "a link that leaves SRC"
    assert "linked folder" in found["normal/folder"]
    assert found["sick/pipe.jpg"] == "not a regular file"
    assert "cannot read" in found["sick/loop.jpg"]
    assert "sick/inside.jpg" in [item.path for item in listing.items]


def test_a_name_that_is_not_utf8_fails_with_a_reason(two_classes):
    (two_classes / "sick" / os.fsdecode(b"\xff.jpg")).touch()
    assert reasons(listing_of(two_classes)) == {"sick/\\udcff.jpg": "the name is not UTF-8"}


def test_a_table_knows_paths_labels_splits_and_groups(two_classes):
    write_table(
        two_classes / "labels.csv",
        [
            ("normal/normal_000.jpg", "healthy", "Training", "p1"),
            ("./sick/sick_001.jpg", "ill", "valid", "p2"),
            ("sick/sick_002.jpg", "", "test", ""),
            ("", "", "", ""),
        ],
        header=("File Name", "Diagnosis", "split", "Patient-ID"),
    )
    listing = listing_of(two_classes)
    assert listing.layout == "table"
    found = [(i.path, i.class_name, i.split, i.group) for i in listing.items]
    assert found == [
        ("normal/normal_000.jpg", "healthy", "train", "p1"),
        ("sick/sick_001.jpg", "ill", "val", "p2"),
        ("sick/sick_002.jpg", None, "test", None),
    ]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_and_a_byte_order_mark_are_read(two_classes, separator):
    rows = [("image", "class"), ("normal/normal_000.jpg", "a, b")]
    text = "\ufeff" + "\n".join(separator.join(row) for row in rows)
    (two_classes / "x.csv").write_text(text, encoding="utf-8")
    assert listing_of(two_classes / "x.csv").items[0].class_name == "a, b"


def test_table_paths_cannot_leave_the_folder(two_classes, tmp_path):
    write_image(tmp_path / "secret.jpg", 1)
    (two_classes / "way").symlink_to(tmp_path)
    write_image(two_classes / ".private" / "x.jpg", 1)
    bad = {
        "../secret.jpg": "leaves SRC",
        str(tmp_path / "secret.jpg"): "leaves SRC",
        "normal/../../secret.jpg": "leaves SRC",
        "normal\\..\\secret.jpg": "leaves SRC",
        "way/secret.jpg": "a link that leaves SRC",
        ".private/x.jpg": "hidden",
        "missing.jpg": "No such file",
        "normal": "not a regular file",
        "a\0b.jpg": "not a path",
    }
    rows = [(path, "x", "") for path in bad] + [("normal/normal_000.jpg", "y", "")]
    listing = listing_of(write_table(two_classes / "t.csv", rows))
    assert [item.path for item in listing.items] == ["normal/normal_000.jpg"]
    found = reasons(listing)
    for path, reason in bad.items():
        assert reason in found[path], path


def test_a_path_listed_twice_must_agree_with_itself(two_classes):
    rows = [
        ("normal/normal_000.jpg", "a", "p"),
        ("normal/normal_000.jpg", "a", "p"),
        ("normal/normal_001.jpg", "a", "p"),
        ("normal/normal_001.jpg", "b", "p"),
    ]
    listing = listing_of(write_table(two_classes / "t.csv", rows))
    assert [item.path for item in listing.items] == ["normal/normal_000.jpg"]
    assert "listed twice" in reasons(listing)["normal/normal_001.jpg"]


def test_group_by_names_a_column_or_none(two_classes):
    rows = [("normal/normal_000.jpg", "a", "p1", "s1")]
    table = write_table(two_classes / "t.csv", rows, ("path", "label", "patient_id", "Site"))
    assert listing_of(table).items[0].group == "p1"
    assert listing_of(table, group_by="none").items[0].group is None
    assert listing_of(table, group_by="site").items[0].group == "s1"
    with pytest.raises(UsageError, match="did you mean 'Site'"):
        listing_of(table, group_by="Sit")


def test_a_table_without_a_label_column_says_what_it_found(two_classes):
    table = write_table(two_classes / "t.csv", [("normal/normal_000.jpg", "1")], ("path", "x"))
    with pytest.raises(UsageError, match="no label column; found path, x"):
        listing_of(table)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,label\n\xff,a\n", "not UTF-8"),
        (b"path,label\n" + b'"' + b"x" * 70000, "not a valid CSV"),
        (b"path,label,split\nx.jpg,a\n", "2 fields"),
        (b"path,label,split\nx.jpg,a,../x\n", "must be letters"),
        (b"", "empty header"),
    ],
)
def test_a_damaged_table_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        listing_of(tmp_path / "t.csv")
    assert "\n" not in str(caught.value)


def test_wrong_sources_are_refused(tmp_path, two_classes):
    with pytest.raises(UsageError, match="no such file or folder"):
        listing_of(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="did you mean 'folder'"):
        listing_of(two_classes, layout="foldr")
    with pytest.raises(UsageError, match="expected a folder of images, a table or an array file"):
        listing_of(two_classes / "normal" / "normal_000.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoInputError, match="no images found"):
        listing_of(tmp_path / "empty")
    with pytest.raises(UsageError, match="has no columns"):
        listing_of(two_classes, group_by="patient")


@pytest.mark.real_data
def test_real_collections_are_recognised(real_data):
    assert listing_of(real_data / "fundus").class_names == ["glaucoma", "normal"]
    labelled = listing_of(real_data / "fundus-highres", unlabelled="unlabelled")
    assert sum(item.class_name is None for item in labelled.items) == 2
    assert len(listing_of(real_data / "derm").class_names) == 8
    assert listing_of(real_data / "cxr-nih-png").layout == "files"


def test_images_of_kinds_that_are_not_decoded_are_listed_and_others_are_not(tmp_path):
    for name in ("a.j2k", "b.PSD", "c.pgm", "d.heic", "e.png"):
        write_image(tmp_path / "x.png", 1)
        (tmp_path / "x.png").rename(tmp_path / name)
    for name in ("notes.txt", "report.pdf", "table.xlsx"):
        (tmp_path / name).write_text("no image")
    found = [item.path for item in listing_of(tmp_path, "files").items]
    assert found == ["a.j2k", "b.PSD", "c.pgm", "d.heic", "e.png"]


# -- what lies beside and is not read -------------------------------------------------------------


def notes_of(listing):
    return "\n".join(note.line(private=False) for note in listing.notes)


@pytest.mark.parametrize("folder", ["", "data/"])
def test_a_table_that_is_not_read_is_told_of(tmp_path, folder):
    write_image(tmp_path / f"{folder}images" / "7.png", 1)
    write_table(tmp_path / f"{folder}train.csv", [("7", "sick")], ("id_code", "diagnosis"))
    said = notes_of(listing_of(tmp_path))
    assert "1 tables beside the images are not read" in said and "first 'train.csv'" in said


def test_a_table_that_is_read_is_not_told_of(two_classes):
    write_table(two_classes / "t.csv", [("normal/normal_000.jpg", "x", "")])
    listing = listing_of(two_classes)
    assert listing.layout == "table" and "not read" not in notes_of(listing)


def test_archives_still_packed_are_told_of_when_images_are_missing(tmp_path):
    (tmp_path / "pmc_oa.jsonl").write_text('{"image": "PMC1_F1.jpg", "caption": "A lung"}\n')
    (tmp_path / "images.zip").write_bytes(b"PK")
    assert "1 images are missing and 1 archives are packed" in notes_of(listing_of(tmp_path))


def test_a_folder_of_archives_says_to_unpack_them(tmp_path):
    (tmp_path / "archive.zip").write_bytes(b"PK")
    with pytest.raises(NoInputError, match=r"no images found .*; unpack the 1 archives in it"):
        listing_of(tmp_path)


def test_a_folder_called_unlabelled_is_a_class_with_a_word_of_advice(tmp_path):
    write_classes(tmp_path, {"a": 1, "Unlabelled": 1})
    listing = listing_of(tmp_path)
    assert listing.class_names == ["Unlabelled", "a"]
    assert "--unlabelled Unlabelled stores them without a label" in notes_of(listing)
    assert "stores them without" not in notes_of(listing_of(tmp_path, unlabelled="Unlabelled"))


def test_classes_inside_a_lone_folder_are_told_of(tmp_path):
    write_classes(tmp_path, {"archive/normal": 1, "archive/sick": 1})
    said = notes_of(listing_of(tmp_path))
    assert "one folder that holds 2 folders: name it as SRC" in said and "first 'archive'" in said
    assert "name it as SRC" not in notes_of(listing_of(tmp_path / "archive"))


def test_a_lone_split_folder_is_no_wrapper(tmp_path):
    write_classes(tmp_path, {"train/normal": 1, "train/sick": 1})
    assert "name it as SRC" not in notes_of(listing_of(tmp_path))
