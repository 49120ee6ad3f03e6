"""How soon the page is there, how large it is, and what a thousand open streams do to who judges.

example: benchmarks/page.py --json page.json
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from playwright.sync_api import sync_playwright

MATCH = Path(__file__).resolve().parents[1] / "examples" / "match.mp4"
TOKEN, LOADS, STREAMS = "for a benchmark", 5, 1000
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def metric(url: str, name: str) -> float:
    """The first value of a metric, 0 where there is none."""
    connection = http.client.HTTPConnection(url.rpartition("/")[2], timeout=10)
    connection.request("GET", "/metrics", headers=BEARER)
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)), 0.0)


def paint(url: str) -> dict[str, float]:
    """Load the page afresh: first contentful paint, the bars on it, and the bytes of all but pictures."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.goto(url)
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("#classes tr")
        paints, bars, sizes = [], [], []
        for _ in range(LOADS):
            loaded: list[int] = []
            count = lambda r, to=loaded: to.append(0 if "jpg" in r.url else r.sizes()["responseBodySize"])  # noqa: E731
            page.on("requestfinished", count)
            began = time.monotonic()
            page.goto(url)
            page.wait_for_selector("#classes tr")
            bars.append(1000 * (time.monotonic() - began))
            paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
            sizes.append(sum(loaded))
            page.remove_listener("requestfinished", count)
        browser.close()
    return {
        "first_paint_ms": round(statistics.median(paints)),
        "bars_ms": round(statistics.median(bars)),
        "kib_before_pictures": round(max(sizes) / 1024, 1),
    }


def crowd(url: str) -> dict[str, object]:
    """Ask for a thousand streams at once and keep them open while five more seconds are judged."""
    host, port = url.rpartition("/")[2].split(":")
    request = f"GET /stream HTTP/1.1\r\nHost: x\r\nAuthorization: {BEARER['Authorization']}\r\n\r\n".encode()
    sockets, answers = [], Counter[str]()
    for _ in range(STREAMS):
        sockets.append(socket.create_connection((host, int(port)), timeout=20))
        sockets[-1].sendall(request)
    for sock in sockets:
        try:
            answers[sock.recv(12)[9:12].decode() or "closed"] += 1
        except OSError:
            answers["closed"] += 1
    seconds, began = -metric(url, "touchline_seconds_total"), time.monotonic()
    time.sleep(5)
    seconds += metric(url, "touchline_seconds_total")
    for sock in sockets:
        sock.close()
    return {"answers": dict(answers), "seconds_judged": seconds, "in_seconds": round(time.monotonic() - began, 1)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", metavar="F", help="write the figures to this file as JSON")
    arguments = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as state:
        environment = {**os.environ, "TOUCHLINE_WEB_TOKEN": TOKEN, "XDG_STATE_HOME": state}
        command = [sys.executable, "-m", "edge", "run", str(MATCH), "--pace", "realtime", "--quiet", "--web"]
        device = subprocess.Popen([*command, url.rpartition("/")[2]], env=environment, stderr=subprocess.DEVNULL)
        try:
            time.sleep(5)
            figures = {**paint(url), **crowd(url)}
        finally:
            device.terminate()
            device.wait(10)
    print(json.dumps(figures, indent=2))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
