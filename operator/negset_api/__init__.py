"""The contract between the operator, the jobs and their users.

It has names, the types of the resource, and the values that one stage writes for the next. This
package imports neither of the other packages and nothing slow, because `negset --help` and the
operator both load it.
"""
