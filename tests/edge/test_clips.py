import json
from dataclasses import replace
from pathlib import Path

import av
import made
import pytest
from media import write_video

from cloud_train.recordings import find_recordings
from edge import messages
from edge.clip import Event
from edge.clips import Clips, read_card
from edge.config import Web
from edge.contract import Feedback
from edge.cut import cut, jpeg, save_picture
from edge.recorded import Recorded
from edge.sources import SourceError
from edge.web.standing import Card


def length(path: Path) -> float:
    with av.open(str(path)) as container:
        return container.duration / av.time_base


def codecs(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [stream.codec_context.name for stream in container.streams]


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "v.mp4", seconds=20, audio_rate=48000)


class TestCut:
    def test_copies_from_the_key_frame_before(self, video, tmp_path):
        assert cut(video, 3.4, 6.0, tmp_path / "c.mp4") == pytest.approx(3.0, abs=0.05)
        assert length(tmp_path / "c.mp4") == pytest.approx(3.0, abs=0.2)
        assert codecs(tmp_path / "c.mp4") == ["h264", "aac"]

    def test_is_exact_where_that_is_asked(self, video, tmp_path):
        assert cut(video, 3.4, 6.0, tmp_path / "c.mp4", exact=True) == pytest.approx(3.4)
        assert length(tmp_path / "c.mp4") == pytest.approx(2.6, abs=0.1)

    def test_encodes_what_browsers_do_not_play(self, tmp_path):
        odd = write_video(tmp_path / "v.mkv", seconds=3, audio_rate=48000, audio_codec="flac")
        cut(odd, 0.5, 2.0, tmp_path / "c.mp4")
        assert codecs(tmp_path / "c.mp4") == ["h264", "aac"]

    def test_leaves_nothing_half_written(self, tmp_path):
        (tmp_path / "no.mp4").write_bytes(b"no media")
        with pytest.raises(av.FFmpegError):
            cut(tmp_path / "no.mp4", 0, 1, tmp_path / "c.mp4")
        assert [path.name for path in tmp_path.iterdir()] == ["no.mp4"]

    def test_picture_is_of_its_time(self, video, tmp_path):
        save_picture(video, 5.0, tmp_path / "p.jpg", width=32)
        with av.open(str(tmp_path / "p.jpg")) as container:
            assert (container.streams.video[0].width, container.streams.video[0].height) == (32, 24)

    def test_picture_is_a_jpeg_no_wider_than_it_was(self):
        import numpy as np

        assert jpeg(np.zeros((9, 16, 3), np.uint8), 640)[:2] == b"\xff\xd8"


def event(kind: str, end: float | None = None, seconds: int = 2) -> Event:
    return replace(made.event(kind), start=8.0, end=end, seconds=seconds)


@pytest.fixture
def web(tmp_path):
    return Web(clips=str(tmp_path / "clips"), retraining=str(tmp_path / "retraining"), clip_seconds=6)


@pytest.fixture
def clips(web):
    return Clips(web)


def lived(clips: Clips, media) -> messages.EventMessage:
    """An event from its beginning to its end, as the loop would tell it."""
    for seq, (one, reached) in enumerate([(event("new"), 10.0), (event("end", 12.0, 4), 14.0)], 1):
        message = messages.event_message(one, made.STAMP, seq, clips.keep(one, media, reached))
        clips(message)
    return message


class TestKeep:
    def test_writes_clip_and_picture_before_it_says_where(self, clips, video, tmp_path):
        links = clips.keep(event("new"), Recorded(str(video), paced=False), 10.0)
        folder = tmp_path / "clips" / "b7f2-000001"
        assert links.clip == "/api/events/b7f2-000001/clip.mp4"
        assert length(folder / "clip.mp4") == pytest.approx(links.pre_s + 2, abs=0.3)
        assert (folder / "thumb.jpg").read_bytes()[:2] == b"\xff\xd8"
        assert 5.0 <= links.pre_s <= 6.1
        assert links.post_s == 0

    def test_goes_on_after_the_end_as_long_as_is_asked(self, clips, video, tmp_path):
        message = lived(clips, Recorded(str(video), paced=False))
        assert message.media.post_s == 2.0
        assert length(tmp_path / "clips" / message.id / "clip.mp4") == pytest.approx(
            message.media.pre_s + 4 + 2, abs=0.3
        )

    def test_stops_when_a_clip_is_long_enough(self, clips, video):
        media = Recorded(str(video), paced=False)
        spans = []
        save = media.save_clip
        media.save_clip = lambda start, end, *paths, at: spans.append((start, end)) or save(start, end, *paths, at=at)
        for one, reached in [
            (event("new"), 10),
            (event("update"), 15),
            (event("update"), 18),
            (event("end", 18.0), 20),
        ]:
            assert clips.keep(one, media, reached) is not None
        assert spans == [(3.0, 10), (3.0, 15)]

    def test_says_a_failure_once_and_goes_on(self, clips, caplog):
        media = Recorded("gone.mp4", paced=False)
        for _ in range(3):
            assert clips.keep(event("new"), media, 10.0) is None
        assert caplog.text.count("events go on without") == 1

    def test_cuts_nothing_from_recordings_of_ros(self, tmp_path):
        media = Recorded("x.mcap", paced=False, bag=True)
        with pytest.raises(SourceError, match="ROS"):
            media.save_clip(0, 1, tmp_path / "c.mp4", tmp_path / "t.jpg", at=0)


