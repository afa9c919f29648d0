"""`/metrics` for Prometheus: everything is read from the database and the disk when it is asked for.

Any of the server's processes may answer, and another one may be the leader, so no process keeps figures of its own.
Each figure comes from kept sums or a partial index, in constant time.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from itertools import accumulate

from flask import Blueprint, Response, current_app, request
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from account import LIMITS, CallCounts, CallOutcome, call_counts
from backend import Backend, backend
from database import utc_now
from people import Role
from results import last_sync
from settings import VERSION
from storage import batch_doubt, batch_queries, delivery_store, election_store, lease, order_queries
from storage.backups import backup_state
from submission import leader_alive
from web.access import allow
from web.account_lines import lines_of

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
@allow(Role.VIEWER, takes_token=True)
def metrics() -> Response:
    """Answer with every figure, in the format that the client accepts."""
    registry = CollectorRegistry()
    registry.register(Figures(backend(), current_app.extensions.get("request_counts", dict)()))
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(registry), content_type=content_type)


class Figures(Collector):
    """The figures of one moment."""

    def __init__(self, backend: Backend, requests: Mapping[str, int]) -> None:
        """requests: class of HTTP status ("2xx") → requests of all processes of this server."""
        self._backend = backend
        self._requests = requests

    def collect(self) -> Iterator[Metric]:
        """Yield every metric. Raises DatabaseUnavailableError."""
        yield gauges("hammer_build_info", "The version, as a label of 1.", "version", {VERSION: 1})
        yield from self._orders()
        yield from self._account()
        yield from self._calls()
        yield from self._leader()
        yield from self._backups()
        yield from self._machine()

    def _orders(self) -> Iterator[Metric]:
        database = self._backend.database
        by_status = {status or "Unknown": count for status, count in order_queries.status_counts(database).items()}
        with database.read() as connection:
            in_doubt, at_stake = batch_doubt.at_stake(connection)
            queues = batch_queries.queues(connection)
            waiting = delivery_store.count_waiting(connection)
        yield gauges("hammer_orders", "Orders by status.", "status", by_status)
        yield gauge("hammer_imeis_in_doubt", "IMEIs that may have been charged without a clear answer.", in_doubt)
        yield gauge("hammer_in_doubt_dollars", "What the IMEIs in doubt may have cost.", at_stake)
        imeis = {state.value: queue.imeis for state, queue in queues.items()}
        yield gauges("hammer_queue_imeis", "IMEIs left to send, by the state of their batch.", "batch_state", imeis)
        calls = {state.value: queue.chunks for state, queue in queues.items()}
        yield gauges("hammer_queue_chunks", "Calls left to send, by the state of their batch.", "batch_state", calls)
        yield gauge("hammer_webhook_deliveries_waiting", "Webhook deliveries that did not succeed yet.", waiting)

    def _account(self) -> Iterator[Metric]:
        balance = self._backend.account.stored()
        if balance.credits is not None:
            yield gauge("hammer_balance_dollars", "The newest known balance of the account.", balance.credits)
            yield gauge("hammer_balance_age_seconds", "Age of the newest known balance.", age(balance.at))
        lines = lines_of(self._backend)
        held = {line.name: line.balance.credits for line in lines if line.balance.credits is not None}
        yield gauges("hammer_account_balance_dollars", "The newest known balance of each account.", "account", held)
        spent = {line.name: line.spent for line in lines}
        yield gauges("hammer_account_spent_dollars", "What each account has spent today (UTC).", "account", spent)
        sends = {line.name: float(not line.words) for line in lines}
        yield gauges("hammer_account_sends", "1 while an account may send, else 0.", "account", sends)
        calls = {line.name: line.calls for line in lines}
        yield gauges("hammer_account_calls", "Calls that are being made, by account.", "account", calls)

    def _calls(self) -> Iterator[Metric]:
        counts = call_counts(self._backend.database)
        calls = CounterMetricFamily("hammer_provider_calls", "Calls to the provider.", labels=["action", "outcome"])
        seconds = HistogramMetricFamily(
            "hammer_provider_call_duration_seconds", "Duration of calls to the provider.", labels=["action"]
        )
        for action, found in sorted(counts.items()):
            name = action.replace(" ", "_")
            for outcome, count in sorted(found.outcomes.items()):
                calls.add_metric([name, outcome], count)
            seconds.add_metric([name], buckets_of(found), found.seconds)
        limited = sum(found.outcomes.get(CallOutcome.RATE_LIMITED, 0) for found in counts.values())
        yield calls
        yield seconds
        yield CounterMetricFamily("hammer_provider_rate_limited", "Calls refused by HTTP 429.", limited)

    def _leader(self) -> Iterator[Metric]:
        alive = leader_alive(self._backend.database, self._backend.settings.data_dir)
        yield gauge("hammer_leader", "1 while a process places orders and reads results, else 0.", alive)
        with self._backend.database.read() as connection:
            holder = lease.holder_of(connection)
            if not self._backend.database.is_file:
                workers = election_store.count_workers(connection)
                yield gauge("hammer_workers", "Processes that make calls.", workers)
        if alive and holder:
            seconds = (utc_now() - holder.taken_at).total_seconds()
            yield gauge("hammer_leader_age_seconds", "How long the leader has led.", max(0.0, seconds))
        synced = last_sync(self._backend.database)
        if synced:
            yield gauge("hammer_sync_age_seconds", "Time since results were last read.", age(synced.at))

    def _backups(self) -> Iterator[Metric]:
        state = backup_state(self._backend.database)
        if state.last:
            yield gauge("hammer_backup_age_seconds", "Time since the last backup that succeeded.", age(state.last.at))
            yield gauge("hammer_backup_size_bytes", "Size of the last backup that succeeded.", state.last.size)
        yield gauge("hammer_backup_failed", "1 while the last backup failed, else 0.", state.failed is not None)

    def _machine(self) -> Iterator[Metric]:
        disk = shutil.disk_usage(self._backend.settings.data_dir)
        yield gauge("hammer_disk_free_bytes", "Free bytes of the disk with the data.", disk.free)
        yield gauge("hammer_disk_size_bytes", "Size of the disk with the data.", disk.total)
        if self._requests:
            served = CounterMetricFamily("hammer_http_requests", "Requests by class of status.", labels=["status"])
            for status, count in self._requests.items():
                served.add_metric([status], count)
            yield served


def gauge(name: str, words: str, value: float) -> Metric:
    """Return a gauge without labels."""
    return GaugeMetricFamily(name, words, value=value)


def gauges(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    """Return a gauge with one label: value of the label → value."""
    family = GaugeMetricFamily(name, words, labels=[label])
    for of_label, value in values.items():
        family.add_metric([of_label], value)
    return family


def buckets_of(counts: CallCounts) -> list[tuple[str, float]]:
    """Return the cumulative buckets of a histogram: upper limit → calls up to it."""
    limits = [*map(str, LIMITS), "+Inf"]
    return list(zip(limits, map(float, accumulate(counts.buckets)), strict=True))


def age(at: float) -> float:
    """Return the seconds since a Unix time; 0 for one in the future."""
    return max(0.0, time.time() - at)
