"""The report in a real browser: no errors, no sideways scrolling, colours that follow, names that stay text.

Loading a page costs seconds, so each test looks at one page from several sides.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

from archatlas.reporting.html import write_report
from archatlas.testing.pages import until

DRAWN = "[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('.main-svg'))"


@contextmanager
def opened(browser: Browser, path: Path, *, width: int = 1280) -> Iterator[Page]:
    """Open a page from disk; fail if it logs an error or asks for anything else."""
    phone = width < 600
    context = browser.new_context(viewport={"width": width, "height": 844}, is_mobile=phone, has_touch=phone)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.resolve().as_uri())
    until(page, DRAWN)
    yield page
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [path.resolve().as_uri()]
    context.close()


INK = "getComputedStyle(document.querySelector('#supernet .xtick text')).fill"
LUMINANCE = """(name) => {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const channels = getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map((value) => value / 255);
  probe.remove();
  const linear = channels.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}"""


def check_width(page: Page, width: int) -> None:
    """Fail if anything makes the page scroll sideways, tables opened or not."""
    page.evaluate("document.querySelectorAll('details').forEach((details) => details.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [plot.bounding_box() for plot in page.query_selector_all(".plot .main-svg")]
    assert all(box is not None and box["x"] + box["width"] <= width for box in boxes)


def check_scheme(page: Page) -> str:
    """Fail if figures have another ink than the page, or text too little contrast; return the ink."""
    until(page, f"{INK} === getComputedStyle(document.querySelector('figcaption')).color")
    for ground in ("--ground", "--card"):
        for name in ("--ink", "--soft", "--link", "--measured", "--predicted", "--alone"):
            pair = sorted(page.evaluate(LUMINANCE, each) for each in (name, ground))
            assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5, (name, ground)
    return str(page.evaluate(INK))


def test_on_a_desk(browser: Browser, finished: Path) -> None:
    with opened(browser, finished / "report.html") as page:
        check_width(page, 1280)
        light = check_scheme(page)
        page.emulate_media(color_scheme="dark")
        assert check_scheme(page) != light
        page.locator(".command button").first.click()
        until(page, "['Copied', 'Selected'].includes(document.querySelector('.command button').textContent)")


def test_on_a_phone(browser: Browser, finished: Path) -> None:
    with opened(browser, finished / "report.html", width=390) as page:
        check_width(page, 390)
        assert page.evaluate("document.querySelector('#supernet').layout.dragmode") is False


def test_hostile_names_are_shown_letter_by_letter(
    browser: Browser, hostile: Path, hostile_names: tuple[str, ...]
) -> None:
    with opened(browser, write_report(hostile)) as page:
        labels = [label.text_content() for label in page.query_selector_all("#operators-figure .xtick text")]
        assert labels[0] == hostile_names[0]
        assert labels[1] is not None
        assert labels[1].startswith("\"quoted' & </scr")
        assert page.evaluate("document.querySelectorAll('main b, main i').length") == 0
