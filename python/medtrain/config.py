"""What a run is: recipe < `--config FILE.yaml` < `--set a.b=c` < flags, checked once.

Every key is a field of a frozen dataclass; an unknown key is an error with a suggestion, and
the resolved configuration is written beside the outputs.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from medtrain.errors import ConfigError

NORMS = ("batch", "group", "frozen")
OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
PIPELINE_SCHEDULES = ("gpipe", "1f1b", "naive", "alternating")
SCHEDULES = ("cosine", "step", "one-cycle", "none")
CLASS_WEIGHTS = ("inverse", "none")
COMPILE_BACKENDS = ("inductor", "aot_eager", "eager")
ON_CORRUPT = ("fail", "skip")
CHECK_ROWS = ("never", "first", "always")
MONITORS = ("loss", "accuracy", "auroc", "f1", "sensitivity", "specificity")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """How samples reach the model."""

    batch_size: int = 32  # samples of one micro-batch on one data rank
    evaluation_batch_size: int = 32  # the same for any number of processes, so are the numbers
    augment: bool = True
    on_corrupt: str = "fail"  # or skip: leave out samples whose pixels are not those once written
    check_rows: str = "first"  # compare CRC-32C: never, when a process first reads a row, always

    def __post_init__(self) -> None:
        _one_of("data.on_corrupt", self.on_corrupt, ON_CORRUPT)
        _one_of("data.check_rows", self.check_rows, CHECK_ROWS)
        _at_least("data.batch_size", self.batch_size, 1)
        _at_least("data.evaluation_batch_size", self.evaluation_batch_size, 1)


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Random changes of training images; used when `data.augment` is true."""

    horizontal_flip: float = 0.5  # probability
    vertical_flip: float = 0.5  # probability
    rotation: float = 15.0  # degrees, either way
    brightness: float = 0.1  # factor 1 +- this
    contrast: float = 0.1  # factor 1 +- this
    saturation: float = 0.05  # factor 1 +- this
    hue: float = 0.05  # turns of the colour circle, either way
    # class -> factor on rotation and colour of its images; classes not named: 1
    class_strength: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, factor in self.class_strength.items():
            _between(f"augment.class_strength.{name}", factor, 0.0, 10.0)
        for name in ("horizontal_flip", "vertical_flip", "brightness", "contrast", "saturation"):
            _between(f"augment.{name}", getattr(self, name), 0.0, 1.0)
        _between("augment.rotation", self.rotation, 0.0, 180.0)
        _between("augment.hue", self.hue, 0.0, 0.5)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network, and how it is normalised."""

    name: str = "medical_cnn"  # medical_cnn, tiny_cnn or timm/NAME
    norm: str = "batch"  # batch, group, or frozen (stored statistics, trained scale and shift)
    dropout: float | None = None  # None: the architecture's own
    weights: str | None = None  # a local safetensors file to start from
    channels_last: bool = False  # memory layout; the same numbers up to rounding
    sync_bn: bool = False  # batch statistics over all data ranks instead of each rank's own

    def __post_init__(self) -> None:
        _one_of("model.norm", self.norm, NORMS)
        if self.dropout is not None and not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"model.dropout must be in [0, 1), got {self.dropout}")
        if self.sync_bn and self.norm != "batch":
            raise ConfigError(
                f"model.sync_bn: there is no batch normalisation with model.norm={self.norm}"
            )


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """How weights move."""

    name: str = "adamw"
    learning_rate: float = 3e-4  # peak, after warm-up
    weight_decay: float = 1e-4  # not on biases and normalisation
    momentum: float = 0.9  # sgd only
    fused: bool | None = None  # one kernel for all weights; None: where torch has one
    schedule: str = "cosine"  # cosine, step, one-cycle or none
    warmup_steps: int = 0  # optimizer steps, not micro-batches; one-cycle has its own
    final_learning_rate: float = 1e-6  # where the cosine ends
    step_epochs: int = 30  # schedule step: epochs between two falls
    step_factor: float = 0.1  # schedule step: what the rate is multiplied by at each
    max_norm: float = 1.0  # gradients are clipped to this norm; 0: not at all

    def __post_init__(self) -> None:
        _at_least("optim.step_epochs", self.step_epochs, 1)
        _between("optim.step_factor", self.step_factor, 0.0, 1.0)
        if self.schedule == "one-cycle" and self.warmup_steps:
            raise ConfigError("optim.warmup_steps must be 0 with optim.schedule=one-cycle")
        _one_of("optim.name", self.name, OPTIMIZERS)
        _one_of("optim.schedule", self.schedule, SCHEDULES)
        _at_least("optim.warmup_steps", self.warmup_steps, 0)
        _at_least("optim.weight_decay", self.weight_decay, 0)
        _at_least("optim.max_norm", self.max_norm, 0)
        _at_least("optim.final_learning_rate", self.final_learning_rate, 0)
        _between("optim.momentum", self.momentum, 0.0, 1.0)
        if not self.learning_rate > 0:
            raise ConfigError(f"optim.learning_rate must be > 0, got {self.learning_rate}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long, how exact, and what is watched."""

    epochs: int = 10
    accumulate: int = 1  # micro-batches of one optimizer step
    precision: str = "auto"  # auto: bf16 on GPUs that have it, else fp32
    class_weights: str = "inverse"  # inverse: of the class frequency in train
    label_smoothing: float = 0.0  # share of the target that is spread over all classes
    ema_decay: float = 0.0  # evaluate a running mean of the weights; 0: the weights themselves
    compile: bool = False  # torch.compile; the same numbers up to rounding
    compile_backend: str = "inductor"  # fast code; eager, aot_eager: traces only, to find faults
    max_steps: int = 0  # optimizer steps of the whole run; 0: as many as the epochs have
    validate: bool = True  # False: no evaluation at all, for measurements of speed
    max_bad_steps: int = 10  # steps in a row with NaN or infinity before giving up; 0: never
    deterministic: bool = False
    threads: int = 0  # per process; 0: cores divided by processes
    log_every: int = 10  # optimizer steps between step records
    monitor: str = "loss"  # the validation metric that chooses the best checkpoint
    patience: int = 0  # epochs without improvement before stopping; 0: never

    def __post_init__(self) -> None:
        _at_least("train.epochs", self.epochs, 1)
        _at_least("train.accumulate", self.accumulate, 1)
        _at_least("train.threads", self.threads, 0)
        _at_least("train.log_every", self.log_every, 1)
        _at_least("train.patience", self.patience, 0)
        _at_least("train.max_steps", self.max_steps, 0)
        _at_least("train.max_bad_steps", self.max_bad_steps, 0)
        for name in ("label_smoothing", "ema_decay"):
            value = getattr(self, name)
            if not 0.0 <= value < 1.0:
                raise ConfigError(f"train.{name} must be in [0, 1), got {value}")
        _one_of("train.class_weights", self.class_weights, CLASS_WEIGHTS)
        _one_of("train.monitor", self.monitor, MONITORS)
        _one_of("train.precision", self.precision, PRECISIONS)
        _one_of("train.compile_backend", self.compile_backend, COMPILE_BACKENDS)


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When checkpoints are written besides every epoch's end, and how many are kept."""

    keep_last: int = 2  # the newest ones: last, previous, previous-2, ...
    keep_best: int = 1  # by the watched value: best, best-2, ...
    every_steps: int = 0  # optimizer steps; 0: not inside an epoch
    every_minutes: float = 0.0  # 0: not inside an epoch

    def __post_init__(self) -> None:
        _at_least("checkpoint.keep_last", self.keep_last, 1)
        _at_least("checkpoint.keep_best", self.keep_best, 1)
        _at_least("checkpoint.every_steps", self.every_steps, 0)
        _at_least("checkpoint.every_minutes", self.every_minutes, 0)


