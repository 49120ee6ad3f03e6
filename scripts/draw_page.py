"""Take the pictures of docs/web.md: a real device plays the sample recording three times, Chromium looks at its page.

Needs Debian's chromium and mosquitto; takes a minute and a half: .venv/bin/python scripts/draw_page.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PORT, BROKER_PORT, TOKEN = 8467, 18467, "for pictures only"
WATCH_SECONDS = 72
SCREENS: dict[str, dict[str, Any]] = {
    "web-dark": {"viewport": {"width": 1600, "height": 1000}, "color_scheme": "dark"},
    "web-light": {"viewport": {"width": 1600, "height": 1000}, "color_scheme": "light"},
    "web-event": {"viewport": {"width": 1600, "height": 1000}, "color_scheme": "dark"},
    "web-phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}


def looped(source: Path, target: Path, times: int) -> Path:
    """Write a recording several times over, without decoding."""
    with av.open(str(target), "w") as out, av.open(str(source)) as container:
        tracks = {stream.index: out.add_stream_from_template(stream) for stream in container.streams}
        for turn in range(times):
            container.seek(0)
            for packet in container.demux():
                if packet.dts is not None and packet.dts >= 0:
                    shift = round(turn * container.duration / av.time_base / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = tracks[packet.stream.index]
                    out.mux(packet)
    return target


def look(browser: Browser, name: str) -> None:
    """Log in and take one picture."""
    context = browser.new_context(**SCREENS[name])
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{PORT}")
    page.fill("#token", TOKEN)
    page.keyboard.press("Enter")
    page.wait_for_selector("#list img")
    page.wait_for_function("() => document.getElementById('picture').naturalWidth > 0")
    page.wait_for_timeout(1500)
    if name == "web-event":
        page.click("#list li:nth-child(3) button")
        page.wait_for_function("() => document.getElementById('clip').currentTime > 5.2")
        page.click("#correct")
        page.wait_for_selector("#answer:has-text('Kept')")
    target = DOCS / f"{name}.webp"
    pixels = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    cv2.imwrite(str(target), pixels, [cv2.IMWRITE_WEBP_QUALITY, 80])
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size // 1024} KiB")
    context.close()


def main() -> None:
    """Play, look, end."""
    with tempfile.TemporaryDirectory() as folder:
        match = looped(ROOT / "examples" / "match.mp4", Path(folder) / "match.mp4", 4)
        environment = {**os.environ, "TOUCHLINE_WEB_TOKEN": TOKEN, "XDG_STATE_HOME": folder}
        broker = subprocess.Popen(["/usr/sbin/mosquitto", "-p", str(BROKER_PORT)], stderr=subprocess.DEVNULL)
        command = [sys.executable, "-m", "edge", "run", str(match), "--pace", "realtime", "--quiet"]
        command += ["--mqtt", f"mqtt://127.0.0.1:{BROKER_PORT}", "--web", f"127.0.0.1:{PORT}"]
        configuration = Path(folder) / "device.toml"
        configuration.write_text('[source]\nname = "cam2"\n[mqtt]\nnode = "truck1"\n')
        device = subprocess.Popen([*command, "--config", str(configuration)], env=environment)
        try:
            time.sleep(WATCH_SECONDS)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
                for name in SCREENS:
                    look(browser, name)
                browser.close()
        finally:
            device.terminate()
            device.wait(10)
            broker.terminate()
            broker.wait(10)


if __name__ == "__main__":
    main()
