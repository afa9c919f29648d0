"""Roles include the roles below them."""

from people import Role


def test_a_role_includes_itself_and_the_roles_below() -> None:
    allowed = {role: [other for other in Role if role.includes(other)] for role in Role}
    assert allowed == {
        Role.VIEWER: [Role.VIEWER],
        Role.OPERATOR: [Role.VIEWER, Role.OPERATOR],
        Role.ADMIN: [Role.VIEWER, Role.OPERATOR, Role.ADMIN],
    }
