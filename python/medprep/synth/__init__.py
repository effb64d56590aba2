"""Made-up but learnable images with patients and labels: the built-in data set, no download."""

from medprep.synth.dataset import SynthReport, write_dataset

__all__ = ["SynthReport", "write_dataset"]
