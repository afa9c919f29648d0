"""A standby without the newest commits takes the place of its primary while workers live on: nothing is paid twice.

The provider never refuses a duplicate. Without the guards, what the standby does not know of is charged again.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from batch_checks import all_ordered, found, new_batch
from cluster_site import PATIENCE, ClusterSite, duplicating, own_server
from forked_command import ForkedCommand
from gunicorn_server import environ_of
from postgresql_cluster import programs
from scaled_cluster import far_ahead, unmarked
from server_copies import copied_server
from simulated_provider import judge
from waiting import wait_until

from commands.audit import STOPPED_AGAIN
from database import IMEIDatabase
from orders import BatchState
from simulator.server import Simulator
from storage import batch_states
from submission.lost_commits import LOST

TOTAL, CHUNK, PART = 300, 5, 60


class Site(ClusterSite):
    """Two workers with one call at once each, and more that are handed over: nobody has begun them in the copy."""

    @property
    def environ(self) -> dict[str, str]:
        return super().environ | {"GSM_FUSION_RATE_LIMIT": "", "WORKERS": "1", "GSM_FUSION_TIMEOUT": "2"}


@contextlib.contextmanager
def failed_over(folder: Path, before: Callable[[], None]) -> Iterator[tuple[Site, Simulator, IMEIDatabase, int]]:
    """Let a standby take over that was copied in the middle of a batch. Yields its database and the batch."""
    with (
        own_server() as primary,
        duplicating(latency=0.05, jitter=0.0) as simulator,
        Site(folder, primary.url, simulator, before) as site,
    ):
        with IMEIDatabase(site.url) as database:
            batch_id = new_batch(database, TOTAL, CHUNK)
        site.start(webs=0, workers=2)
        site.await_charges(PART, PATIENCE)
        with copied_server(primary.url) as standby:
            site.await_charges(len(simulator.charges()) + PART, PATIENCE)
            primary.stop_at_once()
            standby.port = primary.port
            standby.start()
            standby.promote()
            with IMEIDatabase(site.url) as database:
                yield site, simulator, database, batch_id


def test_a_standby_that_lags_takes_over(tmp_path: Path, require: Callable[[str], NoReturn]) -> None:
    if programs() is None:
        require("the programs of PostgreSQL are not installed")
    with failed_over(tmp_path, far_ahead) as (site, simulator, database, batch_id):
        wait_until(lambda: found(database, batch_id).notice == LOST, lambda: f"it stops: {found(database, batch_id)}")
        assert found(database, batch_id).state is BatchState.PAUSED
        rebuild(site)
        see_through(database, batch_id)
        assert judge(simulator, database) == (0, 0)


def test_without_the_mark_it_is_paid_twice(tmp_path: Path, require: Callable[[str], NoReturn]) -> None:
    if programs() is None:
        require("the programs of PostgreSQL are not installed")
    with failed_over(tmp_path, unmarked) as (_, simulator, database, _):
        wait_until(lambda: judge(simulator, database)[0] > 0, "something is paid twice")


def see_through(database: IMEIDatabase, batch_id: int) -> None:
    """Wait until all is ordered; that a call placed nothing may be proven only by orders that are placed later.

    These are waited for as well: a charge whose answer is still on its way is not recorded yet.
    """
    batches = [batch_id]
    for first in range(90_000, 90_060, 3):
        with database.write() as connection:  # it was stopped, or more left the account than is explained
            for one in batches:
                batch_states.resume(connection, one)
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: all_ordered(database, batches), "all is ordered", 4.0)
            return
        batches.append(new_batch(database, 3, 100, first=first))
    raise AssertionError([found(database, one) for one in batches])


def rebuild(site: ClusterSite) -> None:
    """What a person does then: the command asks to be run again where a process stopped the database meanwhile."""
    for _ in range(3):
        folder = site.new_folder("command")
        environ = environ_of(folder, **site.environ)
        command = ForkedCommand(folder, environ, "rebuild-from-provider", "--yes", before=site.before)
        code, said, complaint = command.finish()
        if STOPPED_AGAIN not in complaint:
            break
    assert code == 0, said + complaint
