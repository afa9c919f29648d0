"""How tests are handed to the processes of `make test`: files as a whole, and long tests one by one.

Half of the time of the suite is spent in tests that wait: for a provider, for a killed process, for a page. They come
first, and some of the processes begin at the other end, with tests that only compute: so the cores are busy all along.
"""

from typing import Any

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
