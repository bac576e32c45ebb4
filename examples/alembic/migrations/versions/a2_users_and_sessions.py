"""The tables of jwt-auth-kit."""

import sqlalchemy as sa
from alembic import op

revision = "a2"
down_revision = "a1"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add users, sessions, epochs and failures."""
    op.create_table(
        "users",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("email", sa.String(320), nullable=False, unique=True),
        sa.Column("display_name", sa.String(100), nullable=False),
        sa.Column("role", sa.String(50), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.String(255)),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_table(
        "auth_sessions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("user_id", sa.String(255), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("salt", sa.LargeBinary(16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("auth_time", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("idle_expires_at", MOMENT, nullable=False),
        sa.Column("window_from", MOMENT, nullable=False),
        sa.Column("last_seen_at", MOMENT, nullable=False),
        sa.Column("gen", sa.BigInteger(), nullable=False),
        sa.Column("parent", sa.BigInteger(), nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("known_gen", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("ip", sa.String(45)),
        sa.Column("user_agent", sa.String(256)),
        sa.Column("revoked_at", MOMENT),
        sa.Column("revoke_reason", sa.String(50)),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("announced_at", MOMENT),
    )
    for column in ("revoked_at", "idle_expires_at"):
        op.create_index(f"ix_auth_sessions_{column}", "auth_sessions", [column])
    op.create_index("ix_auth_sessions_announced_at", "auth_sessions", ["announced_at", "id"])
    op.create_index(
        "ix_auth_sessions_open",
        "auth_sessions",
        ["user_id", "created_at", "id"],
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "auth_epochs",
        sa.Column("user_id", sa.String(255), primary_key=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("sessions_from", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
    )
    op.create_index("ix_auth_epochs_changed_at", "auth_epochs", ["changed_at", "user_id"])
    op.create_table(
        "auth_failures",
        sa.Column("user_id", sa.String(255), primary_key=True),
        sa.Column("failures", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Remove them, which signs everybody out and forgets all accounts."""
    for table in ("auth_failures", "auth_epochs", "auth_sessions", "users"):
        op.drop_table(table)
