"""The hook of any training loop: it says what is due, saves it, lets rules look, and says when to stop."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cloud_train import stop

from .actions import Action, act
from .judge import Judge
from .reductions import reduced
from .rules import Rule
from .saved import Collection, End, Mode, RunInfo, Saver
from .system import SYSTEM, Sampler
from .trial import Trial

if TYPE_CHECKING:
    from typing_extensions import Self

SAMPLES_IN_A_PUT = 120
"""On S3 a minute's samples of the machine are written at once."""


class Hook:
    """Saves a run's tensors step by step, and samples the machine; with `rules` it judges them at once.

    `stop` is why the job should end, None as long as it may go on: a finding of a rule that stops, or a request of
    `watch` in another process. It is renewed by each `save` and `look`.
    """

    def __init__(
        self,
        run: str | Path,
        info: RunInfo,
        *,
        save: Mapping[str, Collection],
        rules: Sequence[Rule] = (),
        actions: Sequence[Action] = (),
        go_on: bool = False,
    ) -> None:
        self.save_what = dict(save)
        self.saver = Saver(run, replace(info, save=self.save_what), go_on=go_on)
        self.stop: str | None = None
        self.judge = Judge(rules)
        self._stopping = {rule.name for rule in rules if rule.stops}
        self._actions = actions
        self._trial = Trial(run) if rules else None
        self._activations = {layer.name: layer.activation for layer in info.layers}
        self._ended = False
        place, remote = self.saver.place, str(run).startswith("s3://")
        self.sampler = Sampler(partial(place.append, SYSTEM), batch=SAMPLES_IN_A_PUT if remote else 1)
        self.sampler.start()

    def due(self, step: int) -> set[str]:
        """Give the names of the collections that are to be saved at a step."""
        return {name for name, collection in self.save_what.items() if collection.due(step)}

    def save(self, step: int, mode: Mode, tensors: Mapping[str, Mapping[str, Any]]) -> None:
        """Save what is given, by collection and name, as the settings of each collection say; then ask the rules.

        A tensor may come reduced already, as a mapping from the kind of reduction to its value.
        """
        kept = {name: self._kept(name, group) for name, group in tensors.items()}
        kept = {name: group for name, group in kept.items() if group}
        if kept:
            began = time.monotonic()
            self.saver.save(step, mode, kept)
            self._ask()
            self.sampler.spend("saving", time.monotonic() - began)
        self.look()

    def look(self) -> None:
        """See whether somebody asked the job to stop: `watch`, or SIGTERM where the job listens for it."""
        if self.stop is None and stop.requested():
            self.stop = "stopped as asked, by SIGTERM"
        if self.stop is None and (request := self.saver.stop_request()) is not None:
            self.stop = request.reason

    def end(
        self,
        status: Literal["completed", "stopped", "failed"] | None = None,
        reason: str = "",
        *,
        best_step: int | None = None,
    ) -> None:
        """Say how it ended, and let the rules judge the whole; the first call counts."""
        if self._ended:
            return
        self._ended = True
        self.sampler.stop()
        status = status or ("stopped" if self.stop else "completed")
        self.saver.end(End(status, reason or self.stop or "", best_step=best_step))
        if self._trial is not None:
            self._trial.refresh()
            self._answer(self.judge.flush(self._trial))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if error is not None:
            self.end("failed", f"{type(error).__name__}: {error}")
        self.end()

    def _kept(self, name: str, group: Mapping[str, Any]) -> dict[str, Any]:
        collection = self.save_what.get(name, Collection())
        kept: dict[str, Any] = {}
        for tensor, value in group.items():
            if not re.search(collection.include, tensor):
                continue
            parts = value
            if collection.reductions and not isinstance(value, Mapping):
                array, activation = np.asarray(value, np.float32), self._activations.get(tensor, "")
                parts = reduced(array, collection.reductions, activation=activation)
            if isinstance(parts, Mapping):
                kept |= {f"{tensor}:{kind}": part for kind, part in parts.items()}
            else:
                kept[tensor] = value
        return kept

    def _ask(self) -> None:
        if self._trial is not None:
            self._trial.refresh()
            self._answer(self.judge.push(self._trial))

    def _answer(self, findings: Sequence[Any]) -> None:
        for finding in findings:
            if finding.rule in self._stopping and self.stop is None:
                self.stop = f"{finding.rule}: {finding.message}"
            act(self._actions, finding, self.saver.info.job)
        self.judge.write(self.saver.run)
