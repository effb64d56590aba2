"""`medprep subset`: reproducible, stratified, whole groups; what it writes is a collection."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from tiny_collections import write_classes

from medprep.errors import UsageError
from medprep.sources import SourceOptions, list_source, root_of
from medprep.subset import select, write_subset
from medprep.types import Box, SourceItem


def _items(count, *, classes=("a", "b"), group_of=None, splits=None):
    return [
        SourceItem(
            path=f"{n:05}.png",
            class_name=classes[n % len(classes)],
            split=None if splits is None else splits[n % len(splits)],
            group=None if group_of is None else group_of(n),
        )
        for n in range(count)
    ]


def _skewed(a, b):
    rows = ["a"] * a + ["b"] * b
    return [SourceItem(path=f"{n:05}.png", class_name=name) for n, name in enumerate(rows)]


def test_classes_keep_their_shares_exactly_without_groups() -> None:
    chosen = select(_skewed(900, 100), 50, seed=0, balance=False)
    assert Counter(item.class_name for item in chosen) == {"a": 45, "b": 5}


def test_balance_gives_equal_classes_while_they_last() -> None:
    assert Counter(i.class_name for i in select(_skewed(900, 100), 60, seed=0, balance=True)) == {
        "a": 30,
        "b": 30,
    }
    assert Counter(i.class_name for i in select(_skewed(900, 100), 500, seed=0, balance=True)) == {
        "a": 400,
        "b": 100,
    }


def test_splits_keep_their_shares() -> None:
    items = _items(1000, splits=("train", "train", "train", "val"))
    chosen = select(items, 100, seed=3, balance=False)
    assert Counter(item.split for item in chosen) == {"train": 75, "val": 25}


def test_groups_are_taken_whole_and_the_count_is_near() -> None:
    items = _items(1000, group_of=lambda n: f"patient {n // 6}")
    chosen = select(items, 200, seed=5, balance=False)
    taken = Counter(item.group for item in chosen)
    whole = Counter(item.group for item in items)
    assert all(count == whole[group] for group, count in taken.items())
    assert abs(len(chosen) - 200) <= 6


def test_a_count_below_every_group_is_refused_with_what_to_do() -> None:
    items = _items(12, classes=("a",), group_of=lambda n: f"patient {n // 6}")
    with pytest.raises(UsageError, match=r"--n 1: no whole group.*--group-by none"):
        select(items, 1, seed=0, balance=False)


def test_the_choice_depends_on_the_seed_and_not_on_the_order() -> None:
    items = _items(300, group_of=lambda n: f"g{n % 100}")
    shuffled = list(items)
    random.Random(1).shuffle(shuffled)
    names = {item.path for item in select(items, 60, seed=1, balance=False)}
    assert {item.path for item in select(shuffled, 60, seed=1, balance=False)} == names
    assert {item.path for item in select(items, 60, seed=2, balance=False)} != names


@pytest.mark.parametrize("n", [0, -1, 11])
def test_an_impossible_count_is_refused(n) -> None:
    with pytest.raises(UsageError, match=r"--n must be in 1\.\.10"):
        select(_items(10), n, seed=0, balance=False)


def _write(src, out, n=4):
    listing = list_source(src, options=SourceOptions())
    chosen = select(listing.items, n, seed=0, balance=False)
    return chosen, write_subset(out, listing, chosen, wanted=n, options={"n": n})


def test_a_subset_is_read_back_as_it_was_chosen(tmp_path) -> None:
    src = write_classes(tmp_path / "src", {"train/a": 6, "train/b": 6, "val/a": 4, "val/b": 4})
    chosen, report = _write(src, tmp_path / "out", 10)
    again = list_source(tmp_path / "out", options=SourceOptions())
    assert again.layout == "subset"
    assert again.items == chosen
    assert again.root == root_of(tmp_path / "out") == src.resolve()
    assert report.samples == 10
    assert report.classes == {"a": 5, "b": 5}
    assert report.splits == {"train": 6, "val": 4}


def test_links_lead_to_the_images_and_nothing_is_copied(tmp_path) -> None:
    src = write_classes(tmp_path / "src", {"a": 5, "b": 5})
    chosen, _ = _write(src, tmp_path / "out")
    for item in chosen:
        link = tmp_path / "out" / "images" / item.path
        assert link.is_symlink()
        assert link.read_bytes() == (src / item.path).read_bytes()


def test_boxes_captions_and_attributes_survive(tmp_path) -> None:
    src = write_classes(tmp_path / "src", {"a": 2})
    listing = list_source(src, options=SourceOptions())
    rich = SourceItem(
        path=listing.items[0].path,
        class_name="a",
        group="p1",
        boxes=(Box(1.0, 2.0, 3.5, 4.0, 1),),
        caption="µ-CT of a lung",
        attributes={"age": 61.0, "sex": "F"},
    )
    listing.items = [rich]
    write_subset(tmp_path / "out", listing, [rich], wanted=1, options={})
    assert list_source(tmp_path / "out", options=SourceOptions()).items == [rich]
    ungrouped = list_source(tmp_path / "out", options=SourceOptions(group_by="none")).items
    assert [item.group for item in ungrouped] == [None]


def test_a_path_that_leaves_the_collection_is_refused(tmp_path) -> None:
    src = write_classes(tmp_path / "src", {"a": 3})
    (tmp_path / "secret.png").write_bytes(b"x")
    _write(src, tmp_path / "out", 2)
    with (tmp_path / "out" / "samples.jsonl").open("a") as stream:
        stream.write(json.dumps({"path": "../secret.png"}) + "\n")
    listing = list_source(tmp_path / "out", options=SourceOptions())
    assert [failure.path for failure in listing.failures] == ["../secret.png"]
    assert len(listing.items) == 2


def test_an_out_in_use_is_left_alone(tmp_path) -> None:
    src = write_classes(tmp_path / "src", {"a": 3})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        _write(src, tmp_path / "out", 2)
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_collection_that_moved_away_is_named(tmp_path) -> None:
    src = write_classes(tmp_path / "src", {"a": 3})
    _write(src, tmp_path / "out", 2)
    src.rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is not there"):
        list_source(tmp_path / "out", options=SourceOptions())
