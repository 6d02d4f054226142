"""The report in headless Chromium: it draws, it plays, it is quiet, and it asks nobody."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from active_loops import loop
from ladera.properties.diffusion import diffusion
from ladera.properties.site_density import site_density
from ladera.properties.trajectory import Trajectory
from ladera.properties.van_hove import van_hove
from ladera.report import viewer
from ladera.report.report import write_report
from report_runs import HOSTILE, md_run, relax_run, training_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator
    from playwright.sync_api import Page as BrowserPage

pytestmark = pytest.mark.browser

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",  # WebGL without a graphics card
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Colours of pixels a canvas shows, read from a picture of it.
COUNT_COLORS = """async (url) => {
  const image = new Image(); image.src = url; await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width; canvas.height = image.height;
  const context = canvas.getContext("2d"); context.drawImage(image, 0, 0);
  const data = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
  return new Set(data).size;
}"""
# Elements beyond the window, if not inside something that scrolls or is cut off; of figures the
# whole ones.
STICKING_OUT = """() => {
  const width = document.documentElement.clientWidth;
  const cut = (e) => e && (getComputedStyle(e).overflowX !== "visible" || cut(e.parentElement));
  return [...document.body.querySelectorAll("*:not(svg *)")].filter((e) => {
    const box = e.getBoundingClientRect();
    const out = box.width > 0 && (box.left < -0.5 || box.right > width + 0.5);
    return out && !cut(e.parentElement);
  }).map((e) => e.outerHTML.slice(0, 80));
}"""
# Share of a picture's width between the first and the last column that has anything on it.
DRAWN_WIDTH = """async (url) => {
  const image = new Image(); image.src = url; await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width; canvas.height = image.height;
  const context = canvas.getContext("2d"); context.drawImage(image, 0, 0);
  const data = new Uint32Array(context.getImageData(0, 0, image.width, image.height).data.buffer);
  let first = image.width, last = 0;
  data.forEach((color, k) => {
    if (color !== data[0]) {
      first = Math.min(first, k % image.width); last = Math.max(last, k % image.width);
    }
  });
  return (last - first) / image.width;
}"""
COUNT_BLUE_AND_YELLOW = """async (url) => {
  const image = new Image(); image.src = url; await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width; canvas.height = image.height;
  const context = canvas.getContext("2d"); context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, image.width, image.height).data;
  let blue = 0, yellow = 0;
  for (let k = 0; k < data.length; k += 4) {
    blue += data[k + 2] > data[k] + 40;
    yellow += data[k] > data[k + 2] + 80 && data[k + 1] > data[k + 2] + 80;
  }
  return [blue, yellow];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright, in a profile of its own."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with two trajectories and groups called like attacks."""
    if viewer.load_script() is None:
        pytest.skip("3Dmol.js has not been fetched (sh scripts/fetch_3dmol.sh)")
    folder = tmp_path_factory.mktemp("report")
    run = training_run(folder / "run", config_types=("md_300K", HOSTILE))
    simulations = [md_run(folder / "crystal", periodic=True), relax_run(folder / "relax")]
    return write_report(run, simulations=simulations)


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[BrowserPage]:
    """The open page; at the end of each test it must have complained of and fetched nothing."""
    trouble: list[str] = []
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("dialog", lambda dialog: trouble.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: trouble.append(f"request: {request.url}"))
    # Chromium warns of its own slowness without a graphics card; that is no fault of the page.
    page.on(
        "console",
        lambda message: (
            None
            if "GL Driver Message" in message.text
            else trouble.append(f"{message.type}: {message.text}")
        ),
    )
    page.goto(report.as_uri())
    assert trouble.pop(0) == f"request: {report.as_uri()}"
    yield page
    page.wait_for_timeout(100)
    context.close()
    assert [line for line in trouble if "request: data:" not in line[:14]] == []


def test_figures_are_drawn(page: BrowserPage) -> None:
    figures = page.locator("figure svg[role=img]")
    assert figures.count() >= 15
    boxes = figures.evaluate_all(
        "all => all.map(f => [f.getBoundingClientRect().width, "
        "f.querySelectorAll('path').length, !!f.closest('.still')])"
    )
    for width, paths, still in boxes:
        assert paths > 5
        assert still or width > 200
    assert page.get_by_text("Predicted energy (meV/atom)").first.is_visible()


def test_the_trajectory_is_drawn_and_plays(page: BrowserPage) -> None:
    for number in range(2):
        box = page.locator(".viewer").nth(number)
        box.scroll_into_view_if_needed()
        _wait_for_frame(box, "0")
        canvas = box.locator("canvas").first
        assert canvas.evaluate("c => c.width * c.height") > 50_000
        assert _colors(page, number) > 50  # shaded spheres; an empty canvas has one
        assert not box.locator(".still").is_visible()
        assert not box.locator(".excuse").is_visible()

        box.get_by_role("button", name="Play").click()
        _wait_for_frame(box, re.compile(r"^([4-9]|\d\d+)$"))
        box.get_by_role("button", name="Pause").click()
        stopped = box.get_attribute("data-frame")
        page.wait_for_timeout(300)
        assert box.get_attribute("data-frame") == stopped


