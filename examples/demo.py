"""See the whole device half at once: a broker, a subscriber, and the detector on a sample recording."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).parent
SAMPLE = HERE / "match.mp4"
BROKER_SECONDS = 20


def main() -> int:
    """Run the demo; return the exit code of the detector."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", choices=("mosquitto", "amqtt"), help="default: Mosquitto if it is installed")
    wanted = parser.parse_args().broker
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = start_broker(stack, folder, wanted)
        subscriber = start_subscriber(stack, url)
        print(
            f"\nWatching {SAMPLE.relative_to(HERE.parent)} as a live source would come, events to {url}\n",
            flush=True,
        )
        command = [*touchline("run"), str(SAMPLE), "--pace", "realtime", "--mqtt", url]
        code = subprocess.run(command, check=False).returncode
        subscriber.terminate()
        received = subscriber.communicate(timeout=10)[0].decode().rstrip()
    print("\nWhat a subscriber received meanwhile:\n")
    print("\n".join(f"  {line}" for line in received.splitlines()))
    print(
        "\nTry next:\n"
        "  .venv/bin/touchline run YOUR_VIDEO.mp4 --jsonl events.jsonl    your own recording\n"
        "  .venv/bin/touchline check edge/bundles/demo                    does the bundle do here what it should?\n"
        "  make test                                                      everything, training included"
    )
    return code


def start_broker(stack: ExitStack, folder: Path, wanted: str | None) -> str:
    """Start Mosquitto, or the pure Python broker where it is not installed; return its address."""
    port = free_port()
    mosquitto = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if wanted == "mosquitto" and not mosquitto:
        sys.exit("demo: Mosquitto is not installed: apt-get install mosquitto")
    if mosquitto and wanted != "amqtt":
        config = folder / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        command = [mosquitto, "-c", str(config)]
    else:
        config = folder / "amqtt.yaml"
        config.write_text(
            f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\n"
            "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
        )
        command = [str(Path(sys.executable).with_name("amqtt")), "-c", str(config)]
    log = stack.enter_context((folder / "broker.log").open("wb"))
    broker = subprocess.Popen(command, stdout=log, stderr=log)
    stack.callback(stop, broker)
    deadline = time.monotonic() + BROKER_SECONDS
    while not answers(port):
        if broker.poll() is not None or time.monotonic() > deadline:
            print((folder / "broker.log").read_text(), file=sys.stderr)
            sys.exit(f"demo: the broker {Path(command[0]).name} did not start; its log is above")
        time.sleep(0.05)
    print(f"MQTT broker: {Path(command[0]).name} on 127.0.0.1:{port}", flush=True)
    return f"mqtt://127.0.0.1:{port}"


def start_subscriber(stack: ExitStack, url: str) -> subprocess.Popen[bytes]:
    """Start a stranger who listens to events, in a process of its own."""
    subscriber = subprocess.Popen([*touchline("subscribe"), url], stdout=subprocess.PIPE)
    stack.callback(stop, subscriber)
    return subscriber


def touchline(command: str) -> list[str]:
    """Give the command line of the touchline that is installed beside this Python."""
    return [sys.executable, "-m", "edge", command]


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here."""
    if process.poll() is None:
        process.terminate()
        process.wait(timeout=10)


def answers(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Let the system choose a port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    sys.exit(main())
