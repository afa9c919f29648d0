"""Answers of the database that are kept for seconds, and why nothing may be ordered."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask

from backend import Backend, Remembered
from submission import VOLATILE


def test_an_answer_is_kept_for_its_seconds_or_until_it_is_forgotten() -> None:
    now, asked = [0.0], list[float]()

    def ask() -> int:
        asked.append(now[0])
        return len(asked)

    remembered = Remembered(10, ask, lambda: now[0])
    assert [remembered(), remembered()] == [1, 1]
    now[0] = 9.9
    assert remembered() == 1
    now[0] = 10.0
    assert remembered() == 2
    remembered.forget()
    assert remembered() == 3
    assert asked == [0.0, 10.0, 10.0]


def test_a_failed_question_is_asked_again() -> None:
    answers: Iterator[int | Exception] = iter([ZeroDivisionError(), 5])

    def ask() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    remembered = Remembered(10, ask, lambda: 0.0)
    with pytest.raises(ZeroDivisionError):
        remembered()
    assert remembered() == 5


def test_orders_that_cost_need_a_disk_that_survives_the_next_deploy(app: Flask) -> None:
    backend: Backend = app.extensions["backend"]
    assert backend.order_objection() == ""
    lost = replace(backend.settings, volatile_disk=True)
    backend.settings = lost
    assert backend.order_objection() == ""
    backend.settings = replace(lost, api_key="K", username="wholesaler")
    assert backend.order_objection() == VOLATILE
