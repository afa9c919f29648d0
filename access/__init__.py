"""Who may use the program: users, passwords, sessions, login limits, and tokens of programs. No pages, no orders."""

from access.logins import LoginRefusedError, Logins
from access.passwords import SHORTEST as SHORTEST_PASSWORD
from access.passwords import Passwords, make_passwords
from access.sessions import (
    LONGEST_SESSION,
    all_sessions,
    begin_session,
    end_session,
    end_sessions,
    find_session,
    own_sessions,
    remember_visit,
)
from access.tokens import TokenError, actor_of, create_token
from access.users import (
    FIRST_ADMIN,
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

__all__ = [
    "FIRST_ADMIN",
    "LONGEST_SESSION",
    "SHORTEST_PASSWORD",
    "AccessRefusedError",
    "LoginRefusedError",
    "Logins",
    "NewUser",
    "Passwords",
    "TokenError",
    "actor_of",
    "add_user",
    "adopt_environment",
    "all_sessions",
    "all_users",
    "begin_session",
    "create_token",
    "disable",
    "enable",
    "end_session",
    "end_sessions",
    "find_named",
    "find_session",
    "find_user",
    "has_users",
    "keeps_environment_password",
    "make_passwords",
    "own_sessions",
    "read_limit",
    "remember_visit",
    "set_daily_limit",
    "set_password",
    "set_role",
]