class TestCards:
    def test_outlive_a_restart_with_the_verdict(self, clips, web, video):
        message = lived(clips, Recorded(str(video), paced=False))
        verdict = Feedback(id=message.id, verdict="ack")
        clips.say(Card(message, verdict))
        assert Clips(web).earlier() == (Card(message, verdict),)

    def test_that_cannot_be_read_are_passed_over(self, clips, tmp_path):
        (tmp_path / "clips" / "x").mkdir(parents=True)
        (tmp_path / "clips" / "x" / "event.json").write_text(json.dumps({"event": 1}))
        assert clips.earlier() == ()
        assert read_card(tmp_path / "clips" / "none") is None


class TestRetraining:
    def placed(self, tmp_path):
        folder = tmp_path / "retraining"
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.mp4"))

    def test_data_are_what_extract_reads(self, clips, video, tmp_path):
        message = lived(clips, Recorded(str(video), paced=False))
        clips.say(Card(message, Feedback(id=message.id, verdict="label", label="golf")))
        (recording,) = find_recordings(tmp_path / "retraining")
        assert recording.label == "golf"
        assert length(Path(recording.uri)) == pytest.approx(4.0, abs=0.15)

    def test_follow_what_was_said_last(self, clips, video, tmp_path):
        message = lived(clips, Recorded(str(video), paced=False))
        clips.say(Card(message, Feedback(id=message.id, verdict="ack")))
        assert self.placed(tmp_path) == ["badminton/truck1--b7f2-000001.mp4"]
        clips.say(Card(message, Feedback(id=message.id, verdict="label", label="tennis")))
        assert self.placed(tmp_path) == ["tennis/truck1--b7f2-000001.mp4"]
        clips.say(Card(message, Feedback(id=message.id, verdict="wrong")))
        assert self.placed(tmp_path) == []

    def test_of_an_event_that_is_on_grow_with_it(self, clips, video, tmp_path):
        media, first = Recorded(str(video), paced=False), event("new")
        message = messages.event_message(first, made.STAMP, 1, clips.keep(first, media, 10.0))
        clips(message)
        clips.say(Card(message, Feedback(id=message.id, verdict="ack")))
        last = event("end", 12.0, 4)
        clips(messages.event_message(last, made.STAMP, 2, clips.keep(last, media, 14.0)))
        clips.close()
        assert length(tmp_path / "retraining" / self.placed(tmp_path)[0]) == pytest.approx(4.0, abs=0.15)


class TestRecorded:
    def test_shows_the_newest_picture_and_counts(self, video):
        from edge.sources import Source

        media = Recorded(str(video), paced=False)
        assert media.preview() is None
        with Source(str(video), 16000) as source:
            for packet in media.watching(source):
                last = packet
                assert media.standing().state == "playing"
        assert last is not None
        assert media.preview().time == pytest.approx(19.9)
        assert media.preview() is media.preview()
        assert media.standing().state == "ended"
        assert media.standing().frames_per_second == pytest.approx(10, abs=0.1)

    def test_that_is_played_in_real_time_stalls(self, monkeypatch):
        media = Recorded("x.mp4", paced=True)
        monkeypatch.setattr("edge.recorded.STALLED_SECONDS", -1.0)
        next(media.watching(iter([made_packet()])))
        assert (media.standing().level, media.standing().state) == ("stale", "stalled")


def made_packet():
    from edge.clip import Packet

    return Packet(0.0)
