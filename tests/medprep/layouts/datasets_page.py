"""The tables of docs/datasets.md, from the miniatures. Run this file to bring them up to date."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve()
PAGE = HERE.parents[3] / "docs" / "datasets.md"
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from list_miniatures import listing_of  # noqa: E402
from miniatures import MAKERS, layout_of  # noqa: E402

from medprep.sources import Listing  # noqa: E402
from medprep.split import crossing_groups  # noqa: E402

BEGIN, END = "<!-- {}: made by tests/medprep/layouts/datasets_page.py -->", "<!-- end of {} -->"

MEANING = {  # layout: (sample, label, split, group, boxes, caption)
    "rsna": (
        "`patientId.dcm` of the label table; images without a row go to split `unlabelled`",
        "Normal, No Lung Opacity / Not Normal, Lung Opacity; by Target without the class table",
        "-",
        "NIH patient, by the official mapping (`patientId` is one per image)",
        "x, y, width, height; 1024-pixel units",
        "-",
    ),
    "rsna-mdai": (
        "`<study>/<series>/<image>.dcm`; images without a consensus go to split `unlabelled`",
        "group `Calculated` of the annotations: Normal, No Lung Opacity / Not Normal, Lung Opacity",
        "-",
        "NIH patient, by the official mapping (PatientID is one per image)",
        "`data` of the annotations; 1024-pixel units",
        "-",
    ),
    "smdg": (
        "row with a fundus image, in `full-fundus/` or doubled",
        "`types`: 0 non-glaucoma, 1 glaucoma; suspects (-1) left out, or `--unlabelled suspect`",
        "-",
        "PAPILA `patient_id`; ODIR, CRFO, BEH by `original_name`; all of G1020 as one",
        "-",
        "-",
    ),
    "fundus-pytorch": (
        "image file", "folder 0 or 1", "folder", "SMDG name, whatever was added to it", "-", "-",
    ),
    "kermany": (
        "image file of the outer copy", "folder", "folder", "child, by the file name", "-", "-",
    ),
    "ham10000": (
        "row whose image lies in any folder, once",
        "`dx`; one-hot column; `benign_malignant`",
        "Training, Validation, Test in the name of the table, when there are several",
        "`lesion_id`; `patient_id` (2020)",
        "-",
        "-",
    ),
    "skin35": (
        "image file", "folder, named as on disk", "-",
        "copies: same bytes, or one name with marks of augmentation", "-", "-",
    ),
    "pmc-oa": (
        "line with `image` and `caption`", "-", "name of the file (train, valid, test)",
        "article: `pmcid`, or the PMC number in the name", "-", "`caption`",
    ),
    "coco": (
        "entry of `images`", "-", "name of the file or folder", "-",
        "`bbox`, class = category", "first caption, where there are captions",
    ),
    "yolo": (
        "image file", "-", "folder", "-", "text file beside it; names from data.yaml", "-",
    ),
    "table": (
        "path column", "label column (optional with boxes or captions)", "split column",
        "group column, or PatientID of DICOM", "box columns, one row per box", "caption column",
    ),
    "arrays": (
        "row of an array, `file.npz#train_images/17`", "labels array, one-hot too",
        "name of the array", "-", "-", "-",
    ),
    "folder": (
        "image file", "folder", "folder above", "PatientID of DICOM", "-", "-",
    ),
    "files": ("image file", "-", "folder above", "PatientID of DICOM", "-", "-"),
    "subset": (
        "line of samples.jsonl; the image where it was", "as in the whole", "as in the whole",
        "as in the whole, each whole", "as in the whole", "as in the whole",
    ),
}  # fmt: skip


def meaning_table() -> str:
    """Layout -> what its samples, labels, splits, groups, boxes and captions are."""
    head = ("layout", "sample", "label", "split", "group", "boxes", "caption")
    return _table(head, [(f"`{name}`", *cells) for name, cells in MEANING.items()])


def counts_table(folder: Path) -> str:
    """Layout -> how `auto` recognises its miniature, and what is found there."""
    head = ("miniature", "recognised by", "images", "refused", "unlabelled", "classes", "splits")
    rows = []
    for at, (name, make) in enumerate(MAKERS.items()):
        listing = listing_of(make(folder / str(at)))
        assert listing.layout == layout_of(name)
        rows.append((name, listing.notes[0].text.split(" recognised by ")[1], *_counts(listing)))
    return _table(
        (*head, "groups", "groups in two splits", "boxes", "captions", "attributes"), rows
    )


def _counts(listing: Listing) -> tuple[object, ...]:
    items = listing.items
    splits = Counter(item.split for item in items if item.split is not None)
    crossing = crossing_groups(items, [item.split or "" for item in items])
    return (
        len(items),
        len(listing.failures),
        sum(item.class_name is None for item in items),
        len(listing.class_names),
        ", ".join(f"{name} {count}" for name, count in sorted(splits.items())) or "-",
        len({item.group for item in items if item.group is not None}),
        len(crossing),
        sum(len(item.boxes or ()) for item in items),
        sum(item.caption is not None for item in items),
        sum(item.attributes is not None for item in items),
    )


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def updated(page: str, folder: Path) -> str:
    """The page with both tables as they are now."""
    for name, table in (("meanings", meaning_table()), ("counts", counts_table(folder))):
        begin, end = BEGIN.format(name), END.format(name)
        before, _, rest = page.partition(begin)
        _, found, after = rest.partition(end)
        assert found, f"docs/datasets.md lacks the marks of {name}"
        page = f"{before}{begin}\n\n{table}\n\n{end}{after}"
    return page


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(updated(PAGE.read_text(encoding="utf-8"), Path(folder)), encoding="utf-8")


if __name__ == "__main__":
    main()
