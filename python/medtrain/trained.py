"""A trained run, ready to use: predict raw images, evaluate a data set."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medprep import pipeline
from medprep.errors import ImageError, ReadError
from medprep.kernels import make_kernel
from medtrain import checkpoint, config, machine
from medtrain.assembly import evaluation_loader
from medtrain.checkpoint import CheckpointStore
from medtrain.data import Augment, Inputs, Normalise, Split
from medtrain.dataset import DataSet, open_data
from medtrain.errors import CheckpointError, UsageError, VerificationError
from medtrain.evaluation import evaluate
from medtrain.metrics import positive_class
from medtrain.models import build_model
from medtrain.precision import build_precision
from medtrain.strategies import SerialStrategy
from medtrain.tasks import Classify
from medtrain.types import Batch, Evaluation, JsonObject

RawImage = str | Path | NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One image's answer.

    path: the file, or `array[i]`. probability: of `label`. probabilities: of every class.
    """

    path: str
    label: str
    probability: float
    probabilities: dict[str, float]

    def to_json(self) -> JsonObject:
        """As `predict --json` gives it."""
        return {
            "path": self.path,
            "label": self.label,
            "probability": self.probability,
            "probabilities": self.probabilities,
        }


class Trained:
    """The best (or last) weights of a run, with the preparation its images had.

    device: "cpu", "cuda" or None for a GPU where there is one. Raises UsageError when RUN is no
    run folder and CheckpointError when its checkpoint is torn or altered.
    """

    def __init__(self, path: str | Path, *, which: str = "best", device: str | None = None) -> None:
        self.path = Path(path)
        store = CheckpointStore(self.path)
        if not store.folder.is_dir():
            raise UsageError(f"{self.path}: no checkpoints in it, so this is no run folder")
        saved = checkpoint.load(store.folder / which)
        self.config = config.from_dict(saved.state["config"], str(saved.path))
        self.data: JsonObject = saved.state["data"]
        self.classes: list[str] = self.data["classes"]
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._strategy = SerialStrategy(
            torch.device(chosen), channels_last=self.config.model.channels_last
        )
        self._precision = build_precision(self.config.train.precision, self._strategy.device)
        self._model = self._build(saved)
        self._task = Classify(
            classes=self.classes,
            class_weights=[1.0] * len(self.classes),
            positive_class=positive_class(self.classes, self.config.metrics.positive_class),
            inputs=Inputs(
                Normalise(self.data["channel_mean"], self.data["channel_std"]),
                Augment(self.config.augment, self.classes),
                channels_last=self.config.model.channels_last,
            ),
            device=self._strategy.device,
            seed=self.config.seed,
        )

    def predict(
        self, images: RawImage | Sequence[RawImage], *, batch_size: int = 32
    ) -> list[Prediction]:
        """Predict raw images: files, or decoded uint8 arrays (H, W) or (H, W, 3) in RGB order.

        They pass through the pipeline that made the shards. Raises ImageError (with `.path`) for
        the first file that cannot be decoded; `predict_each` goes on instead.
        """
        some = [images] if isinstance(images, str | Path | np.ndarray) else images
        found = list(self.predict_each(some, batch_size=batch_size))
        for result in found:
            if isinstance(result, ImageError):
                raise result
        return [result for result in found if isinstance(result, Prediction)]

    def predict_each(
        self, images: Iterable[RawImage], *, batch_size: int = 32
    ) -> Iterator[Prediction | ImageError]:
        """A prediction or the reason why there is none, image by image, in order."""
        kernel = make_kernel("rust", pipeline.from_json(self.data["pipeline"]))

        def prepare(item: tuple[int, RawImage]) -> tuple[str, NDArray[np.uint8] | ImageError]:
            name = _name(*item)
            try:
                return name, kernel(_encoded(item[1], name))
            except ImageError as error:
                error.path = error.path or name
                return name, error

        # The kernel releases the GIL: preparing scales over cores with plain threads.
        with ThreadPoolExecutor(machine.usable_cores()) as pool:
            numbered = enumerate(images)
            while chunk := list(islice(numbered, batch_size)):
                yield from self._predict_batch(list(pool.map(prepare, chunk)))

    def evaluate(
        self, data: str | Path | None = None, splits: Sequence[str] = ("val", "test")
    ) -> dict[str, Evaluation | None]:
        """Evaluate splits of the run's own data, or of another folder of shards.

        Raises VerificationError when those images were prepared differently, and UsageError when
        their classes differ.
        """
        opened = open_data(Path(data or self.data["path"]))
        self._check_same_kind(opened)
        return {name: self._evaluate(opened.splits.get(name)) for name in splits}

    def _evaluate(self, split: Split | None) -> Evaluation | None:
        if split is None:
            return None
        found, _ = evaluate(
            evaluation_loader(self.config, split, self._strategy),
            task=self._task,
            model=self._model,
            strategy=self._strategy,
            precision=self._precision,
            intervals=True,
        )
        return found

    def _build(self, saved: checkpoint.Checkpoint) -> nn.Module:
        # The checkpoint holds all weights; the file they once started from need not be there.
        values = {**saved.state["config"]["model"], "weights": None}
        plain, _ = build_model(
            config.ModelConfig(**values),
            num_classes=len(self.classes),
            in_channels=self.data["image"]["channels"],
        )
        try:
            plain.load_state_dict(saved.weights)
        except RuntimeError as error:
            raise CheckpointError(f"{saved.path}: does not fit its model: {error}") from None
        return self._strategy.prepare(plain).eval()

    def _predict_batch(
        self, prepared: list[tuple[str, NDArray[np.uint8] | ImageError]]
    ) -> Iterator[Prediction | ImageError]:
        images = [image for _, image in prepared if not isinstance(image, ImageError)]
        answers: Iterator[NDArray[np.float64]] = iter(
            self._probabilities(np.stack(images)) if images else ()
        )
        for name, image in prepared:
            if isinstance(image, ImageError):
                yield image
                continue
            row = next(answers)
            best = int(row.argmax())
            named = {c: float(p) for c, p in zip(self.classes, row, strict=True)}
            yield Prediction(name, self.classes[best], float(row[best]), named)

    def _probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        count = len(images)
        batch = Batch(
            torch.from_numpy(images),
            torch.zeros(count, dtype=torch.int64),
            torch.arange(count),
        ).to(self._strategy.device)
        with self._precision.autocast():
            logits = self._task.logits(self._model, batch)
        probabilities: NDArray[np.float64] = logits.double().softmax(dim=1).cpu().numpy()
        return probabilities

    def _check_same_kind(self, opened: DataSet) -> None:
        manifest = opened.manifest
        if manifest.fingerprint != self.data["fingerprint"]:
            raise VerificationError(
                f"{opened.path}: images were prepared differently from the run's "
                f"(pipeline {manifest.fingerprint[:12]}, expected {self.data['fingerprint'][:12]})",
                hint="make the shards with the run's pipeline",
            )
        if list(manifest.classes) != self.classes:
            raise UsageError(
                f"{opened.path}: classes are {', '.join(manifest.classes)}; "
                f"the run knows {', '.join(self.classes)}"
            )


