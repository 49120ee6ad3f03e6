"""A task that does harm on demand; light, as simulation jobs import it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import gymnasium

from cloud_train.rl.follow_target import FollowTarget
from cloud_train.rl.tasks import Watched


class Trap(Watched):
    """Hangs or gives nonsense in the process that a file names: `hang PID`, `nonsense PID`."""

    def __init__(self, file: Path) -> None:
        super().__init__(gymnasium.wrappers.TimeLimit(FollowTarget(), 200))
        self._file = file

    def step(self, action):
        if self._file.exists():
            what, pid = self._file.read_text().split()
            if int(pid) == os.getpid():
                if what == "hang":
                    time.sleep(60)
                self._refuse("is not well")
        return super().step(action)


class Unfit(FollowTarget):
    """Earns NaN in the third step."""

    def step(self, action):
        observation, reward, *rest = super().step(action)
        self.steps = getattr(self, "steps", 0) + 1
        return observation, float("nan") if self.steps == 3 else reward, *rest


gymnasium.register("Unfit-v0", entry_point=Unfit, max_episode_steps=200, disable_env_checker=True)
