"""A data set as a run sees it: its labelled splits, and whether they can be trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medprep import manifest as manifest_file
from medprep.manifest import Manifest
from medtrain.config import Config
from medtrain.data import Split
from medtrain.errors import UsageError
from medtrain.metrics import positive_class
from medtrain.types import JsonObject


@dataclass(frozen=True, slots=True)
class DataSet:
    """The labelled splits of a data set; only those with samples."""

    path: Path
    manifest: Manifest
    splits: Mapping[str, Split]

    @property
    def manifest_path(self) -> Path:
        """Where its manifest lies, absolute."""
        return (self.path / manifest_file.FILE_NAME).resolve()

    def state(self) -> JsonObject:
        """What a checkpoint says about its data; enough to prepare a raw image the same way."""
        whole = self.manifest.to_json()
        names = (
            *("digest", "classes", "pipeline", "fingerprint"),
            *("image", "channel_mean", "channel_std"),
        )
        return {name: whole[name] for name in names} | {"path": str(self.path.resolve())}


def open_data(path: Path) -> DataSet:
    """Open the splits; raises UsageError when there is none, VerificationError when damaged."""
    manifest = manifest_file.load(path)
    splits = {name: Split(path, name, manifest) for name in manifest.splits}
    return DataSet(path, manifest, {name: split for name, split in splits.items() if len(split)})


def open_trainable(path: Path, config: Config) -> DataSet:
    """Open a data set that can be trained on; raises UsageError that says why it cannot."""
    data = open_data(path)
    if "train" not in data.splits:
        raise UsageError(f"{path}: no labelled samples in the split 'train'")
    counts = data.splits["train"].class_counts(len(data.manifest.classes))
    present = [name for name, n in zip(data.manifest.classes, counts, strict=True) if n]
    if len(present) < 2:
        raise UsageError(
            f"{path}: one class only ({', '.join(present)}) in the split 'train'; "
            "a classifier needs two"
        )
    positive_class(data.manifest.classes, config.metrics.positive_class)
    if data.manifest.image.dtype != "uint8":
        raise UsageError(
            f"{path}: images are {data.manifest.image.dtype}; this version trains on uint8"
        )
    return data
