"""What the server remembers: SQLAlchemy Core tables, one file of queries for each resource, Alembic migrations.

Every function takes an open connection, so that the caller decides which statements share a transaction.
"""
