"""No path that a table, a list or a member's name gives is ever read outside SRC: 100 ways out."""

import csv
import json
import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from dicom_files import element, meta_group
from dicom_files import item as item_of
from tiny_collections import write_image

import medprep
from medprep.errors import DecodeError, UsageError

GOOD = "good"


def ways_out(root):
    """100 paths that must not be read; `root` has the links that some of them use."""
    outside = root.parent / "outside"
    ups = ["../" * n + "outside/secret{}" for n in range(1, 9)]
    ups += [f"images/{'../' * n}outside/secret{{}}" for n in range(2, 8)]
    ups += [
        "..",
        "../",
        "../..",
        "./../outside/secret{}",
    ]
    ups += ["images/./../../outside/secret{}", "images//..//..//outside/secret{}", "..//secret{}"]
    ups += ["images/good/../../../outside/secret{}", ".. /outside/secret{}", "../outside"]
    absolute = [str(outside / "secret{}"), f"/{outside}/secret{{}}", f"//{outside}/secret{{}}"]
    absolute += ["/etc/passwd", "/etc/shadow", "/proc/self/environ", "/proc/self/fd/0", "/", "//"]
    absolute += ["/proc/self/root/etc/passwd", "/dev/stdin", "/dev/zero", "/dev/random", "~", "~/x"]
    absolute += ["~root/.ssh/id_rsa", "$HOME/secret{}", "${HOME}/secret{}", "%HOME%/secret{}"]
    windows = ["..\\outside\\secret{}", "images\\..\\..\\outside\\secret{}", "C:\\secret{}"]
    windows += ["C:/secret{}", "c:secret{}", "\\\\server\\share\\secret{}", "//server/share/x{}"]
    windows += ["\\\\?\\C:\\secret{}", "\\\\.\\PhysicalDrive0", "CON", "NUL{}", "COM1", "AUX.jpg"]
    encoded = ["%2e%2e/outside/secret{}", "%2e%2e%2foutside%2fsecret{}", "..%2foutside/secret{}"]
    encoded += ["..%252foutside%252fsecret{}", "..%c0%afoutside/secret{}", "..%5coutside%5csecret"]
    encoded += ["&#46;&#46;/outside/secret{}", "\\u002e\\u002e/outside/secret{}"]
    urls = ["file:///etc/passwd", f"file://{outside}/secret{{}}", "http://localhost/secret{}"]
    urls += ["https://example.org/x.jpg", "ftp://localhost/x", "s3://bucket/secret{}", "data:,x"]
    urls += ["zip:///x.zip!/secret{}", "jar:file:///x.jar!/y"]
    # look-alikes of the full stop and the slash: other characters to every file system we know
    alike = ["\u2024\u2024/outside/secret{}", "\uff0e\uff0e/outside/secret{}"]
    alike += ["..\u2215outside\u2215secret{}", "..\uff0foutside\uff0fsecret{}", "\u2025/outside/x"]
    alike += ["\u200b../outside/secret{}", "..\u200b/outside/secret{}", "\ufeff../outside/secret{}"]
    nul = ["a\0b{}", "../outside/secret{}\0", "images/good\0/../../../outside/secret{}", "\0"]
    long = ["x" * 256 + "{}", "x" * 5000, "a/" * 3000 + "x", "images/" + "y" * 300 + "{}"]
    links = ["link{}", "way/secret{}", "chain/secret{}", "deep/way/secret{}", "loop{}", "root"]
    special = ["pipe{}", "socket{}", ".hidden/x{}", "images/.x{}", "images", "missing{}", "."]
    return [*ups, *absolute, *windows, *encoded, *urls, *alike, *nul, *long, *links, *special]


@pytest.fixture
def root(tmp_path):
    """images/good in three formats, and links, pipes and folders to be caught by."""
    outside, root = tmp_path / "outside", tmp_path / "src"
    for suffix in (".jpg", ".png", ".dcm"):
        for name in ("images", "stage_2_train_images", "full-fundus"):
            write_image(root / name / f"{GOOD}{suffix}", 1)
        write_image(outside / f"secret{suffix}", 2)
        (root / f"link{suffix}").symlink_to(outside / f"secret{suffix}")
        (root / f"loop{suffix}").symlink_to(f"loop{suffix}")
        os.mkfifo(root / f"pipe{suffix}")
    (root / "way").symlink_to(outside)
    (root / "chain").symlink_to("way")
    (root / "root").symlink_to("/")
    (root / "deep").mkdir()
    (root / "deep" / "way").symlink_to("../../outside")
    write_image(root / ".hidden" / "x.jpg", 3)
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(root)  # the path of a socket must be short
        server.bind("socket.jpg")
        os.chdir(here)
    return root


def rows_of(root, suffix):
    return [way.replace("{}", suffix) for way in ways_out(root)]


def write_rows(path, header, rows, delimiter=","):
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([header, *rows])


def make_csv(root, delimiter=",", suffix=".csv"):
    rows = [(way, "x") for way in rows_of(root, ".jpg")] + [("images/good.jpg", "y")]
    write_rows(root / f"t{suffix}", ("path", "label"), rows, delimiter)
    return "table", root / f"t{suffix}"


