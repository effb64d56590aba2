"""`medprep plan|shard|merge`: results, wrong use, exit codes; one clear line each time."""

import json
import os
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from tiny_collections import write_classes, write_table

from medprep.cli import VERBS, main

SMALL = ["--size", "8"]


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def last_json(result):
    return json.loads(result.stdout.splitlines()[-1])


def refused(result, code, *parts):
    """The exit code, one line of reason with all parts, and no traceback."""
    assert result.exit_code == code, result.output
    reason = [x for x in result.stderr.splitlines() if x.startswith("medprep: ")]
    assert len(reason) == 1, result.stderr
    assert "Usage:" not in result.stderr
    for part in parts:
        assert part in reason[0]
    assert "Traceback" not in result.output


def test_shard_reports_what_it_made(two_classes, tmp_path):
    out = tmp_path / "out"
    result = call("shard", two_classes, out, *SMALL, "--json")
    assert result.exit_code == 0, result.output
    report = last_json(result)
    assert report | {"images": 20, "failed": 0, "shards": 3, "out": str(out)} == report
    assert len(report["digest"]) == 64
    assert {"read", "decode", "resize"} <= set(report["stages"])
    assert report["seconds"] > 0 and report["images_per_s"] > 0
    assert len(result.stdout.splitlines()) == 1
    assert "20 images in 3 shards" in result.stderr


def test_without_json_the_summary_is_the_last_line_of_stdout(two_classes, tmp_path):
    result = call("shard", two_classes, tmp_path / "out", *SMALL)
    assert re.match(r"20 images in 3 shards, .* digest [0-9a-f]{16}, ", result.stdout)
    assert call("shard", two_classes, tmp_path / "out", *SMALL, "-qq").output == ""


def test_quarantined_inputs_give_exit_3_and_a_line_each(with_broken, tmp_path):
    result = call("shard", with_broken, tmp_path / "out", *SMALL, "--json")
    assert result.exit_code == 3
    assert last_json(result)["failed"] == 3
    lines = (tmp_path / "out" / "failures.jsonl").read_text().splitlines()
    found = {line["path"]: line["reason"] for line in map(json.loads, lines)}
    assert set(found) == {"normal/zz_truncated.jpg", "sick/aa_text.jpg", "sick/empty.png"}
    assert all(found.values())


def test_on_error_fail_gives_exit_1_and_names_the_file(with_broken, tmp_path):
    for kernel in ("rust", "python"):
        out = tmp_path / kernel
        result = call("shard", with_broken, out, *SMALL, "--on-error", "fail", "--kernel", kernel)
        refused(result, 1, "cannot decode")
        assert re.search(r"normal/zz_truncated.jpg|sick/aa_text.jpg|sick/empty.png", result.stderr)


def test_zero_readable_images_give_exit_3_and_no_manifest(tmp_path):
    (tmp_path / "src" / "a").mkdir(parents=True)
    (tmp_path / "src" / "a" / "x.jpg").write_text("text")
    result = call("shard", tmp_path / "src", tmp_path / "out", "--json")
    refused(result, 3, "no usable input: all 1 images failed", "failures.jsonl")
    assert last_json(result)["exit_code"] == 3
    assert json.loads((tmp_path / "out" / "failures.jsonl").read_text())["path"] == "a/x.jpg"
    assert not (tmp_path / "out" / "manifest.json").exists()
    (tmp_path / "empty").mkdir()
    refused(call("shard", tmp_path / "empty", tmp_path / "out2"), 3, "no images found")


