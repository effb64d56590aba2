"""Hostile files cost a line, never the run: mutated ones, and the real collection if there."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from mutations import MUTATIONS, mutated, write_mutations
from run_hostile import Report, check, describe

SEED = 1
IMAGES, DICOM_FILES = 380, 120

# Files in a format that is built in, which Pillow decodes and we refuse even with --on-damage keep.
REFUSED = {
    "fuzz-jpeg/dc0a440b2dd436b1aff68e8040b0f9ebfd5102ac.jpg": (
        "the first component is sampled more coarsely than another: no encoder writes this"
    ),
    "fuzz-png/b169e49b95794c91caf535ca7a54ba743893a949.png": (
        "a palette image without its palette: Pillow shows it in greys, OpenCV refuses it too"
    ),
    "png-regressions/x_interlaced_chck.png": (
        "a wrong CRC of the pixels: Pillow does not check it, OpenCV refuses the file too"
    ),
    "pillow/hopper_rle8_row_overflow.bmp": "a run leaves the image: damaged, Pillow cuts it",
    "pillow/no_palette.gif": "a GIF without any colour table: Pillow shows it in greys",
    **dict.fromkeys(
        (
            *("pillow/crash-74d2a78403a5a59db1fb0a2b8735ac068a75f6e3.tif", "pillow/hopper.Lab.tif"),
            *(f"pillow/g4_orientation_{turn}.tif" for turn in (1, 2, 3, 5, 6, 8)),
            *("pillow/total-pages-zero.tif", "pillow/16_bit_binary_pgm.tiff"),
            *("pillow/16bit.s.tif", "pillow/tiff_strip_cmyk_jpeg.tif"),
            "pillow/tiff_strip_cmyk_16l_jpeg.tif",
        ),
        "kinds of TIFF refused by name: CCITT fax, CIE Lab, signed, CMYK as JPEG or of 16 bits",
    ),
}


PAGE = Path(__file__).parents[2] / "docs" / "formats.md"


def table_of_refused() -> str:
    """Files by reason, as docs/formats.md has them."""
    reasons: dict[str, list[str]] = {}
    for path, reason in REFUSED.items():
        reasons.setdefault(reason, []).append(f"`{path}`")
    lines = [f"| {', '.join(paths)} | {reason} |" for reason, paths in reasons.items()]
    return "\n".join(["| files | why |", "| --- | --- |", *lines])


def test_the_page_lists_what_is_refused_and_why():
    page = PAGE.read_text()
    assert page.split("<!-- refused -->")[1].split("<!-- /refused -->")[0].strip() == (
        table_of_refused()
    ), f"put this into {PAGE.name}:\n{table_of_refused()}"


def test_the_same_seed_makes_the_same_files():
    for number in range(len(MUTATIONS)):
        assert mutated(number, seed=7) == mutated(number, seed=7)
    assert mutated(0, seed=7) != mutated(0, seed=8)


def is_tiff(name: str) -> bool:
    return name.endswith((".tif", ".tiff"))


def is_dicom(name: str) -> bool:
    return name.endswith(".dcm")


@pytest.mark.timeout(600)
def test_mutated_images_break_no_promise(tmp_path):
    paths = write_mutations(
        tmp_path, count=IMAGES, seed=SEED, chosen=lambda name: not is_dicom(name)
    )
    report = check(paths)
    assert not report.broken, describe(report)
    counts = report.counts()
    # A generator whose files were all refused, or all accepted, would test nothing.
    assert counts["decoded"] > 30 and counts["refused"] > 100 and counts["kept"] > 10, counts


@pytest.mark.timeout(600)
def test_mutated_dicom_files_break_no_promise(tmp_path):
    report = check(write_mutations(tmp_path, count=DICOM_FILES, seed=SEED, chosen=is_dicom))
    assert not report.broken, describe(report)


@pytest.fixture(scope="module")
def real(real_data, tmp_path_factory) -> Report:
    """The collection of hostile files, by names that keep their folder."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = []
    for path in sorted((real_data / "hostile").rglob("*")):
        if path.is_file():
            name = str(path.relative_to(real_data / "hostile")).replace("/", "~")
            paths.append(folder / name)
            paths[-1].write_bytes(path.read_bytes())
    return check(paths)


@pytest.mark.real_data
@pytest.mark.timeout(600)
def test_the_hostile_collection_breaks_no_promise(real):
    assert real.files == 562
    assert not real.broken, describe(real)


@pytest.mark.real_data
def test_what_the_reference_decodes_is_decoded_or_kept(real, real_data):
    refused = set()
    for name in decoded_by_pillow(real_data):
        found = real.verdicts[name.replace("/", "~")]
        if (found["known"] or is_tiff(name)) and not found["verdicts"]["keep"]["ok"]:
            refused.add(name)
    assert refused == set(REFUSED)


@pytest.mark.real_data
def test_sound_dicom_files_of_the_collection_are_decoded(real):
    sound = ("constant-pixels", "slope-zero", "window-zero")
    for name in sound:
        found = real.verdicts[f"derived~dicom-{name}.dcm"]["verdicts"]
        assert found["dicom"]["ok"] and found["dicom-stored"]["ok"], (name, found)
    for name in ("frames-100000", "rows-65535"):
        found = real.verdicts[f"derived~dicom-{name}.dcm"]["verdicts"]["dicom-stored"]
        assert found["kind"] == "LimitError", found


@pytest.mark.real_data
def test_a_dicom_file_without_preamble_is_decoded(real):
    assert real.verdicts["derived~dicom-no-preamble.dcm"]["verdicts"]["dicom-stored"]["ok"]


def decoded_by_pillow(real_data: Path) -> list[str]:
    """Paths below hostile/ that the reference decodes."""
    with (real_data / "manifest.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["set"] == "hostile"]
    return [row["path"].removeprefix("hostile/") for row in rows if row["pillow"] == "ok"]
