"""The queue on disk: what was asked, who works on it, what became of it. SQLite is the only thing that processes share.

A run is queued, then running under a lease of one worker, then done, failed or cancelled, and that once: every change
names the state and the worker that it changes from, and whoever comes second changes nothing.
"""

import json
import math
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED = ("done", "failed", "cancelled")
POISON = "the run ended its worker {} times and is given up; ask for a smaller size."

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    idempotency_key TEXT UNIQUE,
    request TEXT NOT NULL,
    alike TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued',
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    lease REAL,
    cancel INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    result TEXT
);
CREATE INDEX IF NOT EXISTS runs_by_state ON runs (state, number);
CREATE TABLE IF NOT EXISTS progress (
    id TEXT PRIMARY KEY, version INTEGER NOT NULL, stage TEXT NOT NULL, done INTEGER NOT NULL, total INTEGER NOT NULL,
    previews TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS totals (state TEXT PRIMARY KEY, runs INTEGER NOT NULL, seconds REAL NOT NULL);
CREATE TRIGGER IF NOT EXISTS runs_end AFTER UPDATE OF state ON runs
WHEN NEW.state IN ('done', 'failed', 'cancelled') AND OLD.state != NEW.state BEGIN
    INSERT INTO totals VALUES (NEW.state, 1, NEW.finished - ifnull(NEW.started, NEW.finished))
    ON CONFLICT (state) DO UPDATE SET runs = runs + 1, seconds = seconds + excluded.seconds;
END;
CREATE TABLE IF NOT EXISTS workers (id TEXT PRIMARY KEY, beat REAL NOT NULL, facts TEXT);
"""


@dataclass(frozen=True)
class Run:
    """A row of the queue.

    Attributes:
        number: In order of arrival.
        id: What clients call it.
        request: As it was asked, JSON's values.
        alike: The same for runs that may be sampled together.
        state: Where it stands.
        created, started, finished: Seconds since the epoch.
        attempts: How many workers have begun it.
        error: The sentence, of a failed one.
        result: Of a done one: what the worker says of its pictures.
    """

    number: int
    id: str
    request: dict[str, Any]
    alike: str
    state: State
    created: float
    started: float | None
    finished: float | None
    attempts: int
    error: str | None
    result: dict[str, Any] | None

    @property
    def folder(self) -> str:
        """The name of its results' folder: another for each attempt, so that two workers never share one."""
        return f"{self.id}-{self.attempts}"


@dataclass(frozen=True)
class Moment:
    """How far a running run is; `version` grows with every change."""

    version: int
    stage: str
    done: int
    total: int
    previews: dict[str, str]


class QueueFull(Exception):
    """There is no room; in `seconds` a tenth of the queue will have been done."""

    def __init__(self, seconds: int) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class KeyTaken(Exception):
    """An idempotency key comes with another request than before."""


class Store:
    """One connection a thread to the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._own = threading.local()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection.executescript(SCHEMA)

    @property
    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._own, "connection"):
            connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            # What was answered with "accepted" outlives a power cut.
            connection.execute("PRAGMA synchronous = FULL")
            self._own.connection = connection
        found: sqlite3.Connection = self._own.connection
        return found

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that nobody else writes during."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def close(self) -> None:
        """Close this thread's connection."""
        if hasattr(self._own, "connection"):
            self._own.connection.close()
            del self._own.connection

    def version(self) -> int:
        """Another number whenever another connection has changed something."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    # --- for the web --------------------------------------------------------------------------------------------------

    def submit(self, request: dict[str, Any], alike: str, room: int, key: str | None = None) -> tuple[Run, bool]:
        """Put a run at the end of the queue.

        Returns:
            It, and whether it is new: the same key with the same request gives the run there already is.

        Raises:
            QueueFull: `room` runs wait already.
            KeyTaken: the key came with another request before.
        """
        text = json.dumps(request, sort_keys=True, ensure_ascii=False)
        with self._changing() as connection:
            if key is not None:
                row = connection.execute("SELECT * FROM runs WHERE idempotency_key = ?", (key,)).fetchone()
                if row is not None:
                    if row["request"] != text:
                        raise KeyTaken
                    return _run(row), False
            waiting = self.waiting()
            if waiting >= room:
                raise QueueFull(math.ceil(self.seconds_each() * max(1, waiting / 10)))
            run_id = secrets.token_hex(12)
            connection.execute(
                "INSERT INTO runs (id, idempotency_key, request, alike, created) VALUES (?, ?, ?, ?, ?)",
                (run_id, key, text, alike, time.time()),
            )
            row = connection.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
        return _run(row), True

    def get(self, run_id: str) -> Run | None:
        row = self._connection.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
        return None if row is None else _run(row)

    def newest(self, limit: int, before: int | None = None, state: State | None = None) -> list[Run]:
        """The newest first.

        Args:
            before: Only those with a smaller number.
        """
        rows = self._connection.execute(
            "SELECT * FROM runs WHERE number < ? AND state = coalesce(?, state) ORDER BY number DESC LIMIT ?",
            (1 << 62 if before is None else before, state, limit),
        )
        return [_run(row) for row in rows]

    def waiting(self, before: int | None = None) -> int:
        """How many are queued, or how many of them before one."""
        found = self._connection.execute(
            "SELECT count(*) FROM runs WHERE state = 'queued' AND number < ?", (1 << 62 if before is None else before,)
        )
        return int(found.fetchone()[0])

    def counts(self) -> dict[str, int]:
        """How many runs are in each state."""
        rows = self._connection.execute("SELECT state, count(*) AS number FROM runs GROUP BY state")
        return {row["state"]: row["number"] for row in rows}

    def totals(self) -> dict[str, tuple[int, float]]:
        """How many runs ever ended in each state, and how many seconds all of them took."""
        rows = self._connection.execute("SELECT * FROM totals")
        return {row["state"]: (row["runs"], row["seconds"]) for row in rows}

    def oldest_waits(self) -> float:
        """Seconds for which the run that is next has waited; 0 where none waits."""
        first = self._connection.execute("SELECT min(created) FROM runs WHERE state = 'queued'").fetchone()[0]
        return 0.0 if first is None else max(0.0, time.time() - first)

    def seconds_each(self) -> float:
        """How long the last runs took, on average; 5 s where there were none."""
        found = self._connection.execute(
            "SELECT avg(finished - started) FROM "
            "(SELECT started, finished FROM runs WHERE state = 'done' ORDER BY number DESC LIMIT 20)"
        )
        return float(found.fetchone()[0] or 5.0)

    def moment(self, run_id: str) -> Moment | None:
        row = self._connection.execute("SELECT * FROM progress WHERE id = ?", (run_id,)).fetchone()
        if row is None:
            return None
        return Moment(row["version"], row["stage"], row["done"], row["total"], json.loads(row["previews"]))

    def cancel(self, run_id: str) -> State | None:
        """Stop a run: at once while it waits, after its step while it runs. One that has ended stays as it is.

        Returns:
            Its state now; None where there is no such run.
        """
        with self._changing() as connection:
            connection.execute(
                "UPDATE runs SET state = 'cancelled', finished = ? WHERE id = ? AND state = 'queued'",
                (time.time(), run_id),
            )
            connection.execute("UPDATE runs SET cancel = 1 WHERE id = ? AND state = 'running'", (run_id,))
            row = connection.execute("SELECT state FROM runs WHERE id = ?", (run_id,)).fetchone()
        return None if row is None else row["state"]

    def remove(self, run_id: str) -> bool:
        """Forget a run that has ended."""
        with self._changing() as connection:
            found = connection.execute(f"DELETE FROM runs WHERE id = ? AND state IN {ENDED}", (run_id,))
            connection.execute("DELETE FROM progress WHERE id = ?", (run_id,))
        return found.rowcount > 0

    def ended_before(self, moment: float) -> list[Run]:
        rows = self._connection.execute(f"SELECT * FROM runs WHERE state IN {ENDED} AND finished < ?", (moment,))
        return [_run(row) for row in rows]

    def folders(self) -> set[str]:
        """The names of the results' folders that someone may still want."""
        rows = self._connection.execute("SELECT * FROM runs WHERE state IN ('done', 'running')")
        return {_run(row).folder for row in rows}

    # --- for the worker -----------------------------------------------------------------------------------------------

    def claim(self, worker: str, lease: float, most: int, attempts: int) -> list[Run]:
        """Take the run that waits longest, and up to `most` - 1 like it; those of dead workers wait again first.

        One that was begun before is taken alone: should it kill its worker, it takes no other along. One that has
        killed `attempts` of them fails.
        """
        now = time.time()
        ready = "SELECT 1 FROM runs WHERE state = 'queued' OR state = 'running' AND lease < ? LIMIT 1"
        if self._connection.execute(ready, (now,)).fetchone() is None:
            return []
        with self._changing() as connection:
            self._requeue(connection, "lease < ?", now)
            connection.execute(
                "UPDATE runs SET state = 'failed', error = ?, finished = ? WHERE state = 'queued' AND attempts >= ?",
                (POISON.format(attempts), now, attempts),
            )
            first = connection.execute("SELECT * FROM runs WHERE state = 'queued' ORDER BY number LIMIT 1").fetchone()
            if first is None:
                return []
            rows = [first]
            if not first["attempts"]:
                rows = connection.execute(
                    "SELECT * FROM runs WHERE state = 'queued' AND alike = ? AND attempts = 0 ORDER BY number LIMIT ?",
                    (first["alike"], most),
                ).fetchall()
            numbers = [row["number"] for row in rows]
            marks = ", ".join("?" * len(numbers))
            connection.execute(
                "UPDATE runs SET state = 'running', worker = ?, lease = ?, attempts = attempts + 1, started = ? "
                f"WHERE number IN ({marks})",
                (worker, now + lease, now, *numbers),
            )
            taken = connection.execute(f"SELECT * FROM runs WHERE number IN ({marks}) ORDER BY number", numbers)
            return [_run(row) for row in taken.fetchall()]

    def beat(self, worker: str, lease: float, facts: dict[str, Any] | None) -> tuple[set[str], set[str]]:
        """Say that a worker lives, and what is known of its model.

        Returns:
            The runs it still holds, and those of them that are to be cancelled.
        """
        now = time.time()
        with self._changing() as connection:
            connection.execute(
                "INSERT INTO workers (id, beat, facts) VALUES (?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET beat = excluded.beat, facts = excluded.facts",
                (worker, now, None if facts is None else json.dumps(facts)),
            )
            connection.execute("DELETE FROM workers WHERE beat < ?", (now - 60,))
            connection.execute(
                "UPDATE runs SET lease = ? WHERE worker = ? AND state = 'running'", (now + lease, worker)
            )
            rows = connection.execute("SELECT id, cancel FROM runs WHERE worker = ? AND state = 'running'", (worker,))
            held = {row["id"]: row["cancel"] for row in rows.fetchall()}
        return set(held), {run_id for run_id, cancel in held.items() if cancel}

    def facts(self, fresh: float) -> dict[str, Any] | None:
        """What the worker says of its loaded model; None where none has shown life for `fresh` seconds, or is ready."""
        row = self._connection.execute(
            "SELECT facts FROM workers WHERE beat > ? AND facts IS NOT NULL ORDER BY beat DESC LIMIT 1",
            (time.time() - fresh,),
        ).fetchone()
        return None if row is None else json.loads(row["facts"])

    def progress(self, run_id: str, stage: str, done: int, total: int, previews: dict[str, str]) -> None:
        """Say how far a run is. Not worth waiting for the disk: whoever goes on with it says it anew."""
        connection = self._connection
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(
            "INSERT INTO progress VALUES (?, 1, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET version = version + 1, "
            "stage = excluded.stage, done = excluded.done, total = excluded.total, previews = excluded.previews",
            (run_id, stage, done, total, json.dumps(previews)),
        )
        connection.execute("PRAGMA synchronous = FULL")

    def end(self, run: Run, worker: str, state: State, error: str | None = None, result: Any = None) -> bool:
        """Say what became of a run; False, and nothing is changed, where the worker no longer holds it."""
        with self._changing() as connection:
            found = connection.execute(
                "UPDATE runs SET state = ?, error = ?, result = ?, finished = ?, worker = NULL, lease = NULL "
                "WHERE id = ? AND state = 'running' AND worker = ? AND attempts = ?",
                (state, error, json.dumps(result), time.time(), run.id, worker, run.attempts),
            )
            connection.execute("DELETE FROM progress WHERE id = ?", (run.id,))
        return found.rowcount > 0

    def release(self, worker: str | None = None, begun: bool = True) -> None:
        """Put back what a worker holds, or every worker: it is dead, or is about to stop.

        Args:
            begun: Whether this counts as an attempt.
        """
        which, values = ("1", ()) if worker is None else ("worker = ?", (worker,))
        with self._changing() as connection:
            if not begun:
                connection.execute(
                    f"UPDATE runs SET attempts = attempts - 1 WHERE state = 'running' AND {which}", values
                )
            self._requeue(connection, which, *values)
            connection.execute(f"DELETE FROM workers WHERE {which.replace('worker', 'id')}", values)

    def _requeue(self, connection: sqlite3.Connection, which: str, *values: Any) -> None:
        """Let running runs wait again in their old place; cancelled ones end."""
        found = connection.execute(
            f"UPDATE runs SET state = iif(cancel, 'cancelled', 'queued'), finished = iif(cancel, ?, NULL), "
            f"worker = NULL, lease = NULL WHERE state = 'running' AND {which}",
            (time.time(), *values),
        )
        if found.rowcount:
            connection.execute("DELETE FROM progress WHERE id NOT IN (SELECT id FROM runs WHERE state = 'running')")


def _run(row: sqlite3.Row) -> Run:
    values = {name: row[name] for name in Run.__dataclass_fields__}
    result = json.loads(row["result"]) if row["result"] else None
    return Run(**{**values, "request": json.loads(row["request"]), "result": result})