def test_dry_run_writes_nothing(two_classes, tmp_path):
    result = call(
        "shard", two_classes, tmp_path / "out", *SMALL, "--private", "--dry-run", "--json"
    )
    assert result.exit_code == 0
    plan = last_json(result)
    assert plan["images"] == 20 and plan["shards"] == 3 and plan["bytes"] == 20 * 8 * 8 * 3
    assert plan["splits"] == {"train": 16, "val": 2, "test": 2} and plan["dry_run"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["src"]


def test_plan_parts_and_merge(two_classes, tmp_path):
    out = tmp_path / "out"
    planned = call("plan", two_classes, out, *SMALL, "--shard-samples", 5, "--json")
    assert planned.exit_code == 0 and last_json(planned)["shards"] == 6
    assert call("plan", two_classes, out, *SMALL, "--shard-samples", 5).exit_code == 0
    refused(call("merge", out), 2, "6 of 6 shards are not done, first train-00000")
    for part in ("0/2", "1/2"):
        assert call("shard", two_classes, out, "--part", part, "--json").exit_code == 0
    merged = call("merge", out, "--json")
    assert merged.exit_code == 0
    whole = call("shard", two_classes, tmp_path / "b", *SMALL, "--shard-samples", 5, "--json")
    assert last_json(whole)["digest"] == last_json(merged)["digest"]


def test_unlabelled_class_gets_minus_one(tmp_path):
    write_classes(tmp_path / "src", {"a": 3, "b": 3, "todo": 2})
    out = tmp_path / "out"
    result = call(
        "shard", tmp_path / "src", out, *SMALL, "--unlabelled", "todo", "--split", "train=1"
    )
    assert result.exit_code == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["classes"] == ["a", "b"]
    assert manifest["splits"]["train"]["unlabelled"] == 2


def test_groups_of_a_table_stay_together(tmp_path):
    src = write_classes(tmp_path / "src", {"a": 20})
    write_table(src / "t.csv", [(f"a/a_{k:03}.jpg", "a", f"p{k // 2}") for k in range(20)])
    assert call("shard", src, tmp_path / "out", *SMALL).exit_code == 0
    lines = (tmp_path / "out" / "samples.jsonl").read_text().splitlines()
    where = {}
    for line in map(json.loads, lines):
        where.setdefault(line["group"], set()).add(line["split"])
    assert len(where) == 10 and all(len(splits) == 1 for splits in where.values())


def test_wrong_use_is_refused_in_one_line(two_classes, tmp_path):
    out = tmp_path / "out"
    cases = [
        ((tmp_path / "nowhere", out), "nowhere: no such file or folder"),
        ((two_classes, out, "--preset", "glaucma"), "did you mean 'glaucoma'?"),
        ((two_classes, out, "--layout", "foldr"), "did you mean 'folder'?"),
        ((two_classes, out, "--layout", "nonsense"), "layouts: auto, subset, rsna, smdg, "),
        ((two_classes, out, "--split", "train=0.9"), "add up to 0.9, not 1"),
        ((two_classes, out, "--split", "oops"), "is not NAME=SHARE"),
        ((two_classes, out, "--split", "trian=0.8,val=0.2"), "did you mean 'train'"),
        ((two_classes, out, "--split", "folder"), "SRC does not say the split"),
        ((two_classes, out, "--size", "0"), "size must be N or HxW"),
        ((two_classes, out, "--size", "12x"), "size must be N or HxW"),
        ((two_classes, out, "--size", "99999"), "size must be N or HxW"),
        ((two_classes, out, "--sise", "8"), "--size"),
        ((two_classes, out, "--resize", "strech"), "'stretch'"),
        ((two_classes, out, "--clahe", "2"), "CLIP:TILES"),
        ((two_classes, out, "--clahe", "2:8", "--no-clahe"), "exclude each other"),
        ((two_classes, out, "--gamma", "0"), "gamma must be a number in 0.01..100"),
        ((two_classes, out, "--median", "5"), "median size must be 3, got 5"),
        ((two_classes, out, "--dtype", "int7"), "'int7' is not one of"),
        ((two_classes, out, "--steps", tmp_path / "no.yaml"), "cannot read the steps"),
        ((two_classes, out, "--unlabelled", "norml"), "did you mean 'normal'?"),
        ((two_classes, out, "--group-by", "patient"), "has no columns"),
        ((two_classes, out, "--part", "0/2"), "run `medprep plan SRC OUT` once"),
        ((two_classes, out, "--part", "2/2"), "the part must be in 0..1 (0-based)"),
        ((two_classes, out, "--part", "0/0"), "the part must be in 0..0"),
        ((two_classes, out, "--part", "-1/2"), "the part must be in 0..1"),
        ((two_classes, out, "--part", "x"), "must be I/N"),
        ((two_classes, out, "--threads", "0"), "0"),
        ((two_classes, out, "--shard-size", "big"), "256MiB"),
        ((two_classes, out, "--shard-samples", "0"), "at least 1"),
        ((two_classes, out, "--shard-samples", "1", "--shard-size", "1MiB"), "exclude"),
        ((two_classes, out, "--engine", "spark"), "'dask'"),
        ((two_classes, out, "--engine", "dask", "--scheduler", "nowhere"), "--scheduler nowhere"),
        ((two_classes, two_classes / "out"), "lies inside SRC"),
        ((two_classes, two_classes), "lies inside SRC"),
        ((two_classes, two_classes / "normal" / "normal_000.jpg"), "lies inside SRC"),
        ((two_classes,), "Missing argument 'OUT'"),
        ((two_classes, out, "--private-map", "m", "--keep-paths"), "needs --private"),
    ]
    for words, part in cases:
        result = call("shard", *words)
        refused(result, 2, part)
    assert not (out / "plan.json").exists() or not list(out.glob("*.npz"))


def test_images_that_the_plan_does_not_know_are_refused(two_classes, tmp_path):
    out = tmp_path / "out"
    assert call("shard", two_classes, out, *SMALL).exit_code == 0
    other = write_classes(tmp_path / "other", {"nevus": 3, "normal": 3})
    for verb in (("shard",), ("shard", "--dry-run"), ("plan",)):
        refused(call(*verb, other, out, *SMALL), 2, "planned without", "--overwrite")
    refused(call("shard", other, out), 2, "nevus_000.jpg")
    moved = two_classes.rename(tmp_path / "moved")
    assert call("shard", moved, out, *SMALL).exit_code == 0
    (moved / "normal" / "normal_000.jpg").rename(moved / "normal" / "late.jpg")
    refused(call("shard", moved, out, *SMALL), 2, "1 images", "normal/late.jpg")


def test_new_images_are_not_named_in_private_mode(two_classes, tmp_path):
    out = tmp_path / "out"
    assert call("plan", two_classes, out, *SMALL, "--private").exit_code == 0
    (two_classes / "normal" / "normal_000.jpg").rename(two_classes / "normal" / "surname.jpg")
    result = call("shard", two_classes, out, *SMALL, "--private")
    refused(result, 2, "planned without 1 images")
    assert "surname" not in result.output


def test_a_table_that_gives_some_splits_only_is_refused(tmp_path):
    src = write_classes(tmp_path / "src", {"a": 4, "b": 4})
    rows = ["path,label,split", "a/a_000.jpg,a,train", "b/b_000.jpg,b,test", "a/a_001.jpg,a,"]
    (src / "t.csv").write_text("\n".join(rows))
    refused(
        call("shard", src, tmp_path / "out", *SMALL),
        2,
        "does not say the split of 1 of its 3 images",
    )
    ratios = call("shard", src, tmp_path / "out", *SMALL, "--split", "train=1")
    assert ratios.exit_code == 0


@pytest.mark.parametrize(("stdout", "code"), [("&-", 0), ("/dev/full", 74)])
def test_a_closed_or_full_stdout_shows_no_traceback(two_classes, tmp_path, stdout, code):
    command = f'exec {sys.executable} -m medprep shard "$0" "$1" --size 8 --json >{stdout}'
    words = ["bash", "-c", command, str(two_classes), str(tmp_path / "out")]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert run.returncode == code, run.stderr
    assert "Traceback" not in run.stderr
    assert (tmp_path / "out" / "manifest.json").exists()


def test_an_empty_class_folder_is_named(two_classes, tmp_path):
    (two_classes / "later").mkdir()
    refused(call("shard", two_classes, tmp_path / "out"), 2, "later: the class folder holds no")


def test_another_specification_on_the_same_out_is_refused(two_classes, tmp_path):
    out = tmp_path / "out"
    assert call("shard", two_classes, out, *SMALL).exit_code == 0
    again = call("shard", two_classes, out, *SMALL, "--json")
    assert again.exit_code == 0 and last_json(again)["resumed"] == 3
    refused(call("shard", two_classes, out, "--size", 9), 2, "resize.height: 8 there, 9 asked")
    refused(call("shard", two_classes, out, *SMALL, "--seed", 1), 2, "seed: 0 there, 1 asked")
    refused(call("plan", two_classes, out, "--preset", "detection"), 2, "--overwrite")
    anew = call("shard", two_classes, out, "--size", 9, "--overwrite", "--json")
    assert anew.exit_code == 0 and last_json(anew)["resumed"] == 0
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "mine.npz").write_bytes(b"precious")
    refused(call("shard", two_classes, foreign, *SMALL, "--overwrite"), 2, "'mine.npz' but no plan")
    assert (foreign / "mine.npz").read_bytes() == b"precious"