def make_tsv(root):
    return make_csv(root, "\t", ".tsv")


def make_parquet(root):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    paths = [*rows_of(root, ".jpg"), "images/good.jpg"]
    columns = {"path": paths, "label": ["x"] * len(paths)}
    parquet.write_table(pyarrow.table(columns), root / "t.parquet")
    return "table", root / "t.parquet"


def make_jsonl(root):
    names = [*rows_of(root, ".jpg"), "\ud800.jpg", "good.jpg"]
    lines = [json.dumps({"image": name, "caption": "A caption"}) for name in names]
    (root / "pmc_oa.jsonl").write_text("\n".join(lines))
    return "pmc-oa", root


def make_coco(root):
    names = [*rows_of(root, ".jpg"), "\ud800.jpg", 7, None, "good.jpg"]
    images = [{"id": at, "file_name": name} for at, name in enumerate(names)]
    content = {"images": images, "annotations": [], "categories": []}
    (root / "instances.json").write_text(json.dumps(content))
    return "coco", root


def make_smdg(root):
    rows = [("A-1", "0", way) for way in rows_of(root, ".png")]
    rows += [("A-2", "0", f"/full-fundus/{way}") for way in rows_of(root, ".png")]
    rows.append(("A-3", "1", "/full-fundus/good.png"))
    write_rows(root / "metadata.csv", ("names", "types", "fundus"), rows)
    return "smdg", root


def make_rsna(root):
    rows = [(way, "", "", "", "", "0") for way in rows_of(root, "")]
    header = ("patientId", "x", "y", "width", "height", "Target")
    rows.append((GOOD, "", "", "", "", "0"))
    write_rows(root / "stage_2_train_labels.csv", header, rows)
    for name in ("good.jpg", "good.png"):
        (root / "stage_2_train_images" / name).unlink()
    return "rsna", root


def make_ham(root):
    rows = [("L", way, "nv") for way in rows_of(root, "")] + [("L2", GOOD, "mel")]
    write_rows(root / "HAM10000_metadata.csv", ("lesion_id", "image_id", "dx"), rows)
    return "ham10000", root


MAKERS = (make_csv, make_tsv, make_parquet, make_jsonl, make_coco, make_smdg, make_rsna, make_ham)


def test_there_are_a_hundred_ways_out(root):
    ways = ways_out(root)
    assert len(ways) == len(set(ways)) >= 100


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__.removeprefix("make_"))
def test_no_way_out_is_taken_and_each_ends_with_a_reason(make, root, list_of):
    layout, src = make(root)
    listing = list_of(src, layout)
    assert [Path(item.path).stem for item in listing.items] == [GOOD]
    for item in listing.items:
        assert os.path.realpath(root / item.path).startswith(f"{root.resolve()}/")
    assert len(listing.failures) >= 100
    assert all(failure.reason for failure in listing.failures)


def test_links_among_the_files_of_yolo_and_arrays_are_not_followed(tmp_path, list_of):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("0 0.5 0.5 1 1\n")
    src = tmp_path / "src"
    write_image(src / "images" / "a.jpg", 1)
    write_image(src / "images" / "b.jpg", 1)
    (src / "labels").mkdir()
    (src / "labels" / "b.txt").write_text("0 0.5 0.5 1 1\n")
    (src / "labels" / "a.txt").symlink_to(outside / "secret.txt")
    assert [len(item.boxes) for item in list_of(src, "yolo").items] == [0, 1]


@pytest.mark.parametrize("name", ["../../x_train", "/x_train", "..\\x", "x_train/../../y", "a/x"])
def test_a_member_of_an_archive_with_a_path_for_a_name_is_no_image(tmp_path, list_of, name):
    np.savez(tmp_path / "a.npz", **{name: np.zeros((2, 4, 4), np.uint8)})
    with pytest.raises(UsageError, match="no arrays named like"):
        list_of(tmp_path / "a.npz", "arrays")


def directory(root):
    """A DICOMDIR whose records name a file each, on all ways out."""
    ways = [way.replace("/", "\\").encode() for way in rows_of(root, ".dcm")]
    records = [item_of(element(0x0004, 0x1500, "CS", way)) for way in ways if len(way) < 2**16]
    assert len(records) >= 100
    body = element(0x0004, 0x1220, "SQ", b"".join(records))
    return meta_group("1.2.840.10008.1.2.1") + body


def test_a_dicomdir_leads_nowhere_by_whatever_name(root, tmp_path, list_of):
    src = tmp_path / "export"
    src.mkdir()
    shutil.copy(root / "images" / f"{GOOD}.dcm", src)
    for name in ("DICOMDIR", "dicomdir", "IM0001", "index.dcm"):
        (src / name).write_bytes(directory(root))
    paths = [item.path for item in list_of(src, "files").items]
    assert paths == ["IM0001", f"{GOOD}.dcm", "index.dcm"]  # the others are known for an index
    with pytest.raises(UsageError, match="expected a folder"):
        list_of(src / "DICOMDIR")
    for name in ("IM0001", "index.dcm"):
        with pytest.raises(DecodeError):
            medprep.decode_dicom((src / name).read_bytes())
