"""The report: what was requested, chosen and failed, and by how much false positives fell.

It is a page for people, and numbers for machines.
"""
