"""Whether a run may go on with the plan that lies in OUT: the same options, the same SRC."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from medprep import allowed, privacy
from medprep.errors import PrivacyError, SpecError
from medprep.options import DataOptions
from medprep.plan import Plan, check_samples, read_paths
from medprep.planning import source_options
from medprep.sources import Listing, list_source
from medprep.split import DEFAULT_RATIOS, FROM_FOLDER, parse_split
from medprep.types import JsonObject


def refuse_difference(plan: Plan, options: DataOptions, out: Path) -> None:
    """Raise SpecError naming all that differs between the plan in OUT and what is asked for now.

    Where no option is given the plan decides.
    """
    if options.is_default:
        return
    asked = _asked(plan, options)
    there = _there(plan)
    different = [
        f"{key}: {_show(there.get(key))} there, {_show(value)} asked"
        for key, value in asked.items()
        if value != there.get(key)
    ]
    if different:
        raise SpecError(
            f"{out}: made with another specification ({'; '.join(different)})",
            stage="spec",
            hint="choose another OUT, or --overwrite to make it anew",
        )


def refuse_new_images(plan: Plan, src: Path, out: Path, *, key_file: Path | None = None) -> None:
    """Raise SpecError when SRC holds images that OUT was not planned with: another SRC, or it grew.

    Planned images that are gone are no matter: finished shards stay, others record a failure.
    A finished private OUT keeps no paths to compare with: there every difference is refused, by
    the keyed hash of all paths. Raises PrivacyError when its key is not there.
    """
    state = check_samples(out, plan)
    if state == "missing" and plan.sources is not None:
        keys = _same_key(plan, out, key_file)
        with privacy.nameless_errors(src, private=True, listing=True):
            listing = _list_again(plan, src)
        if keys.sources(item.path for item in listing.items) != plan.sources:
            raise SpecError(
                f"{out}: SRC holds other images than OUT was planned with",
                stage="spec",
                hint="choose another OUT, or --overwrite to make it anew",
            )
    if state is not None:
        return
    planned = read_paths(out, private=plan.private)
    with privacy.nameless_errors(src, private=plan.private, listing=True):
        listing = _list_again(plan, src)
    usable, _ = allowed.split_usable(listing.items)
    unplanned = [item.path for item in usable if item.path not in planned]
    new = _without_refused(unplanned, plan, out, key_file)
    if new:
        first = "" if plan.private else f", first {new[0]!r}"
        raise SpecError(
            f"{out}: planned without {len(new)} images that SRC holds now{first}",
            stage="spec",
            hint="choose another OUT, or --overwrite to make it anew",
        )


def _without_refused(new: list[str], plan: Plan, out: Path, key_file: Path | None) -> list[str]:
    """Leaves out what the plan refused for its header, which listing paths only does not see."""
    refused = {failure.id for failure in plan.failures}
    if not new or not refused:
        return new
    keys = _same_key(plan, out, key_file) if plan.private else None
    return [path for path in new if (keys.sample(path) if keys else path) not in refused]


def _list_again(plan: Plan, src: Path) -> Listing:
    options = source_options(plan.options["unlabelled"], plan.group_by, threads=1)
    return list_source(src, layout=plan.layout, options=replace(options, paths_only=True))


def _same_key(plan: Plan, out: Path, key_file: Path | None) -> privacy.KeyedIds:
    """The key that the private plan was made with."""
    path = key_file or privacy.default_key_file(out)
    if not path.exists():
        raise PrivacyError(
            f"{out}: private, and its key {path} is not there, so SRC cannot be compared",
            hint="name it with --key-file, or --overwrite to make the data set anew",
        )
    keys = privacy.load_or_make_key(path, out=out)
    if keys.check != plan.options["key"]:
        raise SpecError(
            f"{out}: made with another key than {path}",
            stage="spec",
            hint="name its key with --key-file, or --overwrite to make the data set anew",
        )
    return keys


def _there(plan: Plan) -> JsonObject:
    """What the plan was made with, in the words of the flags."""
    return {
        **_spec_values(plan.spec),
        "layout": plan.layout,
        "seed": plan.seed,
        "group-by": plan.group_by,
        "private": plan.private,
        "split": plan.options["split"],
        "unlabelled": plan.options["unlabelled"],
        "shard-size": plan.options["shard_size"],
        "shard-samples": plan.options["shard_samples"],
        "compress": plan.options["compress"],
        "on-damage": plan.options["on_damage"],
        "keep-captions": plan.options.get("keep_captions", False),
    }


def _asked(plan: Plan, options: DataOptions) -> JsonObject:
    """What is asked for now; `auto` values agree with whatever they became."""
    spec = options.pipeline()
    if spec.needs_channels:
        spec = spec.with_channels(str(plan.spec["steps"][0]["channels"]))
    values = _spec_values(spec.to_json())
    values |= {key: None for key in _spec_values(plan.spec) if key not in values}
    layout = options.layout or "auto"
    return {
        **values,
        "layout": plan.layout if layout == "auto" else layout,
        "seed": options.seed or 0,
        "group-by": options.group_by or "auto",
        "private": plan.options.get("private_default", False)
        if options.private is None
        else options.private,
        "split": _asked_split(plan, options.split),
        "unlabelled": options.unlabelled,
        "shard-size": options.wanted_shard_bytes,
        "shard-samples": options.shard_samples,
        "compress": options.compress or "none",
        "on-damage": options.on_damage or "skip",
        "keep-captions": options.keep_captions,
    }


def _asked_split(plan: Plan, text: str | None) -> str:
    there = str(plan.options["split"])
    if text is not None:
        ratios = parse_split(text)
        return FROM_FOLDER if ratios is None else ratios.describe()
    default = parse_split(DEFAULT_RATIOS)
    is_default = there == FROM_FOLDER or (default is not None and there == default.describe())
    return there if is_default else DEFAULT_RATIOS


def _spec_values(spec: Any) -> JsonObject:  # noqa: ANN401 (JSON)
    """`{"resize.height": 224, ...}`: one entry per value, so that differences have names."""
    values = {
        f"{step['step']}.{key}": value
        for step in spec["steps"]
        for key, value in step.items()
        if key != "step"
    }
    return values | {"dtype": spec["dtype"]}


def _show(value: object) -> str:
    return "none" if value is None else str(value)
