"""The decisions, each a small pure file: facts in, a verdict out.

`negset_operator.decide` puts them in order.
"""
