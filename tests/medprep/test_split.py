"""Splits: exact counts, whole groups, the same everywhere."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprep.errors import UsageError
from medprep.split import (
    DEFAULT_RATIOS,
    assign_splits,
    crossing_groups,
    folder_splits,
    largest_remainder,
    parse_split,
)
from medprep.types import SourceItem

RATIOS = st.sampled_from(
    [DEFAULT_RATIOS, "train=0.5,test=0.5", "train=0.7,val=0.2,test=0.1", "train=1", "a=0.34,b=0.66"]
)


def items_of(counts, group_of=lambda at: None):
    paths = [(name, f"{name}/{k:05}.png") for name, n in counts.items() for k in range(n)]
    return [
        SourceItem(path=path, class_name=name, group=group_of(at))
        for at, (name, path) in enumerate(paths)
    ]


def test_shares_are_parsed_exactly_and_in_plan_order():
    ratios = parse_split("test=0.1, valid=0.1 ,train=0.8")
    assert ratios.names == ("train", "val", "test")
    assert ratios.shares["train"] == Fraction(4, 5)
    assert ratios.describe() == "train=0.8,val=0.1,test=0.1"
    assert parse_split("folder") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train=0.8,val=0.1", "add up to 0.9, not 1"),
        ("train", "'train' is not NAME=SHARE"),
        ("train=0.5,train=0.5", "given twice"),
        ("val=0.5,validation=0.5", "given twice"),
        ("train=1.5,val=-0.5", "is not NAME=SHARE"),
        ("train=nan", "is not NAME=SHARE"),
        ("", "is not NAME=SHARE"),
        ("../x=1", "is not NAME=SHARE"),
    ],
)
def test_a_bad_split_is_refused_with_its_reason(text, message):
    with pytest.raises(UsageError, match=message.replace(".", r"\.")):
        parse_split(text)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 60), min_size=1),
    RATIOS,
    st.integers(0, 5),
)
def test_without_groups_totals_are_exact_and_classes_follow_the_shares(counts, text, seed):
    ratios = parse_split(text)
    items = items_of(counts)
    splits = assign_splits(items, ratios, seed=seed)
    shares = [ratios.shares[name] for name in ratios.names]
    wanted = largest_remainder(len(items), shares)
    assert [splits.count(name) for name in ratios.names] == wanted
    found = Counter(zip((i.class_name for i in items), splits, strict=True))
    for class_name, n in counts.items():
        for name in ratios.names:
            assert abs(found[class_name, name] - n * ratios.shares[name]) < 2


def test_ten_classes_of_five_do_not_all_send_their_odd_sample_to_val():
    items = items_of({f"class{k}": 5 for k in range(10)})
    splits = assign_splits(items, parse_split(DEFAULT_RATIOS), seed=0)
    assert Counter(splits) == {"train": 40, "val": 5, "test": 5}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=120), RATIOS, st.integers(0, 3), st.data())
def test_a_group_is_never_separated(groups, text, seed, data):
    items = [
        SourceItem(
            path=f"{at:04}.png",
            class_name=data.draw(st.sampled_from("ab")),
            # 0 stands for a sample that belongs to no group
            group=str(group) if group else None,
        )
        for at, group in enumerate(groups)
    ]
    splits = assign_splits(items, parse_split(text), seed=seed)
    assert crossing_groups(items, splits) == []
    assert set(splits) <= set(parse_split(text).names)


def test_many_small_groups_meet_the_shares_and_the_class_balance():
    items = items_of({"sick": 300, "well": 700}, group_of=lambda at: f"p{at // 2}")
    splits = assign_splits(items, parse_split(DEFAULT_RATIOS), seed=4)
    found = Counter(zip((i.class_name for i in items), splits, strict=True))
    for name, share in (("train", 0.8), ("val", 0.1), ("test", 0.1)):
        assert abs(found["sick", name] - 300 * share) <= 2
        assert abs(found["well", name] - 700 * share) <= 2


def test_the_split_of_a_sample_does_not_depend_on_the_order_of_the_listing():
    for group_of in (lambda at: None, lambda at: f"p{at % 17}"):
        items = items_of({"a": 40, "b": 23}, group_of)
        ratios = parse_split(DEFAULT_RATIOS)
        there = dict(
            zip((i.path for i in items), assign_splits(items, ratios, seed=1), strict=True)
        )
        back = items[::-1]
        again = dict(zip((i.path for i in back), assign_splits(back, ratios, seed=1), strict=True))
        assert there == again


def test_another_seed_gives_another_split_of_the_same_size():
    items = items_of({"a": 50, "b": 50})
    ratios = parse_split(DEFAULT_RATIOS)
    first, second = (assign_splits(items, ratios, seed=seed) for seed in (0, 1))
    assert first != second
    assert Counter(first) == Counter(second)


def test_the_split_of_the_source_is_kept_and_crossing_groups_are_named():
    items = [
        SourceItem(path="1", split="val", group="p1"),
        SourceItem(path="2", split="train", group="p1"),
        SourceItem(path="3", split="holdout", group="p2"),
    ]
    splits, names = folder_splits(items)
    assert names == ("train", "val", "holdout")
    assert crossing_groups(items, splits) == ["p1"]


def test_split_folder_without_splits_counts_the_samples():
    with pytest.raises(UsageError, match="does not say the split of 1 of its 1 images"):
        folder_splits([SourceItem(path="x.png")])


def test_largest_remainder_adds_up():
    for total in range(200):
        shares = [Fraction(1, 3), Fraction(1, 3), Fraction(1, 3)]
        found = largest_remainder(total, shares)
        assert sum(found) == total
        assert max(found) - min(found) <= 1


def test_many_small_classes_in_groups_reach_every_split():
    items = [
        SourceItem(path=f"{c}/{n}.jpg", class_name=f"c{c}", group=f"{c}-{n}")
        for c in range(35)
        for n in range(2)
    ]
    splits = assign_splits(items, parse_split("train=0.8,val=0.1,test=0.1"), seed=0)
    assert {name: splits.count(name) for name in ("train", "val", "test")} == {
        "train": 56,
        "val": 7,
        "test": 7,
    }


def test_what_is_set_aside_without_labels_stays_aside_and_changes_nothing_else():
    items = [SourceItem(path=f"{n}.jpg", class_name="ab"[n % 2]) for n in range(20)]
    aside = [SourceItem(path=f"t{n}.jpg", split="unlabelled") for n in range(5)]
    ratios = parse_split("train=0.5,test=0.5")
    alone = assign_splits(items, ratios, seed=1)
    assert assign_splits([*aside, *items], ratios, seed=1) == ["unlabelled"] * 5 + alone
