"""Says events aloud, or writes them as WAV files; all of it is rendered before the first event."""

from __future__ import annotations

import time
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from touchline_msgs.msg import Event, LabelInfo

from edge.announce import Announcer, announcement_name, render
from edge.loudspeaker import Loudspeaker, SpeakerError, WavFolder
from edge.messages import utc
from edge.speech.cache import cache_folder
from edge.speech.polly import Polly
from edge.speech.voices import ENGINES, OFFLINE, Voice
from edge.voice import Speech, VoiceError
from edge.wording import WORDINGS, AnnounceError, Wording, read_wordings, wording_of

from .health import Part, report
from .heard import nanoseconds
from .life import live
from .parameters import Setting, SettingError, declare
from .relay import EVENTS, LABELS

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
SETTINGS = (
    Setting("autostart", default=False, description="configure and activate at once"),
    Setting("folder", "", "write WAV files here, the latest 1000; empty: play them"),
    Setting("device", "", "number or part of the name of the loudspeaker; empty: the system's"),
    Setting("language", "en", "of the announcements: en, de, es, fr, or one of `wordings`"),
    Setting("voice", OFFLINE, "offline, or a voice of Amazon Polly, asked once for what it has not said before"),
    Setting("engine", "standard", "of Polly's voice", choices=ENGINES),
    Setting("fallback", default=False, description="let the offline voice speak where Polly cannot be used"),
    Setting("wordings", "", "TOML file of sentences for each language and label; empty: the known ones"),
    Setting("labels", "", "announce these, separated by commas; empty: every label of the detector"),
    Setting("minimum_seconds_between", 5.0, "what comes sooner is not said", 0.0, 3600.0, live=True),
    Setting("rate_hz", 22_050, "samples a second", 8_000, 48_000),
)


class AnnouncerNode(LifecycleNode):
    """Announces each event that begins, by label and confidence; not configured without the voice or an outlet."""

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - whatever a node takes
        super().__init__("announcer", **kwargs)
        self._active = False
        self._outlet: WavFolder | Loudspeaker | None = None
        self._announcer: Announcer | None = None
        self._labels: tuple[str, ...] = ()
        self._heard_on: list[Any] = []
        self._troubles: dict[str, str] = {}
        self._said = 0
        declare(self, SETTINGS, self._changed, lambda: self._active)
        self._wording()
        report(self, self._parts)

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Open the outlet, try the voice and render what is known by name."""
        try:
            self._rendered(("ready",), self._wording())
            folder = self._value("folder")
            self._outlet = WavFolder(folder) if folder else Loudspeaker(self._value("device"))
        except (SettingError, VoiceError, SpeakerError) as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        self._render(self._named())
        options = QoSOverridingOptions.with_default_policies()
        self._heard_on = [
            self.create_subscription(Event, EVENTS, self._event, QoSProfile(depth=10), qos_overriding_options=options),
            self.create_subscription(LabelInfo, LABELS, self._label_info, LATCHED, qos_overriding_options=options),
        ]
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Begin to announce."""
        self._active = True
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Announce no more."""
        self._active = False
        return super().on_deactivate(state)

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Close the outlet and forget what was rendered."""
        for subscription in self._heard_on:
            self.destroy_subscription(subscription)
        if self._outlet is not None:
            self._outlet.close()
        self._outlet = self._announcer = None
        self._heard_on, self._labels, self._active = [], (), False
        self._troubles.clear()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave as from any state."""
        return self.on_cleanup(state)

    def _value(self, name: str) -> Any:  # noqa: ANN401 - of any type
        return self.get_parameter(name).value

    def _named(self) -> tuple[str, ...]:
        return tuple(filter(None, (name.strip() for name in self._value("labels").split(","))))

    def _wording(self) -> Wording:
        file = self._value("wordings")
        try:
            return wording_of(self._value("language"), read_wordings(file) if file else WORDINGS)
        except AnnounceError as error:
            msg = f"wordings: {error}" if file else str(error)
            raise SettingError(msg) from None

    def _changed(self) -> None:
        if self._announcer is not None:
            self._announcer.minimum_seconds_between = self._value("minimum_seconds_between")

    def _label_info(self, message: LabelInfo) -> None:
        named, labels = self._named(), tuple(message.labels)
        missing = [name for name in named if name not in labels]
        self._trouble("labels", f"labels: {', '.join(missing)}: not among the detector's" if missing else "")
        if not named and labels != self._labels:
            self._render(labels)

    def _rendered(self, labels: tuple[str, ...], wording: Wording) -> tuple[dict[Any, Speech], str]:
        voice = Voice(self._value("voice"), self._value("engine"))
        return render(
            labels,
            self._value("language"),
            wording,
            self._value("rate_hz"),
            voice=voice,
            polly=None if voice.offline else Polly(cache=cache_folder()),
            fallback=self._value("fallback"),
        )

    def _render(self, labels: tuple[str, ...]) -> None:
        try:
            speeches, instead_of = self._rendered(labels, self._wording())
        except (SettingError, VoiceError) as error:
            self._trouble("voice", str(error))
            return
        self._trouble("voice", f"the offline voice speaks; {instead_of}" if instead_of else "")
        self._labels = labels
        self._announcer = Announcer(speeches, self._value("minimum_seconds_between"))

    def _event(self, message: Event) -> None:
        if not self._active or message.type != Event.TYPE_NEW or self._announcer is None or self._outlet is None:
            return
        if message.label not in self._labels:
            if not self._named():
                self._trouble("voice", f"{EVENTS}: label {message.label!r} is none of {LABELS}, so it is not said")
            return
        for speech in self._announcer.push(message.label, message.score, time.monotonic()):
            try:
                self._outlet(announcement_name(utc(nanoseconds(message.start)), message.label), speech)
            except SpeakerError as error:
                self._trouble("outlet", str(error))
            else:
                self._said += 1
                self._trouble("outlet", "")

    def _trouble(self, part: str, sentence: str) -> None:
        if sentence and sentence != self._troubles.get(part):
            self.get_logger().warning(sentence)
        self._troubles[part] = sentence

    def _parts(self) -> list[Part]:
        announcer = self._announcer
        waits = "" if self._labels else f"{LABELS}: nothing was heard yet, and `labels` names none; nothing is said"
        figures: dict[str, object] = {"labels": len(self._labels), "said": self._said}
        if announcer is not None:
            figures["suppressed"] = announcer.suppressed
        return [
            Part("voice", self._troubles.get("voice") or self._troubles.get("labels") or waits, values=figures),
            Part("outlet", self._troubles.get("outlet", ""), broken=True),
        ]


def main() -> int:
    """Run the announcer."""
    return live([AnnouncerNode])