@dataclass(frozen=True, kw_only=True)
class DdpConfig:
    """How `medtrain ddp` sends gradients; `benches/python/ddp_options.py` measures each."""

    static_graph: bool = False  # the same parameters take part in every step
    bucket_views: bool = True  # gradients are views into what is sent: one copy less
    bf16_compression: bool = False  # send bfloat16: half the bytes, rounded gradients


@dataclass(frozen=True, kw_only=True)
class FsdpConfig:
    """What `medtrain fsdp` trades for memory."""

    cpu_offload: bool = False  # parameters, gradients and optimizer state live in CPU memory
    activation_checkpointing: bool = False  # recompute each block instead of storing it
    reshard_after_forward: bool = True  # free gathered parameters until backward needs them
    sharded_checkpoint: bool = True  # every process writes its part; false: the first one all


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """How `medtrain pipeline` cuts the model and the batch."""

    # gpipe, 1f1b; without micro-batches, to compare with: naive (the whole batch from stage to
    # stage), alternating (the same, with several parts of the model dealt out to each process)
    schedule: str = "1f1b"
    micro_batches: int = 4  # parts of each batch of data.batch_size samples; naive: always 1
    cut: str = "flops"  # flops, time (measured at the start), or names of the stages' first pieces

    def __post_init__(self) -> None:
        _one_of("pipeline.schedule", self.schedule, PIPELINE_SCHEDULES)
        _at_least("pipeline.micro_batches", self.micro_batches, 1)
        if not self.cut:
            raise ConfigError("pipeline.cut must be flops, time or piece names such as a,b")