def summary(path: Path) -> JsonObject:
    """The verified state of a run's best checkpoint, without loading tensors."""
    return checkpoint.load_state(CheckpointStore(path).folder / "best")


def _name(number: int, image: RawImage) -> str:
    return f"array[{number}]" if isinstance(image, np.ndarray) else str(image)


def _encoded(image: RawImage, name: str) -> bytes:
    if isinstance(image, np.ndarray):
        return encode_png(image)
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise ReadError(f"cannot read: {error.strerror}", path=name, stage="read") from None


def encode_png(image: NDArray[Any]) -> bytes:
    """A lossless file of (H, W) or (H, W, 3) uint8, so that arrays take the files' way too.

    Raises UsageError for any other array.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise UsageError(
            f"an image array must be (H, W) or (H, W, 3) uint8, got {image.shape} {image.dtype}"
        )
    height, width = image.shape[:2]
    rows = np.zeros((height, 1 + image[0].size), np.uint8)  # each row starts with filter 0
    rows[:, 1:] = image.reshape(height, -1)
    colour = 2 if image.ndim == 3 else 0
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def result_json(evaluations: dict[str, Evaluation | None]) -> str:
    """The object that `evaluate --json` prints."""
    from medtrain.records import finite

    values = {name: None if e is None else e.metrics for name, e in evaluations.items()}
    return json.dumps(finite(values), allow_nan=False)
