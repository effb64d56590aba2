"""The Rust core of medprep: decoding, image steps, shards and the engine that makes them.

Arrays are C-contiguous copies. Errors are the classes of `medprep.errors` with `.path`, `.stage`
and `.hint`; what takes long releases the GIL.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, final

import numpy as np
import numpy.typing as npt

__all__ = [
    "MerkleTree",
    "ShardWriter",
    "StopFlag",
    "__version__",
    "apply",
    "apply_to",
    "canonical_spec",
    "check_jpeg",
    "clahe",
    "cpu_path",
    "crc32c",
    "decode",
    "decode_dicom",
    "decode_dicom_resized",
    "decode_dicom_stored",
    "decode_dicom_u16",
    "decode_wide",
    "fingerprint",
    "fit",
    "gamma",
    "lab_to_rgb",
    "median",
    "merge",
    "merkle_root",
    "place_boxes",
    "probe",
    "probe_files",
    "read_dicom_headers",
    "remove_stale_temps",
    "resize",
    "rgb_to_lab",
    "run_shards",
    "sample_leaf",
    "shard_is_done",
    "verify_shard",
]

__version__: str

_Depth = TypeVar("_Depth", np.uint8, np.uint16)

def cpu_path() -> str:
    """Which set of instructions the kernels use: scalar, avx2, avx512 or avx512vbmi.

    The best of this CPU, or the one that MEDPREP_CPU names. Raises SpecError when it cannot be.
    """

def probe(data: bytes) -> dict[str, int | str]:
    """Format, height, width (upright), channels, bit_depth, orientation, frames, icc profile."""

def probe_files(root: str, paths: Sequence[str], threads: int) -> list[dict[str, int | str]]:
    """The headers of many files, in order; `error` and `stage` instead where one fails."""

def decode(
    data: bytes, channels: str = "rgb", keep_damaged: bool = False, reduction: int = 1
) -> npt.NDArray[np.uint8]:
    """An image file as (H, W, 3) RGB or (H, W) grey, upright, equal to cv2.imdecode.

    reduction: a JPEG at 1/1, 1/2, 1/4 or 1/8, equal to cv2.IMREAD_REDUCED_*.
    """

def check_jpeg(data: bytes, channels: str = "rgb") -> None:
    """Raises what `decode` raises for a damaged, unsupported or too large JPEG; makes no pixels."""

def decode_wide(data: bytes, channels: str = "rgb") -> npt.NDArray[np.uint16]:
    """As `decode`, 16 bits a value: those of 16-bit PNG and TIFF, 8-bit values times 257."""

def apply(
    data: bytes, spec_json: str, keep_damaged: bool = False, frame: int | None = None
) -> npt.NDArray[Any]:
    """A whole pipeline on one encoded image; (H, W, C) of its dtype.

    frame: the number, from 0, of one of a multi-frame DICOM file.
    """

def apply_to(image: npt.NDArray[np.uint8], spec_json: str) -> npt.NDArray[np.uint8]:
    """The steps of a pipeline that follow its resize, as one; (H, W) when grey, else (H, W, 3).

    image: of the shape the resize makes. Raises SpecError for another, and for a specification of
    another dtype than uint8.
    """

def resize(
    image: npt.NDArray[_Depth], height: int, width: int, interpolation: str
) -> npt.NDArray[_Depth]:
    """Resized to exactly (height, width); interpolation `area` or, of uint8, `linear`."""

def fit(
    image: npt.NDArray[_Depth], height: int, width: int, mode: str, interpolation: str
) -> npt.NDArray[_Depth]:
    """Brought to (height, width); mode `stretch`, `crop` or `letterbox`."""

def rgb_to_lab(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """8-bit RGB to 8-bit Lab, as OpenCV."""

def lab_to_rgb(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """8-bit Lab to 8-bit RGB, as OpenCV."""

def clahe(
    image: npt.NDArray[_Depth], clip_limit: float = 2.0, tiles: int = 8
) -> npt.NDArray[_Depth]:
    """Of (H, W), or of L of 8-bit Lab for (H, W, 3) uint8."""

def decode_dicom(
    data: bytes, window: tuple[float, float] | None = None, frames: int | str = "middle"
) -> npt.NDArray[np.uint8]:
    """8-bit (H, W), (H, W, 3) or, with all frames, one axis more; None = the file's own window."""

def decode_dicom_resized(
    data: bytes,
    height: int,
    width: int,
    window: tuple[float, float] | None = None,
    frames: int | str = "middle",
) -> npt.NDArray[np.uint8]:
    """One frame as decode_dicom, resized by area; any `frames` but `all`.

    In memory that the thread reuses from file to file.
    """

def decode_dicom_stored(data: bytes, frames: int | str = "middle") -> npt.NDArray[Any]:
    """Stored values as uint8, int8, uint16, int16, uint32 or int32."""

