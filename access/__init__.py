"""Who may use the program: users, passwords, sessions, login limits, tokens, links to reports. No pages, no orders."""

from access.logins import LoginRefusedError, Logins, network_of
from access.passwords import SHORTEST as SHORTEST_PASSWORD
from access.passwords import Passwords, make_passwords
from access.report_links import create_link, open_link
from access.second_factor import (
    is_secret,
    new_secret,
    otpauth_uri,
    renew_recovery_codes,
    reset_second_factor,
    set_up,
    unused_recovery_codes,
)
from access.sessions import (
    LONGEST_SESSION,
    begin_session,
    end_session,
    end_sessions,
    find_session,
    is_proved,
    open_sessions,
    remember_visit,
    renew_session,
)
from access.tokens import actor_of, create_token, read_days, read_scopes, revoke_token
from access.users import (
    AccessRefusedError,
    NewUser,
    add_user,
    adopt_environment,
    all_users,
    disable,
    enable,
    find_named,
    find_user,
    has_users,
    keeps_environment_password,
    read_limit,
    set_daily_limit,
    set_password,
    set_role,
)
