"""A host for one machine: what scripts/demo shows and tests/system tries.

PostgreSQL, Redis, a certificate, a site's directory, amy-front, amy-workers and
amyctl, each as one small class. Python's standard library only, so that a bare
machine needs nothing else to run it.
"""
