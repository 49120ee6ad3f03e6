"""Live sources for tests, each a process on loopback: a transport stream with faults, RTSP, SRT, HLS."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

from brokers import _listens, program, until

HERE = Path(__file__).parent
BROADCAST = HERE.parent / "benchmarks" / "broadcast.py"
MATCH = HERE.parent / "examples" / "match.mp4"


def make_shows(folder: Path) -> Path:
    subprocess.run(
        [sys.executable, str(BROADCAST), str(folder), "0", "--make", str(MATCH), "--seconds", "4"], check=True
    )
    return folder


class Sender:
    """A transport stream over UDP in real time; `do` orders a fault."""

    def __init__(self, shows: Path, port: int) -> None:
        self.url = f"udp://127.0.0.1:{port}"
        command = [sys.executable, str(BROADCAST), str(shows), str(port)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)

    def do(self, line: str) -> None:
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class Program:
    """Any program, ended in the end."""

    def __init__(self, *command: str, port: int = 0) -> None:
        self._command, self._port = command, port
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if self._port:
            assert until(lambda: _listens(self._port), 15), self._command

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def rtsp(port: int, *login: str) -> Program:
    # GStreamer's bindings are the system's Python's.
    return Program("/usr/bin/python3", str(HERE / "rtsp_server.py"), str(port), *login, port=port)


def srt(udp_port: int, port: int, passphrase: str) -> Program:
    to = f"srt://127.0.0.1:{port}?mode=listener&passphrase={passphrase}"
    return Program(program("srt-live-transmit"), "-q", f"udp://127.0.0.1:{udp_port}", to)


class Hls:
    """An HTTP server whose playlist gets a segment a second, cut from a transport stream, in real time."""

    def __init__(self, folder: Path, port: int, source: Path = MATCH) -> None:
        import av

        self._folder, self._ended = folder, threading.Event()
        with (
            av.open(str(source)) as container,
            av.open(
                str(folder / "all.m3u8"), "w", format="hls", options={"hls_time": "1", "hls_list_size": "0"}
            ) as output,
        ):
            streams = {s.index: output.add_stream_from_template(s) for s in container.streams}
            for packet in container.demux():
                if packet.dts is not None:
                    packet.stream = streams[packet.stream_index]
                    output.mux(packet)
        handler = partial(_Quiet, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
        self.url = f"http://127.0.0.1:{port}/live.m3u8"
        self._lines = (folder / "all.m3u8").read_text().splitlines()
        self._write(3)
        for work in (self._server.serve_forever, self._go_on):
            threading.Thread(target=work, daemon=True).start()

    def close(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _go_on(self) -> None:
        segments = [(line, float(info[8:].rstrip(","))) for info, line in self._segments()]
        due = time.monotonic()
        for count in range(3, len(segments)):
            due += segments[count - 1][1]
            if self._ended.wait(max(0.0, due - time.monotonic())):
                return
            self._write(count + 1)

    def _segments(self) -> list[tuple[str, str]]:
        pairs = zip(self._lines, self._lines[1:], strict=False)
        return [(info, line) for info, line in pairs if info.startswith("#EXTINF")]

    def _write(self, count: int) -> None:
        head = [line for line in self._lines if line.startswith(("#EXTM3U", "#EXT-X-VERSION", "#EXT-X-TARGET"))]
        kept = self._segments()[max(0, count - 5) : count]
        lines = [*head, f"#EXT-X-MEDIA-SEQUENCE:{max(0, count - 5)}", *(part for pair in kept for part in pair)]
        draft = self._folder / "live.part"
        draft.write_text("\n".join(lines) + "\n")
        draft.replace(self._folder / "live.m3u8")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