@dataclass(frozen=True, kw_only=True)
class MetricsConfig:
    """What the clinical numbers refer to."""

    positive_class: str = "auto"  # auto: the class not named like normal, healthy, negative, ...


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole run, without where its data lies and where it writes."""

    recipe: str = "classify"
    task: str = "classify"
    seed: int = 42
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    ddp: DdpConfig = field(default_factory=DdpConfig)
    fsdp: FsdpConfig = field(default_factory=FsdpConfig)
    pipeline: PipelineConfig = field(default_factory=PipelineConfig)

    def __post_init__(self) -> None:
        _one_of("task", self.task, ("classify",))
        _at_least("seed", self.seed, 0)
        if self.ddp.static_graph and self.train.accumulate > 1:
            raise ConfigError(
                "ddp.static_graph needs train.accumulate=1: torch cannot leave a micro-batch "
                "unsynchronised in a static graph"
            )
        if self.model.norm == "batch" and self.data.batch_size < 2:
            raise ConfigError(
                "data.batch_size must be >= 2 with model.norm=batch: one sample has no "
                "batch statistics; use model.norm=group for a batch size of 1"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, as YAML and JSON hold them."""
        return dataclasses.asdict(self)

    def save(self, path: Path) -> None:
        """Write the resolved configuration; `--config` reads it back."""
        path.write_text(yaml.safe_dump(self.to_dict(), sort_keys=False), encoding="utf-8")


def resolve(
    recipe: str | None = None,
    *,
    file: str | Path | None = None,
    sets: Iterable[str] = (),
    flags: Mapping[str, object] | None = None,
) -> Config:
    """Lay recipe, file, `a.b=c` texts and flags (dotted key -> value) over one another.

    A recipe of None takes the one that the file names, else `classify`. Flags of None are unset.
    Raises ConfigError naming the source, the key and what to write instead.
    """
    in_file = _read_yaml(Path(file)) if file is not None else {}
    name = recipe or in_file.get("recipe") or "classify"
    values: dict[str, Any] = {}
    _overlay(values, _flatten(recipe_values(str(name))), f"recipe {name}")
    _overlay(values, _flatten(in_file), f"config {file}")
    _overlay(values, dict(_parse_set(text) for text in sets), "--set")
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    _overlay(values, given, "flags")
    values["recipe"] = str(name)
    return _build(Config, values, "")


def from_dict(values: Mapping[str, Any], source: str) -> Config:
    """The configuration that `to_dict` gave, for example from a checkpoint."""
    flat: dict[str, Any] = {}
    _overlay(flat, _flatten(values), source)
    return _build(Config, flat, "")


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    folder = resources.files("medtrain") / "recipes"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name[-5:] == ".yaml")


