"""The plan: decided once, written whole, the same on every machine."""

import json
from dataclasses import replace

import pytest
from tiny_collections import write_classes, write_table

from medprep import plan as plan_file
from medprep.agreement import refuse_difference
from medprep.errors import NoInputError, SpecError, UsageError, VerificationError
from medprep.options import DataOptions, parse_bytes
from medprep.pipeline import Overrides
from medprep.planning import make_plan
from medprep.run import save

SMALL = Overrides(size=(8, 8))


def planned(src, out, **options):
    options.setdefault("overrides", SMALL)
    return make_plan(src, out, DataOptions(**options), threads=2)


def test_a_plan_is_written_and_read_back(two_classes, tmp_path):
    out = tmp_path / "out"
    made = planned(two_classes, out, shard_samples=7)
    save(out, made, DataOptions())
    loaded = plan_file.load_plan(out)
    assert loaded == made.plan
    assert [(s.name, s.count) for s in loaded.shards] == [
        ("train-00000", 7),
        ("train-00001", 7),
        ("train-00002", 2),
        ("val-00000", 2),
        ("test-00000", 2),
    ]
    read = [sample for shard in loaded.shards for sample in plan_file.read_samples(out, shard)]
    assert read == made.samples
    assert plan_file.check_samples(out, loaded) is None


def test_planning_twice_gives_the_same_bytes(two_classes, tmp_path):
    for out in ("a", "b"):
        save(tmp_path / out, planned(two_classes, tmp_path / out, seed=3), DataOptions())
    for name in (plan_file.PLAN_FILE, plan_file.SAMPLES_FILE):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_channels_are_grey_only_if_every_image_is(tmp_path):
    write_classes(tmp_path / "grey", {"a": 3, "b": 3}, grey=True)
    assert planned(tmp_path / "grey", tmp_path / "out").plan.image.channels == 1
    write_classes(tmp_path / "grey", {"c": 1}, grey=False)
    assert planned(tmp_path / "grey", tmp_path / "out").plan.image.channels == 3


def test_private_plans_name_no_path_outside_the_samples(with_broken, tmp_path):
    (with_broken / "sick" / "Doe.jpg").symlink_to("/etc/hostname")
    out = tmp_path / "out"
    save(out, planned(with_broken, out, private=True), DataOptions())
    text = (out / plan_file.PLAN_FILE).read_text()
    assert "Doe" not in text
    assert len(json.loads(text)["failures"][0]["id"]) == 32
    assert plan_file.samples_path(out, private=True).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "medprep.key").stat().st_mode & 0o777 == 0o600


def test_private_ids_change_neither_order_nor_split(two_classes, tmp_path):
    plain = planned(two_classes, tmp_path / "out")
    private = planned(two_classes, tmp_path / "out", private=True)
    assert [(s.path, s.split, s.label) for s in plain.samples] == [
        (s.path, s.split, s.label) for s in private.samples
    ]
    assert all(len(sample.id) == 32 for sample in private.samples)


def test_groups_are_stored_as_pseudonyms(two_classes, tmp_path):
    rows = [(f"sick/sick_{k:03}.jpg", "ill", f"Doe-{k // 2}") for k in range(6)]
    table = write_table(two_classes / "t.csv", rows)
    plain = planned(table, tmp_path / "out")
    assert {s.group for s in plain.samples} == {"g1", "g2", "g3"}
    keyed = planned(table, tmp_path / "out", key_file=tmp_path / "key")
    assert {len(s.group) for s in keyed.samples} == {32}
    assert all(s.id == s.path for s in keyed.samples)


def test_a_difference_is_named_and_no_options_mean_the_plan(two_classes, tmp_path):
    made = planned(two_classes, tmp_path / "out").plan
    refuse_difference(made, DataOptions(), tmp_path)
    refuse_difference(made, DataOptions(overrides=SMALL), tmp_path)
    refuse_difference(made, DataOptions(overrides=SMALL, layout="folder", seed=0), tmp_path)
    with pytest.raises(SpecError, match=r"resize\.height: 8 there, 16 asked"):
        refuse_difference(made, DataOptions(overrides=Overrides(size=(16, 8))), tmp_path)
    with pytest.raises(SpecError, match=r"clahe\.tiles: none there, 8 asked; gamma\.gamma"):
        refuse_difference(made, DataOptions(preset="glaucoma", overrides=SMALL), tmp_path)
    with pytest.raises(SpecError, match="seed: 0 there, 7 asked"):
        refuse_difference(made, DataOptions(overrides=SMALL, seed=7), tmp_path)
    with pytest.raises(SpecError, match=r"split: .* there, train=0.5,test=0.5 asked"):
        refuse_difference(made, DataOptions(overrides=SMALL, split="train=.5,test=.5"), tmp_path)


def test_a_missing_or_damaged_plan_says_what_to_do(two_classes, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="no plan; run `medprep plan"):
        plan_file.load_plan(out)
    made = planned(two_classes, out)
    save(out, made, DataOptions())
    (out / plan_file.SAMPLES_FILE).write_bytes(b"{}\n")
    assert plan_file.check_samples(out, made.plan) == "changed"
    with pytest.raises(VerificationError, match="damaged plan"):
        plan_file.read_samples(out, made.plan.shards[0])
    for text in ('{"schema": 9}', "[", '{"schema": 1}'):
        (out / plan_file.PLAN_FILE).write_text(text)
        with pytest.raises(VerificationError, match="damaged plan"):
            plan_file.load_plan(out)


def test_an_input_that_is_refused_entirely_leaves_its_reasons(two_classes, tmp_path):
    table = write_table(two_classes / "t.csv", [("../x.jpg", "a", "p")])
    out = tmp_path / "out"
    with pytest.raises(NoInputError, match="all 1 were refused"):
        save(out, planned(table, out), DataOptions())
    line = json.loads((out / "failures.jsonl").read_text())
    assert line["path"] == "../x.jpg" and "leaves SRC" in line["reason"]
    assert not plan_file.has_plan(out)


def test_shard_sizes_are_parsed_and_cut():
    assert parse_bytes("256MiB") == 256 * 2**20
    assert parse_bytes("1.5 kB") == 1500
    assert parse_bytes("4096") == 4096
    for wrong in ("", "many", "3 tons", "-1", "1.2.3"):
        with pytest.raises(UsageError, match="256MiB"):
            parse_bytes(wrong)


def test_shards_never_cross_splits_and_cover_every_line(two_classes, tmp_path):
    made = planned(two_classes, tmp_path / "out")
    for rows in (1, 3, 100):
        shards, digest = plan_file.cut_shards(made.samples, made.plan.splits, rows=rows)
        assert sum(shard.count for shard in shards) == len(made.samples)
        assert max(shard.count for shard in shards) <= rows
        assert digest == made.plan.samples_sha256
    relabelled = [replace(made.samples[0], label=9), *made.samples[1:]]
    assert plan_file.cut_shards(relabelled, made.plan.splits, rows=3)[1] != digest
