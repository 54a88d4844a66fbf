"""The jobs: select, download, record, label, train, mine, report.

The same code runs in the operator's jobs and on a laptop.
"""
