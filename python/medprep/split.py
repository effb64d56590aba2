"""Who goes to train, val and test: stratified by class, whole groups, the same on every machine.

Nothing depends on the order of the inputs: chance comes from SHA-256 of the seed and the path.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction

from medprep.errors import UsageError
from medprep.types import SPLIT_ALIASES, UNLABELLED_SPLIT, SourceItem

FROM_FOLDER = "folder"
DEFAULT_RATIOS = "train=0.8,val=0.1,test=0.1"
FIRST_SPLITS = ("train", "val", "test")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_SHARE = re.compile(r"\d{0,3}\.?\d{1,12}")


@dataclass(frozen=True, slots=True)
class Ratios:
    """Shares of the splits, exact; they add up to 1."""

    shares: Mapping[str, Fraction]

    @property
    def names(self) -> tuple[str, ...]:
        """Splits in plan order: train, val, test, then the others as given."""
        first = [name for name in FIRST_SPLITS if name in self.shares]
        return (*first, *(name for name in self.shares if name not in FIRST_SPLITS))

    def describe(self) -> str:
        """Canonical text: `train=0.8,val=0.1,test=0.1`."""
        return ",".join(f"{name}={float(self.shares[name])!r}" for name in self.names)


def parse_split(text: str) -> Ratios | None:
    """`folder` as None, `train=0.8,val=0.1,test=0.1` as ratios.

    Raises UsageError when a share is not in 0..1 or they do not add up to 1.
    """
    if text.strip() == FROM_FOLDER:
        return None
    shares: dict[str, Fraction] = {}
    for part in text.split(","):
        name, equals, share = (piece.strip() for piece in part.partition("="))
        name = SPLIT_ALIASES.get(name.lower(), name)
        if not equals or not _NAME.fullmatch(name) or not _SHARE.fullmatch(share):
            raise UsageError(
                f"--split {text}: {part.strip()!r} is not NAME=SHARE",
                hint=f"for example --split {DEFAULT_RATIOS}, or --split {FROM_FOLDER}",
            )
        meant = get_close_matches(name.lower(), FIRST_SPLITS, n=1, cutoff=0.6)
        if name not in FIRST_SPLITS and meant:
            raise UsageError(f"--split {text}: did you mean {meant[0]!r} by {name!r}?")
        if name in shares:
            raise UsageError(f"--split {text}: split {name!r} is given twice")
        shares[name] = Fraction(share)
    total = sum(shares.values(), Fraction(0))
    if abs(total - 1) > Fraction(1, 10**6):
        raise UsageError(f"--split {text}: the shares add up to {float(total):g}, not 1")
    return Ratios({name: share / total for name, share in shares.items()})


def assign_splits(items: Sequence[SourceItem], ratios: Ratios, *, seed: int) -> list[str]:
    """The split of every item, in the order of `items`.

    Without groups, every split has exactly the count that the largest-remainder method gives, and
    each class follows the shares to within a sample or two. With groups, a group is never
    separated, nor are the frames of a file; shares are met as closely as whole groups allow. Items
    that SRC sets aside without labels stay aside.
    """
    at_stake = [item for item in items if item.split != UNLABELLED_SPLIT]
    # The frames of a file are a group, named by its path where the file has none.
    grouped = any(item.group is not None or item.frame is not None for item in at_stake)
    assigned = iter((_assign_groups if grouped else _assign_singles)(at_stake, ratios, seed))
    return [
        UNLABELLED_SPLIT if item.split == UNLABELLED_SPLIT else next(assigned) for item in items
    ]


def folder_splits(items: Sequence[SourceItem]) -> tuple[list[str], tuple[str, ...]]:
    """The splits that SRC itself says, and their names in plan order. Raises UsageError if none."""
    missing = sum(item.split is None for item in items)
    if missing:
        raise UsageError(
            f"--split {FROM_FOLDER}: SRC does not say the split of {missing} of its "
            f"{len(items)} images",
            hint=f"use ratios such as --split {DEFAULT_RATIOS}",
        )
    splits = [item.split for item in items if item.split is not None]
    present = set(splits)
    first = [name for name in FIRST_SPLITS if name in present]
    return splits, (*first, *sorted(present.difference(FIRST_SPLITS)))


def crossing_groups(items: Sequence[SourceItem], splits: Sequence[str]) -> list[str]:
    """Groups with samples in more than one split; only a split given by SRC can have any.

    What is set aside without labels is not looked at: nothing is learnt or measured there.
    """
    where: dict[str, set[str]] = defaultdict(set)
    for item, split in zip(items, splits, strict=True):
        if item.group is not None and split != UNLABELLED_SPLIT:
            where[item.group].add(split)
    return sorted(group for group, found in where.items() if len(found) > 1)


def largest_remainder(total: int, shares: Sequence[Fraction]) -> list[int]:
    """Whole counts that add up to `total`; what is left after flooring goes to the largest rest."""
    exact = [total * share for share in shares]
    counts = [int(value) for value in exact]
    order = sorted(range(len(shares)), key=lambda k: (counts[k] - exact[k], k))
    for k in order[: total - sum(counts)]:
        counts[k] += 1
    return counts


def chance(seed: int, purpose: str, key: str) -> bytes:
    """A number that orders `key` at random: SHA-256 of seed, purpose and key."""
    return hashlib.sha256(f"{seed}:{purpose}:{key}".encode()).digest()


def _assign_singles(items: Sequence[SourceItem], ratios: Ratios, seed: int) -> list[str]:
    by_class: dict[str, list[int]] = defaultdict(list)
    for at, item in enumerate(items):
        by_class[item.class_name or ""].append(at)
    names = ratios.names
    shares = [ratios.shares[name] for name in names]
    counts = _class_counts({name: len(rows) for name, rows in by_class.items()}, shares)
    splits = [""] * len(items)
    for class_name, rows in by_class.items():
        rows.sort(key=lambda at: chance(seed, "split", items[at].path))
        remaining = iter(rows)
        for name, count in zip(names, counts[class_name], strict=True):
            for _ in range(count):
                splits[next(remaining)] = name
    return splits


def _class_counts(sizes: Mapping[str, int], shares: Sequence[Fraction]) -> dict[str, list[int]]:
    """Counts per class and split with exact row sums (class sizes) and column sums (totals).

    What flooring leaves over goes, class by class, to the splits that are furthest behind, so
    that many small classes do not all send their odd sample to the same split.
    """
    target = [Fraction(0)] * len(shares)
    given = [0] * len(shares)
    table: dict[str, list[int]] = {}
    for name in sorted(sizes):
        row = [int(sizes[name] * share) for share in shares]
        for k, share in enumerate(shares):
            target[k] += sizes[name] * share
            given[k] += row[k]
        for _ in range(sizes[name] - sum(row)):
            k = min(range(len(shares)), key=lambda k: (given[k] - target[k], k))
            row[k] += 1
            given[k] += 1
        table[name] = row
    _repair_totals(table, given, largest_remainder(sum(sizes.values()), shares))
    return table


def _repair_totals(table: Mapping[str, list[int]], given: list[int], wanted: list[int]) -> None:
    """Move single samples between splits, in the largest classes, until the totals are exact."""
    by_size = sorted(table, key=lambda name: (-sum(table[name]), name))
    while given != wanted:
        over = next(k for k in range(len(wanted)) if given[k] > wanted[k])
        under = next(k for k in range(len(wanted)) if given[k] < wanted[k])
        row = next(table[name] for name in by_size if table[name][over] > 0)
        row[over] -= 1
        row[under] += 1
        given[over] -= 1
        given[under] += 1


def _assign_groups(items: Sequence[SourceItem], ratios: Ratios, seed: int) -> list[str]:
    """Largest groups first, each to the split where it brings the counts closest to the target.

    Distance is the squared error per class, weighted so that rare classes count as much as
    frequent ones, and of the whole, which weighs as much as all classes together: many classes of
    a few samples would else all send them to the largest split. Items without a group are groups
    of one.
    """
    members: dict[tuple[bool, str], list[int]] = defaultdict(list)
    for at, item in enumerate(items):
        has_group = item.group is not None
        members[has_group, item.group if item.group is not None else item.path].append(at)
    sizes = Counter(item.class_name or "" for item in items)
    names = ratios.names
    missing = {
        name: {c: float(n * ratios.shares[name]) for c, n in sizes.items()} for name in names
    }
    missing_in_all = {name: float(len(items) * ratios.shares[name]) for name in names}
    weight = len(sizes) / len(items) if items else 0.0
    open_names = [name for name in names if ratios.shares[name] > 0]
    splits = [""] * len(items)
    order = sorted(
        members, key=lambda key: (-len(members[key]), chance(seed, f"group{key[0]}", key[1]))
    )
    for key in order:
        content = Counter(items[at].class_name or "" for at in members[key])

        def cost(name: str, content: Counter[str] = content) -> float:
            total = content.total()
            whole = weight * total * (total - 2 * missing_in_all[name])
            return whole + sum(
                n * (n - 2 * missing[name][c]) / sizes[c] for c, n in content.items()
            )

        best = min(open_names, key=cost)
        missing_in_all[best] -= len(members[key])
        for c, n in content.items():
            missing[best][c] -= n
        for at in members[key]:
            splits[at] = best
    return splits
