"""Sign-in, projects, tasks and administration over SQLite or PostgreSQL."""
