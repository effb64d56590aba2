"""Bootstrap intervals: whole patients, honest coverage, reasons instead of zero widths."""

import numpy as np
import pytest

from medtrain.metrics import auroc, auroc_interval, classification, margins, roc_at, roc_band
from medtrain.metrics.arrays import group_codes
from medtrain.metrics.intervals import NoInterval
from medtrain.metrics.resampling import (
    auroc_resamples,
    draw_weights,
    percentile_interval,
    strata_by_rarest_class,
)
from medtrain.metrics.summary import _bootstrap_rates, _check


def patients(seed, n_groups=40, per_group=5, spread=1.5):
    """Images of one patient share a label and most of their score."""
    generator = np.random.default_rng(seed)
    label = np.arange(n_groups) % 2
    score = generator.normal(size=n_groups) * spread + label
    labels = np.repeat(label, per_group)
    scores = np.repeat(score, per_group) + 0.2 * generator.normal(size=labels.size)
    groups = np.repeat([f"p{i:03}" for i in range(n_groups)], per_group)
    return np.stack([-scores / 2, scores / 2], axis=1), labels, groups


def test_whole_groups_are_drawn():
    logits, labels, groups = patients(0)
    codes = group_codes(groups, labels.size)
    strata = strata_by_rarest_class(labels, codes, 2)
    weights = np.concatenate(list(draw_weights(strata, 50, np.random.default_rng(0))))
    assert weights.shape == (50, 40)
    assert (weights.sum(axis=1) == 40).all()
    per_class = np.stack([weights[:, ::2].sum(axis=1), weights[:, 1::2].sum(axis=1)])
    assert (per_class == 20).all()  # stratified: both classes keep their patients
    first = weights[0].astype(int)
    times = first[codes]
    score = margins(logits, 1)
    expected = auroc(np.repeat(score, times), np.repeat(labels, times) == 1)
    assert auroc_resamples(score, labels == 1, codes, weights)[0] == pytest.approx(expected)


def test_weighted_rates_equal_the_rates_of_the_repeated_rows():
    logits, labels, groups = patients(1, n_groups=12, per_group=3)
    options = {"classes": ("a", "b"), "positive_class": "b"}
    split, _ = _check(logits, labels, groups, ("a", "b"), "b")
    values = _bootstrap_rates(split, seed=3, resamples=20)
    drawn = draw_weights(np.zeros(12, np.int64), 20, np.random.default_rng(3))
    for b, weights in enumerate(np.concatenate(list(drawn)).astype(int)):
        times = weights[split.codes]
        repeated = classification(
            np.repeat(split.logits, times, axis=0),
            np.repeat(split.labels, times),
            loss=None,
            intervals=False,
            **options,
        )
        for name, series in values.items():
            expected = np.nan if repeated[name] is None else repeated[name]
            np.testing.assert_allclose(series[b], expected, atol=1e-12, err_msg=name)


def test_clusters_widen_the_interval_and_are_named():
    logits, labels, groups = patients(2)
    options = {"classes": ("NORMAL", "SICK"), "positive_class": "SICK", "loss": None}
    grouped = classification(logits, labels, groups, **options)
    single = classification(logits, labels, None, **options)
    width = {
        name: result["auroc_interval"]["high"] - result["auroc_interval"]["low"]
        for name, result in (("grouped", grouped), ("single", single))
    }
    assert width["grouped"] > 1.5 * width["single"]
    assert "patients (groups) resampled" in grouped["auroc_interval"]["method"]
    assert single["auroc_interval"]["method"] == "DeLong, logit scale"
    assert grouped["intervals"]["sensitivity"]["method"].startswith("percentile bootstrap")
    assert single["intervals"]["sensitivity"]["method"] == "Wilson score"
    assert grouped["n_groups"] == 40


def test_groups_of_one_are_treated_as_independent_samples():
    logits, labels, _ = patients(3)
    names = np.array([f"only-{i}" for i in range(labels.size)])
    options = {"classes": ("NORMAL", "SICK"), "positive_class": "SICK", "loss": None}
    result = classification(logits, labels, names, **options)
    assert result["auroc_interval"]["method"] == "DeLong, logit scale"


def test_rows_without_a_group_name_stand_alone():
    assert group_codes(np.array(["b", "", "a", "", "b"]), 5).tolist() == [1, 2, 0, 3, 1]


def test_cluster_bootstrap_covers_where_delong_does_not():
    # truth: P(N(1, s) > N(0, s)) with s^2 = 1.5^2 + 0.2^2
    truth = 0.6799  # Phi(1 / sqrt(2 * 2.29))
    covered = {"cluster": 0, "row": 0}
    trials = 120
    for seed in range(trials):
        logits, labels, groups = patients(1000 + seed)
        score, codes = margins(logits, 1), group_codes(groups, labels.size)
        for name, c in (("cluster", codes), ("row", None)):
            interval = auroc_interval(score, labels == 1, c, seed=seed, resamples=300)
            covered[name] += interval.low <= truth <= interval.high
    assert covered["cluster"] / trials >= 0.87  # percentile intervals of 40 patients run short
    assert covered["row"] / trials <= 0.75


def test_same_seed_gives_the_same_interval():
    logits, labels, groups = patients(4)
    score, codes = margins(logits, 1), group_codes(groups, labels.size)
    first, again, other = (
        auroc_interval(score, labels == 1, codes, seed=seed) for seed in (5, 5, 6)
    )
    assert first == again != other


def test_equal_resamples_are_no_interval():
    with pytest.raises(NoInterval, match="same value"):
        percentile_interval(np.ones(100), method="m")
    with pytest.raises(NoInterval, match="undefined in 20 of 100"):
        percentile_interval(np.r_[np.full(20, np.nan), np.arange(80.0)], method="m")


def test_perfect_classifier_on_patients_has_no_interval_but_a_reason():
    logits, labels, groups = patients(5, spread=0.0)
    logits[labels == 1] += [-9.0, 9.0]
    logits[labels == 0] -= [-9.0, 9.0]
    result = classification(
        logits, labels, groups, classes=("a", "b"), positive_class="b", loss=0.0
    )
    assert result["auroc"] == 1.0
    assert result["auroc_interval"] is None
    assert result["undefined"]["auroc_interval"] == "every bootstrap resample gave the same value"


def test_roc_band_encloses_the_curve_and_stays_in_the_square():
    from medtrain.metrics import roc_points

    logits, labels, groups = patients(6)
    score, codes = margins(logits, 1), group_codes(groups, labels.size)
    grid = np.linspace(0, 1, 21)
    low, high = roc_band(score, labels == 1, codes, grid, seed=0)
    fpr, tpr, _ = roc_points(score, labels == 1)
    middle = roc_at(fpr, tpr, grid)
    assert ((low <= middle + 1e-9) & (middle <= high + 1e-9)).mean() > 0.9
    assert low.min() >= 0 and high.max() <= 1
    assert roc_band(score, np.zeros(labels.size, bool), codes, grid, seed=0) is None
