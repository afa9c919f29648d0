"""How tests are handed to the processes of `make test`: one by one, but those that share a server stay together."""

from xdist.scheduler import LoadScopeScheduling

#: Files, or folders of files, whose tests share a server, a browser or what they have read: each file runs in one
#: process, before all else.
SHARING = ("tests/browser/", "tests/test_web_worker.py", "tests/system/test_api_example.py", "tests/test_layers.py")


class SharedServers(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out files that share a server first, then single tests in their order.

    The marks of `--dist loadgroup` would say the same, but xdist 3.8 does not read them with pytest 9.
    """

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0] if nodeid.startswith(SHARING) else nodeid
