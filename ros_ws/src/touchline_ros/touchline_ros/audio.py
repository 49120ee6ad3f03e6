"""What the detector hears: a topic of either package that is named audio_common_msgs, or this machine's microphone."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

from edge.microphone import Block, Microphone, MicrophoneError
from edge.rosaudio import DATA_STAMPED, STAMPED, AudioError, Resampler, coded_samples, stamped_samples

from .judge import NANOSECONDS

__all__ = ["DATA_STAMPED", "MICROPHONE", "STAMPED", "Ear", "message_class"]

MICROPHONE = "microphone"
"""The audio_type that is no message but an input of this machine, through PyAudio."""
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Ear:
    """Sound for a node: `kept` gets each message or Block as it comes; `samples` makes of it what a model hears.

    `device` names the microphone. AudioError says what is missing for the kind of sound.
    """

    def __init__(self, node: Node, kind: str, device: str, rate_hz: int, kept: Callable[[Any], None]) -> None:
        self._node, self._about = node, None
        self._resampler = Resampler(rate_hz)
        self._made: list[Any] = []
        self._microphone: Microphone | None = None
        if kind == MICROPHONE:
            if node.get_parameter("use_sim_time").value:
                msg = "audio_type microphone: hears the real world, whose time is not that of use_sim_time"
                raise AudioError(msg)
            try:
                self._microphone = Microphone(device, rate_hz, kept)
            except MicrophoneError as error:
                raise AudioError(str(error)) from None
            return
        qos = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
        overridable = QoSOverridingOptions.with_default_policies()
        heard = message_class(kind)
        self._made.append(node.create_subscription(heard, "audio", kept, qos, qos_overriding_options=overridable))
        if kind == DATA_STAMPED:
            about = message_class("audio_common_msgs/AudioInfo")
            self._made.append(node.create_subscription(about, "audio_info", self._keep_about, LATCHED))

    def close(self) -> None:
        """Hear no more."""
        for made in self._made:
            self._node.destroy_subscription(made)
        if self._microphone is not None:
            self._microphone.close()

    @property
    def trouble(self) -> str:
        """What is wrong with the microphone, in words."""
        return self._microphone.trouble if self._microphone is not None else ""

    @property
    def lost(self) -> int:
        """How many samples of the microphone never came."""
        return self._microphone.lost if self._microphone is not None else 0

    def samples(self, heard: Any) -> list[tuple[int, NDArray[np.float32]]]:  # noqa: ANN401 - of either package
        """Make mono samples at the model's rate, each with the time of the first (ns); AudioError where that fails."""
        if isinstance(heard, Block):
            return self._resampler.push(heard.stamp_ns, heard.rate_hz, heard.samples[:, None])
        stamp_ns = heard.header.stamp.sec * NANOSECONDS + heard.header.stamp.nanosec
        stamped = hasattr(heard.audio, "audio_data")
        return self._resampler.push(
            stamp_ns, *(stamped_samples(heard) if stamped else coded_samples(heard, self._about))
        )

    def _keep_about(self, message: Any) -> None:  # noqa: ANN401 - AudioInfo
        self._about = message


def message_class(kind: str) -> Any:  # noqa: ANN401 - a message class of a package that may not be installed
    """Import the message class of an `audio_type`; AudioError says which package is missing or is the other one."""
    package, name = kind.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except ImportError:
        msg = f"audio_type {kind}: the package {package} is not installed; set it to none to judge pictures alone"
        raise AudioError(msg) from None
    except AttributeError:
        maker = "mgonzs13's" if kind == STAMPED else "ros-drivers'"
        msg = f"audio_type {kind}: the installed {package} is the other package of that name; {maker} has {name}"
        raise AudioError(msg) from None
