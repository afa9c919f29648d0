"""Jobs are added with the rows that they are for, and what gone workers and leaders left over is deleted."""

import pytest
from sqlalchemy import Connection

from database import IMEIDatabase
from storage.job_queue import CALL_TASK, DUTY_QUEUE, JobQueue, calls_of, drop_dead, drop_duties


@pytest.fixture
def database(emptied_database: IMEIDatabase) -> IMEIDatabase:
    return emptied_database


def jobs(database: IMEIDatabase) -> list[tuple[str, str, int, str]]:
    """(queue, task, attempt, status) of each job."""
    query = (
        "SELECT queue_name, task_name, (args ->> 'attempt_id')::int, status::text FROM procrastinate_jobs ORDER BY id"
    )
    with database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def add_duty(connection: Connection, status: str = "todo") -> None:
    connection.exec_driver_sql(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status) VALUES (%s, 'duty work', %s)",
        (DUTY_QUEUE, status),
    )


def test_each_attempt_has_a_job_in_the_queue_of_its_account(database: IMEIDatabase) -> None:
    with database.write() as connection:
        JobQueue().add_calls(connection, "main", [7, 8])
        JobQueue().add_calls(connection, "b", [9])
    assert jobs(database) == [
        ("calls.main", CALL_TASK, 7, "todo"),
        ("calls.main", CALL_TASK, 8, "todo"),
        (calls_of("b"), CALL_TASK, 9, "todo"),
    ]


def test_a_job_is_there_only_if_the_intent_is(database: IMEIDatabase) -> None:
    """It is added in the same transaction: where that fails, nothing is left to call for."""
    with pytest.raises(RuntimeError), database.write() as connection:
        JobQueue().add_calls(connection, "main", [7])
        raise RuntimeError
    assert jobs(database) == []


def test_jobs_of_workers_that_are_gone_are_deleted_and_those_of_living_ones_stay(database: IMEIDatabase) -> None:
    """A worker is gone after ten minutes without a heartbeat; a job that nobody has taken waits."""
    with database.write() as connection:
        JobQueue().add_calls(connection, "main", [1, 2, 3, 4, 5])
        for minutes in (9, 11):
            connection.exec_driver_sql(
                f"INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '{minutes} minutes')"
            )
        alive, gone = connection.exec_driver_sql("SELECT id FROM procrastinate_workers ORDER BY id").scalars()
        for job, status, worker in ((1, "doing", alive), (2, "doing", gone), (3, "doing", None), (4, "failed", gone)):
            connection.exec_driver_sql(
                "UPDATE procrastinate_jobs SET status = %s, worker_id = %s WHERE id = %s", (status, worker, job)
            )
        drop_dead(connection)
    assert [(attempt_id, status) for _, _, attempt_id, status in jobs(database)] == [
        (1, "doing"), (4, "failed"), (5, "todo")
    ]  # fmt: skip


def test_a_new_leader_deletes_all_duties_and_no_call(database: IMEIDatabase) -> None:
    with database.write() as connection:
        JobQueue().add_calls(connection, "main", [1])
        for status in ("todo", "doing"):
            add_duty(connection, status)
        drop_duties(connection)
    assert [task for _, task, *_ in jobs(database)] == [CALL_TASK]
