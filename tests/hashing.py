"""Passwords in tests: the product's algorithm at a cost that nobody waits for."""

from django.contrib.auth.hashers import Argon2PasswordHasher


class QuickArgon2(Argon2PasswordHasher):
    """8 KiB and one pass, where the product takes 100 MiB, two passes and eight lanes."""

    time_cost = 1
    memory_cost = 8
    parallelism = 1
