"""A small procedural sports world with picture, motion and sound, for training without real recordings.

Some sports look and move alike and differ only in sound, others only in motion or only in picture: no single
modality can name them all, which is what fusion is for.
"""

from __future__ import annotations

import multiprocessing
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

from cloud_train.progress import track

from . import audio, indoors, motion, outdoors
from .audio import Samples, Synth
from .motion import Motion
from .picture import Image, Picture


@dataclass(frozen=True)
class Sport:
    """One class: how it looks, how it moves and how it sounds."""

    label: str
    picture: Picture
    motion: Motion
    sound: Synth


_TABLE = (
    Sport("americanfootball", outdoors.GRIDIRON, motion.MEET, audio.whistle_and_roar),
    Sport("athletics", outdoors.TRACK, motion.BOB, audio.freewheel),
    Sport("badminton", indoors.RACKET_COURT, motion.RALLY, audio.shuttle_ticks),
    Sport("baseball", outdoors.DIAMOND, motion.SWEEP, audio.ball_bounces),
    Sport("basketball", indoors.HARDWOOD, motion.SWEEP, audio.ball_bounces),
    Sport("bowling", indoors.BOWLING_LANE, motion.DRIFT, audio.rolling_and_pins),
    Sport("boxing", indoors.RING, motion.MEET, audio.bell_and_thuds),
    Sport("cricket", outdoors.CRICKET_OVAL, motion.DRIFT, audio.applause),
    Sport("cycling", outdoors.TRACK, motion.PAN, audio.freewheel),
    Sport("fieldhockey", outdoors.STICK_TURF, motion.SWEEP, audio.stick_clacks),
    Sport("football", outdoors.POSTS_FIELD, motion.ZOOM, audio.whistle_and_roar),
    Sport("formula1", outdoors.CIRCUIT, motion.TRUCK, audio.engine),
    Sport("golf", outdoors.GOLF_GREEN, motion.DRIFT, audio.applause),
    Sport("gymnastics", indoors.GYM_FLOOR, motion.JUMP, audio.applause),
    Sport("handball", indoors.INDOOR_HALL, motion.JUMP, audio.shoe_squeaks),
    Sport("icehockey", indoors.ICE_RINK, motion.RALLY, audio.edges_on_ice),
    Sport("lacrosse", outdoors.STICK_TURF, motion.SWEEP, audio.net_rattles),
    Sport("rugby", outdoors.POSTS_FIELD, motion.ROLL, audio.whistle_and_roar),
    Sport("skiing", outdoors.SLOPE, motion.TRUCK, audio.edges_on_ice),
    Sport("soccer", outdoors.SOCCER_PITCH, motion.SWEEP, audio.whistle_and_roar),
    Sport("swimming", indoors.POOL, motion.TRUCK, audio.water),
    Sport("tabletennis", indoors.TABLE, motion.RALLY, audio.ball_bounces),
    Sport("tennis", indoors.RACKET_COURT, motion.RALLY, audio.tennis_strokes),
    Sport("volleyball", indoors.INDOOR_HALL, motion.JUMP, audio.palm_slaps),
    Sport("wrestling", indoors.MAT, motion.MEET, audio.bell_and_thuds),
)

SPORTS: dict[str, Sport] = {sport.label: sport for sport in _TABLE}
LABELS: tuple[str, ...] = tuple(SPORTS)


def frames(sport: Sport, *, seed: int, seconds: float, width: int, height: int, frame_rate: int) -> Iterator[Image]:
    """RGB frames [height, width, 3] of one recording; the same seed gives the same frames."""
    return motion.render(
        sport.picture,
        sport.motion,
        _rng(seed, sport.label, 0),
        seconds=seconds,
        width=width,
        height=height,
        frame_rate=frame_rate,
    )


def sound(sport: Sport, *, seed: int, seconds: float, sample_rate_hz: int) -> Samples:
    """Mono samples in -1 to 1 of one recording; the same seed gives the same samples."""
    return audio.compose(sport.sound, _rng(seed, sport.label, 1), seconds=seconds, sample_rate_hz=sample_rate_hz)


