"""The web pages: views, forms, formatting, event streams and authentication, one module per topic."""

from web.access import allow, allow_everyone, current_actor, describe, find_actor, record_nothing
from web.account_lines import lines_of
from web.accounts import blueprint as accounts_blueprint
from web.audit_log import blueprint as audit_log_blueprint
from web.auth import FOR_PROGRAMS, init_auth
from web.automations import blueprint as automations_blueprint
from web.batch_fields import LONGEST_NOTE, names_from, one_line
from web.batch_moves import pause_batch, resume_at, stop_batch
from web.batch_reports import blueprint as batch_reports_blueprint
from web.batches import blueprint as batches_blueprint
from web.bearer import FOR_TOKENS
from web.checks import UNHEALTHY, health_report, status_report
from web.column_choice import blueprint as column_choice_blueprint
from web.context import RowNumbers, batch_or_404
from web.customers import blueprint as customers_blueprint
from web.disputes import blueprint as disputes_blueprint
from web.doubt import blueprint as doubt_blueprint
from web.downloads import XLSX, Export, begin_orders, begin_sheet, export_or_404, send_export, take_export
from web.drafts import read_and_keep
from web.edge import Edge
from web.exports import blueprint as exports_blueprint
from web.filters import read_filter
from web.format import template_filters
from web.forms import MAX_TEXT, init_forms
from web.health import blueprint as health_blueprint
from web.imports import blueprint as imports_blueprint
from web.login import blueprint as login_blueprint
from web.metrics import blueprint as metrics_blueprint
from web.models import blueprint as models_blueprint
from web.notices import blueprint as notices_blueprint
from web.ordering import Start, start_batch
from web.orders import blueprint as orders_blueprint
from web.overview import blueprint as overview_blueprint
from web.own_sessions import blueprint as account_blueprint
from web.picker import service_choices
from web.pivot import blueprint as pivot_blueprint
from web.preview import blueprint as preview_blueprint
from web.recording import init_recording
from web.refunds_page import blueprint as refunds_blueprint
from web.report_links import blueprint as report_links_blueprint
from web.reports import blueprint as reports_blueprint
from web.rules import blueprint as settings_blueprint
from web.saved_filters import blueprint as saved_filters_blueprint
from web.scan import blueprint as scan_blueprint
from web.search import blueprint as search_blueprint
from web.searches import MOST as LONGEST_SEARCH
from web.searches import blueprint as searches_blueprint
from web.second_factor import blueprint as second_factor_blueprint
from web.service_pages import blueprint as service_pages_blueprint
from web.service_search import SYNONYMS
from web.shared_reports import blueprint as shared_reports_blueprint
from web.split import blueprint as split_blueprint
from web.stream import stream as progress_stream
from web.submit import blueprint as submit_blueprint
from web.tags import blueprint as tags_blueprint
from web.tokens import blueprint as tokens_blueprint
from web.users import blueprint as users_blueprint

#: All blueprints, in the order in which their URLs are registered.
BLUEPRINTS = (
    login_blueprint,
    overview_blueprint,
    service_pages_blueprint,
    imports_blueprint,
    exports_blueprint,
    reports_blueprint,
    pivot_blueprint,
    disputes_blueprint,
    refunds_blueprint,
    batch_reports_blueprint,
    report_links_blueprint,
    shared_reports_blueprint,
    preview_blueprint,
    split_blueprint,
    submit_blueprint,
    scan_blueprint,
    batches_blueprint,
    doubt_blueprint,
    orders_blueprint,
    column_choice_blueprint,
    saved_filters_blueprint,
    searches_blueprint,
    tags_blueprint,
    automations_blueprint,
    customers_blueprint,
    search_blueprint,
    settings_blueprint,
    audit_log_blueprint,
    users_blueprint,
    tokens_blueprint,
    models_blueprint,
    notices_blueprint,
    accounts_blueprint,
    account_blueprint,
    second_factor_blueprint,
    health_blueprint,
    metrics_blueprint,
)
