"""Shards to batches: order, cuts over ranks, prefetching, augmentation on the device."""

from medtrain.data.inputs import Augment, Inputs, Normalise
from medtrain.data.loader import EvaluationLoader, TrainLoader
from medtrain.data.split import Split
from medtrain.data.trouble import Trouble

__all__ = ["Augment", "EvaluationLoader", "Inputs", "Normalise", "Split", "TrainLoader", "Trouble"]
