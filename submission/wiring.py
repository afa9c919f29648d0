"""The parts of a submission system, made from the environment."""

from typing import NamedTuple

from database import IMEIDatabase
from gsm_fusion_client import ClientOptions, GSMFusionClient
from settings import Settings, load_settings
from submission.account_guard import require_account
from submission.checkpoints import Checkpoints
from submission.options import Options, options_of
from submission.throttle import Throttle


class SystemParts(NamedTuple):
    """What a submission system works with."""

    database: IMEIDatabase
    client: GSMFusionClient
    checkpoints: Checkpoints
    options: Options
    throttle: Throttle
    settings: Settings


def parts_from_environment() -> SystemParts:
    """Open the database and make the client of the account in the environment.

    Raises SettingsError without credentials, and OtherAccountError where the database belongs to another account.
    """
    settings = load_settings()
    throttle = Throttle(settings.workers, settings.rate_limit)
    client = GSMFusionClient(options=ClientOptions(settings.base_url, settings.workers + 2, turns=throttle))
    database = IMEIDatabase(settings.database_place, settings.data_dir)
    require_account(database, settings)
    checkpoints = Checkpoints(settings.data_dir / "checkpoints")
    return SystemParts(database, client, checkpoints, options_of(settings, database), throttle, settings)
