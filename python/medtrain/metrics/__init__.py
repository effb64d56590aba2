"""What the predictions are worth: values, intervals and the reason where there is none.

NumPy and the standard library only, so that reports need no torch.
"""

from medtrain.metrics.calibration import (
    CALIBRATION_BINS,
    brier_score,
    expected_calibration_error,
    reliability_bins,
)
from medtrain.metrics.confusion import confusion_matrix
from medtrain.metrics.intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    delong_interval,
    wilson_interval,
)
from medtrain.metrics.positive import positive_class
from medtrain.metrics.ranking import auroc, margins, probabilities, roc_at, roc_points
from medtrain.metrics.resampling import auroc_interval, roc_band
from medtrain.metrics.shortcut import single_feature_auroc
from medtrain.metrics.summary import classification

__all__ = [
    "CALIBRATION_BINS",
    "LEVEL",
    "RESAMPLES",
    "Interval",
    "auroc",
    "auroc_interval",
    "brier_score",
    "classification",
    "confusion_matrix",
    "delong_interval",
    "expected_calibration_error",
    "margins",
    "positive_class",
    "probabilities",
    "reliability_bins",
    "roc_at",
    "roc_band",
    "roc_points",
    "single_feature_auroc",
    "wilson_interval",
]
