"""The contract between the operator, the jobs and their users: names, the resource's types, and the
values that stages hand on.

This package imports neither of the others, and nothing heavy: `negset --help` and the operator both
load it.
"""
