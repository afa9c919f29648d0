"""Connections to a database that tests use one after the other; they outlive the engines that opened them.

The process of the server behind a connection learns of each table when it first uses it, which takes a quarter of a
test. So an engine that connects gets a connection that an earlier engine closed, reset to what a new one is.
"""

import select
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

Connection = psycopg.Connection[Any]


class KeptConnections:
    """The connections to one database. Those of the same key are opened with the same options."""

    #: Port and name of a database → its connections.
    everywhere: ClassVar[dict[tuple[str, str], "KeptConnections"]] = {}

    def __init__(self, address: str) -> None:
        given = conninfo_to_dict(address)
        self._place = (str(given.get("port")), str(given["dbname"]))
        self._closed: dict[str, list[Connection]] = {}  #: by their engines
        self._used: dict[Connection, str] = {}
        self.everywhere[self._place] = self

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._used

    def take(self, key: str, connect: Callable[[], Connection]) -> Connection:
        """Return a kept connection whose server is there, else a new one."""
        kept = self._closed.setdefault(key, [])
        while kept:
            connection = kept.pop()
            if not select.select([connection], [], [], 0)[0]:  # the server says something only when it ends it
                break
            connection.close()
        else:
            connection = connect()
        self._used[connection] = key
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection that its engine closes, unless it is in a transaction."""
        key = self._used.pop(connection)
        with suppress(psycopg.Error):
            if connection.info.transaction_status == TransactionStatus.IDLE:
                connection.read_only = connection.isolation_level = connection.deferrable = None
                connection.autocommit = True
                connection.execute("DISCARD ALL", prepare=True)  # the driver forgets what it prepared, too
                connection.autocommit = False
                self._closed[key].append(connection)
                return
        connection.close()

    def end_use(self) -> list[int]:
        """Keep none of those that are still used; return the numbers of the kept ones' processes of the server."""
        self._used.clear()
        return [connection.info.backend_pid for kept in self._closed.values() for connection in kept]

    def close(self) -> None:
        """Close what is kept, and keep nothing from now on."""
        self.everywhere.pop(self._place, None)
        for kept in self._closed.values():
            for connection in kept:
                connection.close()


def keep_connections() -> None:
    """Let the engines of this process take and give back connections to the databases of which they are kept."""
    engines: Any = PGDialect_psycopg
    connect, close = engines.connect, engines.do_close

    def take(dialect: Any, *given: Any, **options: Any) -> Any:
        kept = KeptConnections.everywhere.get((str(options.get("port")), str(options.get("dbname"))))
        if kept is None:
            return connect(dialect, *given, **options)
        key = repr((given, {name: value for name, value in sorted(options.items()) if name != "context"}))
        return kept.take(key, lambda: connect(dialect, *given, **options))

    def give_back(dialect: Any, connection: Any) -> None:
        kept = next((kept for kept in KeptConnections.everywhere.values() if connection in kept), None)
        if kept is None:
            close(dialect, connection)
        else:
            kept.give_back(connection)

    engines.connect, engines.do_close = take, give_back
