"""`python -m negset_jobs` is `negset`."""

from negset_jobs.cli import process

process()
