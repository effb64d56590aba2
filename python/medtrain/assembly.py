"""From configuration and data to the objects that a run is put together from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from medtrain.average import WeightAverage
from medtrain.compiled import compile_in_place
from medtrain.config import Config
from medtrain.data import Augment, EvaluationLoader, Inputs, Normalise, Split, TrainLoader
from medtrain.dataset import DataSet
from medtrain.metrics import positive_class
from medtrain.models import blocks_of, build_model, chain_of, count_parameters
from medtrain.optim import Schedule, build_optimizer
from medtrain.precision import Precision, build_precision
from medtrain.seed import seed_weights
from medtrain.strategies import Setting, Strategy, build_strategy
from medtrain.tasks.classify import Classify, equal_weights, inverse_frequency

_CLASS_WEIGHTS = {"inverse": inverse_frequency, "none": equal_weights}


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """The parts of one rank.

    parameters: of the whole model. takes_batch_statistics: some of its layers normalise over
    the images they see together. weights: which file they started from, for people to read.
    """

    strategy: Strategy
    precision: Precision
    model: nn.Module
    parameters: int
    takes_batch_statistics: bool
    weights: object
    task: Classify
    optimizer: torch.optim.Optimizer
    loader: TrainLoader
    schedule: Schedule
    average: WeightAverage


def strategy_of(name: str, config: Config, data: DataSet, device: torch.device) -> Strategy:
    """The strategy, with what it may have to know of the model: how it can be cut."""
    image = data.manifest.image
    sample = (image.channels, image.height, image.width)
    return build_strategy(
        name,
        Setting(config=config, device=device, sample=sample, chain=chain_of, blocks=blocks_of),
    )


def assemble(config: Config, data: DataSet, strategy: Strategy) -> Assembly:
    """Build everything; the same initial weights on every rank."""
    precision = build_precision(config.train.precision, strategy.device, strategy.agree)
    seed_weights(config.seed)
    plain, weights = build_model(
        config.model,
        num_classes=len(data.manifest.classes),
        in_channels=data.manifest.image.channels,
    )
    parameters = count_parameters(plain)
    # Before a strategy has made a stage or wrappers of it.
    takes_batch_statistics = any(isinstance(module, _BatchNorm) for module in plain.modules())
    model = strategy.prepare(plain)
    compile_in_place(config.train, plain, model, strategy.device)
    task = build_task(config, data, strategy.device)
    optimizer = build_optimizer(config.optim, model)
    loader = train_loader(config, data, strategy)
    return Assembly(
        strategy=strategy,
        precision=precision,
        model=model,
        parameters=parameters,
        takes_batch_statistics=takes_batch_statistics,
        weights=weights,
        task=task,
        optimizer=optimizer,
        loader=loader,
        schedule=Schedule(
            config.optim, optimizer, epoch_steps=loader.steps, epochs=config.train.epochs
        ),
        average=WeightAverage(model, config.train.ema_decay),
    )


def build_task(config: Config, data: DataSet, device: torch.device) -> Classify:
    """The classification task with the class weights of the training split."""
    manifest = data.manifest
    counts = data.splits["train"].class_counts(len(manifest.classes))
    return Classify(
        classes=manifest.classes,
        class_weights=_CLASS_WEIGHTS[config.train.class_weights](counts),
        positive_class=positive_class(manifest.classes, config.metrics.positive_class),
        inputs=Inputs(
            Normalise(manifest.channel_mean, manifest.channel_std),
            Augment(config.augment, manifest.classes),
            channels_last=config.model.channels_last,
        ),
        device=device,
        seed=config.seed,
        label_smoothing=config.train.label_smoothing,
    )


def train_loader(config: Config, data: DataSet, strategy: Strategy) -> TrainLoader:
    """This rank's part of the training split."""
    return TrainLoader(
        data.splits["train"],
        seed=config.seed,
        batch_size=config.data.batch_size,
        accumulate=config.train.accumulate,
        rank=strategy.data_rank,
        world_size=strategy.data_degree,
        augment=config.data.augment,
        device=strategy.device,
        check_rows=config.data.check_rows,
        on_corrupt=config.data.on_corrupt,
    )


def evaluation_loader(config: Config, split: Split, strategy: Strategy) -> EvaluationLoader:
    """This rank's part of a split to evaluate."""
    return EvaluationLoader(
        split,
        batch_size=config.data.evaluation_batch_size,
        rank=strategy.data_rank,
        world_size=strategy.data_degree,
        device=strategy.device,
        check_rows=config.data.check_rows,
        on_corrupt=config.data.on_corrupt,
    )
