"""Fetch results, audit, rebuild and import orders, restore and move databases, and fill in the user's own sheet."""

from results.auditing import NightlyAudit, last_audit, last_audits, midnight, request_audit, run_audit
from results.batch_rows import result_rows
from results.comparison import AuditReport, Difference, audit_sentences
from results.importing import Fate, import_orders, plan_import, undo_import
from results.moving import MoveError, MovePlan, MoveReport, UnnotedMoveError, move, note_completed, plan_move, undo_move
from results.my_sheet import MySheet, SheetNotPossibleError, SheetStore, prepare_sheet
from results.order_values import reparse
from results.rebuild import RebuildPlan, RebuildReport, plan_rebuild, rebuild_records
from results.restoring import RestoreError, prepare_restore, put_in_place
from results.soon import answer_waiting, answering_results, ask_for_result
from results.sync import OrderSync, SyncReport, is_requested, last_sync, request_sync, state_of_sync
from results.uploaded import CHOICES, FILE, LIST, PASTE, keep_reading, read_content, read_upload, reading_choice
