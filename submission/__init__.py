"""What decides about money and is not the loop: what may be sent, what an answer means, what doubt allows."""

from submission.account_guard import (
    OtherAccountError,
    absence_of,
    account_objection,
    adopt_database,
    may_adopt,
    require_account,
    require_own_mark,
)
from submission.account_room import Room, spent_today
from submission.account_watch import AccountProvider, AccountWatch
from submission.answers import QUICK_CALL, Answer
from submission.carrier import Carrier
from submission.checkpoints import DISK_FULL, Checkpoints, disk_objection
from submission.claiming import Claimer
from submission.cluster_carrier import ClusterCarrier
from submission.confirmation import may_be_one_order
from submission.decisions import (
    ask_again,
    read_order_id,
    rest_before_decision,
    take_back_clearing,
    take_back_order,
    was_not_placed,
    was_placed,
)
from submission.doubt_lookup import ListFindings, certain_labels, compare_list, find_order
from submission.job_calls import CallJobs, JobCalls, PaceTurns
from submission.judging import Judged
from submission.leader_locks import (
    FOLLOW_INTERVAL,
    LeaderLock,
    RowLock,
    RunnerLock,
    is_led,
    leader_alive,
    leader_lock,
    runner_alive,
)
from submission.listing import Look
from submission.looks import ListProvider, ListReader, Lookout
from submission.lost_commits import LOST, seconds_to_wait, stop_where_commits_are_lost
from submission.older_copy import (
    RESTORED,
    accept_older_copy,
    has_unrecorded_answers,
    newest_stop,
    older_copy_objection,
    recognise_older_copy,
    stop_restored,
    stop_where_answered,
)
from submission.options import Options, options_of, parts_from_environment, patience_of
from submission.ownership import Ownership
from submission.placing import PlacingProvider
from submission.plan import (
    KNOWN_AGE,
    NOT_AGAIN,
    NOTHING_LEFT,
    PRICE_MAX_AGE,
    VOLATILE,
    WITHOUT_ID,
    Again,
    Knows,
    Means,
    Plan,
    any_order,
    budget_of_day,
    checked_budget,
    find_service,
    known_to_program,
    make_plan,
    objections_of_parts,
    order_objection,
    price_objection,
    service_objection,
    shown_orders,
    stored_before,
    unchecked,
)
from submission.recording import ListLimits, Recorder
from submission.report import Metrics, Watcher, balance_warning, balance_words, metrics, submission_result
from submission.settlement import Settler
from submission.story import Story
from submission.thread_carrier import ThreadCarrier
from submission.throttle import MINUTE, SLACK, RequestLimitError, RequestTurns, Throttle
