"""Waiting for a page in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page


def until(page: Page, condition: str) -> None:
    """Wait a minute for a condition in JavaScript; Playwright's own waiting needs an `eval` that our pages forbid.

    Raises:
        AssertionError: If it never came true.
    """
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never came true: {condition}")
