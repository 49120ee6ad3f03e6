"""Draw the tasks of docs/policy.md: what the tracker's camera sees, and what each task rewards.

python scripts/draw_policies.py docs/policy-tasks.png        (needs the extra `train`)
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cloud_train.rl.drive import Pose
from cloud_train.rl.follow_event import FACING
from cloud_train.rl.follow_target import BEARING_WIDTH, FARTHEST_METRES, KEPT_METRES, NEAREST_METRES, RANGE_WIDTH
from cloud_train.rl.object_tracker import CAUGHT_METRES, ObjectTracker
from cloud_train.rl.scene import camera_picture

TARGETS = (Pose(3.5, 0.8, 0.4), Pose(1.4, -0.2, 0.4), Pose(0.5, 0.02, 0.4))


def draw(path: str) -> None:
    """Three pictures of the camera above, the rewards of the three tasks below."""
    figure = Figure(figsize=(9, 4.6), layout="constrained", dpi=110)
    axes: Any = figure.subplots(2, 3)
    for panel, target in zip(axes[0], TARGETS, strict=True):
        grey = ObjectTracker.interface.see(camera_picture(Pose(), target))[:, :, 0]
        panel.imshow(grey, cmap="gray", vmin=0, vmax=255)
        panel.set_title(f"seen: {Pose().distance(target.x, target.y):.1f} m away", fontsize=9)
        panel.set_axis_off()
    tracker, follower, listener = axes[1]
    distances = np.linspace(CAUGHT_METRES, 3.6, 200)
    tracker.semilogy(distances[::-1], 10 / distances[::-1] ** 2, color="#1f5fa8")
    tracker.invert_xaxis()
    tracker.set(title="ObjectTracker: 10/d², only where nearer than ever", xlabel="distance, m")
    x, y = np.meshgrid(np.linspace(-1, 3, 200), np.linspace(-2, 2, 200))
    reach, bearing = np.hypot(x, y), np.arctan2(y, x)
    reward = np.exp(-((bearing / BEARING_WIDTH) ** 2) - ((reach - KEPT_METRES) / RANGE_WIDTH) ** 2)
    reward[(reach < NEAREST_METRES) | (reach > FARTHEST_METRES)] = np.nan
    shown = follower.pcolormesh(x, y, reward, cmap="viridis", shading="auto", rasterized=True)
    follower.plot(0, 0, marker=">", color="#d04040")
    follower.set(title="FollowTarget: where the target is", xlabel="ahead, m", ylabel="to the left, m", aspect="equal")
    figure.colorbar(shown, ax=follower)
    bearings = np.linspace(-1.5, 1.5, 200)
    listener.plot(np.degrees(bearings), np.exp(-((bearings / FACING) ** 2)), color="#1f5fa8", label="it happens")
    listener.axhline(0, color="#777777", linestyle="--", label="it does not")
    listener.set(title="FollowEvent: facing the event", xlabel="bearing of the event, degrees")
    listener.legend(frameon=False, fontsize=8)
    for panel in axes[1]:
        panel.title.set_fontsize(9)
    figure.savefig(path)


if __name__ == "__main__":
    draw(sys.argv[1])
