"""Render the sample recording of the demo: five sports of the synthetic world, one after the other."""

from pathlib import Path

from cloud_train.synth import write_recording

SEGMENTS = (("tennis", 6.0), ("badminton", 6.0), ("rugby", 5.0), ("football", 5.0), ("swimming", 5.0))

if __name__ == "__main__":
    write_recording(Path(__file__).with_name("match.mp4"), SEGMENTS, seed=2026, frame_rate=25, sample_rate_hz=48000)
