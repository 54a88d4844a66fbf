"""The work itself: select, fetch, record, label, train, mine, report.

Runs under the operator's jobs and, with the same code, on a laptop.
"""
