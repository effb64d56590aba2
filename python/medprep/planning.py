"""From SRC and the user's options to a plan: list, split, name, probe headers, cut into shards."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from medprep import _core, allowed, privacy
from medprep.errors import UsageError
from medprep.frames import expand_frames
from medprep.options import DataOptions
from medprep.pipeline import PipelineSpec
from medprep.plan import Plan, cut_shards
from medprep.quiet_listing import list_quietly
from medprep.sources import Listing, SourceOptions, root_of
from medprep.split import (
    DEFAULT_RATIOS,
    FROM_FOLDER,
    assign_splits,
    crossing_groups,
    folder_splits,
    parse_split,
)
from medprep.types import (
    UNLABELLED,
    UNLABELLED_SPLIT,
    Failure,
    JsonObject,
    PlannedSample,
    SourceItem,
)

_PROBE_AT_ONCE = 4096  # files; a colour image ends the probing


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan with its samples in plan order, not yet written.

    notes: what the user should know about how SRC was read and split.
    """

    plan: Plan
    samples: list[PlannedSample]
    notes: tuple[str, ...]


def make_plan(
    src: Path, out: Path, options: DataOptions, *, threads: int, keep_key: bool = True
) -> Planned:
    """Decide everything before anything runs; nothing but a missing key is written.

    keep_key: False (dry run) makes a key for the moment instead of writing the key file.
    Raises UsageError, SpecError, NoInputError or PrivacyError.
    """
    options.pipeline()  # wrong words are refused before anything is listed
    listing = list_for(src, options, threads=threads)
    private = is_private(listing, options)
    with privacy.nameless_errors(src, private=private):
        return plan_listing(src, out, options, listing, threads=threads, keep_key=keep_key)


def list_for(src: Path, options: DataOptions, *, threads: int) -> Listing:
    """SRC as the options read it. Errors name nothing in SRC where private mode is the case."""
    reading = source_options(options.unlabelled, options.group_by or "auto", threads)
    layout = options.layout or "auto"
    return list_quietly(src, layout=layout, options=reading, private=options.private)


def is_private(listing: Listing, options: DataOptions) -> bool:
    """What the user asked for, else True where SRC names patients."""
    return listing.patients if options.private is None else options.private


def plan_listing(
    src: Path, out: Path, options: DataOptions, listing: Listing, *, threads: int, keep_key: bool
) -> Planned:
    """The plan of what SRC was listed as, which this changes into what is planned."""
    private = is_private(listing, options)
    spec = options.pipeline()
    seed = options.seed or 0
    listed = [item.path for item in listing.items]
    _move_unusable(listing)
    allowed.refuse_private_captions(listing.items, private=private, keep=options.keep_captions)
    files = listing.items
    if spec.all_frames:
        listing.items, refused = expand_frames(files)
        listing.failures += refused
    splits, split_names, split_text = _split(listing, options.split, seed)
    if spec.needs_channels:
        found = listing.channels or _find_channels(listing, root_of(src), files, threads)
        spec = spec.with_channels(found)
    keys = _keys(out, options, private, keep_key=keep_key)
    classes = listing.class_names
    if private and options.layout in (None, "auto"):
        items = len(listing.items)
        privacy.refuse_names_as_classes(
            classes, items=items, layout=listing.layout, dicom=bool(listing.folder_patients)
        )
    samples = _samples(listing.items, splits, classes, private, keys)
    place = {name: at for at, name in enumerate(split_names)}
    # By path, not by id: private and plain runs must have the same order, hence digest.
    samples.sort(key=lambda s: (place[s.split], _order(seed, s), s.path, s.frame or 0))
    image = spec.image_shape()
    shards, samples_sha256 = cut_shards(samples, split_names, rows=options.rows_per_shard(image))
    plan = Plan(
        layout=listing.layout,
        spec=spec.to_json(),
        fingerprint=spec.fingerprint(),
        classes=tuple(classes),
        splits=split_names,
        seed=seed,
        group_by=options.group_by or "auto",
        private=private,
        image=image,
        samples=len(samples),
        samples_sha256=samples_sha256,
        unlabelled=sum(sample.label == UNLABELLED for sample in samples),
        shards=shards,
        failures=_failures(listing.failures, keys if private else None),
        fast_decode=_fast_decode_error(root_of(src), samples, spec),
        options={
            "split": split_text,
            "unlabelled": options.unlabelled,
            "shard_size": options.wanted_shard_bytes,
            "shard_samples": options.shard_samples,
            "compress": options.compress or "none",
            "on_damage": options.on_damage or "skip",
            "key": keys.check if keys is not None else None,
            "private_default": listing.patients,
            **({"keep_captions": True} if options.keep_captions else {}),
        },
        box_classes=allowed.box_class_names(listing.items, listing.box_classes),
        captions=any(item.caption for item in listing.items),
        sources=keys.sources(listed) if private and keys is not None else None,
    )
    return Planned(plan=plan, samples=samples, notes=_notes(listing, splits, plan))


