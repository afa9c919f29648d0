"""Who may come in: tokens of programs."""

from access.tokens import TokenError, actor_of, create_token

__all__ = ["TokenError", "actor_of", "create_token"]
