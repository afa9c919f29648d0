"""The web pages: views, forms, formatting, event streams and authentication, one module per topic."""

from web.audit_log import blueprint as audit_log_blueprint
from web.auth import FOR_PROGRAMS, init_auth
from web.batch_names import blueprint as batch_names_blueprint
from web.batches import blueprint as batches_blueprint
from web.checks import status_report
from web.context import RowNumbers
from web.doubt import blueprint as doubt_blueprint
from web.edge import Edge
from web.exports import blueprint as exports_blueprint
from web.format import template_filters
from web.forms import init_forms
from web.health import blueprint as health_blueprint
from web.imports import blueprint as imports_blueprint
from web.login import blueprint as login_blueprint
from web.metrics import blueprint as metrics_blueprint
from web.notices import blueprint as notices_blueprint
from web.orders import blueprint as orders_blueprint
from web.overview import blueprint as overview_blueprint
from web.own_sessions import blueprint as account_blueprint
from web.picker import service_choices
from web.preview import blueprint as preview_blueprint
from web.recording import init_recording
from web.reports import blueprint as reports_blueprint
from web.rules import blueprint as settings_blueprint
from web.scan import blueprint as scan_blueprint
from web.searches import blueprint as searches_blueprint
from web.second_factor import blueprint as second_factor_blueprint
from web.service_search import SYNONYMS
from web.sheets import blueprint as sheets_blueprint
from web.submit import blueprint as submit_blueprint
from web.users import blueprint as users_blueprint

#: All blueprints, in the order in which their URLs are registered.
BLUEPRINTS = (
    login_blueprint,
    overview_blueprint,
    imports_blueprint,
    exports_blueprint,
    reports_blueprint,
    preview_blueprint,
    submit_blueprint,
    scan_blueprint,
    batches_blueprint,
    sheets_blueprint,
    batch_names_blueprint,
    doubt_blueprint,
    orders_blueprint,
    searches_blueprint,
    settings_blueprint,
    audit_log_blueprint,
    users_blueprint,
    notices_blueprint,
    account_blueprint,
    second_factor_blueprint,
    health_blueprint,
    metrics_blueprint,
)

__all__ = [
    "BLUEPRINTS",
    "FOR_PROGRAMS",
    "SYNONYMS",
    "Edge",
    "RowNumbers",
    "init_auth",
    "init_forms",
    "init_recording",
    "service_choices",
    "status_report",
    "template_filters",
]
