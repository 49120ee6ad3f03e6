"""Debian's Chromium without a window, for tests that look at a page."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import sync_playwright

SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--mute-audio",
]


@contextmanager
def chromium():
    """Start it; what a page logs as an error, or throws, fails the test that opened the page."""
    program = shutil.which("chromium") or pytest.fail("chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=SWITCHES)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(browser, url: str, token: str, *, width: int = 1440, height: int = 900, **context):
    """Log in to a page with the form, as a person would."""
    opened = browser.new_context(viewport={"width": width, "height": height}, **context)
    page = opened.new_page()
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(url)
    page.fill("#token", token)
    page.keyboard.press("Enter")
    page.wait_for_selector("#list")
    try:
        yield page
    finally:
        opened.close()
    assert page.faults == []
