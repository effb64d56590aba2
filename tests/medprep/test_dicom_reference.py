"""Real files against the reference decoder's hashes; the tables say where and why not equal.

The files and `reference.csv` (made with pydicom 3.0.2 and pylibjpeg) are beside the clone only.
"""

from __future__ import annotations

import csv
import hashlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import medprep
from medprep.errors import MedprepError, UnsupportedError

pytestmark = pytest.mark.real_data

LOSSY = "equal to libjpeg-turbo; the reference's libjpeg has another inverse DCT and upsampling"
TWELVE_BITS = "the reference's libjpeg fails on it; ours equals libjpeg-turbo's 12-bit decoder"

NOT_BUILT_IN = {"htj2k-lossy", "j2k-lossless", "j2k-lossy", "jpegls-lossless", "jpegls-near"}

# Files the reference decodes to other values than we do, and why.
DIFFERENT = {
    "jpeg-baseline/GH538-jpeg1.dcm": LOSSY,
    "jpeg-baseline/JPEGBaseline_1s_1f_u_08_08.dcm": LOSSY,
    "jpeg-baseline/SC_rgb_dcmtk_+eb+cr.dcm": LOSSY,
    "jpeg-baseline/SC_rgb_dcmtk_+eb+cy+n1.dcm": LOSSY,
    "jpeg-baseline/TestPattern_JPEG-Baseline_YBR422.dcm": LOSSY,
    "jpeg-extended/CTImage.dcm_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm": LOSSY,
    "jpeg-extended/JPEGExtended_1s_1f_u_16_12.dcm": LOSSY,
    "jpeg-extended/JPEGExtended_3s_1f_u_08_08.dcm": LOSSY,
}

# Files the reference decodes and we do not, and why.
NOT_DECODED: dict[str, str] = {}

# Files the reference does not decode and we do, and why ours may be right.
ONLY_OURS = {
    "deflated-frame/liver_deflate.dcm": "the reference has no Deflated Image Frame",
    "jpeg-extended/MR1_JPLY.dcm": TWELVE_BITS + ", but for a block that this one garbles",
    "jpeg-extended/MR3_JPLY.dcm": TWELVE_BITS,
    "jpeg-extended/RG3_JPLY.dcm": TWELVE_BITS,
    "jpeg-extended/XA1_JPLY.dcm": TWELVE_BITS,
    "jpeg-lossless-sv1/GH1339.dcm": "an item is not closed: the reference reads on to the end",
}

# Grey levels between our pixels and the reference's, of 8-bit and of 12-bit JPEG.
MOST_LEVELS = 12


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "reference.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def hash_of(row: dict[str, str], pixels: np.ndarray) -> str:
    if row["dtype"].startswith(">"):
        pixels = pixels.astype(pixels.dtype.newbyteorder(">"))
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def outcome(folder: Path, row: dict[str, str]) -> str:
    """What became of a file: equal, different, decoded (no reference), refused or failed."""
    data = (folder / row["path"]).read_bytes()
    try:
        pixels = medprep.decode_dicom(data, window=None, frames="all")
    except UnsupportedError:
        return "refused"
    except MedprepError:
        return "failed"
    if row["decodes"] != "ok":
        return "decoded"
    if pixels.shape[0] == 1 and not row["shape"].startswith("1x"):
        pixels = pixels[0]
    return "equal" if hash_of(row, pixels) == row["pixel_sha256"] else "different"


def test_every_file_equals_the_reference_or_has_its_reason(real_data: Path) -> None:
    folder = real_data / "dicom-syntaxes"
    unexplained, unneeded = [], set(DIFFERENT) | set(NOT_DECODED) | set(ONLY_OURS)
    equal = 0
    for row in table(folder):
        path, found = row["path"], outcome(folder, row)
        equal += found == "equal"
        if path.split("/")[0] in NOT_BUILT_IN:
            expected = {"refused"}
        elif path in DIFFERENT:
            expected = {"different"}
        elif path in NOT_DECODED:
            expected = {"refused", "failed"}
        elif path in ONLY_OURS:
            expected = {"decoded"}
        else:
            expected = {"equal"} if row["decodes"] == "ok" else {"refused", "failed"}
        unneeded.discard(path)
        if found not in expected:
            unexplained.append(f"{path}: {found}, expected {expected}")
    assert not unexplained, "\n".join(unexplained)
    assert not unneeded, f"reasons for files that are not there: {unneeded}"
    assert equal >= 70