def test_the_slider_shows_a_frame(page: BrowserPage) -> None:
    box = page.locator(".viewer").first
    box.scroll_into_view_if_needed()
    _wait_for_frame(box, "0")
    before = page.evaluate("document.querySelector('.viewer canvas').toDataURL()")
    box.get_by_label("Frame").fill("49")
    _wait_for_frame(box, "49")
    assert box.locator("output").inner_text() == "490 fs"
    assert page.evaluate("document.querySelector('.viewer canvas').toDataURL()") != before


def test_structures_of_all_sizes_are_seen_whole(browser: Browser, tmp_path: Path) -> None:
    """A loop of water and of a long chain: the way from one to the other shows all of each."""
    if viewer.load_script() is None:
        pytest.skip("3Dmol.js has not been fetched (sh scripts/fetch_3dmol.sh)")
    chain = Atoms("C24", [(1.3 * k, 0.8 * (k % 2), 0) for k in range(24)])
    folder = loop(tmp_path / "loop", rounds=1, stopped=False, structures=(molecule("H2O"), chain))
    page = browser.new_page()
    page.goto(write_report(folder).as_uri())
    box = page.locator(".viewer").first
    box.scroll_into_view_if_needed()
    for frame, widest in (("0", 0.5), ("8", 0.98), ("0", 0.5)):
        if frame != box.get_attribute("data-frame"):
            box.get_by_label("Frame").fill(frame)
        _wait_for_frame(box, frame)
        url = box.locator("canvas").first.evaluate("c => c.toDataURL()")
        assert 0.03 < page.evaluate(DRAWN_WIDTH, url) < widest
    page.close()


def test_the_wheel_scrolls_the_page(page: BrowserPage) -> None:
    box = page.locator(".viewer").first
    box.scroll_into_view_if_needed()
    _wait_for_frame(box, "0")
    before = page.evaluate("window.scrollY")
    box.locator(".stage").hover()
    page.mouse.wheel(0, 200)
    page.wait_for_timeout(500)
    assert page.evaluate("window.scrollY") > before


def test_attacks_stay_text(page: BrowserPage) -> None:
    assert page.get_by_text(HOSTILE, exact=True).first.is_visible()
    assert page.locator("script", has_text="alert(1)").count() == 0


@pytest.mark.parametrize("width", [360, 390, 820, 1600])
def test_nothing_sticks_out(page: BrowserPage, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(STICKING_OUT) == []


def test_results_fit_a_phone_and_their_isosurface_is_drawn(
    browser: Browser, tmp_path: Path
) -> None:
    """Wide tables scroll in their own place; the surface is blue about a yellow framework."""
    if viewer.load_script() is None:
        pytest.skip("3Dmol.js has not been fetched (sh scripts/fetch_3dmol.sh)")
    rng = np.random.default_rng(0)
    positions = rng.normal(0, 0.25, (60, 12, 3))  # ions about four places, among four sulfur atoms
    positions += np.tile([[2, 2, 2], [2, 6, 6], [6, 2, 6], [6, 6, 2]], (3, 1))
    framework = np.tile([[4.0, 4, 4], [0, 4, 4], [4, 0, 4], [4, 4, 0]], (60, 1, 1))
    moving = Trajectory.from_positions(
        [3] * 12 + [16] * 4,
        np.concatenate([positions, framework], axis=1),
        8 * np.eye(3),
        500.0,
        600.0,
    )
    folders = [tmp_path / name for name in ("diffusion", "van_hove", "site_density")]
    for compute, folder in zip((diffusion, van_hove, site_density), folders, strict=True):
        compute(moving, "Li").save(folder)
    report = write_report(folders[0], properties=folders[1:])
    context = browser.new_context(
        offline=True, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(STICKING_OUT) == []
    box = page.locator(".viewer").first
    box.scroll_into_view_if_needed()
    _wait_for_frame(box, "0")
    assert box.get_by_text("pinch").is_visible()
    url = box.locator("canvas").first.evaluate("c => c.toDataURL()")
    blue, yellow = page.evaluate(COUNT_BLUE_AND_YELLOW, url)
    assert blue > 1000
    assert yellow > 500
    context.close()


def test_print_shows_the_still_picture(page: BrowserPage) -> None:
    box = page.locator(".viewer").first
    box.scroll_into_view_if_needed()
    _wait_for_frame(box, "0")
    page.emulate_media(media="print")
    assert box.locator(".still").is_visible()
    assert not box.locator("canvas").first.is_visible()
    assert not box.get_by_role("button", name="Play").is_visible()


def test_without_webgl_the_still_picture_stays(browser: Browser, report: Path) -> None:
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null;")
    page.goto(report.as_uri())
    box = page.locator(".viewer").first
    box.scroll_into_view_if_needed()
    box.locator(".excuse").wait_for(state="visible")
    assert box.locator(".still").is_visible()
    context.close()


def _wait_for_frame(box: Locator, frame: str | re.Pattern[str]) -> None:
    """Wait until a viewer has drawn a frame."""
    from playwright.sync_api import expect

    expect(box).to_have_attribute("data-frame", frame, timeout=300_000)


def _colors(page: BrowserPage, number: int) -> int:
    """Number of different colours on the canvas of a viewer."""
    url = page.locator(".viewer").nth(number).locator("canvas").first.evaluate("c => c.toDataURL()")
    found: int = page.evaluate(COUNT_COLORS, url)
    return found
