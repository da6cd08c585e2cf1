"""Mutants: small changes to the code, each of which a test must notice.

``make mutants`` plants them one by one and runs the tests that execute the changed function; see
docs/decisions/0022-mutants.md.
"""
