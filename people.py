"""The nouns of access: roles, scopes, and who acts in a request. This module must not know HTTP, SQL or Flask."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a person or a token may do. Each role may do what the roles before it may do."""

    VIEWER = "viewer"  #: sees and exports
    OPERATOR = "operator"  #: also orders, and decides about batches
    ADMIN = "admin"  #: also users, tokens, settings, imports and backups

    def includes(self, other: "Role") -> bool:
        """Return whether this role may do everything that the other role may do."""
        order = list(Role)
        return order.index(self) >= order.index(other)


class Scope(StrEnum):
    """What a token may be used for. A person may do everything that the role allows."""

    READ = "read"  #: batches, orders, reports and the state of the app
    EXPORT = "export"  #: files with results
    ORDER = "order"  #: create, pause, resume and stop batches
    MANAGE = "manage"  #: what only an admin may do

    @property
    def role(self) -> Role:
        """The least role that may hold this scope."""
        return {Scope.ORDER: Role.OPERATOR, Scope.MANAGE: Role.ADMIN}.get(self, Role.VIEWER)


def scopes_of(role: Role) -> frozenset[Scope]:
    """Return every scope that a role may hold."""
    return frozenset(scope for scope in Scope if role.includes(scope.role))


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a user in a browser, a token of a program, or the command line."""

    name: str  #: as pages, batches and the audit log show it
    role: Role
    user_id: int | None = None  #: the row in users; None on the command line and in the open demo
    token_id: int | None = None  #: the row in api_tokens
    user_limit: float | None = None  #: US dollars that this user may order in one UTC day; None: no limit
    token_limit: float | None = None  #: US dollars that this token may order in one UTC day; None: no limit
    scopes: frozenset[Scope] = frozenset(Scope)  #: what a token is limited to, within its role


#: Whoever runs commands on the machine can read and change its files.
COMMAND_LINE = Actor("command line", Role.ADMIN)
#: The demo on loopback needs no login.
DEMO_USER = Actor("demo", Role.ADMIN)
