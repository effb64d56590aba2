"""Positive class and single-feature shortcuts."""

import numpy as np
import pytest

from medprep.errors import ConfigError
from medtrain.metrics import positive_class, single_feature_auroc


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (("NORMAL", "PNEUMONIA"), "PNEUMONIA"),
        (("PNEUMONIA", "normal"), "PNEUMONIA"),
        (("glaucoma", "not-glaucoma"), "glaucoma"),
        (("glaucoma", "no_glaucoma"), "glaucoma"),
        (("malignant", "Benign"), "malignant"),
        (("0", "1"), "1"),
        (("1_sick", "0_healthy"), "1_sick"),
        (("COVID", "non-COVID"), "COVID"),
        (("normal-tension glaucoma", "healthy"), "normal-tension glaucoma"),
        (("nodule", "mass"), "mass"),  # neither is named like a negative: the last one
        (("normal", "healthy"), "healthy"),
    ],
)
def test_auto_finds_the_disease(classes, expected):
    assert positive_class(classes) == expected


def test_a_named_class_wins():
    assert positive_class(("NORMAL", "PNEUMONIA"), "NORMAL") == "NORMAL"


def test_more_than_two_classes_have_no_positive_one():
    assert positive_class(("a", "b", "c")) is None
    with pytest.raises(ConfigError, match="is for 2 classes, the data have 3"):
        positive_class(("a", "b", "c"), "b")


def test_unknown_name_is_refused_with_the_choices():
    with pytest.raises(ConfigError, match="no class is called 'PNEUMONA'; classes are 'NORMAL'"):
        positive_class(("NORMAL", "PNEUMONIA"), "PNEUMONA")


def test_direction_is_chosen_on_train_and_kept():
    # in train the sick are smaller; in test they are larger: honesty costs the shortcut its score
    fit, labels = np.array([10.0, 11, 12, 20, 21, 22]), np.array([1, 1, 1, 0, 0, 0])
    result = single_feature_auroc(fit, labels, -fit, labels)
    assert result["direction"] == "smaller is positive"
    assert (result["fit_auroc"], result["auroc"]) == (1.0, 0.0)


def test_noise_scores_about_half_on_test():
    generator = np.random.default_rng(0)
    scores = []
    for _ in range(60):
        x, y = generator.normal(size=200), generator.integers(0, 2, 200)
        scores.append(single_feature_auroc(x[:100], y[:100], x[100:], y[100:])["auroc"])
    assert np.mean(scores) == pytest.approx(0.5, abs=0.03)


def test_shortcut_interval_resamples_patients():
    generator = np.random.default_rng(1)
    labels = np.repeat(np.arange(30) % 2, 4)
    width = np.repeat(generator.normal(size=30), 4) + labels
    groups = np.repeat([f"p{i}" for i in range(30)], 4)
    result = single_feature_auroc(width, labels, width, labels, groups)
    assert result["auroc_interval"]["low"] < result["auroc"] < result["auroc_interval"]["high"]
    assert "patients" in result["auroc_interval"]["method"]


def test_one_class_leaves_the_shortcut_undefined():
    result = single_feature_auroc(np.arange(4.0), np.zeros(4), np.arange(4.0), np.zeros(4))
    assert result["auroc"] is None
    assert result["undefined"]["auroc"] == "the fit values hold one class only: no direction"