def source_options(unlabelled: str | None, group_by: str, threads: int) -> SourceOptions:
    """The options with the readers of headers, which listing itself does not have."""
    return SourceOptions(
        unlabelled=unlabelled,
        group_by=group_by,
        read_headers=lambda root, paths: _core.read_dicom_headers(root, paths, threads),
        read_sizes=lambda root, paths: _core.probe_files(root, paths, threads),
    )


def _move_unusable(listing: Listing) -> None:
    """Make failures of the items whose annotations cannot be stored."""
    listing.items, failures = allowed.split_usable(listing.items)
    listing.failures += failures


def _split(listing: Listing, text: str | None, seed: int) -> tuple[list[str], tuple[str, ...], str]:
    """The split of every item, the names in plan order and the rule as text."""
    # SRC's own split is never dropped unasked: where it leaves one out, folder_splits says which.
    rule = text or (FROM_FOLDER if listing.has_splits else DEFAULT_RATIOS)
    ratios = parse_split(rule)
    if ratios is None:
        splits, names = folder_splits(listing.items)
        return splits, names, FROM_FOLDER
    splits = assign_splits(listing.items, ratios, seed=seed)
    aside = UNLABELLED_SPLIT in splits and UNLABELLED_SPLIT not in ratios.names
    names = (*ratios.names, UNLABELLED_SPLIT) if aside else ratios.names
    return splits, names, ratios.describe()


def _find_channels(listing: Listing, root: Path, items: Sequence[SourceItem], threads: int) -> str:
    """`grey` if every readable image is, else `rgb`; unreadable ones fail later, with a reason.

    Notes how many of the files that were looked at have a colour profile.
    """
    kinds: Counter[str] = Counter()
    for start in range(0, len(items), _PROBE_AT_ONCE):
        paths = [item.path for item in items[start : start + _PROBE_AT_ONCE]]
        for found in _core.probe_files(str(root), paths, threads):
            if "error" in found:
                continue
            kinds["seen"] += 1
            kinds["profiled"] += bool(found["icc"])
            kinds["colour"] += int(found["channels"]) > 2  # 1 = grey, 2 = grey with alpha
        if kinds["colour"]:
            break
    if kinds["profiled"]:
        listing.note(
            f"{kinds['profiled']} of {kinds['seen']} files looked at have an ICC profile, which is "
            "ignored: pixel values are stored as they are"
        )
    return "grey" if kinds["seen"] and not kinds["colour"] else "rgb"


def _keys(
    out: Path, options: DataOptions, private: bool, *, keep_key: bool
) -> privacy.KeyedIds | None:
    """The key of private ids; plain runs have one only when --key-file names it."""
    if options.private_map is not None:
        if not private:
            raise UsageError("--private-map needs --private: ids are paths here")
        privacy.refuse_inside(options.private_map, out, "--private-map")
    if not private and options.key_file is None:
        return None
    path = options.key_file or privacy.default_key_file(out)
    if not keep_key and not path.exists():
        return privacy.KeyedIds(b"dry run: these ids are thrown away")
    return privacy.load_or_make_key(path, out=out)


