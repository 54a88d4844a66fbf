"""The report: what was asked, what was chosen, what failed, and by how much false positives fell;
as a page for people and as numbers for machines.
"""
