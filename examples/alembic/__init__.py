"""The tables of jwt-auth-kit in an application's migrations; see docs/guides/alembic.md."""
