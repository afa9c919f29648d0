"""A worker of Procrastinate in a loop of its own: started again when the database was away, and ended by an event."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
from procrastinate import App
from procrastinate.exceptions import ConnectorException

logger = logging.getLogger(__name__)

#: Seconds between two looks for jobs where no notification comes, and two signs of life.
LOOK, HEARTBEAT = 1.0, 5.0
#: Seconds after which a worker without a sign of life is forgotten, and until a worker that failed is started again.
FORGOTTEN, AGAIN = 600.0, 1.0


def run_jobs(app: App, queues: Sequence[str], threads: int, stop: threading.Event) -> None:
    """Do the jobs of these queues, as many at once as there are threads, until stop is set and they have ended."""
    asyncio.run(_run(app, queues, threads, stop))


async def _run(app: App, queues: Sequence[str], threads: int, stop: threading.Event) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(threads, thread_name_prefix="job"))  # sync tasks run in it
    ending = asyncio.Event()
    waiter = threading.Thread(target=_pass_on, args=(stop, ending, loop), name="end", daemon=True)
    waiter.start()
    while not ending.is_set():
        try:
            await _run_until(ending, app, queues, threads)
        except (ConnectorException, psycopg.Error) as error:
            logger.warning("The queue of jobs is interrupted: %s", error.__cause__ or error)
            await asyncio.sleep(AGAIN)


def _pass_on(stop: threading.Event, ending: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    stop.wait()
    loop.call_soon_threadsafe(ending.set)


async def _run_until(ending: asyncio.Event, app: App, queues: Sequence[str], threads: int) -> None:
    async with app.open_async():
        work = app.run_worker_async(
            queues=queues,
            concurrency=threads,
            delete_jobs="always",
            install_signal_handlers=False,
            fetch_job_polling_interval=LOOK,
            update_heartbeat_interval=HEARTBEAT,
            stalled_worker_timeout=FORGOTTEN,
        )
        working, ended = asyncio.create_task(work), asyncio.create_task(ending.wait())
        await asyncio.wait({working, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()  # it fetches nothing more, and waits for its jobs
        ended.cancel()
        await asyncio.gather(working, return_exceptions=not working.done())
