"""Twenty blows upon a cluster, and troubles of its server: what kills, stops and hinders its processes."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster_site import ClusterSite, DatabaseServer, Finding, duplicating, kill, own_server
from forked_command import ForkedCommand
from scaled_cluster import LEASE
from simulated_provider import changed_again_and_again

from simulator.server import Simulator

TOTAL = 20_000  #: IMEIs
#: Seconds after which a blow falls although no call was made since the last one.
STALLED = 6.0
#: What the provider does wrong; nothing that stops the batch until a person resumes it.
FAULTS = (
    *("503", "502", "429", "html200", "empty", "reset", "close", "hang", "late", "cut_body", "truncated"),
    *("two_roots", "notice", "fewer", "more", "foreign", "repeated", "repeated_ids"),
)
FAULTY = 0.15  #: of the calls
#: Of these, how many have placed nothing: such a call is proven and sent again one by one, which takes seconds.
UNPLACED = 0.1
#: Each job is stored twice, so that two workers may get it.
REPEAT_JOBS = """
CREATE FUNCTION repeat_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args, status)
    VALUES (NEW.queue_name, NEW.task_name, NEW.priority, NEW.args, 'todo');
  RETURN NEW;
END $$;
CREATE TRIGGER repeat_job AFTER INSERT ON procrastinate_jobs FOR EACH ROW
  WHEN (NEW.task_name = 'make_call' AND pg_trigger_depth() = 0) EXECUTE FUNCTION repeat_job();
"""
#: A tenth of the rows finds the disk full.
FULL_DISK = """
CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF random() < 0.1 THEN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER no_space BEFORE INSERT OR UPDATE ON attempts FOR EACH STATEMENT EXECUTE FUNCTION no_space();
CREATE TRIGGER no_space BEFORE INSERT OR DELETE ON raw_answers FOR EACH STATEMENT EXECUTE FUNCTION no_space();
CREATE TRIGGER no_space BEFORE INSERT ON orders FOR EACH STATEMENT EXECUTE FUNCTION no_space();
CREATE TRIGGER no_space BEFORE UPDATE ON pace FOR EACH STATEMENT EXECUTE FUNCTION no_space();
"""
SPACE = "DROP FUNCTION no_space CASCADE"
#: Ends one connection, wherever it is: in a statement, between two, or in its commit.
END_ONE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1
"""
LOST = "DELETE FROM procrastinate_jobs WHERE task_name = 'make_call' AND random() < 0.3"
REPEATED = """
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args, status)
SELECT queue_name, task_name, priority, args, 'todo' FROM procrastinate_jobs WHERE task_name = 'make_call'
"""
RESTARTED = "UPDATE procrastinate_jobs SET status = 'todo', worker_id = NULL WHERE task_name = 'make_call'"
END_WRITER = """
SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()
"""
#: What may happen to the rows of the queue and of the elections: nothing that is paid may depend on them.
BY_HAND = (LOST, REPEATED, RESTARTED, "DELETE FROM elections", "DELETE FROM procrastinate_workers", END_WRITER)


@contextlib.contextmanager
def failing(simulator: Simulator, chance: random.Random) -> Iterator[None]:
    """Let the provider answer a share of the calls wrongly, in ever new ways, until the block ends."""

    def drawn() -> dict[str, Any]:
        fault = chance.choice(FAULTS)
        return {
            "fault": fault,
            "fault_when": "before" if fault == "429" or chance.random() < UNPLACED else "after",
            "fault_share": FAULTY,
            "listing": chance.choice(("on", "on", "lagging")),
            "listing_lag": 1.0,
            "hang_seconds": 5.0,
        }

    with changed_again_and_again(simulator, lambda: chance.uniform(0.2, 1.0), drawn):
        yield


@dataclass
class Blows:
    """What happens to the processes, in an order that the seed decides."""

    site: ClusterSite
    server: DatabaseServer
    chance: random.Random
    done: list[str] = field(default_factory=list)

    def strike(self, kind: str) -> None:
        getattr(self, kind)()
        self.done.append(kind)
        self.site.revive()

    def kill_worker(self) -> None:
        kill(self.chance.choice(self.site.workers))

    def kill_leader(self) -> None:
        kill(self.site.leader())

    def kill_web(self) -> None:
        self.chance.choice(self.site.webs).kill()

    def stop_worker(self) -> None:
        self._stop(self.chance.choice(self.site.workers))

    def stop_leader(self) -> None:
        self._stop(self.site.leader())

    def stop_server(self) -> None:
        self.server.stop_at_once()
        time.sleep(self.chance.uniform(0.0, 1.5))
        self.server.start()

    def _stop(self, worker: ForkedCommand) -> None:
        """Stop a worker for longer than the lease."""
        pid = worker.process.pid
        if pid is None or not worker.process.is_alive():
            return
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self.chance.uniform(LEASE + 0.5, 1.5 * LEASE))
        os.kill(pid, signal.SIGCONT)


def prove(folder: Path, seed: int, total: int = TOTAL) -> Finding:
    """Order IMEIs while twenty blows fall, each upon work that goes on; let all be settled, and judge.

    What a person does goes through one replica after the other.
    """
    chance = random.Random(seed)
    kinds = chance.sample(ALL_BLOWS, len(ALL_BLOWS))
    with own_server() as server, duplicating(seed) as simulator, ClusterSite(folder, server.url, simulator) as site:
        site.start()
        blows, batch_id, last = Blows(site, server, chance), site.order(total, replica=0), 0
        with failing(simulator, chance):
            for place, kind in enumerate(kinds, 1):
                site.await_charges(total * place // (len(kinds) + 2), STALLED)
                if place == len(kinds) // 4:
                    site.pause_and_resume(batch_id)
                if place == len(kinds) // 2:
                    last = site.order(total // 20, first=total)
                if place == len(kinds) * 3 // 4:
                    site.ask("POST", f"/batches/{last}/stop", replica=2)
                blows.strike(kind)
                site.batch(batch_id)
        site.list_for_doubt()
        settled = set[int]()
        while left := site.batches.keys() - settled:  # orders that are a proof for others are batches, too
            site.see_through(min(left))
            settled.add(min(left))
        return site.finding()


#: Twenty blows.
ALL_BLOWS = (
    *["kill_worker"] * 5,
    *["kill_leader"] * 4,
    *["kill_web"] * 2,
    *["stop_worker"] * 3,
    *["stop_leader"] * 3,
    *["stop_server"] * 3,
)
