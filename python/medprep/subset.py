"""A smaller collection from a larger one: reproducible, stratified, whole groups, links only.

OUT holds `subset.json` (what it is a part of), `samples.jsonl` (one sample a line, with all that
its layout knows: class, split, group, boxes, caption, attributes) and links to the images for
people and other tools. `medprep shard OUT` reads it as layout `subset`: the images from their
first home, so that no path leads anywhere new.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from medprep.errors import NoInputError, UsageError
from medprep.sources.listing import Listing
from medprep.sources.subset import IMAGES, MANIFEST, SAMPLES, SCHEMA, item_to_json
from medprep.split import chance, largest_remainder
from medprep.storage import make_folder, storage_error, write_atomically
from medprep.types import JsonObject, SourceItem

Stratum = tuple[str, str]
"""Split and class; "" where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsetReport:
    """What was taken: samples in all, by class and by split, and of how many groups."""

    out: str
    samples: int
    wanted: int
    of: int
    classes: Mapping[str, int]
    splits: Mapping[str, int]
    groups: int | None


def select(items: Sequence[SourceItem], n: int, *, seed: int, balance: bool) -> list[SourceItem]:
    """About `n` of the items, in their order; the same for any order of the inputs.

    Every split and class keeps its share (`balance`: classes get equal numbers within a split, as
    far as they have them). Without groups the count is exact; groups are taken whole, and as many
    as bring the counts closest. Raises NoInputError when there are none, UsageError unless
    1 <= n <= len(items), and when n is too small for any group.
    """
    if not items:
        raise NoInputError("SRC has no usable sample", hint="`medprep scan SRC` says why")
    if not 1 <= n <= len(items):
        raise UsageError(f"--n must be in 1..{len(items)} (the samples that SRC has), got {n}")
    sizes = Counter(_stratum(item) for item in items)
    quotas = _balanced(sizes, n) if balance else _proportional(sizes, n)
    if any(item.group is not None for item in items):
        chosen = _whole_groups(items, quotas, seed)
    else:
        chosen = _singles(items, quotas, seed)
    if not chosen:
        raise UsageError(
            f"--n {n}: no whole group (patient, lesion, article) is as small as that",
            hint="ask for more, or --group-by none",
        )
    return [item for item in items if item.path in chosen]


def write_subset(
    out: Path, listing: Listing, chosen: Sequence[SourceItem], *, wanted: int, options: JsonObject
) -> SubsetReport:
    """Write the subset; its manifest last, so that a folder with one is whole.

    options: how it was chosen, for the record. Raises UsageError when OUT is in use and
    StorageError when it cannot be written.
    """
    if listing.staged:
        raise UsageError(
            f"layout {listing.layout}: images are rows of an array file, nothing to link",
            hint="shard the whole file",
        )
    _refuse_used(out)
    source = listing.root.resolve()
    make_folder(out)
    for item in chosen:
        _link(source / item.path, out / IMAGES, item.path, nameless=listing.patients)
    lines = (json.dumps(item_to_json(item), ensure_ascii=False) + "\n" for item in chosen)
    write_atomically(out / SAMPLES, (line.encode() for line in lines))
    manifest = {
        "schema": SCHEMA,
        "source": str(source),
        "layout": listing.layout,
        "classes": listing.class_names,
        "box_classes": list(listing.box_classes),
        "patients": listing.patients,
        "channels": listing.channels,
        "samples": len(chosen),
        "options": options,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    write_atomically(out / MANIFEST, text.encode())
    groups = {item.group for item in chosen if item.group is not None}
    return SubsetReport(
        out=str(out),
        samples=len(chosen),
        wanted=wanted,
        of=len(listing.items),
        classes=_counts(item.class_name for item in chosen),
        splits=_counts(item.split for item in chosen),
        groups=len(groups) if groups else None,
    )


def _stratum(item: SourceItem) -> Stratum:
    return item.split or "", item.class_name or ""


def _proportional(sizes: Mapping[Stratum, int], n: int) -> dict[Stratum, int]:
    strata = sorted(sizes)
    total = sum(sizes.values())
    shares = [Fraction(sizes[stratum], total) for stratum in strata]
    return dict(zip(strata, largest_remainder(n, shares), strict=True))


def _balanced(sizes: Mapping[Stratum, int], n: int) -> dict[Stratum, int]:
    """Splits keep their shares; inside one, classes get equal numbers while they last."""
    by_split: dict[str, int] = defaultdict(int)
    for (split, _), size in sizes.items():
        by_split[split] += size
    per_split = _proportional({(split, ""): size for split, size in by_split.items()}, n)
    quotas: dict[Stratum, int] = {}
    for (split, _), wanted in per_split.items():
        classes = {stratum: size for stratum, size in sizes.items() if stratum[0] == split}
        quotas |= _level(classes, wanted)
    return quotas


def _level(sizes: Mapping[Stratum, int], wanted: int) -> dict[Stratum, int]:
    """`wanted` in equal parts; what a small class cannot give, the larger ones do."""
    quotas: dict[Stratum, int] = {}
    order = sorted(sizes, key=lambda stratum: (sizes[stratum], stratum))
    for at, stratum in enumerate(order):
        open_parts = len(order) - at
        # The larger classes, which come last, take what does not divide.
        quotas[stratum] = min(sizes[stratum], wanted // open_parts)
        wanted -= quotas[stratum]
    return quotas


def _singles(items: Sequence[SourceItem], quotas: Mapping[Stratum, int], seed: int) -> set[str]:
    strata: dict[Stratum, list[str]] = defaultdict(list)
    for item in items:
        strata[_stratum(item)].append(item.path)
    return {
        path
        for stratum, paths in strata.items()
        for path in sorted(paths, key=lambda p: chance(seed, "subset", p))[: quotas[stratum]]
    }


def _whole_groups(
    items: Sequence[SourceItem], quotas: Mapping[Stratum, int], seed: int
) -> set[str]:
    """Groups in an order of chance, each taken if that brings the counts closer to the quotas."""
    members: dict[tuple[bool, str], list[SourceItem]] = defaultdict(list)
    for item in items:
        has_group = item.group is not None
        members[has_group, item.group if item.group is not None else item.path].append(item)
    missing = dict(quotas)
    chosen: set[str] = set()
    for key in sorted(members, key=lambda key: chance(seed, f"subset group{key[0]}", key[1])):
        content = Counter(_stratum(item) for item in members[key])
        # Change of the squared distance to the quotas, relative to their size.
        change = sum(
            n * (n - 2 * missing[stratum]) / max(1, quotas[stratum])
            for stratum, n in content.items()
        )
        if change < 0:
            chosen |= {item.path for item in members[key]}
            for stratum, n in content.items():
                missing[stratum] -= n
    return chosen


def _refuse_used(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            f"OUT {out}: exists and is not empty", hint="choose another OUT, or remove it first"
        )


def _link(target: Path, images: Path, path: str, *, nameless: bool) -> None:
    """Link images/path to the target; `nameless` errors do not say for which path."""
    link = images / path
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(target, link.parent.resolve()))
    except OSError as error:
        raise storage_error(images if nameless else link, "link into", error) from None


def _counts(values: Any) -> dict[str, int]:  # noqa: ANN401 (an iterable of names or None)
    return dict(sorted(Counter(value for value in values if value is not None).items()))
