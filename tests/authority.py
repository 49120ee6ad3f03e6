"""A site's authority, made by the example's own script, certificates that go wrong, and the example's broker."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from brokers import Broker, free_port, mosquitto

from edge.tls import Security

EXAMPLE = Path(__file__).parents[1] / "examples" / "mosquitto"
CLIENT = ("extendedKeyUsage = clientAuth",)
SERVER = ("extendedKeyUsage = serverAuth", "subjectAltName = DNS:localhost,IP:127.0.0.1")
DAY = 86400


def openssl(*arguments: str, folder: Path) -> str:
    ran = subprocess.run(["openssl", *arguments], cwd=folder, check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@dataclass(frozen=True)
class Authority:
    """A folder that `make-certificates` made."""

    folder: Path

    def make(self, *options: str) -> str:
        """Run the script and return what it said."""
        command = [str(EXAMPLE / "make-certificates"), "--out", str(self.folder), *options]
        ran = subprocess.run(command, check=False, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def __truediv__(self, name: str) -> str:
        return str(self.folder / name)

    def sign(self, name: str, *lines: str, days: tuple[float, float] = (-1, 9), key: str = "EC") -> str:
        """Make `odd/NAME.crt` and `.key`, valid between these days from now, and return their path without suffix."""
        (self.folder / "odd").mkdir(exist_ok=True)
        options = [
            "-algorithm",
            *{"EC": ("EC", "-pkeyopt", "ec_paramgen_curve:P-256")}.get(key, ("RSA", "-pkeyopt", key)),
        ]
        openssl("genpkey", *options, "-out", f"odd/{name}.key", folder=self.folder)
        request = [
            "-config",
            "openssl.cnf",
            "-key",
            f"odd/{name}.key",
            "-subj",
            f"/CN={name}",
            "-out",
            f"odd/{name}.csr",
        ]
        openssl("req", "-new", *request, folder=self.folder)
        leaf = self.folder.joinpath("openssl.cnf").read_text().partition("[leaf]\n")[2]
        self.folder.joinpath("odd", f"{name}.ext").write_text("\n".join(["[leaf]", leaf, *lines, ""]))
        begin, end = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + day * DAY)) for day in days)
        signed = ["-batch", "-notext", "-config", "openssl.cnf", "-startdate", begin, "-enddate", end]
        extensions = ["-extfile", f"odd/{name}.ext", "-extensions", "leaf"]
        files = ["-in", f"odd/{name}.csr", "-out", f"odd/{name}.crt"]
        openssl("ca", *signed, *extensions, *files, folder=self.folder)
        return self / f"odd/{name}"

    def broker(self, folder: Path, server: str = "server") -> Site:
        """Make the example's broker on free ports, with our files where the example's are, and this certificate."""
        folder.mkdir(exist_ok=True)
        text = (EXAMPLE / "mosquitto.conf").read_text()
        certificate = server if "/" in server else self / server
        ports, replaced = (
            (free_port(), free_port()),
            {
                "/etc/mosquitto/touchline/server.": f"{certificate}.",
                "/etc/mosquitto/touchline/ca.crt": self / "ca.crt",
                "/etc/mosquitto/touchline/revoked.crl": self / "revoked.crl",
                "/etc/mosquitto/touchline": str(EXAMPLE),
                "/var/lib/mosquitto": str(folder),
            },
        )
        for old, new in {
            **replaced,
            "listener 8883": f"listener {ports[0]}",
            "listener 8884": f"listener {ports[1]}",
        }.items():
            assert old in text, old
            text = text.replace(old, new)
        plain = mosquitto(folder)  # for the user to run as
        user = [line for line in Path(plain.command[-1]).read_text().splitlines() if line.startswith("user ")]
        Path(plain.command[-1]).write_text("\n".join([text, *user, ""]))
        return Site(Broker(plain.command, ports[0]), ports[1], self)


@dataclass
class Site:
    """The example's broker: a port for devices, one for consumers."""

    broker: Broker
    consumers_port: int
    authority: Authority

    @property
    def url(self) -> str:
        return f"mqtts://localhost:{self.broker.port}"

    def options(self, name: str) -> list[str]:
        """What `mosquitto_sub` needs to come in as `devices/X` or `consumers/X`."""
        port = self.broker.port if name.startswith("devices/") else self.consumers_port
        mine = ["--cert", self.authority / f"{name}.crt", "--key", self.authority / f"{name}.key"]
        return ["-h", "localhost", "-p", str(port), "--cafile", self.authority / "ca.crt", *mine]


def device(authority: Authority, name: str = "devices/truck1", ca: str = "ca.crt") -> Security:
    """How somebody whom the authority knows connects."""
    return Security(authority / ca, authority / f"{name}.crt", authority / f"{name}.key")