def decode_dicom_u16(
    data: bytes, window: tuple[float, float] | None = None, frames: int | str = "middle"
) -> npt.NDArray[np.uint16]:
    """As decode_dicom with 0..65,535 for 0..255."""

def read_dicom_headers(root: str, paths: Sequence[str], threads: int) -> list[dict[str, Any]]:
    """The headers of many DICOM files, in order, each read only as far as its pixels.

    Keys: patient_id, study_uid, view, laterality, sex, photometric, transfer_syntax (text, empty
    when absent), age_years (at most 90) and spacing ([row, column] in mm) or None, rows, columns,
    bits_stored, samples, frames, has_pixels, and error, which is None. A file that fails has error
    and stage only. In memory only: ids and UIDs become keyed pseudonyms, or nothing.
    """

def gamma(image: npt.NDArray[_Depth], gamma: float) -> npt.NDArray[_Depth]:
    """The table round(M (v/M)^(1/gamma)) on every value, M = 255 or 65535."""

def median(image: npt.NDArray[_Depth], size: int = 3) -> npt.NDArray[_Depth]:
    """The median over size x size; size must be 3."""

def canonical_spec(spec_json: str) -> str:
    """The one text of a specification: keys sorted, no spaces."""

def fingerprint(spec_json: str) -> str:
    """SHA-256 of the canonical text."""

def place_boxes(
    spec_json: str, boxes: npt.NDArray[np.float64], height: int, width: int
) -> npt.NDArray[np.float32]:
    """Boxes (N, 5) of an image of height x width as they lie in the stored one, (M, 5).

    Rows are x_min, y_min, x_max, y_max, label; what the crop leaves nothing of is dropped.
    """

def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli)."""

def merkle_root(leaves: Sequence[str]) -> str:
    """The root (RFC 6962 shape) over hexadecimal leaf hashes."""

@final
class MerkleTree:
    """The root over leaf hashes that come in parts, in O(log n) memory."""

    def __new__(cls) -> MerkleTree: ...
    def push(self, leaves: Sequence[str]) -> None:
        """Append hexadecimal leaf hashes."""

    def root(self) -> str:
        """The root over all leaves so far."""

def sample_leaf(
    split: str,
    label: int,
    image: npt.NDArray[Any],
    boxes: Sequence[float] = ...,
    caption: str = "",
) -> str:
    """The leaf hash of a sample; `boxes` holds five values per box."""

@final
class StopFlag:
    """Asks a run to finish the shards in flight and to begin no other; any thread may set it."""

    def __new__(cls) -> StopFlag: ...
    def set(self) -> None:
        """Ask for the stop."""

    def is_set(self) -> bool:
        """Whether it was asked for."""

def run_shards(
    job_json: str,
    stop: StopFlag,
    progress: Callable[[int, int, int], object] | None = None,
) -> str:
    """Make the shards of a job and return the report, both JSON.

    progress(images, failed, shards) is called about ten times a second. KeyboardInterrupt and
    exceptions of `progress` cancel the run at once, temporary files removed.
    """

@final
class ShardWriter:
    """Writes one shard row by row (kernel python); nothing is visible before `finish`.

    id_width, group_width: characters of the longest planned id and group of the shard, failed
    samples included; group_width None leaves the member out.
    """

    def __new__(
        cls,
        out: str,
        shard_json: str,
        image_json: str,
        *,
        fingerprint: str,
        samples_sha256: str,
        id_width: int,
        group_width: int | None = None,
        boxes: bool = False,
        captions: bool = False,
        private: bool = False,
        compress: str = "none",
        force_zip64: bool = False,
    ) -> ShardWriter: ...
    def append(
        self,
        sample_json: str,
        image: npt.NDArray[Any],
        damaged: str | None = None,
        boxes: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Append a sample: its line of plan-samples.jsonl and its pixels, (H, W, C) or (H, W).

        boxes: (M, 5) as `place_boxes` gives them, for a sample that has boxes.
        """

    def fail(self, id: str, path: str, stage: str, reason: str) -> None:
        """Record an input that is not stored; `reason` must not name the file."""

    def finish(self) -> str:
        """Commit the shard, then its record; returns the record (JSON)."""

    def abort(self) -> None:
        """Give the shard up; its temporary file is removed."""

def shard_is_done(out: str, shard_json: str, fingerprint: str, samples_sha256: str) -> bool:
    """Whether the record belongs to this plan and the file has its size."""

def remove_stale_temps(out: str) -> int:
    """Remove temporary files of dead processes of this host in OUT and OUT/records."""

def merge(out: str) -> str:
    """Make samples.jsonl, failures.jsonl and manifest.json of a finished plan.

    Returns JSON with digest, images, failed, shards. Raises SpecError when a shard is missing.
    """

def verify_shard(path: str, record_json: str | None, sha256: str, bytes: int) -> str:
    """Check every byte; a JSON list of problems, empty when the shard is sound.

    Each has `shard` and `message`, and `id`, `row` and `path` where a sample is affected.
    """
