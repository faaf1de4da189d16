"""The database: SQLAlchemy Core tables, a module of queries for each resource, and Alembic migrations.

Each query function takes an open connection, so that its caller decides which statements share a transaction.
"""