def _samples(
    items: Sequence[SourceItem],
    splits: Sequence[str],
    classes: Sequence[str],
    private: bool,
    keys: privacy.KeyedIds | None,
) -> list[PlannedSample]:
    label_of = {name: label for label, name in enumerate(classes)}
    pseudonym = _pseudonyms(items, keys)
    return [
        PlannedSample(
            id=keys.sample(item.name) if private and keys is not None else item.name,
            path=item.path,
            frame=item.frame,
            label=UNLABELLED if item.class_name is None else label_of[item.class_name],
            split=split,
            group=None if item.group is None else pseudonym(item.group),
            boxes=allowed.planned_boxes(item),
            caption=item.caption or None,
            attributes=allowed.planned_attributes(item),
        )
        for item, split in zip(items, splits, strict=True)
    ]


def _pseudonyms(items: Sequence[SourceItem], keys: privacy.KeyedIds | None) -> Callable[[str], str]:
    """Names for groups that say nothing: keyed, or numbered in path order without a key."""
    if keys is not None:
        return keys.group
    groups = dict.fromkeys(item.group for item in items if item.group is not None)
    digits = len(str(len(groups)))
    names = {group: f"g{number:0{digits}}" for number, group in enumerate(groups, start=1)}
    return names.__getitem__


def _fast_decode_error(
    root: Path, samples: Sequence[PlannedSample], spec: PipelineSpec
) -> JsonObject | None:
    if not spec.decode.fast:
        return None
    # Imported here: it needs NumPy, and a plan does without.
    from medprep.fast_decode import measure

    return measure(root, samples, spec)


def _failures(failures: Sequence[Failure], keys: privacy.KeyedIds | None) -> tuple[Failure, ...]:
    ordered = sorted(failures, key=lambda failure: failure.path or "")
    if keys is None:
        return tuple(Failure(f.path, f.stage, f.reason, id=f.path) for f in ordered)
    return tuple(Failure(None, f.stage, f.reason, id=keys.sample(f.path or "")) for f in ordered)


def _order(seed: int, sample: PlannedSample) -> bytes:
    name = sample.path if sample.frame is None else f"{sample.path}#{sample.frame}"
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def _notes(listing: Listing, splits: Sequence[str], plan: Plan) -> tuple[str, ...]:
    notes = [note.line(private=plan.private) for note in listing.notes]
    if plan.private:
        notes = [privacy.withhold(note) for note in notes]
    if plan.private and plan.options["private_default"]:
        notes.append("private mode: ids are keyed (--keep-paths stores relative paths instead)")
    crossing = crossing_groups(listing.items, splits)
    if crossing:
        notes.append(
            f"{len(crossing)} groups have samples in more than one split, as SRC says; "
            f"--split {DEFAULT_RATIOS} keeps each in one"
        )
    if plan.box_classes is not None:
        unknown = sum(item.boxes is None for item in listing.items)
        if unknown:
            notes.append(f"{unknown} images have no word about boxes; they are stored without any")
    if listing.failures:
        notes.append(f"{len(listing.failures)} inputs are refused (see failures.jsonl)")
    if plan.fast_decode is not None:
        from medprep.fast_decode import describe

        notes.append(describe(dict(plan.fast_decode)))
    empty = [name for name in plan.splits if all(shard.split != name for shard in plan.shards)]
    if empty and plan.samples:
        notes.append(f"no samples in split {', '.join(empty)}")
    return tuple(notes)


def check_out(src: Path, out: Path) -> None:
    """Raise UsageError when OUT is SRC, lies inside it, or is not a folder."""
    if not src.exists():
        raise UsageError(f"{src}: no such file or folder")
    root = src if src.is_dir() else src.parent
    with suppress(UsageError):  # a subset whose manifest is none; listing says so, in its words
        root = root_of(src)
    root = root.resolve()
    target = out.resolve()
    if target == root or target.is_relative_to(root):
        raise UsageError(
            "OUT is SRC or lies inside SRC: shards would become inputs",
            hint="choose a folder outside SRC",
        )
    if out.exists() and not out.is_dir():
        raise UsageError(f"OUT {out}: a file, expected a folder")
