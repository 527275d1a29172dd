"""The page in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from archatlas.config import load_config
from archatlas.explorer import Explorer, build_app, open_server
from archatlas.testing.pages import until


@pytest.fixture(scope="module")
def url(explorer: Explorer) -> Iterator[str]:
    server = open_server(build_app(explorer), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_page_is_used_by_keyboard_and_mouse(
    browser: Browser, url: str, explorer: Explorer, tmp_path: Path, hostile: str
) -> None:
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(url) else complaints.append(request.url))
    page.goto(url)
    answer = page.locator("#answer")
    expect(answer).to_contain_text("with MACs up to 20 thousand", timeout=60_000)
    page.locator("#map .heatmaplayer").wait_for(timeout=60_000)

    page.get_by_role("slider", name="MACs at most").focus()
    page.keyboard.press("End")
    expect(answer).to_contain_text("without a budget", timeout=20_000)
    best = max(explorer.front("macs"), key=lambda each: each.score)
    expect(answer).to_contain_text("".join(map(str, best.architecture)))
    page.get_by_label("Show the network").fill("222")
    page.keyboard.press("Enter")
    expect(page.locator("#network")).to_contain_text(hostile, timeout=20_000)
    page.get_by_role("button", name="Keep as A").click()

    page.get_by_role("spinbutton", name="MACs at most").fill("1")
    expect(answer).to_contain_text("smallest attainable macs", timeout=20_000)

    points = page.locator("#front .scatterlayer .point")
    box = points.first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#network")).to_contain_text("as clicked", timeout=20_000)
    page.get_by_role("button", name="Keep as B").click()
    expect(page.locator("#difference")).to_contain_text("A and B differ in", timeout=20_000)

    with page.expect_download() as download:
        page.get_by_role("button", name="Download settings").click()
    download.value.save_as(tmp_path / "exported.yaml")
    assert load_config(tmp_path / "exported.yaml").budgets == {"macs": 1000.0}

    assert page.evaluate("window.broken") is None
    assert page.locator("main img").count() == 0
    page.set_viewport_size({"width": 390, "height": 844})
    until(page, "document.documentElement.scrollWidth <= 390")  # nothing is wider than a phone
    page.close()
    assert complaints == []