def recipe_values(name: str) -> dict[str, Any]:
    """The values of a recipe; ConfigError with a suggestion when there is none of that name."""
    names = recipe_names()
    if name not in names:
        raise ConfigError(
            f"unknown recipe {name!r}{_did_you_mean(name, names)}; recipes: {', '.join(names)}"
        )
    text = (resources.files("medtrain") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text) or {})


def flatten(config: Config) -> dict[str, Any]:
    """Dotted key -> value, for comparing two configurations."""
    return _flatten(config.to_dict())


@cache
def _field_types() -> dict[str, Any]:
    """Every dotted key and its type; `a.b.*` stands for the keys of a mapping."""
    found: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(Config).items():
        if dataclasses.is_dataclass(hint):
            for key, kind in typing.get_type_hints(hint).items():
                is_mapping = typing.get_origin(kind) is dict
                found[f"{name}.{key}{'.*' if is_mapping else ''}"] = (
                    typing.get_args(kind)[1] if is_mapping else kind
                )
        else:
            found[name] = hint
    return found


def _overlay(values: dict[str, Any], new: Mapping[str, Any], source: str) -> None:
    known = _field_types()
    for key, value in new.items():
        mapping = f"{'.'.join(key.split('.')[:2])}.*"
        kind = known.get(key, known.get(mapping) if key.count(".") > 1 else None)
        if kind is None:
            raise ConfigError(f"{source}: unknown key {key!r}{_meant(key, known)}")
        values[key] = _coerce(key, value, kind, source)


def _build(cls: type[Config], values: Mapping[str, Any], prefix: str) -> Config:
    arguments: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(cls).items():
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            inner = {
                key.removeprefix(f"{name}."): value
                for key, value in values.items()
                if key.startswith(f"{name}.")
            }
            arguments[name] = hint(**_nested(inner))
        elif prefix + name in values:
            arguments[name] = values[prefix + name]
    return cls(**arguments)


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """`mapping.key` values gathered into their mappings."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name, dot, inner = key.partition(".")
        if dot:
            found.setdefault(name, {})[inner] = value
        else:
            found[name] = value
    return found


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _coerce(key: str, value: object, hint: object, source: str) -> object:
    """The value as its field's type; only changes that lose nothing."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in kinds:
        return None
    wanted = next(kind for kind in kinds if kind is not type(None))
    if wanted is float and isinstance(value, str):
        # YAML 1.1 reads 1e-3 as text; the user meant a number.
        try:
            return float(value)
        except ValueError:
            pass
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted is int and isinstance(value, bool):
        pass
    elif isinstance(wanted, type) and isinstance(value, wanted):
        return value
    elif wanted is str and key.startswith("metrics.") and isinstance(value, int | float):
        return str(value)  # classes may be called 0 and 1
    expected = wanted.__name__ if isinstance(wanted, type) else str(wanted)
    raise ConfigError(f"{source}: {key} must be of type {expected}, got {value!r}")


def _parse_set(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {text!r}: expected KEY=VALUE, as in optim.learning_rate=1e-3")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"--set {text!r}: not a YAML value: {reason}") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"config {path}: cannot read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"config {path}: not valid YAML: {reason}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"config {path}: expected keys and values, got {type(tree).__name__}")
    return tree


def _meant(key: str, known: Iterable[str]) -> str:
    """The key that was meant; where none is alike, those of the same section."""
    section, _, leaf = key.rpartition(".")
    leaves = [name.rpartition(".")[2] for name in known if name.rpartition(".")[0] == section]
    if not section or not leaves:
        return _did_you_mean(key, known)
    close = difflib.get_close_matches(leaf, leaves, n=1, cutoff=0.5)
    if close:
        return f"; did you mean '{section}.{close[0]}'?"
    return f"; known: {', '.join(f'{section}.{name}' for name in leaves)}"


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(
            f"{key} must be one of {', '.join(allowed)}, got {value!r}"
            f"{_did_you_mean(str(value), allowed)}"
        )


def _at_least(key: str, value: float, lowest: float) -> None:
    if not value >= lowest:
        raise ConfigError(f"{key} must be >= {lowest}, got {value}")


def _between(key: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{key} must be in {low}..{high}, got {value}")
