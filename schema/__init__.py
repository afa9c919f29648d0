"""The tables, as SQLAlchemy sees them. Migrations make them; nothing here touches a connection. Times are UTC."""

from schema.access_tables import api_tokens, idempotency_keys, login_failures, recovery_codes, sessions, users
from schema.automation_tables import UNCOMPARED, automation_changes, automation_phones, automation_runs, automations
from schema.batch_tables import (
    HAS_CUSTOMER,
    IS_LISTED,
    OPEN_CALL,
    UNDECIDED,
    UNTALLIED,
    attempts,
    batches,
    chunks,
    items,
    scans,
    uploads,
)
from schema.cluster_tables import raw_answers
from schema.columns import INTEGER, metadata
from schema.desk_tables import batch_tags, customers, order_tags, preferences, saved_filters, tags
from schema.dialect import (
    DayStart,
    NumberList,
    WordList,
    each_of,
    insert_rows,
    last_id,
    run_together,
    skip_ids,
    slowness,
    sql,
    upsert,
)
from schema.event_tables import IS_NEW, audit_entries, deliveries, outbox_events, webhooks
from schema.order_tables import (
    IS_REJECTED,
    MILLIONTH,
    NOT_FINAL,
    OF_MORE_ACCOUNTS,
    PENDING_BY_DATE,
    UNGRADED,
    import_changes,
    import_history,
    millionths,
    order_totals,
    orders,
    rejections,
    rule_versions,
    saved_searches,
    status_changes,
    sums,
    totals_mark,
    withheld_results,
)
from schema.provider_tables import (
    FINISHED_REQUEST,
    OPEN_REQUEST,
    account_list_proofs,
    account_prices,
    balance_readings,
    leases,
    listed_orders,
    provider_accounts,
    provider_requests,
    services,
    stored_settings,
)
from schema.report_tables import (
    RESULT_FIELDS,
    dispute_events,
    disputes,
    imported_models,
    report_links,
    result_changes,
    result_counts,
    service_figures,
    service_prices,
    tac_models,
    turnarounds,
)
