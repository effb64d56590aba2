"""One plan, one digest: whoever schedules, whoever computes, however often it was interrupted."""

import hashlib
import json

import numpy as np
import psutil
import pytest
from dicom_files import dicom
from PIL import Image
from tiny_collections import write_classes

import distributed
import medprep
from medprep import _core, verify
from medprep.engines.job import Job
from medprep.engines.python_rows import run_in_python
from medprep.errors import DecodeError, StoppedError, UsageError
from medprep.options import DataOptions
from medprep.pipeline import Overrides
from medprep.plan import load_plan
from medprep.planning import make_plan
from medprep.run import RunOptions, merge, run_shard, save
from tiff_files import tiff_file

PAIRS = [
    (engine, kernel)
    for engine in ("sequential", "threads", "dask")
    for kernel in ("rust", "python")
]
# Exact parity of the kernels on hard images is tests/parity; here it is about scheduling.
OPTIONS = {"preset": "glaucoma", "size": 16, "clahe": "2.0:2", "shard_samples": 6}


def shards_of(out):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.glob("*.npz"))}


def settled(out):
    """Everything but run.json, byte for byte; kernels word the reason of a failure differently."""
    names = ["manifest.json", "samples.jsonl", "plan.json", "plan-samples.jsonl"]
    records = {}
    for path in sorted((out / "records").iterdir()):
        records[path.name] = json.loads(path.read_text())
        for failure in records[path.name]["failures"]:
            assert failure.pop("reason")
    return shards_of(out) | {name: (out / name).read_bytes() for name in names} | records


@pytest.fixture(scope="module")
def src(tmp_path_factory):
    """Two classes and two broken files."""
    root = write_classes(tmp_path_factory.mktemp("agree") / "src", {"a": 13, "b": 11})
    whole = (root / "a" / "a_003.jpg").read_bytes()
    (root / "a" / "truncated.jpg").write_bytes(whole[:-20])
    (root / "b" / "text.jpg").write_text("no image")
    return root


@pytest.fixture(scope="module")
def reference(src):
    out = src.parent / "reference"
    report = medprep.shard(src, out, engine="sequential", kernel="rust", **OPTIONS)
    assert (report.images, report.failed, report.shards) == (24, 2, 6)
    return out, report


