"""Metrics against scikit-learn, hand-made cases and simulated truth."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from medtrain.metrics import (
    auroc,
    brier_score,
    classification,
    delong_interval,
    expected_calibration_error,
    margins,
    probabilities,
    reliability_bins,
    roc_at,
    roc_points,
    wilson_interval,
)
from medtrain.metrics.intervals import NoInterval

TWO = ("NORMAL", "PNEUMONIA")
FIVE = ("a", "b", "c", "d", "e")
# scikit-learn sums in another order; everything else is exact.
CLOSE = 1e-12


def random_split(seed, n=400, k=2, decimals=None):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, k, n)
    logits = generator.normal(size=(n, k)).astype(np.float32)
    logits[np.arange(n), labels] += 1.0
    if decimals is not None:
        logits = logits.round(decimals)
    return logits, labels


def binary(logits, labels, groups=None, **options):
    options = {"classes": TWO, "positive_class": "PNEUMONIA", "loss": 0.5} | options
    return classification(logits, labels, groups, **options)


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_auroc_with_and_without_ties_equals_sklearn(decimals):
    logits, labels = random_split(1, decimals=decimals)
    score = margins(logits, 1)
    assert auroc(score, labels == 1) == pytest.approx(sk.roc_auc_score(labels, score), abs=CLOSE)


def test_auroc_of_a_hand_made_case_counts_ties_half():
    # pairs: (2 beats 1), (2 ties 2), (3 beats 1), (3 beats 2) -> 3.5 of 4
    score = np.array([1.0, 2.0, 2.0, 3.0])
    assert auroc(score, np.array([False, False, True, True])) == 3.5 / 4


def test_binary_values_equal_sklearn():
    logits, labels = random_split(2, n=333)
    result, called = binary(logits, labels), logits.argmax(axis=1)
    p = probabilities(logits)[:, 1]
    expected = {
        "accuracy": sk.accuracy_score(labels, called),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, called),
        "sensitivity": sk.recall_score(labels, called),
        "specificity": sk.recall_score(labels, called, pos_label=0),
        "precision": sk.precision_score(labels, called),
        "f1": sk.f1_score(labels, called),
        "auroc": sk.roc_auc_score(labels, p),
        "brier": sk.brier_score_loss(labels, p),
    }
    assert {name: result[name] for name in expected} == pytest.approx(expected, abs=CLOSE)
    assert result["confusion"] == sk.confusion_matrix(labels, called).tolist()


def test_positive_class_decides_what_sensitivity_is_about():
    logits, labels = random_split(3)
    one = binary(logits, labels)
    other = binary(logits, labels, positive_class="NORMAL")
    assert (one["sensitivity"], one["specificity"]) == (other["specificity"], other["sensitivity"])
    assert one["auroc"] == pytest.approx(other["auroc"], abs=CLOSE)
    assert one["names"]["sensitivity"] == "sensitivity for 'PNEUMONIA'"


def test_many_class_values_are_macro_and_equal_sklearn():
    logits, labels = random_split(4, n=500, k=5)
    result = classification(logits, labels, classes=FIVE, positive_class=None, loss=1.0)
    called, p = logits.argmax(axis=1), probabilities(logits)
    expected = {
        "accuracy": sk.accuracy_score(labels, called),
        "sensitivity": sk.recall_score(labels, called, average="macro"),
        "precision": sk.precision_score(labels, called, average="macro"),
        "f1": sk.f1_score(labels, called, average="macro"),
        "auroc": sk.roc_auc_score(labels, p, multi_class="ovr", average="macro"),
    }
    assert {name: result[name] for name in expected} == pytest.approx(expected, abs=CLOSE)
    assert result["names"]["auroc"] == "macro one-vs-rest AUROC"
    assert result["averaging"] == "macro"
    specificities = [sk.recall_score(labels == k, called == k, pos_label=False) for k in range(5)]
    assert result["specificity"] == pytest.approx(np.mean(specificities), abs=CLOSE)
    assert [row["n"] for row in result["per_class"]] == np.bincount(labels).tolist()
    low, high = (result["auroc_interval"][side] for side in ("low", "high"))
    assert low < result["auroc"] < high


def test_roc_points_equal_sklearn_and_enclose_the_auroc():
    logits, labels = random_split(5, decimals=1)
    score = margins(logits, 1).round(6)
    fpr, tpr, thresholds = roc_points(score, labels == 1)
    expected = sk.roc_curve(labels, score, drop_intermediate=False)
    for ours, theirs in zip((fpr, tpr, thresholds), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=CLOSE)
    area = np.trapezoid(tpr, fpr)
    assert area == pytest.approx(auroc(score, labels == 1), abs=CLOSE)


def test_roc_is_read_from_the_top_of_vertical_steps():
    fpr, tpr = np.array([0.0, 0.0, 0.5, 1.0]), np.array([0.0, 0.4, 0.6, 1.0])
    grid = np.array([0.0, 0.25, 0.5, 1.0])
    assert roc_at(fpr, tpr, grid).tolist() == pytest.approx([0.4, 0.5, 0.6, 1.0])


def test_saturated_probabilities_do_not_hide_the_ranking():
    logits = np.array([[-40.0, 40.0], [-50.0, 50.0], [-60.0, 60.0], [-70.0, 70.0]])
    labels = np.array([0, 0, 1, 1])
    assert len(set(probabilities(logits)[:, 1])) == 1
    assert binary(logits, labels)["auroc"] == 1.0


def test_expected_calibration_error_of_a_hand_made_case():
    # bin 0.2-0.3: mean .25, observed 0; bin 0.8-0.9: mean .85, observed .5; two rows each
    p = np.array([0.25, 0.25, 0.85, 0.85])
    bins = reliability_bins(p, np.array([False, False, True, False]))
    assert [row["n"] for row in bins] == [2, 2]
    assert expected_calibration_error(bins) == pytest.approx((0.25 + 0.35) / 2)


def test_probability_one_falls_into_the_last_bin():
    bins = reliability_bins(np.array([0.0, 1.0]), np.array([False, True]))
    assert [(row["low"], row["high"]) for row in bins] == [(0.0, 0.1), (0.9, 1.0)]


def test_brier_of_many_classes_sums_over_classes():
    p = np.array([[0.5, 0.3, 0.2]])
    assert brier_score(p, np.array([0]), None) == pytest.approx(0.25 + 0.09 + 0.04)


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("k", [2, 4])
def test_result_does_not_depend_on_row_order(k, clustered):
    logits, labels = random_split(6, n=150, k=k, decimals=2)
    groups = np.array([f"p{i % 40}" for i in range(150)]) if clustered else None
    classes = [f"c{i}" for i in range(k)]
    options = {"classes": classes, "positive_class": "c1" if k == 2 else None, "loss": 0.3}
    shuffled = np.random.default_rng(0).permutation(150)
    first = classification(logits, labels, groups, **options)
    second = classification(
        logits[shuffled], labels[shuffled], groups[shuffled] if clustered else None, **options
    )
    assert first == second  # to the last bit


def test_one_class_gives_none_and_the_reason():
    result = binary(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 0]))
    assert (result["auroc"], result["sensitivity"], result["f1"]) == (None, None, None)
    assert result["specificity"] == 0.5
    assert result["undefined"]["auroc"] == "only class 'NORMAL' is present; both are needed"
    assert result["undefined"]["auroc_interval"] == result["undefined"]["auroc"]
    assert result["undefined"]["sensitivity"] == "no sample of class 'PNEUMONIA'"


def test_empty_split_gives_none_everywhere():
    result = binary(np.empty((0, 2), np.float32), np.empty(0, np.int64), np.empty(0, "U1"))
    assert result["n"] == 0
    assert result["accuracy"] is None
    assert result["undefined"]["accuracy"] == "no labelled samples"


def test_logits_that_are_not_finite_are_reported_not_averaged():
    logits, labels = random_split(7, n=20)
    logits[3, 0] = np.nan
    result = binary(logits, labels, loss=float("nan"))
    assert result["auroc"] is None and result["loss"] is None
    assert result["undefined"]["auroc"] == "1 of 20 samples have logits that are not finite"
    json.dumps(result, allow_nan=False)


def test_a_class_that_is_never_called_has_no_precision():
    result = binary(np.array([[1.0, 0.0]] * 3), np.array([0, 1, 1]))
    assert result["precision"] is None
    assert result["undefined"]["precision"] == "'PNEUMONIA' was never called"
    assert result["f1"] == 0.0


def test_absent_class_is_left_out_of_macro_averages_and_said():
    logits, labels = random_split(8, n=200, k=5)
    labels[labels == 4] = 0
    result = classification(logits, labels, classes=FIVE, positive_class=None, loss=1.0)
    present = [row["auroc"] for row in result["per_class"][:4]]
    assert result["auroc"] == pytest.approx(np.mean(present))
    assert result["notes"][0] == "no samples of 'e': left out of the macro averages"


def test_unlabelled_rows_are_left_out():
    logits, labels = random_split(9, n=50)
    some = labels.copy()
    some[:10] = -1
    result = binary(logits, some)
    assert (result["n"], result["unlabelled"]) == (40, 10)
    assert result["accuracy"] == binary(logits[10:], labels[10:])["accuracy"]


def test_result_is_json_with_the_contract_keys():
    result = binary(*random_split(10))
    again = json.loads(json.dumps(result, allow_nan=False))
    assert again == result
    contract = {"loss", "accuracy", "auroc", "sensitivity", "specificity", "f1", "confusion"}
    contract |= {"n", "classes", "positive_class", "auroc_interval"}
    assert contract <= result.keys()
    assert set(result["auroc_interval"]) == {"low", "high", "level", "method"}


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((3, 3)), np.zeros(3, int), "logits must be"),
        (np.zeros((3, 2)), np.zeros(4, int), "labels"),
        (np.zeros((3, 2)), np.array([0, 1, 2]), r"labels must be -1\.\.1, found 0\.\.2"),
    ],
)
def test_shapes_and_labels_that_do_not_fit_are_refused(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        binary(logits, labels)


# Reference: R pROC::ci.auc(method="delong") gives the same variance; here against the definition.
def delong_variance_by_definition(score, positive):
    won, lost = score[positive], score[~positive]
    kernel = (won[:, None] > lost[None, :]) + 0.5 * (won[:, None] == lost[None, :])
    return (
        kernel.mean(axis=1).var(ddof=1) / won.size + kernel.mean(axis=0).var(ddof=1) / lost.size,
        kernel.mean(),
    )


def test_delong_equals_its_definition_on_the_logit_scale():
    logits, labels = random_split(11, n=120, decimals=1)
    score = margins(logits, 1).round(3)
    interval = delong_interval(score, labels == 1)
    variance, area = delong_variance_by_definition(score, labels == 1)
    half = 1.959963984540054 * np.sqrt(variance) / (area * (1 - area))
    centre = np.log(area / (1 - area))
    expected = 1 / (1 + np.exp(-(centre + np.array([-half, half]))))
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=1e-12)


@pytest.mark.parametrize(
    ("score", "positive", "reason"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], "AUROC is 1"),
        ([1, 1, 1, 1], [0, 0, 1, 1], "AUROC is 0.5"),
        ([1, 2, 3], [0, 1, 0], "at least 2 positive"),
    ],
)
def test_delong_without_spread_has_no_interval(score, positive, reason):
    with pytest.raises(NoInterval, match=reason):
        delong_interval(np.array(score), np.array(positive, bool))


@pytest.mark.parametrize("n", [5, 8, 13, 40])
def test_delong_never_leaves_zero_to_one(n):
    generator = np.random.default_rng(n)
    for _ in range(200):
        positive = np.arange(n) < n // 2
        score = generator.normal(size=n) + 3 * positive
        try:
            interval = delong_interval(score, positive)
        except NoInterval:
            continue
        assert 0 <= interval.low <= auroc(score, positive) <= interval.high <= 1


def test_delong_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(12)
    truth, hits, trials = 0.7602499389065233, 0, 400  # Phi(1 / sqrt 2)
    positive = np.arange(120) < 50
    for _ in range(trials):
        interval = delong_interval(generator.normal(size=120) + positive, positive)
        hits += interval.low <= truth <= interval.high
    # 95 % of 400 has a standard deviation of 1.1 points
    assert 0.92 <= hits / trials <= 0.98


def test_wilson_of_published_values():
    # Newcombe 1998, table I, method 3: 81/263, 15/148, 0/20, 1/29
    published = {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }
    for (hits, n), expected in published.items():
        interval = wilson_interval(hits, n)
        assert (round(interval.low, 4), round(interval.high, 4)) == expected
    assert wilson_interval(0, 0) is None
