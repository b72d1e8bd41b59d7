"""The first process of a service: it listens, and keeps the two that do the work alive.

It does so little that nothing can go wrong in it. The listening socket is its own, so that while the web process is
started anew no client is turned away. When it dies, the others notice and end.
"""

import logging
import multiprocessing
import secrets
import signal
import socket
import threading
import time
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

from layerfusion.errors import LayerFusionError
from layerfusion.files import fcntl
from layerfusion.serve.settings import Settings
from layerfusion.serve.store import Store

logger = logging.getLogger("layerfusion.serve")
SPAWN = multiprocessing.get_context("spawn")
LONGEST_PAUSE = 30.0  # seconds before a process that keeps dying is started again
STEADY = 20.0  # seconds after which a process counts as well
GRACE = 10.0  # seconds to end by itself


def serve(settings: Settings, listening: socket.socket) -> None:
    """Run a service until SIGTERM or Ctrl-C.

    Raises:
        LayerFusionError: another service has the folder.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    with (settings.data / "lock").open("w") as lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise LayerFusionError(f"another service uses {settings.data}; give another --data.") from None
        _keep_alive(settings, listening)


def _keep_alive(settings: Settings, listening: socket.socket) -> None:
    store, ending = Store(settings.database), threading.Event()
    store.release()  # the folder is ours alone, so whoever holds a run still is dead or about to notice that it is not

    def end(number: int, frame: FrameType | None) -> None:
        ending.set()

    _set_up_logging()
    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    web, worker = Child("web", run_web, settings, listening), Child("worker", run_worker, settings)
    try:
        while not ending.is_set():
            for child in (web, worker):
                child.start_if_due()
            living = [child.process.sentinel for child in (web, worker) if child.process is not None]
            wait(living, timeout=0.2)
            if worker.died():
                store.release(worker.name)
            web.died()
    finally:
        for child in (web, worker):
            child.end()
        store.close()
        for number, handler in before.items():
            signal.signal(number, handler)


class Child:
    """A process that is started again when it dies; at once at first, later with longer pauses."""

    def __init__(self, title: str, target: Any, *arguments: Any) -> None:
        self.title, self.target, self.arguments = title, target, arguments
        self.process: SpawnProcess | None = None
        self.name, self.began, self.due, self.pause = "", 0.0, 0.0, 0.0

    def start_if_due(self) -> None:
        if self.process is None and time.monotonic() >= self.due:
            self.name, self.began = secrets.token_hex(8), time.monotonic()
            self.process = SPAWN.Process(target=self.target, args=(*self.arguments, self.name), name=self.title)
            self.process.start()
            logger.info("the %s is process %s", self.title, self.process.pid)

    def died(self) -> bool:
        """Whether it has died since the last look; then it is due again."""
        if self.process is None or self.process.is_alive():
            return False
        code = self.process.exitcode
        self.process = None
        steady = time.monotonic() - self.began > STEADY
        self.pause = 0.0 if steady else min(LONGEST_PAUSE, max(0.5, 2 * self.pause))
        self.due = time.monotonic() + (0.0 if steady else self.pause)
        logger.warning("the %s has ended (%s) and is started again in %.1f s", self.title, code, self.pause)
        return True

    def end(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        self.process.join(GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def run_web(settings: Settings, listening: socket.socket, name: str) -> None:
    """The web process."""
    import uvicorn

    from layerfusion.serve.app import create_app

    _set_up_logging()
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        limit_concurrency=512,
        h11_max_incomplete_event_size=1 << 16,
    )
    server = uvicorn.Server(config)

    def leave() -> None:
        server.should_exit = True

    _with_the_parent(leave)
    server.run(sockets=[listening])


def run_worker(settings: Settings, name: str) -> None:
    """The worker process."""
    from layerfusion.allocation import keep_freed_memory
    from layerfusion.threads import settle_threads

    settle_threads()
    keep_freed_memory()
    _set_up_logging()
    from layerfusion.runs.quiet import quiet_libraries

    with quiet_libraries():
        from layerfusion.serve.worker import Worker

        worker = Worker(settings, name)
        signal.signal(signal.SIGTERM, lambda *_: worker.stopping.set())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the first one passes it on
        _with_the_parent(worker.stopping.set)
        worker.run()


def _with_the_parent(leave: Any) -> None:
    """Leave when the process that started this one is gone."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            leave()

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _set_up_logging() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
