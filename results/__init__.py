"""Results brought home and compared: sync, audit, rebuild and import."""

from results.audit import NightlyAudit, last_audit, midnight, request_audit, run_audit
from results.comparison import AuditReport, Difference, audit_sentences
from results.imports import Fate, import_orders, plan_import, undo_import
from results.rebuild import RebuildReport, plan_rebuild, rebuild_records
from results.sync import OrderSync, SyncReport, is_requested, last_sync, reparse, request_sync

__all__ = [
    "AuditReport",
    "Difference",
    "Fate",
    "NightlyAudit",
    "OrderSync",
    "RebuildReport",
    "SyncReport",
    "audit_sentences",
    "import_orders",
    "is_requested",
    "last_audit",
    "last_sync",
    "midnight",
    "plan_import",
    "plan_rebuild",
    "rebuild_records",
    "reparse",
    "request_audit",
    "request_sync",
    "run_audit",
    "undo_import",
]
