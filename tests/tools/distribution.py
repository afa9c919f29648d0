"""How tests are handed to the processes of `make test`: files as a whole, and long tests one by one.

Half of the time of the suite is spent in tests that wait: for a provider, for a killed process, for a page. They come
first, and some of the processes begin at the other end, with tests that only compute: so the cores are busy all along.
"""

from collections.abc import Callable
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Files, or folders of files, whose tests wait or take long, in the order in which they begin.
FIRST = (
    "tests/system/test_twenty_blows.py",
    "tests/system/test_cluster.py",
    "tests/browser/",
    "tests/test_web_worker.py",
    "tests/system/",
    "tests/commands/",
    "tests/submission/",
)
#: Of these, the folders whose tests are handed out one by one, and their files whose tests stay together all the same:
#: because they share a server, or because each of them keeps the whole machine busy.
ONE_BY_ONE = ("tests/system/", "tests/commands/", "tests/submission/")
TOGETHER = (
    "tests/system/test_cluster.py",
    "tests/system/test_api_example.py",
    "tests/system/test_hostile_requests.py",
    "tests/submission/test_lost_commits.py",
)


def place(nodeid: str) -> int:
    """Return where a test comes in the order, as a number to sort by."""
    return next((number for number, prefix in enumerate(FIRST) if nodeid.startswith(prefix)), len(FIRST))


def report_less(config: pytest.Config) -> None:
    """Let a process of xdist send no more than is printed of a test: its outcome, and what failed or was skipped.

    The process that prints takes a fifth of a millisecond for each of six messages a test, and all others wait for it
    where tests are short. Where more is asked for, with -vv, --durations or --junit-xml, everything is sent.
    """
    option = config.option
    if option.verbose > 0 or option.durations or option.xmlpath:
        return
    for plugin in config.pluginmanager.get_plugins():
        if hasattr(plugin, "sendevent"):
            plugin.sendevent = _sending_less(plugin.sendevent)


def _sending_less(send: Callable[..., None]) -> Callable[..., None]:
    def send_what_is_printed(name: str, **given: Any) -> None:
        report = given.get("data") or {}
        is_passed_step = name == "testreport" and report["outcome"] == "passed" and report["when"] != "call"
        if name not in ("logstart", "logfinish") and not is_passed_step:
            send(name, **given)

    return send_what_is_printed


class FromBothEnds(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out units in their order to every other process, and from the end of it to the others."""

    def schedule(self) -> None:
        self.config.option.loadscopereorder = False
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        is_alone = nodeid.startswith(ONE_BY_ONE) and not nodeid.startswith(TOGETHER)
        return nodeid if is_alone else nodeid.partition("::")[0]

    def _assign_work_unit(self, node: Any) -> None:
        if self.nodes.index(node) % 2:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)
