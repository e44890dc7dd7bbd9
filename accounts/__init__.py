"""People: users, roles, the facilities they belong to, API tokens, signing in."""