def write_recording(
    path: str | Path,
    segments: Sequence[tuple[str, float]],
    *,
    seed: int,
    width: int = 320,
    height: int = 240,
    frame_rate: int = 15,
    sample_rate_hz: int = 32000,
) -> None:
    """Write (label, seconds) segments, one after the other, as an mp4 that appears whole or not at all."""
    _check_segments(segments)
    moments = _moments(
        segments, seed=seed, width=width, height=height, frame_rate=frame_rate, sample_rate_hz=sample_rate_hz
    )
    unfinished = Path(path).with_name(f".{Path(path).name}.{os.getpid()}.part")
    try:
        with av.open(str(unfinished), "w", format="mp4") as container:
            video = _video_stream(container, width, height, frame_rate)
            track = container.add_stream("aac", rate=sample_rate_hz, layout="mono")
            _encode(container, video, track, moments)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_world(
    directory: str | Path,
    *,
    recordings_per_class: int,
    seconds: float,
    seed: int,
    processes: int | None = None,
    labels: Sequence[str] = LABELS,
) -> list[Path]:
    """Write `directory/<label>/<label>-<seed>-<NNN>.mp4` in parallel, leaving alone what is already there.

    New interpreters do the work, so a script that calls this needs the usual `if __name__ == "__main__"`.
    """
    _check_segments([(label, seconds) for label in labels])
    names = [(label, number) for label in labels for number in range(recordings_per_class)]
    paths = [Path(directory) / label / f"{label}-{seed}-{number:03d}.mp4" for label, number in names]
    jobs = [(path, *name) for path, name in zip(paths, names, strict=True) if not path.exists()]
    for label in {label for _, label, _ in jobs}:
        (Path(directory) / label).mkdir(parents=True, exist_ok=True)
    if jobs:
        _write_all(jobs, seconds=seconds, seed=seed, processes=processes)
    return paths


def _write_all(jobs: list[tuple[Path, str, int]], *, seconds: float, seed: int, processes: int | None) -> None:
    workers = min(processes or os.cpu_count() or 1, len(jobs))
    # One OpenCV thread each: the processes already fill the cores.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), cv2.setNumThreads, (1,))
    try:
        recordings = [
            pool.submit(write_recording, path, [(label, seconds)], seed=_recording_seed(seed, number))
            for path, label, number in jobs
        ]
        for done in track(as_completed(recordings), "rendering recordings", len(recordings)):
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _recording_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


def _rng(seed: int, label: str, stream: int) -> np.random.Generator:
    # One stream per modality, so that the frame count never changes the sound.
    return np.random.default_rng((seed, zlib.crc32(label.encode()), stream))


def _check_segments(segments: Sequence[tuple[str, float]]) -> None:
    if not segments:
        message = "a recording needs at least one segment"
        raise ValueError(message)
    for label, seconds in segments:
        if label not in SPORTS:
            message = f"unknown sport {label!r}: the synthetic world has {', '.join(LABELS)}"
            raise ValueError(message)
        if not 0 < seconds < float("inf"):
            message = f"segment {label!r} lasts {seconds} seconds: it must last longer than 0"
            raise ValueError(message)


def _moments(
    segments: Sequence[tuple[str, float]],
    *,
    seed: int,
    width: int,
    height: int,
    frame_rate: int,
    sample_rate_hz: int,
) -> Iterator[tuple[Image, Samples]]:
    """Each frame with the sound that belongs to it, which keeps the two streams together in the file."""
    for number, (label, wanted_seconds) in enumerate(segments):
        sport, own_seed = SPORTS[label], _recording_seed(seed, number)
        count = max(1, round(wanted_seconds * frame_rate))
        seconds = count / frame_rate
        samples = sound(sport, seed=own_seed, seconds=seconds, sample_rate_hz=sample_rate_hz)
        images = frames(sport, seed=own_seed, seconds=seconds, width=width, height=height, frame_rate=frame_rate)
        yield from zip(images, np.array_split(samples, count), strict=True)


def _video_stream(container: OutputContainer, width: int, height: int, frame_rate: int) -> VideoStream:
    # Without mbtree: with it, x264 was seen to encode the same pictures differently from call to call.
    options = {"preset": "veryfast", "x264-params": "mbtree=0"}
    stream = container.add_stream("libx264", rate=frame_rate, options=options)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.gop_size = frame_rate  # a key frame every second, for seeking
    # Recordings are made in parallel already, and one thread gives the same file each time.
    stream.thread_count = 1
    return stream


def _encode(
    container: OutputContainer,
    video: VideoStream,
    track: AudioStream,
    moments: Iterator[tuple[Image, Samples]],
) -> None:
    sample_count = 0
    for image, samples in moments:
        container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        heard = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), format="fltp", layout="mono")
        heard.sample_rate, heard.pts = track.rate, sample_count
        container.mux(track.encode(heard))
        sample_count += len(samples)
    container.mux(video.encode())
    container.mux(track.encode())
