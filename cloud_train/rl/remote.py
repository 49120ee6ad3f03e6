"""Simulation jobs that come over the network: the learner listens and chooses the actions, jobs simulate.

Both prove to each other that they know the application's secret (HMAC, as `multiprocessing.connection` does it), then
speak msgpack. A job that loses its learner looks for it again, so that a learner may be killed and go on elsewhere.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import socket
import struct
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Client, Connection, answer_challenge, deliver_challenge
from queue import Empty, Queue
from threading import Thread
from typing import Any

from cloud_train.recordings import TrainingError

from . import app as apps
from .jobs import HANG_SECONDS, START_SECONDS, Link, job_seed
from .simulations import Simulations
from .tasks import TaskError, maker
from .wire import pack, pack_moment, unpack, unpack_answer

SAY_SECONDS = 5.0
"""How often a job says how far it is: one that says nothing hangs."""
LEARNER_SECONDS = 300.0
"""How long a job waits for a learner, at first and when it has lost one."""


class Visitors:
    """Jobs that connect by themselves, each given `each` simulations of the application at `place`."""

    def __init__(self, place: str, each: int, seed: int, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._app, self._each, self._seed = apps.load(place), each, seed
        self._listener = socket.create_server((host, port), backlog=64)
        self._waiting: Queue[Connection] = Queue()
        Thread(target=self._accept, daemon=True).start()
        own = host if host != "0.0.0.0" else socket.gethostbyname(socket.gethostname())  # noqa: S104 - where asked to
        apps.announce(place, own, self._listener.getsockname()[1])

    def open(self, rows: Sequence[int], *, least: int, restarts: int) -> dict[int, Link]:
        """Give each row a job that has come; wait for as many as are needed, 120 seconds at most."""
        found: dict[int, Link] = {}
        deadline = time.monotonic() + START_SECONDS
        for k in rows:
            wait = max(0.0, deadline - time.monotonic()) if len(found) < least else 0.0
            try:
                connection = self._waiting.get(timeout=wait) if wait else self._waiting.get_nowait()
            except Empty:
                break
            link = _Visitor(connection)
            seed = job_seed(self._seed, k, self._each, restarts)
            with contextlib.suppress(OSError):  # gone again: that shows when it does not answer
                link.say("begin", task=self._app.task, options=dict(self._app.options), count=self._each, seed=seed)
            found[k] = link
        if len(found) < least:
            msg = f"{len(found)} of {least} simulation jobs came within {START_SECONDS:.0f} s; do they run?"
            raise TrainingError(msg)
        return found

    def close(self) -> None:
        """Let nobody come any more; who waits is told that all is done."""
        self._listener.shutdown(socket.SHUT_RDWR)  # close alone would let one more in
        self._listener.close()
        while not self._waiting.empty():
            _Visitor(self._waiting.get()).end()

    def _accept(self) -> None:
        while True:
            try:
                visitor, _ = self._listener.accept()
            except OSError:  # closed
                return
            Thread(target=self._greet, args=(Connection(visitor.detach()),), daemon=True).start()

    def _greet(self, connection: Connection) -> None:
        _limit(connection)
        key = self._app.token.encode()
        with contextlib.suppress(OSError, EOFError, multiprocessing.AuthenticationError):
            deliver_challenge(connection, key)
            answer_challenge(connection, key)
            self._waiting.put(connection)


class _Visitor:
    """The way to a job elsewhere."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.poll = connection.poll
        self.name = "remote"

    def say(self, kind: str, **fields: Any) -> None:  # noqa: ANN401
        """Send a message."""
        self._connection.send_bytes(pack(kind, **fields))

    def send(self, what: Any) -> None:  # noqa: ANN401 - actions
        """Send actions."""
        self.say("act", actions=what)

    def recv(self) -> Any:  # noqa: ANN401 - observations, a Moment or a TaskError
        """Take the answer."""
        return unpack_answer(self._connection.recv_bytes())

    def end(self) -> None:
        """Tell the job that it is done."""
        with contextlib.suppress(OSError):
            self.say("done")
        self._connection.close()


def _limit(connection: Connection) -> None:
    """Let a peer that stops in the middle of a message not hold us up for ever."""
    limit = struct.pack("ll", int(HANG_SECONDS), 0)
    with socket.socket(fileno=os.dup(connection.fileno())) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def simulate(place: str, *, wait_seconds: float = LEARNER_SECONDS, hang_seconds: float = HANG_SECONDS) -> int:
    """Simulate for the learner of an application until it is done; the number of steps.

    TrainingError where no learner comes. A step that takes longer than `hang_seconds` ends this process, whatever it
    does: then it is started again.
    """
    app, steps = apps.load(place), 0
    deadline = time.monotonic() + wait_seconds
    while time.monotonic() < deadline:
        connection = _connected(place, app.token.encode())
        if connection is None:
            time.sleep(0.5)
            continue
        with connection:
            done, more = _serve(connection, hang_seconds)
        steps += more
        if done:
            return steps
        if more:
            deadline = time.monotonic() + wait_seconds
        _say("the learner is gone; looking for it again")
    msg = f"{place}: no learner came within {wait_seconds:.0f} s"
    raise TrainingError(msg)


def _connected(place: str, token: bytes) -> Connection | None:
    address = apps.learner(place)
    if address is None:
        return None
    try:
        connection = Client(address)
        answer_challenge(connection, token)
        deliver_challenge(connection, token)
    except (OSError, EOFError, multiprocessing.AuthenticationError):
        return None
    return connection


def _serve(connection: Connection, hang_seconds: float) -> tuple[bool, int]:
    """Simulate for one learner; whether it said that it is done, and the number of steps."""
    steps, said = 0, time.monotonic()
    simulations: Simulations | None = None
    try:
        while True:
            kind, fields = unpack(connection.recv_bytes())
            if kind == "done":
                return True, steps
            faulthandler.dump_traceback_later(hang_seconds, exit=True)  # a thread in C, which no simulator can hold up
            if kind == "begin":
                simulations = Simulations(maker(fields["task"], **fields["options"]), fields["count"], fields["seed"])
                answer = pack("begun", observations=simulations.begin())
                _say(f"simulates {fields['task']} for a learner")
            else:
                assert simulations is not None, "the learner begins with `begin`"
                answer = pack_moment(simulations.step(fields["actions"]))
                steps += 1
            faulthandler.cancel_dump_traceback_later()
            connection.send_bytes(answer)
            if time.monotonic() - said > SAY_SECONDS:
                said = time.monotonic()
                _say(f"{steps} steps")
    except TaskError as error:
        connection.send_bytes(pack("error", why=str(error)))
        raise
    except (OSError, EOFError):
        return False, steps
    finally:
        faulthandler.cancel_dump_traceback_later()
        if simulations is not None:
            simulations.close()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
