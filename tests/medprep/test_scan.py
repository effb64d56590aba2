"""`medprep scan`: what it says of a collection, and that it says it without being asked twice."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from dicom_files import dicom
from PIL import Image, ImageCms
from tiny_collections import write_classes, write_image, write_table

from medprep.cli import main
from medprep.scan import ScanOptions, scan, write_files
from medprep.scan.captions import count_terms, lengths, modality_of
from medprep.scan.summary import summarise
from medprep.scan.text import render
from medprep.sources.listing import Listing
from medprep.types import Box, SourceItem


@pytest.fixture
def collection(tmp_path):
    src = write_classes(tmp_path / "src", {"glaucoma": 3, "normal": 5}, suffix=".png")
    write_image(src / "normal" / "grey.png", 7, grey=True)
    (src / "normal" / "page.jpg").write_text("<html>404 Jane Roe</html>")
    (src / "normal" / "empty.png").write_bytes(b"")
    (src / "notes.txt").write_text("x")
    (src / "glaucoma" / "meta.json").write_text("{}")
    return src


def test_counts_classes_modes_and_unreadable_files(collection) -> None:
    found = scan(collection, ScanOptions()).summary
    assert (found["layout"], found["images"], found["readable"]) == ("folder", 11, 9)
    assert found["classes"] == {"glaucoma": 3, "normal": 8}
    assert found["modes"] == {"RGB 8-bit": 8, "grey 8-bit": 1}
    assert found["unreadable"]["count"] == 2
    assert found["other_files"] == {".txt": 1, ".json": 1}
    reasons = " ".join(entry["reason"] for entry in found["unreadable"]["reasons"])
    assert "HTML" in reasons
    assert "empty" in reasons


def test_it_says_what_shard_would_do_with_the_same_flags(collection) -> None:
    plan = scan(collection, ScanOptions()).summary["plan"]
    assert plan["samples"] == {"train": 9, "val": 1, "test": 1}
    assert plan["image"] == {"height": 224, "width": 224, "channels": 3, "dtype": "uint8"}
    assert not (collection.parent / "medprep.key").exists()


def test_sizes_are_ranges_and_the_most_common(tmp_path) -> None:
    src = tmp_path / "src"
    for n, size in enumerate([(10, 20), (10, 20), (30, 40)]):
        write_image(src / "a" / f"{n}.png", n, size=size)
    sizes = scan(src, ScanOptions()).summary["sizes"]
    assert sizes["height"] == {"min": 10, "median": 10, "max": 30}
    assert sizes["most_common"][0] == {"height": 10, "width": 20, "count": 2}


def test_frames_and_colour_profiles_of_every_format_are_counted(tmp_path) -> None:
    src = tmp_path / "src"
    src.mkdir()
    rng = np.random.default_rng(1)
    stack = rng.integers(0, 4096, (3, 6, 5), dtype=np.uint16)
    like_tiff = b"II*\0" + dicom(stack[0], bits_stored=12)[4:]
    (src / "cine.dcm").write_bytes(dicom(stack, bits_stored=12, frames=3))
    (src / "preamble.dcm").write_bytes(like_tiff)
    colour = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name in ("a.tif", "b.webp", "c.png", "d.jpg"):
        colour.save(src / name, icc_profile=profile)
    colour.save(src / "e.gif", save_all=True, append_images=[colour.rotate(90)])
    colour.save(src / "f.bmp")
    found = scan(src, ScanOptions()).summary
    assert found["unreadable"]["count"] == 0
    assert found["formats"] == {
        **{"DICOM": 2, "TIFF": 1, "WebP": 1, "PNG": 1, "JPEG": 1, "GIF": 1, "BMP": 1}
    }
    assert found["modes"] == {"grey 12-bit": 2, "RGB 8-bit": 6}
    assert found["frames"] == {"files": 2, "frames": 5, "largest": 3}
    assert found["icc_profiles"] == 4
    assert found["modalities"] is None
    text = render(found)
    assert "2 files hold several images, 5 in all, 3 at most" in text
    assert "4 files have one; it is ignored" in text
    notes = " ".join(found["plan"]["notes"])
    assert "4 of 8 files looked at have an ICC profile, which is ignored" in notes


def test_private_names_no_path(collection) -> None:
    result = CliRunner().invoke(main, ["scan", str(collection), "--private", "--json"])
    assert result.exit_code == 3
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["plan"]["private"]
    assert all(entry["examples"] == [] for entry in found["unreadable"]["reasons"])
    assert "page.jpg" not in result.output
    assert "Jane" not in result.output


def test_the_files_are_whole_and_need_nothing_else(collection, tmp_path) -> None:
    page = write_files(tmp_path / "out", scan(collection, ScanOptions()))
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "http" not in text.replace("http-equiv", "")
    assert "glaucoma" in text
    assert json.loads((tmp_path / "out" / "scan.json").read_text())["images"] == 11
    pngs = sorted(path.name for path in (tmp_path / "out" / "plots").iterdir())
    assert pngs == ["classes.png", "sizes.png"]


def test_the_command_ends_with_3_when_files_are_unusable_and_0_when_none_is(
    collection, tmp_path
) -> None:
    assert CliRunner().invoke(main, ["scan", str(collection)]).exit_code == 3
    clean = write_classes(tmp_path / "clean", {"a": 4, "b": 4})
    result = CliRunner().invoke(main, ["scan", str(clean)])
    assert result.exit_code == 0
    assert "read as layout folder" in result.stdout


def test_groups_that_cross_the_splits_of_src_are_counted(tmp_path) -> None:
    rows = []
    for n in range(6):
        write_image(tmp_path / f"{n}.png", n)
        rows.append((f"{n}.png", "ab"[n % 2], f"p{n // 3}", ("train", "val")[n % 2]))
    table = write_table(tmp_path / "t.csv", rows, ("path", "label", "patient_id", "split"))
    groups = scan(table, ScanOptions()).summary["groups"]
    assert (groups["groups"], groups["largest"], groups["in_several_splits"]) == (2, 3, 2)


# -- captions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "caption",
    ["The structure of a section", "fracture", "PROJECTION", "perfect"],
)
def test_ct_inside_a_word_is_no_ct(caption) -> None:
    assert "CT" not in count_terms([caption])["imaging"]


@pytest.mark.parametrize("caption", ["CT-guided biopsy", "axial ct scan", "Computed tomography."])
def test_ct_as_a_word_is_one(caption) -> None:
    assert count_terms([caption])["imaging"]["CT"] == 1


def test_a_term_counts_once_per_caption() -> None:
    terms = count_terms(["Cells and cells, H&E stained tumour", "A lung lesion", "tumor cells"])
    assert terms["anatomy"] == {"cell": 2, "lung": 1}
    assert terms["pathology"] == {"tumour": 2, "lesion": 1}
    assert terms["stain"] == {"H&E": 1, "stained": 1}


def test_words_that_are_also_english_count_only_as_the_field_writes_them() -> None:
    assert "PET" not in count_terms(["our pet dog"])["imaging"]
    assert count_terms(["FDG PET of a dog"])["imaging"]["PET"] == 1


@pytest.mark.parametrize(
    ("caption", "modality"),
    [
        ("PET/CT fusion", "PET"),
        ("Chest radiograph and CT", "CT"),
        ("Histology of a dissected tissue, photomicrograph", "microscopy"),
        ("A graph of survival", "unknown"),
    ],
)
def test_modality_follows_the_stated_rule(caption, modality) -> None:
    assert modality_of(caption) == modality


def test_lengths_of_captions() -> None:
    found = lengths(["a bc", "a bc def", "x"])
    assert found["words"]["mean"] == 2
    assert found["words"]["max"] == 3
    assert found["characters"]["p95"] == 8
    assert found["characters"]["median"] == 4


def test_boxes_captions_and_ages_are_summed_up(tmp_path) -> None:
    items = [
        SourceItem(
            path="a.png",
            boxes=(Box(0, 0, 10, 20), Box(1, 1, 5, 5)),
            caption="Chest X-ray",
            attributes={"age": 40, "sex": "F"},
        ),
        SourceItem(path="b.png", boxes=(), caption=None, attributes={"age": 90, "sex": "M"}),
    ]
    found = summarise(Listing(layout="rsna", root=tmp_path, items=items), [], private=True)
    assert found["boxes"]["boxes"] == 2
    assert found["boxes"]["images_without"] == 1
    assert found["boxes"]["width"] == {"min": 4, "median": 7.0, "max": 10}
    assert found["captions"]["captions"] == 1
    assert found["captions"]["without"] == 1
    assert found["modalities"] == {"X-ray": 2}
    assert found["attributes"]["age"] == {"known": 2, "min": 40, "median": 65.0, "max": 90}
    assert found["attributes"]["sex"]["counts"] == {"F": 1, "M": 1}


def test_the_text_names_every_fact_once(collection) -> None:
    text = render(scan(collection, ScanOptions()).summary)
    names = [line.split("  ")[0] for line in text.splitlines() if line and line[0] != " "]
    assert len(names) == len(set(names))
    assert "medprep shard would store:" in text


def test_rows_of_arrays_have_headers_though_they_are_no_files(tmp_path) -> None:
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (5, 12, 14, 3), dtype=np.uint8)
    labels = np.arange(5) % 2
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=labels)
    result = CliRunner().invoke(main, ["scan", str(tmp_path / "set.npz"), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout.splitlines()[-1])
    assert (found["readable"], found["unreadable"]["count"]) == (5, 0)
    assert (found["formats"], found["modes"]) == ({"array": 5}, {"RGB 8-bit": 5})
    assert found["bytes"] == images.nbytes
    assert found["sizes"]["most_common"] == [{"height": 12, "width": 14, "count": 5}]


def test_the_text_shows_the_terms_of_captions_and_the_rule_of_modalities(tmp_path) -> None:
    write_image(tmp_path / "images" / "PMC1_F1.jpg", 1)
    line = {"image": "PMC1_F1.jpg", "caption": "Axial CT of the chest with a lung mass, H&E stain"}
    (tmp_path / "pmc_oa.jsonl").write_text(json.dumps(line) + "\n")
    text = render(scan(tmp_path, ScanOptions()).summary)
    for group, term in (("imaging", "CT 1"), ("anatomy", "lung 1"), ("stain", "H&E 1")):
        assert any(line.split()[0] == group and term in line for line in text.splitlines() if line)
    assert "the first imaging term of this order" in text


def test_images_that_the_layout_does_not_read_are_counted(tmp_path) -> None:
    src = write_classes(tmp_path / "src", {"a": 3, "b": 3})
    rows = [(f"a/a_00{n}.jpg", "x") for n in range(3)]
    write_table(src / "labels.csv", rows, ("path", "label"))
    found = scan(src, ScanOptions()).summary
    assert (found["layout"], found["images"], found["left_out"]) == ("table", 3, 3)
    assert found["other_files"] == {".csv": 1}
    assert "3 more images, which layout table does not read" in render(found)


def test_dicom_under_any_name_is_an_image_and_no_other_file(tmp_path) -> None:
    src = tmp_path / "src" / "images"
    src.mkdir(parents=True)
    data = dicom(np.zeros((4, 5), dtype=np.uint8))
    for name in ("IM000001", "1.2.840.113.7", "DOE.JANE", "scan.IMA"):
        (src / name).write_bytes(data)
    (src / "notes.jane").write_text("no image")
    (src / "README.txt").write_bytes(data)  # a suffix that promises text is believed
    found = scan(src.parent, ScanOptions()).summary
    assert (found["images"], found["readable"], found["plan"]["private"]) == (4, 4, True)
    assert found["other_files"] == {"(other)": 1, ".txt": 1}


def test_large_numbers_are_written_out(tmp_path) -> None:
    src = tmp_path / "src"
    src.mkdir()
    header = bytearray(dicom(np.zeros((4, 5), dtype=np.uint8)))
    (src / "a.dcm").write_bytes(header)
    found = scan(src, ScanOptions()).summary
    found["sizes"]["width"] = {"min": 1, "median": 34, "max": 2097169}
    assert "width 1 to 2097169, median 34" in render(found)