@pytest.fixture(scope="module")
def address():
    """A Dask scheduler that somebody else started: one worker thread in this process."""
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address=None,
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.parametrize(("engine", "kernel"), PAIRS)
def test_every_engine_and_kernel_makes_the_same_shards(
    src, reference, tmp_path, engine, kernel, request
):
    out = tmp_path / "out"
    # Local Dask processes take seconds to start: once is enough, the other pair goes elsewhere.
    scheduler = request.getfixturevalue("address") if (engine, kernel) == PAIRS[-1] else "local"
    where = {"engine": engine, "kernel": kernel, "scheduler": scheduler}
    report = medprep.shard(src, out, threads=2, **where, **OPTIONS)
    assert report.digest == reference[1].digest
    assert shards_of(out) == shards_of(reference[0])
    assert (report.images, report.failed) == (24, 2)
    lines = [json.loads(x) for x in (out / "failures.jsonl").read_text().splitlines()]
    assert {(x["path"], x["stage"]) for x in lines} == {
        ("a/truncated.jpg", "decode"),
        ("b/text.jpg", "decode"),
    }
    children = psutil.Process().children(recursive=True)
    assert not [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_a_scheduler_file_names_the_scheduler(src, reference, tmp_path, address):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": address}))
    out = tmp_path / "out"
    report = medprep.shard(src, out, engine="dask", scheduler=str(file), **OPTIONS)
    assert report.digest == reference[1].digest


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """8- and 16-bit files of five formats, CT and X-ray; one text."""
    root = tmp_path_factory.mktemp("mixed") / "src"
    write_classes(root, {"a": 3, "b": 3}, grey=True)
    rng = np.random.default_rng(2)
    for number in range(4):
        deep = rng.integers(200, 3000, (22 + number, 30)).astype(np.uint16)
        tiff = tiff_file(deep[:, :, None], bits=16, compression=(1, 5, 8, 32773)[number])
        (root / "a" / f"deep_{number}.tif").write_bytes(tiff)
        Image.fromarray(deep).save(root / "b" / f"deep_{number}.png")
        Image.fromarray((deep >> 4).astype(np.uint8)).save(root / "a" / f"plain_{number}.bmp")
        xray = dicom(deep, bits_stored=12, photometric=f"MONOCHROME{1 + number % 2}")
        (root / "b" / f"xray_{number}.dcm").write_bytes(xray)
        ct = dicom(deep.astype(np.int16) - 1000, rescale=(1.0, -24.0), window=(300, 1200))
        (root / "a" / f"ct_{number}.dcm").write_bytes(ct)
    (root / "b" / "text.dcm").write_text("no image")
    return root


@pytest.mark.parametrize("window", [None, "auto", "400:1500"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_every_dtype_is_the_same_from_both_kernels_and_reads_back(mixed, tmp_path, dtype, window):
    options = {"preset": "pneumonia", "size": 16, "clahe": "2.0:2", "gamma": 1.2, "median": 3}
    options |= {"dtype": dtype, "window": window, "shard_samples": 7, "split": "train=1"}
    out = tmp_path / "rust"
    reports = {
        kernel: medprep.shard(mixed, tmp_path / kernel, kernel=kernel, threads=2, **options)
        for kernel in ("rust", "python")
    }
    assert reports["rust"].digest == reports["python"].digest
    assert shards_of(out) == shards_of(tmp_path / "python")
    assert (reports["rust"].images, reports["rust"].failed) == (26, 1)
    assert verify.verify(out, threads=1).is_ok
    reader = medprep.ShardReader(out)
    images, _ = reader.batch(range(len(reader)))
    assert images.dtype == np.dtype(dtype) == reader.manifest.image.dtype
    found = json.loads((out / "manifest.json").read_text())
    for channel, (mean, std) in enumerate(
        zip(found["channel_mean"], found["channel_std"], strict=True)
    ):
        values = images[..., channel].astype(np.float64)
        assert mean == pytest.approx(values.mean(), rel=1e-7)
        assert std == pytest.approx(values.std(), rel=1e-7)
    assert np.load(out / "train-00000.npz")["images"].dtype == np.dtype(dtype)


def test_a_flipped_bit_of_a_16_bit_shard_is_found_with_its_sample(mixed, tmp_path):
    out = tmp_path / "out"
    medprep.shard(mixed, out, preset="pneumonia", size=16, dtype="uint16", split="train=1")
    path = out / "train-00000.npz"
    content = bytearray(path.read_bytes())
    content[256 + 16 * 16 * 2 * 5 + 17] ^= 4
    path.write_bytes(content)
    report = verify.verify(out, threads=1)
    assert not report.is_ok
    assert any(problem.get("row") == 5 for problem in report.errors)


@pytest.mark.parametrize("count", [2, 5])
def test_parts_in_any_order_make_the_same_data_set(src, reference, tmp_path, count):
    out = tmp_path / "out"
    data = DataOptions(
        preset="glaucoma", overrides=Overrides(size=(16, 16), clahe=(2.0, 2)), shard_samples=6
    )
    save(out, make_plan(src, out, data, threads=1), data)
    for index in reversed(range(count)):
        with pytest.raises(UsageError, match="shards are not done"):
            merge(out)
        kernel = "python" if index % 2 else "rust"
        report = run_shard(
            src, out, DataOptions(), RunOptions(part=(index, count), kernel=kernel, threads=2)
        )
        assert report.digest is None and report.part == f"{index}/{count}"
    assert merge(out)["digest"] == reference[1].digest
    assert settled(out) == settled(reference[0])


@pytest.mark.parametrize("kernel", ["rust", "python"])
def test_a_stopped_run_goes_on_where_it_stopped(src, reference, tmp_path, kernel):
    out = tmp_path / "out"
    data = DataOptions(
        preset="glaucoma", overrides=Overrides(size=(16, 16), clahe=(2.0, 2)), shard_samples=6
    )
    run = RunOptions(kernel=kernel, threads=1, engine="sequential")
    stop = _core.StopFlag()
    if kernel == "rust":
        stop.set()  # before the first shard: the core polls too rarely for a run this short

    def stop_soon(total):
        return lambda images, failed, shards: stop.set() if shards == 2 else None

    with pytest.raises(StoppedError, match=r"stopped safely with \d of 6 shards to do; run"):
        run_shard(src, out, data, run, stop=stop, progress=stop_soon)
    assert not (out / "manifest.json").exists()
    assert not list(out.glob(".*"))
    resumed = run_shard(src, out, data, run)
    assert resumed.resumed == (2 if kernel == "python" else 0)
    assert resumed.digest == reference[1].digest
    assert settled(out) == settled(reference[0])


def test_only_what_is_missing_or_cut_is_made_again(src, reference, tmp_path):
    out = tmp_path / "out"
    medprep.shard(src, out, **OPTIONS)
    (out / "train-00000.npz").unlink()
    cut = out / "val-00000.npz"
    cut.write_bytes(cut.read_bytes()[:100])
    (out / "records" / "test-00000.json").unlink()
    report = medprep.shard(src, out, **OPTIONS)
    assert report.resumed == 3
    assert settled(out) == settled(reference[0])
    again = medprep.shard(src, out, **OPTIONS)
    assert again.resumed == 6 and again.digest == reference[1].digest


def test_private_runs_have_the_same_digest_and_no_path_in_out(src, reference, tmp_path):
    out = tmp_path / "out"
    report = medprep.shard(src, out, private=True, private_map=tmp_path / "map.jsonl", **OPTIONS)
    assert report.digest == reference[1].digest
    for path in out.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for canary in (b"a_003", b"truncated", "a_003".encode("utf-32-le")):
                assert canary not in content, path
    again = medprep.shard(src, out, private=True, **OPTIONS)
    assert again.resumed == 6
    known = [json.loads(line) for line in (tmp_path / "map.jsonl").read_text().splitlines()]
    assert {k["id"] for k in known} >= set(medprep.ShardReader(out).ids)
    assert (tmp_path / "map.jsonl").stat().st_mode & 0o777 == 0o600
    # A shard lost later: the paths are planned again from SRC with the same key.
    (out / "train-00001.npz").unlink()
    assert medprep.shard(src, out, private=True, **OPTIONS).digest == reference[1].digest
    assert not (out / "plan-samples.jsonl").exists()


@pytest.mark.parametrize(
    ("engine", "kernel"), [("threads", "rust"), ("threads", "python"), ("dask", "python")]
)
def test_on_error_fail_raises_the_error_of_the_input(src, tmp_path, engine, kernel):
    with pytest.raises(DecodeError) as caught:
        medprep.shard(
            src,
            tmp_path / "out",
            on_error="fail",
            engine=engine,
            kernel=kernel,
            threads=2,
            **OPTIONS,
        )
    assert caught.value.path in ("a/truncated.jpg", "b/text.jpg")
    assert str(caught.value).startswith(caught.value.path)
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not list((tmp_path / "out").glob(".*tmp*"))


def test_kernel_python_refuses_to_keep_damaged_images(src, tmp_path):
    with pytest.raises(UsageError, match="cannot keep damaged images"):
        medprep.shard(src, tmp_path / "out", kernel="python", on_damage="keep", **OPTIONS)


def test_damaged_jpegs_can_be_kept(src, tmp_path):
    report = medprep.shard(src, tmp_path / "out", on_damage="keep", **OPTIONS)
    assert (report.images, report.failed) == (25, 1)
    lines = (tmp_path / "out" / "samples.jsonl").read_text().splitlines()
    kept = [json.loads(line) for line in lines if "damaged" in line]
    assert [line["id"] for line in kept] == ["a/truncated.jpg"]


def test_a_cancelled_python_run_leaves_no_temporary_file(src, reference, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    plan = load_plan(reference[0])
    (out / "plan-samples.jsonl").write_bytes((reference[0] / "plan-samples.jsonl").read_bytes())
    job = Job(root=str(src), out=str(out), plan=plan, shards=plan.shards, kernel="python")

    def interrupt(images, failed, shards):
        if images == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_python(job, pool=None, ahead=1, stop=_core.StopFlag(), progress=interrupt)
    assert [p.name for p in out.glob("*.npz")] == []
    assert list(out.glob(".*")) == []


@pytest.mark.real_data
@pytest.mark.parametrize("preset", ["glaucoma", "dermatology", "pneumonia"])
def test_kernels_agree_on_real_images(real_data, tmp_path, preset):
    src = real_data / "fundus-512"
    digests = {
        kernel: medprep.shard(src, tmp_path / kernel, preset=preset, kernel=kernel).digest
        for kernel in ("rust", "python")
    }
    assert digests["rust"] == digests["python"]
