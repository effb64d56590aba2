"""Collections that many tests begin with."""

import pytest
from tiny_collections import write_classes


@pytest.fixture
def two_classes(tmp_path):
    """10 + 10 readable JPEGs in src/normal and src/sick."""
    return write_classes(tmp_path / "src", {"normal": 10, "sick": 10})


@pytest.fixture
def with_broken(two_classes):
    """The same with a truncated JPEG, a text file named .jpg and an empty PNG."""
    whole = (two_classes / "normal" / "normal_003.jpg").read_bytes()
    (two_classes / "normal" / "zz_truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (two_classes / "sick" / "aa_text.jpg").write_text("this is no image")
    (two_classes / "sick" / "empty.png").write_bytes(b"")
    return two_classes
