"""The command adopt-account."""

from handmade_calls import one, planned
from simulated_provider import Simulator, settings_at
from web_client import Provider, make_app

from commands import init_commands
from database import IMEIDatabase
from orders import BatchState
from settings import Settings
from submission.account_guard import account_objection


def test_the_command_adopts_after_it_has_said_what_that_means(
    simulator: Simulator, database: IMEIDatabase, settings: Settings
) -> None:
    account_objection(database, settings_at(simulator, settings, username="former"))
    batch_id, _ = planned(database, 3)
    own = settings_at(simulator, settings)
    app = make_app(own, database, Provider([]))
    init_commands(app)
    run = app.test_cli_runner().invoke
    assert run(args=["sync"]).exit_code == 1
    refused = run(args=["adopt-account"], input="n\n")
    assert (refused.exit_code, account_objection(database, own) != "") == (1, True)
    assert "Not sent: 3 IMEIs. Their batches are paused; to resume them costs this account $0.30." in refused.output
    assert run(args=["adopt-account", "--yes"]).exit_code == 0
    assert account_objection(database, own) == ""
    assert one(database, "SELECT state FROM batches WHERE id = ?", batch_id) == BatchState.PAUSED
    assert "already" in run(args=["adopt-account"]).output
    assert run(args=["sync"]).exit_code == 0
