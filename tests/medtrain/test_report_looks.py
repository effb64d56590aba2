"""The page in a real browser: nothing wider than the window, no text cut or overlapping."""

import html
import json
import re
import shutil
import subprocess

import pytest
from fake_runs import make_run

from medtrain.reports import write_html

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

# Runs in the test's own copy of the page; the report itself has no script.
MEASURE = """<script>
addEventListener('load', () => {
  document.querySelectorAll('details').forEach(d => d.open = true);
  const found = {width: document.documentElement.scrollWidth, window: innerWidth, cut: [],
                 overlapping: [], empty: [], scrolling: [],
                 figures: document.querySelectorAll('svg').length,
                 paper: getComputedStyle(document.body).backgroundColor,
                 ink: getComputedStyle(document.querySelector('h1')).color};
  const inside = (a, b) => a.left >= b.left - 1 && a.right <= b.right + 1 &&
                           a.top >= b.top - 1 && a.bottom <= b.bottom + 1;
  for (const svg of document.querySelectorAll('svg')) {
    const frame = svg.getBoundingClientRect();
    if (frame.width < 50 || frame.height < 50) found.empty.push(svg.getAttribute('aria-label'));
    const texts = [...svg.querySelectorAll('text')].map(t => [t, t.getBoundingClientRect()]);
    texts.forEach(([t, box], i) => {
      if (!inside(box, frame))
        found.cut.push(svg.getAttribute('aria-label') + ': ' + t.textContent);
      for (const [u, other] of texts.slice(i + 1)) {
        const w = Math.min(box.right, other.right) - Math.max(box.left, other.left);
        const h = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
        if (w > 1 && h > 3) found.overlapping.push(t.textContent + ' | ' + u.textContent);
      }
    });
  }
  for (const e of document.querySelectorAll('figure, .card, dd, li, figcaption, td')) {
    if (!e.textContent.trim()) found.empty.push(e.outerHTML.slice(0, 80));
    if (e.tagName != 'FIGURE' && e.scrollWidth > e.clientWidth + 1 && e.clientWidth)
      found.cut.push('wide: ' + e.textContent.slice(0, 60));
  }
  for (const box of document.querySelectorAll('.table'))
    if (box.scrollWidth > box.clientWidth + 1) found.scrolling.push(box.textContent.slice(0, 40));
  document.body.setAttribute('data-found', JSON.stringify(found));
});
</script></body>"""


def measured(page, width, tmp_path, *flags):
    copy = tmp_path / "measured.html"
    copy.write_text(page.read_text(encoding="utf-8").replace("</body>", MEASURE), encoding="utf-8")
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        f"--window-size={width},1000",
        f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=3000",
        *flags,
        "--dump-dom",
        copy.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")

    def page(name, *runs):
        return write_html(list(runs), folder / f"{name}.html")

    long_name = "a-very-long-run-name-that-somebody-typed-without-a-single-space-" + "x" * 60
    one = make_run(folder / long_name)
    small = {"epochs": 3, "sizes": (400, 90, 120)}
    classes = tuple(f"{i} Seborrheic keratoses and other benign tumours" for i in range(35))
    several = [
        make_run(folder / "serial", **small),
        make_run(folder / "ddp-2", strategy="ddp", world_size=2, images_per_s=350, **small),
        make_run(folder / "other data", strategy="ddp", world_size=2, digest="c" * 64, **small),
        *(make_run(folder / f"bf16-{s}", seed=s, precision="bf16", **small) for s in (1, 2, 3)),
    ]
    return {
        "one": page("one", one),
        "many classes": page(
            "many",
            make_run(
                folder / "many", classes=classes, per_patient=None, epochs=60, sizes=(900, 400, 700)
            ),
        ),
        "five classes": page(
            "five", make_run(folder / "five", classes=tuple("abcde"), per_patient=None, **small)
        ),
        "running": page("running", make_run(folder / "r", state="running", epochs=1, planned=9)),
        "begun": page("begun", make_run(folder / "z", state="running", epochs=0, planned=9)),
        "tiny": page(
            "tiny",
            make_run(folder / "t", sizes=(60, 14, 12), per_patient=None, splits=("val",), epochs=2),
        ),
        "fast": page("fast", make_run(folder / "f", images_per_s=123456.0, epochs=130)),
        "several": page("several", *several, one),
    }


KINDS = ("one", "many classes", "five classes", "running", "begun", "tiny", "fast", "several")


@pytest.mark.parametrize("width", [1280, 800])
@pytest.mark.parametrize("kind", KINDS)
def test_page_is_whole_at_this_width(kind, width, pages, tmp_path):
    found = measured(pages[kind], width, tmp_path)
    assert found["window"] == width and found["width"] <= width
    assert found["cut"] == []
    assert found["overlapping"] == []
    assert found["empty"] == []
    assert found["scrolling"] == []
    assert (found["figures"] > 0) == (kind != "begun")


def test_dark_scheme_changes_paper_and_ink(pages, tmp_path):
    light = measured(pages["one"], 900, tmp_path)
    dark = measured(pages["one"], 900, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert light["paper"] == "rgb(255, 255, 255)" and dark["paper"] == "rgb(20, 24, 29)"
    assert light["ink"] != dark["ink"]


def test_measurement_notices_planted_faults(pages, tmp_path):
    faults = (
        '<svg viewBox="0 0 100 100" width="100" height="100" aria-label="planted">'
        '<text x="95" y="50">cut off</text><text x="10" y="20">one</text>'
        '<text x="12" y="21">two</text></svg><div style="width:3000px">wide</div><dd></dd></body>'
    )
    page = tmp_path / "faulty.html"
    page.write_text(pages["begun"].read_text().replace("</body>", faults))
    found = measured(page, 1280, tmp_path)
    assert found["width"] > 1280
    assert found["cut"] == ["planted: cut off"]
    assert found["overlapping"] == ["one | two"]
    assert found["empty"] == ["<dd></dd>"]
