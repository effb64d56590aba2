"""Writes the golden JPEG and PNG files as seeds; run it from the root of the repository."""

import json
from pathlib import Path

goldens = json.loads(Path("tests/goldens/pixels.json").read_text())
for number, case in enumerate(goldens["decode"]):
    data = bytes.fromhex(case["file"])
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg"
    folder = Path("fuzz/corpus") / kind
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"golden-{number:03}").write_bytes(data)
for path in Path("rust/medprep-core/src/decode/jpeg_sequential/goldens").glob("*.jpg"):
    (Path("fuzz/corpus/jpeg") / path.name).write_bytes(path.read_bytes())