def test_secrets_inside_out_are_a_privacy_error(two_classes, tmp_path):
    out = tmp_path / "out"
    result = call("shard", two_classes, out, *SMALL, "--private", "--key-file", out / "key")
    refused(result, 5, "lies inside", "outside OUT")
    result = call("shard", two_classes, out, *SMALL, "--private", "--private-map", out / "m")
    refused(result, 5, "--private-map")
    loose = tmp_path / "loose.key"
    loose.write_text("x" * 64)
    loose.chmod(0o644)
    result = call("shard", two_classes, out, *SMALL, "--private", "--key-file", loose)
    refused(result, 5, "others may read it")
    loose.chmod(0o600)
    loose.write_text("short")
    result = call("shard", two_classes, out, *SMALL, "--private", "--key-file", loose)
    refused(result, 2, "too few for a key")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_out_gives_exit_74(two_classes, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    refused(call("shard", two_classes, tmp_path / "locked" / "out", *SMALL), 74, "cannot create")


def test_an_out_that_cannot_be_made_gives_exit_74(two_classes, tmp_path):
    (tmp_path / "file").write_text("x")
    refused(call("shard", two_classes, tmp_path / "file" / "out", *SMALL), 74, "cannot create")
    refused(call("shard", two_classes, "/proc/nowhere/out", *SMALL), 74, "cannot create")


def test_a_missing_extra_names_its_command(two_classes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    result = call("shard", two_classes, tmp_path / "a", *SMALL, "--kernel", "python")
    refused(result, 2, "pip install 'medprep[opencv]'")
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = call("shard", two_classes, tmp_path / "b", *SMALL, "--engine", "dask")
    refused(result, 2, "pip install 'medprep[dask]'")


def test_a_mistyped_verb_gets_a_suggestion():
    refused(call("shrad"), 2, "Did you mean 'shard'?")


@pytest.mark.parametrize("verb", ["plan", "shard", "verify", "merge"])
def test_every_verb_opens_its_help_with_an_example(verb):
    result = call(verb, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Example: medprep {verb} ")
    assert {"--json", "--verbose", "--quiet"} <= set(re.findall(r"--[a-z-]+", result.output))


def test_help_lists_every_verb_without_importing_any():
    code = (
        "import sys, medprep.cli as c\n"
        "try: c.main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(str([m for m in sys.modules if m in ('numpy', 'yaml', 'medprep._core')] or 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() in ("", "0")
    assert all(verb in done.stdout for verb in VERBS)


def test_a_closed_pipe_gives_no_traceback(two_classes, tmp_path):
    command = f"{sys.executable} -m medprep shard {two_classes} {tmp_path / 'out'} --size 8 --json"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
    assert done.returncode in (0, 141)


@pytest.mark.real_data
def test_hostile_files_cost_a_line_each(real_data, tmp_path):
    result = call("shard", real_data / "hostile", tmp_path / "out", "--size", "16", "--json", "-q",
                  "--layout", "files")  # fmt: skip
    assert result.exit_code == 3
    report = last_json(result)
    assert report["failed"] == len((tmp_path / "out" / "failures.jsonl").read_text().splitlines())
    assert report["images"] > 100
