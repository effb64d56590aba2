"""Faithful miniatures of real collections: their names, tables, doubled folders and traps.

Each maker writes one collection below `root` and returns what to name as SRC. The facts come from
the tables of the real sets; pictures are small and made up.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import shutil
import struct
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from dicom_files import JPEG_BASELINE, dicom, element
from PIL import Image
from tiny_collections import write_classes, write_image

# -- RSNA pneumonia ----------

RSNA_BOXES = {  # images with findings have 1 to 4 boxes; the last box touches the edge
    8: [(264, 152, 213, 379)],
    9: [(264, 152, 213, 379), (562, 152, 256, 453)],
    10: [(100, 200, 40, 300), (300, 200, 40, 300), (500, 200, 100, 300)],
    11: [(10, 20, 100, 100), (200, 20, 100, 100), (400, 20, 100, 100), (624, 624, 400, 400)],
}
RSNA_CLASSES = ["Normal"] * 4 + ["No Lung Opacity / Not Normal"] * 4 + ["Lung Opacity"] * 4
RSNA_NIH = [1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 1, 7, 7]  # NIH patient of 12 + 3 images


def rsna(root: Path, *, mapping: bool = True) -> Path:
    """12 labelled and 3 test images; one image is one patientId, whoever it shows."""
    ids = [f"{number:08x}-0000-4000-8000-{number:012x}" for number in range(15)]
    for number, name in enumerate(ids):
        folder = "stage_2_train_images" if number < 12 else "stage_2_test_images"
        age = {0: "51", 1: "148"}.get(number, str(20 + number))  # bare numbers, some absurd
        view = "AP" if number % 2 else "PA"
        write(
            root / folder / f"{name}.dcm",
            chest_dicom(patient=name, age=age, sex="MF"[number % 2], view=view, seed=number),
        )
    labels, classes = [], []
    for number in range(12):
        boxes: list[tuple[object, ...]] = [*RSNA_BOXES.get(number, [("", "", "", "")])]
        target = int(number in RSNA_BOXES)
        labels += [(ids[number], *(f"{v}.0" if v != "" else "" for v in b), target) for b in boxes]
        classes += [(ids[number], RSNA_CLASSES[number])] * len(boxes)
    write_csv(
        root / "stage_2_train_labels.csv",
        "patientId,x,y,width,height,Target",
        labels,
    )
    write_csv(root / "stage_2_detailed_class_info.csv", ("patientId", "class"), classes)
    sample = [(name, "0.5 0 0 100 100") for name in ids[12:]]
    write_csv(root / "stage_2_sample_submission.csv", ("patientId", "PredictionString"), sample)
    if mapping:
        rows = [
            {"subset_img_id": name, "img_id": f"{patient:08}_{number:03}.png"}
            for number, (name, patient) in enumerate(zip(ids, RSNA_NIH, strict=True))
        ]
        rows.append({"subset_img_id": "not-in-this-set", "img_id": "00000009_000.png"})
        path = root / "pneumonia-challenge-dataset-mappings_2018.json"
        path.write_text(json.dumps(rows))
    return root


def rsna_mdai(root: Path, *, mapping: bool = True) -> Path:
    """The export of MD.ai: UIDs for names, what several teams said, three images not settled."""
    uids = [[f"1.2.276.0.7230010.3.1.{k}.8323329.{n}" for k in (2, 3, 4)] for n in range(15)]
    folder = root / "mdai_rsna_project_x9N20BZa_images_2018-07-20-153330"
    for n, (study, series, image) in enumerate(uids):
        data = chest_dicom(patient=f"{n:08x}-0000-4000-8000-{n:012x}", age="51", sex="F", seed=n)
        write(folder / study / series / f"{image}.dcm", data)
    annotations: list[dict[str, object]] = [_mdai(uids[0], "L_ques", study_only=True)]
    for n in range(12):
        boxes = RSNA_BOXES.get(n, [None])
        annotations += [_mdai(uids[n], MDAI_LABELS[RSNA_CLASSES[n]], box) for box in boxes]
        annotations.append(_mdai(uids[n], "L_team", (1, 1, 900, 900)))  # one reader's opinion
    annotations.append(_mdai(uids[12], "L_excl"))
    consensus = [{"id": key, "name": name} for name, key in MDAI_LABELS.items()]
    team = [{"id": "L_team", "name": "Lung Opacity"}, {"id": "L_excl", "name": "Exclude"}]
    content = {
        "id": "x9N20BZa",
        "name": "ChestX-ray14 subset: Pneumonia",
        "labelGroups": [
            {"id": "G_1", "name": "Team 1", "labels": team},
            {"id": "G_qwj", "name": "Calculated", "labels": consensus},
        ],
        "datasets": [{"id": "D_e57", "studies": [], "annotations": annotations}],
    }
    name = "pneumonia-challenge-annotations-adjudicated-kaggle_2018.json"
    write(root / name, json.dumps(content).encode())
    if mapping:
        rows = [
            {"SOPInstanceUID": uid[2], "img_id": f"{patient:08}_{n:03}.png"}
            for n, (uid, patient) in enumerate(zip(uids, RSNA_NIH, strict=True))
        ]
        write(root / "pneumonia-challenge-dataset-mappings_2018.json", json.dumps(rows).encode())
    return root


MDAI_LABELS = {
    "Normal": "L_o8w",
    "No Lung Opacity / Not Normal": "L_yd0",
    "Lung Opacity": "L_v8n",
}


def _mdai(
    uids: list[str],
    label: str,
    box: tuple[int, ...] | None = None,
    *,
    study_only: bool = False,
) -> dict[str, object]:
    data = None if box is None else dict(zip(("x", "y", "width", "height"), box, strict=True))
    found: dict[str, object] = {"StudyInstanceUID": uids[0], "labelId": label, "data": data}
    if not study_only:
        found |= {"SeriesInstanceUID": uids[1], "SOPInstanceUID": uids[2]}
        found |= {"height": 1024, "width": 1024, "annotationNumber": 1}
    return found


def chest_dicom(
    *, patient: str, age: str = "", sex: str = "", view: str = "", seed: int = 0, side: int = 1024
) -> bytes:
    """JPEG Baseline, MONOCHROME2, with the identifying elements that the real files carry."""
    data = _bare_dicom(seed, side)
    header = b"".join(
        element(group, number, vr, value.encode())
        for group, number, vr, value in (
            (0x0008, 0x0020, "DA", "19010101"),
            (0x0008, 0x103E, "LO", f"view: {view}"),
            (0x0010, 0x0010, "PN", patient),
            (0x0010, 0x0020, "LO", patient),
            (0x0010, 0x0040, "CS", sex),
            (0x0010, 0x1010, "AS", age),
            (0x0018, 0x5101, "CS", view),
        )
        if value
    )
    at = data.index(struct.pack("<HH", 0x0028, 0x0002))
    spacing = element(0x0028, 0x0030, "DS", b"0.143\\0.143")
    rest = data.index(struct.pack("<HH", 0x0028, 0x0100))
    return data[:at] + header + data[at:rest] + spacing + data[rest:]


@functools.cache
def _bare_dicom(seed: int, side: int) -> bytes:
    ramp = np.add.outer(np.arange(side), np.arange(side)) // 8 + 3 * seed
    pixels = (ramp % 256).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
    return dicom(pixels, syntax=JPEG_BASELINE, fragments=[buffer.getvalue()])


def fake_headers(root: str, paths: Iterable[str]) -> list[dict[str, object]]:
    """`_core.read_dicom_headers` for the files made here: one dict per path, or its error."""
    return [_fake_header((Path(root) / path).read_bytes()) for path in paths]


def _fake_header(data: bytes) -> dict[str, object]:
    if data[128:132] != b"DICM":
        return {"error": "not a DICOM file"}

    def text(group: int, number: int) -> str | None:
        at = data.find(struct.pack("<HH", group, number))
        if at < 0:
            return None
        (length,) = struct.unpack("<H", data[at + 6 : at + 8])
        return data[at + 8 : at + 8 + length].decode().strip(" \0")

    age, spacing = text(0x0010, 0x1010), text(0x0028, 0x0030)
    return {
        "patient_id": text(0x0010, 0x0020),
        "view": text(0x0018, 0x5101),
        "sex": text(0x0010, 0x0040),
        "age_years": float(age) if age else None,
        "spacing": [float(part) for part in spacing.split("\\")] if spacing else None,
        "error": None,
    }


# -- SMDG-19 ----------

SMDG_HEADER = (
    "names,types,type_expanded,isColor,original_name,patient_id,fundus,fundus_od_seg,"
    "fundus_oc_seg,bv_seg,artery_seg,vein_seg,oct,oct_oc_seg,oct_od_seg,sex,gender,age,eye,sbp,"
    "dbp,hr,iop,vcdr,Unnamed: 24,notchI_present,notchS_present,notchN_present,notchT_present,"
    "expert1_grade,expert2_grade,expert3_grade,expert4_grade,expert5_grade,cdr_avg,cdr_expert1,"
    "cdr_expert2,cdr_expert3,cdr_expert4,refractive_dioptre_1,refractive_dioptre_2,"
    "refractive_astigmatism,phakic_or_pseudophakic,iop_perkins,iop_pneumatic,pachymetry,"
    "axial_length,visual_field_mean_defect"
)
SMDG_COLUMNS = next(csv.reader([SMDG_HEADER]))
SMDG_ROWS = (  # names, types, original_name, patient_id, sex, gender, age
    ("OIA-ODIR-TRAIN-1", "0", "5_left.jpg", "", "F", "", "58"),
    ("OIA-ODIR-TRAIN-2", "1", "5_right.jpg", "", "F", "", "58"),  # one person, two labels
    ("OIA-ODIR-TEST-OFFLINE-1", "0", "1029_right.jpg", "", "M", "", "60"),
    ("OIA-ODIR-TRAIN-9", "-1", "77_left.jpg", "", "M", "", " "),
    ("PAPILA-2", "1", "4", "PAPILA-4", "", "1", "58"),
    ("PAPILA-246", "1", "4", "PAPILA-4", "", "1", "58"),  # the other eye
    ("CRFO-v4-1", "1", "Glaucoma-P_10-Left Eye", "", "", "", ""),
    ("CRFO-v4-2", "1", "Glaucoma-P_10-Right Eye", "", "", "", ""),
    ("CRFO-v4-79", "0", "Healthy-P_10-Right Eye", "", "", "", ""),
    ("BEH-1", "1", "IM000000_L.JPG", "", "", "", ""),
    ("BEH-2", "1", "IM000000_R.JPG", "", "", "", ""),
    ("BEH-3", "1", "IM000000 (2).JPG", "", "", "", ""),
    ("BEH-634", "0", "IM003333.JPG", "", "", "", ""),
    ("G1020-1", "0", "image_0.jpg", "", "", "", ""),
    ("G1020-2", "0", "image_1.jpg", "", "", "", ""),
    ("G1020-3", "1", "image_3.jpg", "", "", "", ""),
    ("EyePACS-Glaucoma-1", "1", "TRAIN000034.jpg", "", "", "", ""),
    ("EyePACS-Glaucoma-2", "1", "TRAIN000060.jpg", "", "", "", ""),
    ("HRF-2", "0", "01_h.jpg", "", "", "", ""),
    ("ORIGA-1", "0", "001.jpg", "", "", "", ""),
    ("LES-AV-22", "0", "90.png", "", "M", "", "90"),
    ("JSIEC-1000-51", "-1", "Suspect-1ffa933d.JPG", "", "", "", ""),
)
SMDG_MISSING = "REFUGE1-val-1"


def smdg(root: Path) -> Path:
    """Every kind of row: both eyes, suspects, G1020 without patients, a picture not there."""
    rows = []
    for at, (name, types, original, patient, sex, gender, age) in enumerate(
        (*SMDG_ROWS, (SMDG_MISSING, "0", "V0001.jpg", "", "", "", ""))
    ):
        row = dict.fromkeys(SMDG_COLUMNS, "")
        row |= {"names": name, "types": types, "isColor": "1", "original_name": original}
        row |= {"patient_id": patient, "sex": sex, "gender": gender, "age": age}
        row |= {"fundus": f"/full-fundus/{name}.png", "vcdr": " ", "fundus_oc_seg": "Not Visible"}
        rows.append([row[column] for column in SMDG_COLUMNS])
        if name != SMDG_MISSING:
            write_image(root / "full-fundus" / "full-fundus" / f"{name}.png", at)
    write_image(root / "optic-disc" / "optic-disc" / "BEH-1.png", 1)  # a mask, no sample
    write_csv(root / "metadata - standardized.csv", SMDG_COLUMNS, rows)
    return root


def fundus_pytorch(root: Path) -> Path:
    """SMDG images in train|val|test/0|1; copies of one lie in one split, of two others in two."""
    for at, path in enumerate(
        (
            *("train/0/OIA-ODIR-TRAIN-1.png", "train/0/HRF-2.png", "train/0/ORIGA-1.png"),
            *("train/1/BEH-1.png", "train/1/BEH-1_aug_1.png", "train/1/BEH-1 (2).png"),
            *("train/1/BEH-10.png", "train/1/EyePACS-Glaucoma-7.png", "train/1/CRFO-v4-3.png"),
            *("val/0/LES-AV-22.png", "val/0/HRF-2_copy.png", "val/1/REFUGE1-train-4.png"),
            *("test/0/DRISHTI-GS1-test-9.png", "test/1/EyePACS-Glaucoma-7_flip.png"),
            "test/1/sjchoi86-HRF-401.png",
        )
    ):
        write_image(root / path, at)
    return root


# -- Kermany chest ----------


def kermany(root: Path) -> Path:
    """The archive as it unpacks: everything twice, and what a Mac leaves behind."""
    names = {
        "train/NORMAL": "IM-0115-0001 IM-0117-0001 NORMAL2-IM-0927-0001 NORMAL2-IM-0927-0001-0002",
        "train/PNEUMONIA": "person1_bacteria_1 person1_bacteria_2 person7_virus_12 person9_virus_3",
        "val/NORMAL": "NORMAL2-IM-1427-0001",
        "val/PNEUMONIA": "person1946_bacteria_4874",
        "test/NORMAL": "IM-0001-0001 NORMAL2-IM-0030-0001",
        "test/PNEUMONIA": "person1_virus_6 person100_bacteria_475",
    }
    outer = root / "chest_xray"
    for at, (folder, stems) in enumerate(names.items()):
        for number, stem in enumerate(stems.split()):
            path = f"{folder}/{stem}.jpeg"
            write_image(outer / path, 10 * at + number, grey=True)
            (outer / "chest_xray" / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(outer / path, outer / "chest_xray" / path)
            write(outer / "__MACOSX" / "chest_xray" / folder / f"._{stem}.jpeg", b"\0\5\26\7")
            write(outer / "chest_xray" / folder / ".DS_Store", b"\0")
    return root


# -- skin ----------


def ham10000(root: Path) -> Path:
    """Metadata, two folders of images that Kaggle ships twice, and pixel tables beside."""
    rows = [  # lesion_id, image_id, dx, dx_type, age, sex, localization
        ("HAM_0000118", "ISIC_0027419", "bkl", "histo", "80.0", "male", "scalp"),
        ("HAM_0000118", "ISIC_0025030", "bkl", "histo", "80.0", "male", "scalp"),
        ("HAM_0002730", "ISIC_0026769", "bkl", "histo", "80.0", "male", "scalp"),
        ("HAM_0001466", "ISIC_0031633", "nv", "histo", "75.0", "female", "ear"),
        ("HAM_0001466", "ISIC_0027850", "nv", "histo", "75.0", "female", "ear"),
        ("HAM_0002761", "ISIC_0029176", "mel", "histo", "60.0", "unknown", "face"),
        ("HAM_0003136", "ISIC_0025539", "df", "consensus", "", "female", "chest"),
        ("HAM_0004234", "ISIC_0024306", "vasc", "follow_up", "90.0", "female", "back"),
        ("HAM_0005132", "ISIC_0024310", "akiec", "confocal", "55.0", "male", "trunk"),
        ("HAM_0006071", "ISIC_0024318", "bcc", "histo", "85.0", "male", "neck"),
    ]
    header = "lesion_id,image_id,dx,dx_type,age,sex,localization"
    write_csv(root / "HAM10000_metadata.csv", header, rows)
    for at, row in enumerate(rows):
        part = f"images_part_{1 + at % 2}"
        write_image(root / f"HAM10000_{part}" / f"{row[1]}.jpg", at)
        (root / f"ham10000_{part}").mkdir(exist_ok=True)
        shutil.copy(root / f"HAM10000_{part}" / f"{row[1]}.jpg", root / f"ham10000_{part}")
    write_image(root / "HAM10000_images_part_1" / "ISIC_0099999.jpg", 99)  # no row names it
    pixels = [f"pixel{n:04}" for n in range(4)]
    write_csv(root / "hmnist_2_2_L.csv", (*pixels, "label"), [(1, 2, 3, 4, 0)])
    return root


def isic2019(root: Path) -> Path:
    """One-hot ground truth, metadata with lesions beside it, some names `_downsampled`."""
    classes = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
    rows, metadata = [], []
    for at, name in enumerate(("0000000", "0000001_downsampled", "0000002", "0000003", "0000004")):
        image = f"ISIC_{name}"
        write_image(root / "ISIC_2019_Training_Input" / f"{image}.jpg", at)
        rows.append((image, *(f"{float(k == at % 4)}" for k in range(len(classes)))))
        lesion = "MSK4_0011169" if at < 2 else ("" if at == 2 else f"HAM_{at:07}")
        metadata.append((image, f"{50 + 10 * at}.0", "anterior torso", lesion, "female"))
    write_csv(root / "ISIC_2019_Training_GroundTruth.csv", ("image", *classes), rows)
    write_csv(
        root / "ISIC_2019_Training_Metadata.csv",
        "image,age_approx,anatom_site_general,lesion_id,sex",
        metadata,
    )
    return root


def isic2018(root: Path) -> Path:
    """Training and validation in folders of their own, lesion groupings for training only."""
    classes = ("MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC")
    for part, numbers in (("Training", range(4)), ("Validation", range(10, 12))):
        start = f"ISIC2018_Task3_{part}"
        rows = []
        for at in numbers:
            write_image(root / f"{start}_Input" / f"ISIC_{at:07}.jpg", at)
            rows.append((f"ISIC_{at:07}", *(f"{float(k == at % 2)}" for k in range(7))))
        truth = f"{start}_GroundTruth"
        write_csv(root / truth / f"{truth}.csv", ("image", *classes), rows)
        write(root / f"{start}_Input" / "LICENSE.txt", b"CC-BY-NC 4.0")
    write_csv(
        root / "ISIC2018_Task3_Training_LesionGroupings.csv",
        ("image", "lesion_id", "diagnosis_confirm_type"),
        [(f"ISIC_{at:07}", f"HAM_{at // 2:07}", "histopathology") for at in range(4)],
    )
    return root


def isic2020(root: Path) -> Path:
    """One table with patients."""
    rows = []
    for at in range(6):
        write_image(root / "train" / f"ISIC_{at:07}.jpg", at)
        rows.append(
            (f"ISIC_{at:07}", f"IP_{at // 2:07}", "male", 45.0, "head/neck", "unknown")
            + (("malignant", 1) if at == 5 else ("benign", 0))
        )
    header = "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis"
    write_csv(root / "train.csv", f"{header},benign_malignant,target", rows)
    return root


def skin35(root: Path) -> Path:
    """All 35 folders below a doubled one; augmented copies, and one file in two classes."""
    from medprep.sources.skin35 import CLASSES

    home = root / "balanced_dataset" / "balanced_dataset"
    for at, name in enumerate(CLASSES):
        write_image(home / name / "img-001.jpg", 2 * at)
        write_image(home / name / "img-002.jpg", 2 * at + 1)
    eczema, atopic = home / "Eczema Photos", home / "Atopic Dermatitis Photos"
    write_image(eczema / "img-001_aug_1.jpg", 901)
    write_image(eczema / "img-001_aug_2.jpg", 902)
    shutil.copy(eczema / "img-002.jpg", eczema / "another-name.jpg")
    shutil.copy(atopic / "img-001.jpg", eczema / "also-atopic.jpg")
    paths = [(f"/kaggle/working/{name}/img-001.jpg", name) for name in CLASSES]
    write_csv(root / "balanced_dataset.csv", ("image_path", "label"), paths)
    return root


# -- captions ----------

PMC_FOLDER = "images/caption_T060_filtered_top4_sep_v0_subfigures"
PMC_ROWS = (
    ("PMC212319_Fig3_4.jpg", "A. Real time image of the translocation of ARF1-GFP to the edge"),
    ("PMC212319_Fig3_5.jpg", "B. The same cell five minutes later, with the edge retracted"),
    ("PMC1065025_F2_1.jpg", "(a)"),
    ("PMC1065025_F2_2.jpg", "Axial CT of the chest shows a mass in the right upper lobe"),
    ("PMC1090591_f1-ehp0113-000220_1.jpg", "Light micrograph, H&E stain, magnification x40"),
    ("PMC1090591_f2-gone_1.jpg", "A figure whose file is not in the archive"),
    ("PMC1131937_F1_1.jpg", "A page of HTML that was saved under the name of a picture"),
)


def pmc_oa(root: Path) -> Path:
    """Two tables, the nested folder of figures, a tiny caption, a torn line, an HTML page."""
    lines = [json.dumps({"image": image, "caption": caption}) for image, caption in PMC_ROWS]
    for at, (image, _) in enumerate(PMC_ROWS):
        if "gone" not in image:
            write_image(root / PMC_FOLDER / image, at)
    (root / PMC_FOLDER / PMC_ROWS[-1][0]).write_text("<html>404</html>")
    write(root / "pmc_oa.jsonl", ("\n".join(lines) + '\n{"image": "PMC99_F').encode())
    write(root / "pmc_oa_beta.jsonl", (lines[0] + "\n").encode())
    return root


# -- formats ----------

TABLE_HEADER = "image,diagnosis,patient_id,x,y,width,height,box_label,caption,sex,age"
TABLE_ROWS = (
    ("a/1.png", "sick", "p1", 2, 3, 5, 6, "nodule", "A nodule and a mass", "F", "61"),
    ("a/1.png", "sick", "p1", 9, 3, 4, 4, "mass", "A nodule and a mass", "F", "61"),
    ("a/2.png", "well", "p1", "", "", "", "", "", "Nothing abnormal", "F", "62"),
    ("b/3.png", "well", "p2", "", "", "", "", "", "Nothing abnormal", "M", "95"),
    ("b/4.png", "sick", "p3", 1, 1, 3, 3, "mass", "A mass", "", ""),
    ("b/5.png", "sick", "p3", 1, 1, 0, 3, "mass", "A box without width", "", ""),
)


def table(root: Path) -> Path:
    """Boxes and captions in one table, one row per box."""
    for at, name in enumerate(dict.fromkeys(str(row[0]) for row in TABLE_ROWS)):
        write_image(root / name, at)
    write_csv(root / "labels.csv", TABLE_HEADER, TABLE_ROWS)
    return root


def arrays(root: Path) -> Path:
    """MedMNIST's keys: images (N, 28, 28) and labels (N, 1), compressed."""
    rng = np.random.default_rng(7)
    members = {}
    for split, count in (("train", 12), ("val", 4), ("test", 5)):
        members[f"{split}_images"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        members[f"{split}_labels"] = (np.arange(count) % 2).reshape(-1, 1).astype(np.uint8)
    root.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(root / "pneumoniamnist.npz", **members)
    return root


def xy_arrays(root: Path) -> Path:
    """X and y as .npy files: float pixels of 0..1, as training notebooks leave them."""
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(8)
    for split, count in (("train", 8), ("test", 3)):
        pixels = rng.integers(0, 256, (count, 20, 24, 3))
        np.save(root / f"X_{split}.npy", (pixels / 255).astype(np.float32))
        np.save(root / f"y_{split}.npy", np.eye(3, dtype=np.float32)[np.arange(count) % 3])
    return root


def coco(root: Path) -> Path:
    """COCO's own folders; category ids with gaps, an image without findings, one not there."""
    categories = [{"id": 1, "name": "nodule"}, {"id": 5, "name": "mass"}]
    for split, numbers in (("train", range(4)), ("val", range(4, 6))):
        images = [
            {"id": n, "file_name": f"{n:012}.jpg", "height": 20, "width": 24} for n in numbers
        ]
        boxes = [
            {"id": 10 * n + k, "image_id": n, "category_id": (1, 5)[k], "bbox": [k, 2, 5.5, 6]}
            for n in numbers
            for k in range(n % 3)
        ]
        for n in numbers:
            if n != 3:
                write_image(root / f"{split}2017" / f"{n:012}.jpg", n)
        content = {"info": {}, "images": images, "annotations": boxes, "categories": categories}
        file = root / "annotations" / f"instances_{split}2017.json"
        write(file, json.dumps(content).encode())
        write(file.with_name(f"captions_{split}2017.json"), json.dumps(content).encode())
    return root


def yolo(root: Path) -> Path:
    """Twin folders; an image without a text file, an empty one, a line that is no box."""
    write(
        root / "data.yaml", b"train: images/train\nval: images/val\nnc: 2\nnames: [nodule, mass]\n"
    )
    texts = {
        "train/a": "0 0.5 0.5 0.25 0.5\n1 0.25 0.25 0.5 0.5\n",
        "train/b": "",
        "train/c": None,
        "train/d": "7 0.5 0.5 0.1 0.1\n",
        "val/e": "1 0.5 0.5 1 1\n",
    }
    for at, (name, text) in enumerate(texts.items()):
        write_image(root / "images" / f"{name}.jpg", at)
        if text is not None:
            write(root / "labels" / f"{name}.txt", text.encode())
    return root


def folder(root: Path) -> Path:
    """Class folders below split folders, and a class without labels."""
    return write_classes(root, {"train/glaucoma": 3, "train/normal": 3, "test/glaucoma": 1})


def files(root: Path) -> Path:
    """Images without labels, some deeper than others, and what is no image."""
    for at, name in enumerate(("images/a.jpg", "images/deep/b.png", "images/c.jpg")):
        write_image(root / name, at)
    write(root / "readme.txt", b"no image")
    return root


def hospital(root: Path) -> Path:
    """DICOM as an export leaves it: names without suffix, an index, two studies of one person."""
    for at, (path, patient) in enumerate(
        (
            ("normal/ST1/IM000001", "PID-1"),
            ("normal/ST2/IM000001", "PID-2"),
            ("pneumonia/ST3/IM000001", "PID-1"),
            ("pneumonia/ST3/1.2.840.113.7", "PID-1"),
            ("pneumonia/ST4/chest.dcm", ""),
        )
    ):
        data = chest_dicom(patient=patient, age="091Y"[:3], sex="F", view="PA", seed=at, side=32)
        write(root / path, data)
    write(root / "pneumonia" / "ST4" / "DICOMDIR", b"\0" * 128 + b"DICM")
    write(root / "pneumonia" / "ST4" / "report", b"text without a suffix")
    return root


def export(root: Path) -> Path:
    """PATIENT/STUDY/IM000000, as a hospital writes it, and a patient with a report only."""
    for number in range(4):
        for image in range(3):
            data = chest_dicom(patient=f"77{number}", seed=image, side=32)
            write(root / f"Zqxw Doe {number}" / "ST1" / f"IM{image:06}", data)
    write(root / "Zqxw Roe" / "report.pdf", b"%PDF")
    return root


def subset(root: Path) -> Path:
    """Six children or so of the chest X-rays, linked by `medprep subset`."""
    from medprep.sources import SourceOptions, list_source
    from medprep.subset import select, write_subset

    listing = list_source(kermany(root / "whole"), options=SourceOptions())
    chosen = select(listing.items, 6, seed=1, balance=False)
    write_subset(root / "part", listing, chosen, wanted=6, options={"n": 6, "seed": 1})
    return root / "part"


MAKERS: Mapping[str, Callable[[Path], Path]] = {
    "rsna": rsna,
    "rsna-mdai": rsna_mdai,
    "smdg": smdg,
    "fundus-pytorch": fundus_pytorch,
    "kermany": kermany,
    "ham10000": ham10000,
    "ham10000 (ISIC 2018)": isic2018,
    "ham10000 (ISIC 2019)": isic2019,
    "ham10000 (ISIC 2020)": isic2020,
    "skin35": skin35,
    "pmc-oa": pmc_oa,
    "coco": coco,
    "yolo": yolo,
    "table": table,
    "arrays": arrays,
    "arrays (X and y)": xy_arrays,
    "folder": folder,
    "folder (DICOM)": hospital,
    "files": files,
    "files (DICOM by patient)": export,
    "subset": subset,
}
"""Maker by layout, and the variant in brackets where a layout has several."""


def layout_of(name: str) -> str:
    """`ham10000 (ISIC 2019)` -> `ham10000`."""
    return name.split(" (")[0]


# -- small helpers ----------


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_csv(path: Path, header: str | Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    header = header.split(",") if isinstance(header, str) else header
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([[*header], *rows])
