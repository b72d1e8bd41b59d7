"""The queue: every run ends once, whoever dies meanwhile."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from layerfusion.serve.store import ENDED, KeyTaken, QueueFull, Run, Store

LEASE, MOST, ATTEMPTS = 100.0, 4, 3


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "jobs.sqlite3")


def put(store: Store, number: int = 0, alike: str = "a", **more: Any) -> Run:
    return store.submit({"number": number}, alike, 100, **more)[0]


def claim(store: Store, worker: str, most: int = MOST, lease: float = LEASE) -> list[Run]:
    return store.claim(worker, lease, most, ATTEMPTS)


def test_runs_are_taken_in_the_order_they_came_and_with_their_like(store: Store) -> None:
    for number, alike in enumerate("abaab"):
        put(store, number, alike)
    assert [run.request["number"] for run in claim(store, "one", most=2)] == [0, 2]
    assert [run.request["number"] for run in claim(store, "two")] == [1, 4]
    assert [run.request["number"] for run in claim(store, "one")] == [3]
    assert claim(store, "one") == []


def test_an_idempotency_key_gives_the_same_run_and_refuses_another(store: Store) -> None:
    first, fresh = store.submit({"seed": 1}, "a", 1, "key")
    again, new = store.submit({"seed": 1}, "a", 1, "key")  # also where the queue is full
    assert (fresh, new) == (True, False) and first.id == again.id
    with pytest.raises(KeyTaken):
        store.submit({"seed": 2}, "a", 1, "key")


def test_a_full_queue_says_when_to_come_back(store: Store) -> None:
    put(store)
    with pytest.raises(QueueFull) as refused:
        store.submit({}, "a", 1)
    assert refused.value.seconds >= 1


def test_a_silent_worker_loses_its_run_and_cannot_end_it_any_more(store: Store) -> None:
    run = put(store)
    (first,) = claim(store, "silent", lease=-1.0)
    (second,) = claim(store, "other")
    assert (first.id, second.id) == (run.id, run.id) and first.folder != second.folder
    assert not store.end(first, "silent", "done", result={})
    assert store.beat("silent", LEASE, None) == (set(), set())
    assert store.end(second, "other", "done", result={"seed": 1})
    assert not store.end(second, "other", "failed", error="twice")
    found = store.get(run.id)
    assert found is not None and (found.state, found.result) == ("done", {"seed": 1})
    assert store.totals()["done"][0] == 1


def test_a_run_that_keeps_killing_its_workers_is_given_up_and_takes_no_other_along(store: Store) -> None:
    poison, well = put(store, 0), put(store, 1)
    assert len(claim(store, "w")) == 2
    store.release("w")
    for _ in range(ATTEMPTS - 1):
        assert [run.id for run in claim(store, "w")] == [poison.id]
        store.release("w")
    assert [run.id for run in claim(store, "w")] == [well.id]
    found = store.get(poison.id)
    assert found is not None and found.state == "failed" and found.error is not None and "given up" in found.error


def test_a_worker_that_leaves_in_peace_costs_no_attempt(store: Store) -> None:
    put(store)
    for _ in range(2 * ATTEMPTS):
        (run,) = claim(store, "w")
        store.release("w", begun=False)
    assert run.attempts == 1


def test_many_workers_never_share_a_run(store: Store) -> None:
    for number in range(40):
        put(store, number, alike=str(number % 3))
    taken: list[str] = []

    def work(name: str) -> None:
        while runs := claim(store, name):
            for run in runs:
                taken.append(run.id)
                assert store.end(run, name, "done", result={})
        store.close()

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == store.counts()["done"] == 40


class Queue(RuleBasedStateMachine):
    """Whatever clients and workers do, and however workers die: a run that has ended stays as it is."""

    folder: Path

    @initialize()
    def open(self) -> None:
        self.store = Store(self.folder / f"{time.monotonic_ns()}.sqlite3")
        self.held: dict[str, list[Run]] = {}
        self.ended: dict[str, str] = {}
        self.ids: list[str] = []

    @rule(alike=st.sampled_from("ab"))
    def submit(self, alike: str) -> None:
        self.ids.append(put(self.store, len(self.ids), alike).id)

    @rule(worker=st.sampled_from("xyz"), lease=st.sampled_from([LEASE, -1.0]), most=st.integers(1, 3))
    def claim(self, worker: str, lease: float, most: int) -> None:
        self.held.setdefault(worker, []).extend(claim(self.store, worker, most, lease))

    @rule(worker=st.sampled_from("xyz"), state=st.sampled_from(["done", "failed"]))
    def end(self, worker: str, state: Any) -> None:
        for run in self.held.pop(worker, []):
            if self.store.end(run, worker, state, error="e", result={}):
                assert run.id not in self.ended, "it ended twice"
                self.ended[run.id] = state

    @rule(worker=st.sampled_from("xyz"), begun=st.booleans())
    def die(self, worker: str, begun: bool) -> None:
        self.store.release(worker, begun)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.ids:
            self.store.cancel(data.draw(st.sampled_from(self.ids)))

    @invariant()
    def what_has_ended_stays(self) -> None:
        states = {run.id: run.state for run in self.store.newest(1000)}
        assert set(states) == set(self.ids)
        for run_id, state in states.items():
            if state in ENDED:
                assert self.ended.setdefault(run_id, state) == state
            assert (run_id in self.ended) == (state in ENDED)
        assert sum(number for number, _ in self.store.totals().values()) == len(self.ended)

    def teardown(self) -> None:
        self.store.close()


def test_whatever_happens_a_run_ends_once(tmp_path: Path) -> None:
    Queue.folder = tmp_path
    run_state_machine_as_test(Queue)


@given(st.text(), st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_any_request_comes_back_as_it_was(key: str, request: dict[str, Any]) -> None:
    # SQLite holds text as UTF-8: halves of characters never get this far, `Request` refuses them.
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "jobs.sqlite3")
        run, _ = store.submit(request, "a", 9)
        found = store.get(run.id)
        store.close()
    assert found is not None and found.request == request
