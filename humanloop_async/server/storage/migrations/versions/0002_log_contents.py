"""Store once what the logs of a call with several samples have in common."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SHARED = (
    *("inputs", "messages", "provider_request", "provider_response", "user", "metadata"),
    *("inputs_folded", "metadata_folded", "tool_choice", "tools"),
)


def upgrade() -> None:
    op.create_table(
        "log_contents",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        *(sa.Column(name, sa.Text()) for name in _SHARED),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_log_contents_project_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_log_contents"),
    )
    op.create_index("ix_log_contents_project_id", "log_contents", ["project_id"])
    # Alembic cannot add a column with a foreign key on SQLite, which can.
    op.execute(
        "ALTER TABLE logs ADD COLUMN content_id VARCHAR CONSTRAINT fk_logs_content_id REFERENCES log_contents (id)"
    )
    has_content = sa.text("content_id IS NOT NULL")
    op.create_index(
        "ix_logs_content_id", "logs", ["content_id"], sqlite_where=has_content, postgresql_where=has_content
    )
    if op.get_bind().dialect.name == "postgresql":
        # Until it knows how few logs have contents elsewhere, it searches for a text in a slower way.
        op.execute("ANALYZE logs (content_id)")


def downgrade() -> None:
    values = ", ".join(
        f'"{name}" = coalesce("{name}", (SELECT "{name}" FROM log_contents WHERE id = logs.content_id))'  # noqa: S608
        for name in _SHARED
    )
    op.execute(f"UPDATE logs SET {values} WHERE content_id IS NOT NULL")  # noqa: S608 - constants
    op.drop_index("ix_logs_content_id", "logs")
    op.drop_column("logs", "content_id")
    op.drop_table("log_contents")
