"""Options of the loop."""

import threading

from submission.options import call_threads


def test_the_threads_of_calls_are_all_there_before_the_first_call() -> None:
    """To start one between busy ones would stall the writer."""
    before = threading.active_count()
    with call_threads(3) as pool:
        assert threading.active_count() == before + 3
        assert sum(thread.name.startswith("call_") for thread in threading.enumerate()) == 3
        assert pool.submit(lambda: 7).result(10) == 7
    assert threading.active_count() == before
