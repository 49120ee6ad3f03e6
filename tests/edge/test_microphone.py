"""A microphone through the real PyAudio: heard sound in real time, a card that drifts, loses samples, goes away."""

from __future__ import annotations

import random
import threading
import time
from itertools import pairwise

import made
import numpy as np
import pytest
from brokers import until
from sound_card import SoundCard

from edge.announce import announcements
from edge.config import Announce
from edge.loudspeaker import Loudspeaker, SpeakerError
from edge.microphone import Microphone, MicrophoneError, SampleClock
from edge.voice import Speech

RATE_HZ = 16_000
BLOCK = RATE_HZ // 10
START_NS = 1_795_428_942_123_456_789


@pytest.fixture
def card(tmp_path, monkeypatch):
    card = SoundCard(tmp_path, monkeypatch)
    yield card
    card.kill()


@pytest.fixture
def ear():
    """Open a microphone that is closed in the end, and what it hears."""
    opened = []

    def open_(device="", rate_hz=RATE_HZ):
        blocks = []
        opened.append(Microphone(device, rate_hz, blocks.append))
        return opened[-1], blocks

    yield open_
    for each in opened:
        each.close()


def pitch(blocks) -> float:
    """The loudest frequency of the blocks in Hz, to the nearest few."""
    samples = np.concatenate([block.samples for block in blocks])
    strength = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(strength) * blocks[0].rate_hz / len(samples))


def test_a_tone_is_heard_at_its_pitch_and_loudness_with_the_time_of_its_samples(card, ear):
    card.play(1000, 6)
    microphone, blocks = ear()
    assert until(lambda: len(blocks) > 12 and np.abs(blocks[-10].samples).max() > 0.4, 15)
    heard = blocks[-8:]
    assert pitch(heard) == pytest.approx(1000, abs=5)
    assert max(np.abs(block.samples).max() for block in heard) == pytest.approx(0.5, abs=0.02)
    # Until somebody plays, and again afterwards, the server's latency is another.
    assert {round((later.stamp_ns - block.stamp_ns) / 1e6) for block, later in pairwise(heard)} == {100}
    age = time.time_ns() - blocks[-1].stamp_ns
    assert 0 < age < 5e9
    assert (microphone.trouble, microphone.lost) == ("", 0)


def test_a_sound_server_that_is_killed_is_told_of_and_heard_again(card, ear):
    microphone, blocks = ear("default")
    assert until(lambda: blocks, 10)
    card.kill()
    assert until(lambda: microphone.trouble, 4)
    assert microphone.trouble.startswith("microphone 'default': ")
    card.start()
    came = len(blocks)
    assert until(lambda: len(blocks) > came + 5, 15), microphone.trouble
    assert microphone.trouble == ""


def test_an_input_that_is_not_there_is_named_with_those_that_are(card):
    with pytest.raises(MicrophoneError, match=r"^microphone 'parabolic': 'parabolic' is none of 0 \(.*default"):
        Microphone("parabolic", RATE_HZ, print)
    card.kill()


@pytest.mark.usefixtures("card")
def test_what_the_loudspeaker_says_the_microphone_hears(ear):
    _, blocks = ear()
    assert until(lambda: blocks, 10)
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ)
    loudspeaker = Loudspeaker("")
    loudspeaker("a4", Speech((tone * 16_000).astype(np.int16), RATE_HZ))
    assert until(lambda: np.abs(blocks[-1].samples).max() > 0.4 and np.abs(blocks[-3].samples).max() > 0.4, 10)
    heard = blocks[-3:]
    loudspeaker.close()
    assert pitch(heard) == pytest.approx(440, abs=5)
    with pytest.raises(SpeakerError, match="'tannoy' is none of"):
        Loudspeaker("tannoy")


@pytest.mark.usefixtures("card")
def test_an_event_said_aloud_is_heard(ear):
    _, blocks = ear()
    assert until(lambda: blocks, 10)
    sink = announcements(Announce(language="en"), ["badminton"])
    sink(made.event_message())
    assert until(lambda: np.abs(blocks[-1].samples).max() > 0.1, 10)
    sink.close()


def stamps(clock: SampleClock, rate_hz: float, seconds: float, late=lambda _: 0.0):
    """Push blocks of a card that samples at `rate_hz`; gives each true time and stamp of the first sample, in ns."""
    found = []
    for k in range(round(seconds * rate_hz / BLOCK)):
        began = START_NS + k * BLOCK / rate_hz * 1e9
        come = began + BLOCK / rate_hz * 1e9 + late(k) * 1e9
        found.append((began, clock.push(round(come), BLOCK)))
    return found


@pytest.mark.parametrize("off", [-300e-6, -50e-6, 50e-6, 300e-6])
def test_a_card_whose_crystal_is_off_is_followed_for_an_hour_through_blocks_that_come_late(off):
    chance = random.Random(1)
    clock = SampleClock(RATE_HZ)
    found = stamps(clock, RATE_HZ * (1 + off), 3600, late=lambda _: chance.expovariate(1 / 0.004))
    errors = [stamp - began for began, stamp in found[100:]]
    assert max(map(abs, errors)) < 10e6
    assert clock.lost == 0


def test_a_machine_that_stands_still_for_five_seconds_stamps_its_backlog_as_it_was_heard():
    clock = SampleClock(RATE_HZ)
    found = stamps(clock, RATE_HZ, 30, late=lambda k: max(0.0, 5 - 0.1 * (k - 100)) if k >= 100 else 0.0)
    errors = [abs(stamp - began) for began, stamp in found]
    assert clock.lost == 0
    assert max(errors) < 20e6


def test_samples_that_never_came_are_counted_and_what_follows_is_stamped_right():
    clock = SampleClock(RATE_HZ)
    before = stamps(clock, RATE_HZ, 10)
    gap_ns = 1_500_000_000
    after = []
    for k in range(100):
        began = before[-1][0] + (k + 1) * BLOCK / RATE_HZ * 1e9 + gap_ns
        after.append((began, clock.push(round(began + BLOCK / RATE_HZ * 1e9), BLOCK)))
    assert clock.lost == pytest.approx(1.5 * RATE_HZ, rel=0.01)
    assert all(abs(stamp - began) < 1e6 for began, stamp in after[30:])


@pytest.mark.usefixtures("card")
def test_closing_ends_the_threads(ear):
    before = threading.active_count()
    microphone, blocks = ear()
    assert until(lambda: blocks, 10)
    microphone.close()
    assert threading.active_count() == before
    came = len(blocks)
    time.sleep(0.3)
    assert len(blocks) == came