def stream_of(data: bytes) -> bytes:
    """The one JPEG of a file of one frame."""
    return data[data.index(b"\xff\xd8\xff", data.index(b"\xfe\xff\x00\xe0")) :]


def test_lossy_jpegs_of_eight_bits_equal_libjpeg_turbo(real_data: Path) -> None:
    folder = real_data / "dicom-syntaxes"
    compared = 0
    for row in table(folder):
        kind = row["path"].split("/")[0]
        if kind not in ("jpeg-baseline", "jpeg-extended") or row["BitsAllocated"] != "8":
            continue
        data = (folder / row["path"]).read_bytes()
        try:
            ours = medprep.decode_dicom(data, window=None)
        except MedprepError:
            assert row["path"] in NOT_DECODED or row["decodes"] != "ok", row["path"]
            continue
        theirs = Image.open(BytesIO(stream_of(data)))
        theirs = theirs.convert("RGB") if ours.ndim == 3 else theirs
        np.testing.assert_array_equal(ours, np.asarray(theirs), err_msg=row["path"])
        compared += 1
    assert compared >= 8


def test_lossy_jpegs_are_within_twelve_levels_of_the_reference(real_data: Path) -> None:
    pydicom = pytest.importorskip("pydicom", reason="with pylibjpeg and pylibjpeg-libjpeg")
    pytest.importorskip("libjpeg")
    folder = real_data / "dicom-syntaxes"
    compared = 0
    for row in table(folder):
        kind = row["path"].split("/")[0]
        if kind not in ("jpeg-baseline", "jpeg-extended") or row["decodes"] != "ok":
            continue
        data = (folder / row["path"]).read_bytes()
        ours = medprep.decode_dicom(data, window=None).astype(int)
        theirs = pydicom.dcmread(BytesIO(data)).pixel_array.astype(int)
        assert np.abs(ours - theirs).max() <= MOST_LEVELS, row["path"]
        compared += 1
    assert compared >= 10


@pytest.mark.parametrize(("name", "levels"), [("MR1", 128), ("MR3", 56)])
def test_twelve_bit_jpegs_are_near_the_pixels_they_were_made_of(
    real_data: Path, name: str, levels: int
) -> None:
    folder = real_data / "dicom-syntaxes"
    lossy = (folder / "jpeg-extended" / f"{name}_JPLY.dcm").read_bytes()
    whole = (folder / "rle" / f"{name}_RLE.dcm").read_bytes()
    pixels = [medprep.decode_dicom(data, window=None).astype(int) for data in (lossy, whole)]
    assert np.abs(pixels[0] - pixels[1]).max() <= levels


# Of the made-up damage in `hostile/derived`: what must become of each file.
HOSTILE = {
    "dicom-frames-100000.dcm": "decoded",
    "dicom-truncated-header.dcm": "failed",
    "dicom-slope-zero.dcm": "decoded",
    "dicom-constant-pixels.dcm": "decoded",
    "dicom-rows-65535.dcm": "failed",
    "dicom-truncated-50pct.dcm": "failed",
    "dicom-window-zero.dcm": "decoded",
    "dicom-no-preamble.dcm": "decoded",
    "dicom-no-pixeldata.dcm": "failed",
}


def test_hostile_files_end_as_they_must(real_data: Path) -> None:
    folder = real_data / "hostile" / "derived"
    for path in sorted(folder.glob("*.dcm")):
        for window in ("auto", None):
            try:
                medprep.decode_dicom(path.read_bytes(), window=window, frames="first")
                found = "decoded"
            except MedprepError:
                found = "failed"
            assert found == HOSTILE[path.name], path.name
