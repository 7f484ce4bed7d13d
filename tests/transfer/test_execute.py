"""`run_in_order`: order, the bound on what is in flight, and failures; `Budget`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ptystore.transfer.execute import Budget, run_in_order


class Watched:
    """Tasks that note when they were made, started and finished."""

    def __init__(self, count: int, fail_at: int | None = None) -> None:
        self.made = self.finished = self.running = self.most_running = 0
        self._count, self._fail_at = count, fail_at
        self._lock = threading.Lock()
        self.makers: set[int] = set()

    def tasks(self) -> Iterator[Callable[[], int]]:
        for number in range(self._count):
            self.made += 1
            self.makers.add(threading.get_ident())
            yield lambda number=number: self._run(number)

    def _run(self, number: int) -> int:
        with self._lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            # Later tasks are quicker, so that without order they would come first.
            time.sleep(0.002 * (3 - number % 4))
            if number == self._fail_at:
                raise ValueError("this one")
            return number
        finally:
            with self._lock:
                self.running -= 1
                self.finished += 1


@pytest.mark.parametrize(("jobs", "in_flight"), [(1, 1), (2, 3), (4, 2), (8, 8)])
def test_results_come_in_order_with_a_bounded_number_ahead(jobs: int, in_flight: int) -> None:
    watched = Watched(40)
    with ThreadPoolExecutor(jobs) as pool:
        got = []
        for number in run_in_order(watched.tasks(), pool, in_flight):
            # Made but not yet taken by the caller: never more than may be in flight.
            assert watched.made - len(got) <= in_flight
            got.append(number)
    assert got == list(range(40))
    assert watched.most_running <= min(jobs, in_flight)
    assert watched.makers == {threading.get_ident()}


def test_all_workers_are_kept_busy() -> None:
    watched = Watched(40)
    with ThreadPoolExecutor(3) as pool:
        list(run_in_order(watched.tasks(), pool, 4))
    assert watched.most_running == 3


def test_a_failure_is_raised_in_order_and_nothing_is_left_running() -> None:
    watched = Watched(1000, fail_at=5)
    got = []
    with ThreadPoolExecutor(3) as pool:
        with pytest.raises(ValueError, match="this one"):
            got.extend(run_in_order(watched.tasks(), pool, 4))
        assert watched.running == 0
    assert watched.made < 12


def test_the_results_before_a_failure_are_given() -> None:
    watched = Watched(10, fail_at=5)
    with ThreadPoolExecutor(3) as pool:
        results = run_in_order(watched.tasks(), pool, 4)
        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
        with pytest.raises(ValueError, match="this one"):
            next(results)


def test_a_failure_while_making_tasks_awaits_what_runs() -> None:
    watched = Watched(3)

    def tasks() -> Iterator[Callable[[], int]]:
        yield from watched.tasks()
        raise KeyboardInterrupt

    with ThreadPoolExecutor(3) as pool:
        with pytest.raises(KeyboardInterrupt):
            list(run_in_order(tasks(), pool, 8))
        assert watched.running == 0


def test_a_caller_that_stops_early_leaves_nothing_running() -> None:
    watched = Watched(1000)
    with ThreadPoolExecutor(3) as pool:
        results = run_in_order(watched.tasks(), pool, 4)
        assert next(results) == 0
        results.close()  # type: ignore[attr-defined]
        assert watched.running == 0
    assert watched.made < 12


def test_no_tasks() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert list(run_in_order([], pool, 2)) == []


def test_a_budget_makes_the_reader_wait_for_the_workers() -> None:
    budget = Budget(10)
    budget.wait_for(99)  # nobody holds anything: waiting would be for ever
    budget.hold(8)
    budget.wait_for(2)
    passed = threading.Event()

    def read() -> None:
        budget.wait_for(5)
        passed.set()

    reader = threading.Thread(target=read)
    reader.start()
    budget.release(2)
    assert not passed.wait(0.05)
    budget.release(1)
    assert passed.wait(10)
    reader.join()
