"""Projects belong to users."""

from alembic import op

revision = "a3"
down_revision = "a2"
branch_labels = None
depends_on = None

NAME = "fk_projects_owner_id_users"


def upgrade() -> None:
    """Let projects refer to their owners, and go with them."""
    with op.batch_alter_table("projects") as projects:  # SQLite makes the table anew
        projects.create_foreign_key(NAME, "users", ["owner_id"], ["id"], ondelete="CASCADE")


def downgrade() -> None:
    """Let projects name anybody."""
    with op.batch_alter_table("projects") as projects:
        projects.drop_constraint(NAME, type_="foreignkey")
