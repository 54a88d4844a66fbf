"""Pure functions of the facts, one module for each part of a decision.

`negset_operator.decide` calls them in order.
"""
