"""A machine's sound without a sound card: PulseAudio with a loudspeaker that its microphone hears, through ALSA."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import numpy as np
from brokers import program, until

RATE_HZ = 48_000


class SoundCard:
    """PulseAudio of its own in a folder; ALSA, and so PortAudio, of this process uses nothing else."""

    def __init__(self, folder: Path, monkeypatch) -> None:
        self._socket = folder / "pulse.sock"
        config = folder / "alsa.conf"
        config.write_text("</usr/share/alsa/alsa.conf>\npcm.!default { type pulse }\nctl.!default { type pulse }\n")
        for name, value in {
            "ALSA_CONFIG_PATH": config,
            "HOME": folder,
            "XDG_RUNTIME_DIR": folder,
            "PULSE_SERVER": f"unix:{self._socket}",
        }.items():
            monkeypatch.setenv(name, str(value))
        self._players: list[subprocess.Popen] = []
        self.start()

    def start(self) -> None:
        modules = (
            f"module-native-protocol-unix auth-anonymous=1 socket={self._socket}",
            f"module-null-sink sink_name=loudspeaker rate={RATE_HZ} channels=1",
            "module-remap-source master=loudspeaker.monitor source_name=microphone",
        )
        self._server = subprocess.Popen(
            [
                program("pulseaudio"), "-n", "--daemonize=no", "--exit-idle-time=-1", "--disallow-exit",
                "--use-pid-file=no", *(part for module in modules for part in ("-L", module)),
            ],
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert until(lambda: self._tell("set-default-source", "microphone")), "PulseAudio does not answer"

    def kill(self) -> None:
        for process in (self._server, *self._players):
            process.kill()
            process.wait(10)

    def play(self, hertz: float, seconds: float) -> None:
        """Play a sine at half of full scale."""
        at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
        tone = (np.sin(2 * np.pi * hertz * at) * 0.5 * 32767).astype("<i2").tobytes()
        command = [program("pacat"), "--playback", "--device=loudspeaker", f"--rate={RATE_HZ}", "--channels=1"]
        player = subprocess.Popen(command, stdin=subprocess.PIPE)
        self._players.append(player)
        with contextlib.suppress(BrokenPipeError):  # the server may be killed while it plays
            player.stdin.write(tone)
            player.stdin.close()

    def _tell(self, *words: str) -> bool:
        return subprocess.run(["pactl", *words], capture_output=True, check=False).returncode == 0
