"""Imports follow the arrows: what each part may import is written here and nothing else is allowed.

A part is a file or folder directly under a package (Rust: under `src/`). A new one fails this test
until it has found its place in a table below; a permission nobody uses fails it too.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
Arrows = dict[str, set[str]]

# -- medprep: collection -> plan -> shards ------------------------------------------------------

MEDPREP: Arrows = {
    # what everything stands on
    "errors": set(),
    "types": set(),
    "storage": {"errors"},
    "privacy": {"errors", "storage"},
    # what is done to pixels
    "steps": {"errors"},
    "pipeline": {"steps", "types", "errors"},
    "kernels": {"pipeline", "steps", "types", "errors", "_core"},
    # what goes where
    "sources": {"types", "errors"},
    "split": {"types", "errors"},
    "options": {"pipeline", "split", "types", "errors"},
    "allowed": {"types", "errors"},
    "frames": {"types"},
    "quiet_listing": {"sources", "privacy", "errors"},
    "plan": {"allowed", "storage", "types", "errors"},
    "fast_decode": {"kernels", "pipeline", "types", "errors"},
    "planning": {
        *("sources", "split", "options", "plan", "allowed", "frames", "privacy", "fast_decode"),
        *("quiet_listing", "pipeline", "types", "errors", "_core"),
    },
    "agreement": {
        *("planning", "sources", "split", "options", "plan", "allowed", "privacy"),
        *("types", "errors"),
    },
    # doing it
    "staging": {"sources", "png", "storage", "errors"},
    "report": {"types"},
    "engines": {"kernels", "pipeline", "plan", "report", "types", "errors", "_core"},
    "run": {
        *("agreement", "engines", "kernels", "planning", "plan", "options", "privacy", "staging"),
        *("machine", "manifest", "report", "storage", "types", "errors", "_core"),
    },
    # reading it back
    "manifest": {"types", "errors"},
    "npz": {"errors"},
    "shard_annotations": {"npz", "errors"},
    "checksums": {"_core"},
    "shards": {"checksums", "manifest", "npz", "shard_annotations", "types", "errors"},
    "bookkeeping": {"manifest", "types", "errors", "_core"},
    "verify": {"bookkeeping", "manifest", "plan", "shards", "types", "errors", "_core"},
    "inspect": {"shards", "manifest", "types", "errors"},
    "pages": set(),
    "contact_sheet": {"inspect", "pages", "png"},
    # looking before doing
    "subset": {"sources", "split", "storage", "types", "errors"},
    "scan": {
        *("sources", "planning", "options", "inspect", "pages", "privacy", "storage"),
        *("types", "_core"),
    },
    # tools beside it
    "png": set(),
    "synth": {"png", "errors"},
    "machine": set(),
    "gpus": set(),
    "doctor": {"machine", "gpus", "errors"},
    "bench": {
        *("run", "planning", "plan", "sources", "options", "kernels", "privacy"),
        *("inspect", "machine", "errors", "_core"),
    },
}
MEDPREP_TOP = {"__init__", "__main__", "api", "cli"}  # may import everything

# -- medtrain: shards -> model -> numbers -------------------------------------------------------

MEDTRAIN: Arrows = {
    # what everything stands on
    "errors": set(),
    "types": set(),
    "files": set(),
    "machine": set(),
    "config": {"errors"},
    "seed": set(),
    "stop": set(),
    "progress": {"types"},
    "records": {"files"},
    "journal": {"files", "records", "progress", "types"},
    # the parts that a run is put together from
    "distributed": {"types", "errors"},
    "precision": {"types", "errors"},
    "metrics": {"errors"},
    "tasks": {"metrics", "types"},
    # strategies know the Task protocol (tasks.base) and no task by name: see the test below
    # data: only `order.cut`, the rule by which a batch is cut into micro-batches
    "strategies": {
        *("config", "data", "distributed", "precision", "tasks", "types", "errors"),
    },
    "data": {"config", "seed", "types", "errors"},
    "models": {"config", "errors", "types"},
    "optim": {"config", "types"},
    "compiled": {"config", "errors"},
    "checkpoint": {"strategies", "files", "types", "errors"},
    # what several ranks have to do with one another beside the strategy's own step
    "settle": {"data", "strategies", "errors"},
    "statistics": {"strategies"},
    "average": {"types"},
    "memory": {"tasks", "errors", "types"},
    "boundary": {"data", "journal", "progress", "settle", "stop", "strategies"},
    "guard": {"precision", "progress", "records", "strategies", "errors", "types"},
    # what happens: the loop receives objects and never builds them
    "loop": {
        *("average", "boundary", "data", "guard", "journal", "optim", "precision"),
        *("progress", "seed", "strategies", "tasks", "types"),
    },
    "evaluation": {"data", "precision", "settle", "strategies", "tasks", "types"},
    # a run: what it is made of, where it goes on from, what it leaves
    "dataset": {"config", "data", "metrics", "errors", "types"},
    "assembly": {
        *("average", "compiled", "config", "data", "dataset", "metrics", "models"),
        *("optim", "precision", "seed", "strategies", "tasks"),
    },
    "environment": {"assembly", "dataset", "job", "machine", "types"},
    "resume": {"checkpoint", "config", "dataset", "job", "errors"},
    "results": {"data", "files", "records", "types"},
    "saving": {
        *("assembly", "checkpoint", "config", "dataset", "distributed", "machine", "progress"),
        *("statistics", "strategies", "errors", "types"),
    },
    "session": {
        *("assembly", "boundary", "checkpoint", "dataset", "distributed", "environment"),
        *("errors", "evaluation", "files", "guard", "job", "journal", "loop"),
        *("memory", "progress", "ranks", "records", "results", "resume", "saving", "seed"),
        *("stop", "strategies", "types"),
    },
    "run": {
        *("checkpoint", "dataset", "distributed", "job", "machine", "records", "session"),
        *("stop", "errors", "types"),
    },
    # processes
    "job": {"config", "distributed", "errors"},
    "launch": {"job", "distributed", "machine", "records", "stop", "errors"},
    # pages; they see files, never torch
    "reports": {"metrics", "files", "errors"},
    "child": {"errors"},
    "selftest": {"child", "records", "errors"},
    "ranks": {"strategies", "types"},
    "scaling": {"child", "records", "reports", "files", "errors"},
}
# `trained` builds what uses a run; `api` and `cli` are the faces.
MEDTRAIN_TOP = {"__init__", "__main__", "api", "cli", "trained"}
# The only doors from medtrain into medprep.
MEDPREP_DOORS: Arrows = {
    "errors": {"errors"},
    "data": {"manifest", "shards"},
    "dataset": {"manifest"},
    "trained": {"errors", "kernels", "pipeline"},
}

# -- the Rust core ------------------------------------------------------------------------------

RUST: Arrows = {
    "error": set(),
    "image": set(),
    "panics": set(),
    "intrinsics": set(),
    # which vector instructions the kernels of decode, geometry and photometric use
    "cpu": {"error"},
    "decode": {"cpu", "image", "error", "panics"},
    "geometry": {"cpu", "image", "error", "intrinsics"},
    "photometric": {"cpu", "image", "error", "intrinsics"},
    "pipeline": {"decode", "geometry", "photometric", "cpu", "image", "error"},
    "shard": {"image", "error"},
    "engine": {"pipeline", "decode", "shard", "cpu", "image", "error", "panics"},
}
RUST_REEXPORTS = {"Error": "error", "Result": "error", "Cpu": "cpu"} | dict.fromkeys(
    ("Image", "ImageRef", "ImageU8", "ImageU16"), "image"
)

# -- reading the imports ------------------------------------------------------------------------


def part_of(file: Path, package: Path) -> str:
    return file.relative_to(package).parts[0].removesuffix(file.suffix)


def imported_modules(file: Path) -> Iterable[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{file}: imports are absolute"
            whole = node.module in ("medprep", "medtrain")
            yield from (
                f"{node.module}.{alias.name}" if whole else node.module for alias in node.names
            )


def python_imports(package: str, of: str) -> Arrows:
    """Part of `package` -> parts of `of` that it imports."""
    found: Arrows = defaultdict(set)
    folder = REPOSITORY / "python" / package
    for file in folder.rglob("*.py"):
        part = part_of(file, folder)
        found[part] |= set()
        for module in imported_modules(file):
            names = module.split(".")
            if names[0] == of and len(names) > 1 and (of != package or names[1] != part):
                found[part].add(names[1])
    return found


def rust_imports() -> Arrows:
    found: Arrows = defaultdict(set)
    folder = REPOSITORY / "rust" / "medprep-core" / "src"
    for file in folder.rglob("*.rs"):
        part = part_of(file, folder)
        code = re.sub(r"//.*", "", file.read_text(encoding="utf-8"))
        for used in re.findall(r"\bcrate::(\{[^}]*\}|\w+)", code):
            for name in re.findall(r"\w+", used):
                target = RUST_REEXPORTS.get(name, name)
                if target != part:
                    found[part].add(target)
    found.pop("lib", None)
    return found


def disagreements(allowed: Arrows, found: Arrows, top: Iterable[str] = ()) -> list[str]:
    problems = [f"{part} has no place in the table" for part in found.keys() - allowed - {*top}]
    problems += [f"{part} is in the table and nowhere else" for part in allowed - found.keys()]
    for part in found.keys() & allowed.keys():
        problems += [f"{part} -> {to} is no arrow" for to in found[part] - allowed[part]]
        problems += [f"{part} -> {to} is allowed, unused" for to in allowed[part] - found[part]]
    return sorted(problems)


def cycles(arrows: Arrows) -> list[str]:
    """Parts that reach themselves."""

    def reach(part: str, seen: set[str]) -> set[str]:
        for to in arrows.get(part, set()) - seen:
            seen.add(to)
            reach(to, seen)
        return seen

    return [part for part in arrows if part in reach(part, set())]


# -- the tests ----------------------------------------------------------------------------------


def test_medprep_imports_follow_the_arrows() -> None:
    assert disagreements(MEDPREP, python_imports("medprep", "medprep"), MEDPREP_TOP) == []


def test_medtrain_imports_follow_the_arrows() -> None:
    assert disagreements(MEDTRAIN, python_imports("medtrain", "medtrain"), MEDTRAIN_TOP) == []


def test_medtrain_enters_medprep_by_its_doors_only() -> None:
    found = {part: to for part, to in python_imports("medtrain", "medprep").items() if to}
    assert found == MEDPREP_DOORS


def test_medprep_never_imports_medtrain() -> None:
    assert not any(python_imports("medprep", "medtrain").values())


def test_the_rust_core_follows_the_arrows() -> None:
    found = rust_imports()
    allowed = {part: to for part, to in RUST.items()}
    extra = [f"{p} -> {t}" for p in found for t in found[p] if t not in allowed.get(p, set())]
    assert extra == []
    folder = REPOSITORY / "rust" / "medprep-core" / "src"
    parts = {part_of(file, folder) for file in folder.rglob("*.rs")} - {"lib"}
    assert parts == allowed.keys()


@pytest.mark.parametrize("arrows", [MEDPREP, MEDTRAIN, RUST], ids=["medprep", "medtrain", "rust"])
def test_no_arrow_leads_back(arrows: Arrows) -> None:
    assert cycles(arrows) == []


def test_strategies_know_the_task_protocol_and_no_task_or_model_by_name() -> None:
    folder = REPOSITORY / "python" / "medtrain" / "strategies"
    modules = {m for file in folder.rglob("*.py") for m in imported_modules(file)}
    assert {m for m in modules if m.startswith("medtrain.tasks")} == {"medtrain.tasks.base"}
    assert not {m for m in modules if m.startswith("medtrain.models")}


def test_reports_metrics_and_scaling_never_import_torch() -> None:
    for part in ("reports", "metrics", "scaling"):
        folder = REPOSITORY / "python" / "medtrain" / part
        modules = {m.split(".")[0] for f in folder.rglob("*.py") for m in imported_modules(f)}
        assert "torch" not in modules


def test_the_loop_has_no_distributed_branches() -> None:
    text = (REPOSITORY / "python" / "medtrain" / "loop.py").read_text(encoding="utf-8")
    assert not re.search(r"if .*(distributed|world_size|rank)", text)
