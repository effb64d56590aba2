"""A data set of made-up patients: who has which eye, which label, which camera.

The classes differ in the cup-to-disc ratio only. Everything else (light, colour, noise, size of
the disc, ...) is drawn per patient from one set of strata that every class runs through once, so
that no nuisance can tell the classes apart, not even by the luck of a small sample.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

from medprep.errors import StorageError, UsageError
from medprep.synth.encode import encode
from medprep.synth.fundus import Camera, Eye, photograph

CLASSES = ("glaucoma", "normal")
SIDES = ("left", "right")
EXTENSIONS = {"png": ".png", "jpeg": ".jpg"}
MIN_SIZE, MAX_SIZE = 64, 4096
LABELS_FILE = "labels.csv"
COLUMNS = ("path", "label", "group", "eye")

# Cup-to-disc ratio: mean and standard deviation over patients. The ratio alone separates the
# classes with AUROC 0.98: overlapping, as in life.
CUP_TO_DISC = {"glaucoma": (0.66, 0.075), "normal": (0.40, 0.075)}
EYE_SPREAD = 0.025  # between the two eyes of one patient
DISCORDANT = 0.1  # share of patients with glaucoma in one eye only

_NUISANCES = (
    "exposure", "vignette", "gradient", "haze", "texture", "vessel_contrast", "noise", "blur",
    "disc_radius", "field_radius", "truncated", "orange", "red", "pink",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SynthReport:
    """What was written. `classes` counts images."""

    out: str
    kind: str
    images: int
    patients: int
    classes: dict[str, int]
    bytes: int
    labels: str


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One image to make: its name, its label and the eye on it."""

    path: str
    label: str
    group: str
    eye: Eye
    stream: int  # number of its own random stream


