"""How the data path holds at size: ready in seconds, no memory growth, what row checks cost.

    python benches/python/train_data.py --ready 10000000
    python benches/python/train_data.py --batches 10000
    python benches/python/train_data.py --checks

--ready N: N samples in as many shards as 224 x 224 RGB images would fill (1783 rows each), here
with 1 x 1 pixels so that the index, not the pixels, is what is read; measures opening and the
first batch of the first epoch, with only 1024 open files allowed. --batches N: growth of anonymous
memory over N batches. --checks: CRC-32C of 224 x 224 batches beside copying them.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "medtrain"))

import numpy as np
import torch

ROWS = 1783  # 224 x 224 x 3 bytes each in a shard of 256 MiB


def make_index(out: Path, samples: int) -> None:
    """A data set of 1 x 1 images; every shard of a split has the same bytes but for its name."""
    import toy

    per_split = {"train": samples * 8 // 10, "val": samples // 10, "test": samples // 10}
    tiny = toy.make_shards(out / "tiny", counts={"train": ROWS}, side=1, shard_samples=ROWS)
    manifest = json.loads((tiny / "manifest.json").read_text())
    (template,) = manifest["shards"]
    data = (tiny / template["name"]).read_bytes()
    counts = np.array(manifest["splits"]["train"]["class_counts"])
    manifest["shards"], manifest["splits"] = [], {}
    for split, count in per_split.items():
        shards = max(1, round(count / ROWS))
        for index in range(shards):
            name = f"{split}-{index:05}.npz"
            (out / name).write_bytes(data)
            manifest["shards"].append(template | {"name": name, "split": split, "index": index})
        manifest["splits"][split] = {
            "samples": shards * ROWS,
            "shards": shards,
            "class_counts": (counts * shards).tolist(),
            "unlabelled": 0,
        }
    (out / "manifest.json").write_text(json.dumps(manifest))


def loader_of(out: Path, *, check_rows: str = "first", batch_size: int = 32):
    from medtrain.config import resolve
    from medtrain.data import TrainLoader
    from medtrain.dataset import open_trainable

    data = open_trainable(out, resolve("classify"))
    return TrainLoader(
        data.splits["train"],
        seed=42,
        batch_size=batch_size,
        accumulate=1,
        rank=0,
        world_size=1,
        augment=True,
        device=torch.device("cpu"),
        check_rows=check_rows,
    )


def ready(samples: int) -> None:
    from medtrain.machine import allow_many_files

    with tempfile.TemporaryDirectory(prefix="train-data-") as folder:
        out = Path(folder)
        make_index(out, samples)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
        allow_many_files()
        begin, begin_cpu = time.perf_counter(), time.process_time()
        loader = loader_of(out)
        opened = time.perf_counter()
        position, batches = next(iter(loader.epoch(0)))
        seconds, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
        assert position == 32 and len(batches[0]) == 32
        shards = len(json.loads((out / "manifest.json").read_text())["shards"])
    print(
        f"{samples:,} samples in {shards:,} shards: open {opened - begin:.2f} s, "
        f"first batch {seconds - (opened - begin):.2f} s, ready in {seconds:.2f} s "
        f"({cpu:.2f} s of CPU)"
    )


def anonymous_mib() -> float:
    """Resident memory that is no file's, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no RssAnon in /proc/self/status")


def memory_growth(batches: int) -> float:
    """MiB that anonymous memory grows by over `batches` batches, after a warm-up."""
    import toy

    with tempfile.TemporaryDirectory(prefix="train-data-") as folder:
        shards = toy.make_shards(Path(folder) / "d", counts={"train": 640, "val": 8}, side=16)
        loader = loader_of(shards)
        done, epoch, start = 0, 0, 0.0
        warm_up = max(100, batches // 10)
        while done < warm_up + batches:
            for _ in loader.epoch(epoch):
                done += 1
                if done == warm_up:
                    start = anonymous_mib()
            epoch += 1
        return anonymous_mib() - start


def checks() -> None:
    import toy

    from medtrain.data.checks import RowChecks

    with tempfile.TemporaryDirectory(prefix="train-data-") as folder:
        shards = toy.make_shards(Path(folder) / "d", counts={"train": 256, "val": 8}, side=224)
        split = loader_of(shards).split
        checker = RowChecks(split, "always")
        copy_s, check_s = [], []
        for at in range(40):
            rows = np.arange(32) + 32 * (at % 8)
            begin = time.perf_counter()
            batch = split.batch(rows)
            middle = time.perf_counter()
            assert not checker.damaged(batch).any()
            copy_s.append(middle - begin)
            check_s.append(time.perf_counter() - middle)
    copied, checked = statistics.median(copy_s), statistics.median(check_s)
    print(
        f"32 images of 224 x 224 x 3: copy {copied * 1e3:.2f} ms, CRC-32C {checked * 1e3:.2f} ms "
        f"({32 * 224 * 224 * 3 / checked / 1e9:.1f} GB/s)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ready", type=int, metavar="N")
    parser.add_argument("--batches", type=int, metavar="N")
    parser.add_argument("--checks", action="store_true")
    options = parser.parse_args()
    if options.ready:
        ready(options.ready)
    if options.batches:
        grown = memory_growth(options.batches)
        print(f"{options.batches:,} batches: anonymous memory grew by {grown:.2f} MiB")
    if options.checks:
        checks()


if __name__ == "__main__":
    main()
