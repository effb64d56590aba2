"""The summary in words, for the terminal and for the page's tables."""

from __future__ import annotations

from typing import Any

from medprep.inspect import pipeline_text

_MIB = 2**20


def facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and text of every fact there is, in the order of interest."""
    found = [
        ("collection", f"{summary['src']}, read as layout {summary['layout']}"),
        ("images", f"{summary['images']:,}, {summary['bytes'] / _MIB:,.1f} MiB"),
        ("classes", counts_text(_with_unlabelled(summary))),
        ("splits", counts_text(summary["splits"])),
        ("groups", _groups_text(summary["groups"])),
        ("formats", counts_text(summary["formats"])),
        ("modes", counts_text(summary["modes"])),
        ("sizes", _sizes_text(summary["sizes"])),
        ("frames", _frames_text(summary["frames"])),
        ("ICC profiles", _icc_text(summary["icc_profiles"])),
        ("modalities", counts_text(summary["modalities"] or {})),
        ("  by the rule", summary["modality_rule"] if summary["captions"] else ""),
        ("boxes", _boxes_text(summary["boxes"])),
        ("captions", _captions_text(summary["captions"])),
        *_term_facts(summary["captions"]),
        *((f"{name}", _attribute_text(column)) for name, column in summary["attributes"].items()),
        ("unreadable", reasons_text(summary["unreadable"])),
        ("refused", reasons_text(summary["refused"])),
        ("left out", _left_out_text(summary)),
        ("other files", counts_text(summary["other_files"])),
    ]
    return [(name, text) for name, text in found if text]


def plan_facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """What `medprep shard` with the same flags would do."""
    plan = summary["plan"]
    image = plan["image"]
    shape = f"{image['height']}×{image['width']}×{image['channels']} {image['dtype']}"
    names = "keyed ids, no paths (--private)" if plan["private"] else "ids are relative paths"
    return [
        ("steps", pipeline_text(plan["pipeline"])),
        ("each sample", shape),
        ("splits", f"{counts_text(plan['samples'])} (--split {plan['split']})"),
        ("shards", f"{plan['shards']:,}, {plan['bytes'] / _MIB:,.1f} MiB of pixels"),
        ("names", names),
    ]


def render(summary: dict[str, Any]) -> str:
    """The summary for a terminal."""
    rows = facts(summary)
    lines = [f"{name:<12} {text}" for name, text in rows]
    lines += ["", "medprep shard would store:"]
    lines += [f"  {name:<12} {text}" for name, text in plan_facts(summary)]
    notes = list(dict.fromkeys([*summary["notes"], *summary["plan"]["notes"]]))
    if notes:
        lines += ["", "to know:", *(f"  - {note}" for note in notes)]
    return "\n".join(lines)


def counts_text(counts: dict[str, int], most: int = 12) -> str:
    """`normal 100, glaucoma 100`; what is beyond `most` is counted."""
    shown = [f"{name} {count:,}" for name, count in list(counts.items())[:most]]
    rest = len(counts) - len(shown)
    return ", ".join([*shown, *([f"and {rest} more"] if rest > 0 else [])])


def reasons_text(found: dict[str, Any]) -> str:
    """How many, and why."""
    if not found["count"]:
        return ""
    reasons = "; ".join(
        f"{entry['count']:,} x {entry['reason']}"
        + (f" (such as {entry['examples'][0]})" if entry["examples"] else "")
        for entry in found["reasons"]
    )
    return f"{found['count']:,}: {reasons}"


def _with_unlabelled(summary: dict[str, Any]) -> dict[str, int]:
    rest = {"(no label)": summary["unlabelled"]} if summary["unlabelled"] else {}
    return {**summary["classes"], **rest}


def _left_out_text(summary: dict[str, Any]) -> str:
    count = summary["left_out"]
    return f"{count:,} more images, which layout {summary['layout']} does not read" if count else ""


def _groups_text(groups: dict[str, Any] | None) -> str:
    if groups is None:
        return "none known: images of one patient can end up in several splits"
    text = (
        f"{groups['groups']:,} (patients, lesions or articles) with {groups['median_images']:g} "
        f"images each in the median, {groups['largest']:,} at most"
    )
    crossing = groups["in_several_splits"]
    return f"{text}; {crossing:,} are in several of SRC's splits" if crossing else text


def _sizes_text(sizes: dict[str, Any] | None) -> str:
    if sizes is None:
        return ""
    first = sizes["most_common"][0]
    return (
        f"height {_range_text(sizes['height'])}, width {_range_text(sizes['width'])} pixels; "
        f"{sizes['different']:,} different, most often {first['height']}×{first['width']} "
        f"({first['count']:,})"
    )


def _frames_text(frames: dict[str, int] | None) -> str:
    if frames is None:
        return ""
    return (
        f"{frames['files']:,} files hold several images, {frames['frames']:,} in all, "
        f"{frames['largest']:,} at most"
    )


def _icc_text(count: int) -> str:
    if not count:
        return ""
    return f"{count:,} files have one; it is ignored: pixel values are stored as they are"


def _boxes_text(boxes: dict[str, Any] | None) -> str:
    if boxes is None:
        return ""
    return (
        f"{boxes['boxes']:,} in {boxes['images_with']:,} images, at most "
        f"{boxes['most_in_one_image']} in one; {boxes['images_without']:,} images without"
    )


def _captions_text(captions: dict[str, Any] | None) -> str:
    if captions is None:
        return ""
    words, characters = captions["words"], captions["characters"]
    return (
        f"{captions['captions']:,} ({captions['different']:,} different, {captions['without']:,} "
        f"missing); words {words['mean']:.1f} ± {words['std']:.1f}, median {words['median']:g}; "
        f"characters {characters['mean']:.1f} ± {characters['std']:.1f}"
    )


def _term_facts(captions: dict[str, Any] | None) -> list[tuple[str, str]]:
    """The four groups of terms, each with its most frequent ones."""
    groups = {} if captions is None else captions["terms"]
    return [(f"  {group}", counts_text(terms, most=6) or "none") for group, terms in groups.items()]


def _attribute_text(column: dict[str, Any]) -> str:
    if "counts" in column:
        return counts_text(column["counts"])
    return f"{_range_text(column)} (known of {column['known']:,} images)"


def _range_text(values: dict[str, float]) -> str:
    low, middle, high = (_number(values[name]) for name in ("min", "median", "max"))
    return low if low == high else f"{low} to {high}, median {middle}"


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"