def write_dataset(
    out: Path,
    *,
    kind: str = "fundus",
    images: int,
    seed: int = 0,
    size: int = 256,
    image_format: str = "png",
    overwrite: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> SynthReport:
    """Write class folders of images and `labels.csv` (path, label, group, eye).

    images: number of images; two a patient, so an odd number leaves the last one with one eye.
    size: side in pixels, 64..4096. The same arguments give the same bytes with the same NumPy,
    zlib and (for JPEG) Pillow. `labels.csv` is written last. progress: gets the images done.
    Raises UsageError for values out of range and for an OUT that is not empty, unless
    `overwrite`, which first removes what an earlier run listed in `labels.csv`.
    """
    _check(kind, images=images, seed=seed, size=size, image_format=image_format)
    _prepare(out, overwrite=overwrite)
    pictures = list(plan_pictures(images=images, seed=seed, image_format=image_format))
    written = 0
    try:
        for name in CLASSES:
            (out / name).mkdir(parents=True, exist_ok=True)
        for picture in pictures:
            rng = np.random.default_rng([seed, 1, picture.stream])
            data = encode(photograph(picture.eye, size=size, rng=rng), image_format)
            (out / picture.path).write_bytes(data)
            written += len(data)
            progress(picture.stream + 1)
        (out / LABELS_FILE).write_text(_labels_csv(pictures), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {error.filename or out}: {error.strerror}") from error
    labels = [picture.label for picture in pictures]
    return SynthReport(
        out=str(out),
        kind=kind,
        images=len(pictures),
        patients=len({picture.group for picture in pictures}),
        classes={name: labels.count(name) for name in CLASSES},
        bytes=written,
        labels=str(out / LABELS_FILE),
    )


def _check(kind: str, *, images: int, seed: int, size: int, image_format: str) -> None:
    if kind != "fundus":
        raise UsageError(f"unknown kind {kind!r}; this version makes: fundus")
    if images < 2:
        raise UsageError(f"--images must be at least 2 (one for each class), got {images}")
    if seed < 0:
        raise UsageError(f"--seed must be 0 or more, got {seed}")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"--size must be {MIN_SIZE}..{MAX_SIZE} pixels, got {size}")
    if image_format not in EXTENSIONS:
        raise UsageError(f"unknown format {image_format!r}; expected png or jpeg")


def _prepare(out: Path, *, overwrite: bool) -> None:
    """Make sure that OUT is a folder without other images: they would mix with ours."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"{out}: is a file, expected a folder")
    if overwrite:
        _remove_earlier_run(out)
    found = [entry.name for entry in out.iterdir() if entry.name not in CLASSES]
    found += [f"{name}/{entry.name}" for name in CLASSES for entry in (out / name).glob("*")]
    if found:
        hint = "choose a new folder" if overwrite else "choose a new folder, or --overwrite"
        raise UsageError(f"{out}: is not empty (it holds {min(found)!r})", hint=hint)


def _remove_earlier_run(out: Path) -> None:
    """Remove the files that an earlier run listed, and nothing else."""
    labels = out / LABELS_FILE
    if not labels.is_file():
        return
    with labels.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        paths = [row.get("path") or "" for row in rows]
    for path in paths:
        parts = path.split("/")
        if len(parts) == 2 and parts[0] in CLASSES and parts[1] not in ("", ".", ".."):
            (out / path).unlink(missing_ok=True)
    labels.unlink()


def _labels_csv(pictures: list[Picture]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for p in sorted(pictures, key=lambda p: p.path):
        writer.writerow((p.path, p.label, p.group, p.eye.side))
    return text.getvalue()


def plan_pictures(*, images: int, seed: int, image_format: str) -> Iterator[Picture]:
    """Plan all pictures in the order of patient numbers, which say nothing about the class."""
    rng = np.random.default_rng([seed, 0])
    patients = _patient_labels((images + 1) // 2, rng)
    cameras = _cameras(patients, rng)
    ratios = {name: _ratios(name, patients, rng) for name in CLASSES}
    digits = max(4, len(str(len(patients))))
    stream = 0
    for number, labels in enumerate(patients):
        group = f"p{number + 1:0{digits}}"
        # the eye that an odd number of images leaves out must not always be the right one
        first = int(rng.integers(0, 2)) if labels[0] == labels[1] else 0
        for k in (first, 1 - first):
            if stream == images:
                return
            label, side = labels[k], SIDES[k]
            ratio = float(np.clip(ratios[label][number] + rng.normal(0.0, EYE_SPREAD), 0.15, 0.92))
            yield Picture(
                path=f"{label}/{group}_{side}{EXTENSIONS[image_format]}",
                label=label,
                group=group,
                eye=Eye(side=side, cup_to_disc=ratio, camera=cameras[number]),
                stream=stream,
            )
            stream += 1


def _patient_labels(count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Labels of the (left, right) eye of each patient: as many glaucoma as normal eyes."""
    discordant = round(DISCORDANT * count)
    discordant += (count - discordant) % 2  # the others come in pairs, one of each class
    concordant = (count - discordant) // 2
    labels = [(name, name) for name in CLASSES for _ in range(concordant)]
    labels += [(CLASSES[k % 2], CLASSES[1 - k % 2]) for k in range(discordant)]
    return [labels[k] for k in rng.permutation(count)]


def _strata(patients: list[tuple[str, str]], rng: np.random.Generator) -> np.ndarray:
    """A number in 0..1 for each patient; inside each class they fill 0..1 evenly.

    Stratified sampling (one value from each of n equal intervals, in random order), done for
    patients of one label pattern at a time.
    """
    values = np.empty(len(patients))
    for pattern in sorted(set(patients)):
        members = [k for k, labels in enumerate(patients) if labels == pattern]
        n = len(members)
        values[members] = (rng.permutation(n) + rng.uniform(0.0, 1.0, n)) / n
    return values


def _cameras(patients: list[tuple[str, str]], rng: np.random.Generator) -> list[Camera]:
    drawn = {name: _strata(patients, rng) for name in _NUISANCES}
    return [_camera({name: float(drawn[name][k]) for name in drawn}) for k in range(len(patients))]


def _camera(u: dict[str, float]) -> Camera:
    """A camera from one number in 0..1 for each nuisance."""

    def between(name: str, low: float, high: float) -> float:
        return low + (high - low) * u[name]

    mix = np.array([u["orange"], u["red"], u["pink"]]) ** 2 + 0.05
    return Camera(
        pigment=mix / mix.sum(),
        exposure=between("exposure", 0.72, 1.02),
        vignette=between("vignette", 0.25, 0.55),
        gradient=between("gradient", 0.02, 0.22),
        haze=between("haze", 0.0, 0.22),
        texture=between("texture", 0.025, 0.075),
        vessel_contrast=between("vessel_contrast", 0.8, 1.15),
        noise=between("noise", 1.6, 3.6),
        blur=between("blur", 0.45, 0.8),
        disc_radius=between("disc_radius", 0.20, 0.25),
        field_radius=between("field_radius", 0.93, 0.99),
        truncated=u["truncated"] < 0.35,
    )


def _ratios(label: str, patients: list[tuple[str, str]], rng: np.random.Generator) -> np.ndarray:
    """Cup-to-disc ratio that each patient's eyes of this label have on average."""
    mean, deviation = CUP_TO_DISC[label]
    quantiles = np.clip(_strata(patients, rng), 0.005, 0.995)
    return np.array([NormalDist(mean, deviation).inv_cdf(float(q)) for q in quantiles])
