"""What decides about money and is not the loop: what may be sent, what an answer means, what doubt allows."""

from submission.account_guard import (
    OtherAccountError,
    account_objection,
    adopt_database,
    check_account,
    mark_of,
    may_adopt,
    require_account,
)
from submission.account_watch import AccountWatch
from submission.checkpoints import DISK_FULL, Checkpoints, disk_objection, is_disk_full
from submission.confirmation import confirm, may_be_one_order
from submission.doubt_lookup import ListFindings, compare_list, find_order
from submission.judging import Judgement, Pause, is_named, judge, judge_by_name, proven_length, trial_length
from submission.older_copy import accept_older_copy, older_copy_objection, recognise_older_copy, reopen_answered
from submission.plan import NOT_AGAIN, Again, Means, Plan, make_plan, price_objection, service_objection, unchecked
from submission.report import Metrics, Watcher, balance_warning, balance_words, metrics, submission_result
from submission.runner_lock import RunnerLock, runner_alive
from submission.settlement import (
    REQUESTED,
    Look,
    Settler,
    ask_again,
    is_readable,
    read_order_id,
    rest_before_decision,
    take_back_clearing,
    take_back_order,
    to_confirm,
    unexplained_fall,
    was_not_placed,
    was_placed,
)
from submission.story import Story
from submission.throttle import MINUTE, SLACK, RequestLimitError, RequestTurns, Throttle

__all__ = [
    "DISK_FULL",
    "MINUTE",
    "NOT_AGAIN",
    "REQUESTED",
    "SLACK",
    "AccountWatch",
    "Again",
    "Checkpoints",
    "Judgement",
    "ListFindings",
    "Look",
    "Means",
    "Metrics",
    "OtherAccountError",
    "Pause",
    "Plan",
    "RequestLimitError",
    "RequestTurns",
    "RunnerLock",
    "Settler",
    "Story",
    "Throttle",
    "Watcher",
    "accept_older_copy",
    "account_objection",
    "adopt_database",
    "ask_again",
    "balance_warning",
    "balance_words",
    "check_account",
    "compare_list",
    "confirm",
    "disk_objection",
    "find_order",
    "is_disk_full",
    "is_named",
    "is_readable",
    "judge",
    "judge_by_name",
    "make_plan",
    "mark_of",
    "may_adopt",
    "may_be_one_order",
    "metrics",
    "older_copy_objection",
    "price_objection",
    "proven_length",
    "read_order_id",
    "recognise_older_copy",
    "reopen_answered",
    "require_account",
    "rest_before_decision",
    "runner_alive",
    "service_objection",
    "submission_result",
    "take_back_clearing",
    "take_back_order",
    "to_confirm",
    "trial_length",
    "unchecked",
    "unexplained_fall",
    "was_not_placed",
    "was_placed",
]
