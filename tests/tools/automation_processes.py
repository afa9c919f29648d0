"""Processes that order by automations with hardly any pauses, to be killed at any moment."""

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import NoReturn

from planted_kills import context, start_fork_server
from simulated_provider import account_settings

from automation import running as automation_running
from database import DatabaseUnavailableError, IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient
from results.sync import OrderSync
from runner import Background, in_threads
from settings import MAIN_ACCOUNT, Settings
from storage.background import Duty
from submission import watches


@dataclass(frozen=True)
class AutomationJob:
    """One process: it stands for election, or it only takes turns of automations as a leader that was overtaken."""

    data_dir: Path
    base_url: str
    leads: bool

    @property
    def settings(self) -> Settings:
        """The settings of an account at the simulator."""
        return account_settings(self.base_url, self.data_dir, workers=3, chunk_size=5, auto_sync_interval=0)


def start(job: AutomationJob) -> ForkServerProcess:
    """Start a process of this job."""
    start_fork_server()
    process = context.Process(target=work, args=(job,), daemon=True)
    process.start()
    return process


def work(job: AutomationJob) -> None:
    """Work until the process is killed."""
    automation_running.GATHERING = timedelta(0)
    watches.LOOKS, watches.LONGEST_PROOF = (0.0, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2), 1.0
    with IMEIDatabase(job.settings.database_path) as database:
        if job.leads:
            Background(
                job.settings, database, at_duties=lambda duties: _hurried(job.settings, database, duties)
            ).start()
        else:
            Background(job.settings, database, at_duties=lambda duties: _hurried(job.settings, database, duties))
            _take_turns(job.settings, database)
        threading.Event().wait()


def _hurried(settings: Settings, database: IMEIDatabase, duties: Sequence[Duty]) -> AbstractContextManager[None]:
    """Do the duties, with results and automations at once."""
    options = ClientOptions(settings.base_url, sleep=lambda _: None)
    client = GSMFusionClient("DEMO-KEY", "demo", 5, options=options)
    sync = Duty("results", 0.05, lambda _: OrderSync(database, client, 0, MAIN_ACCOUNT).sync(), "No results")
    turn = automation_running.duty(settings, database)
    quick = Duty("automations", 0.05, turn.turn, turn.failure)
    kept = [duty for duty in duties if not duty.name.startswith(("sync", "automations", "audit", "backup"))]
    return in_threads([*kept, sync, quick])


def _take_turns(settings: Settings, database: IMEIDatabase) -> NoReturn:
    turn, never = automation_running.duty(settings, database), threading.Event()
    while True:
        with suppress(DatabaseUnavailableError):
            turn.turn(never)
