"""Where users and sessions are kept: the protocols in base, one module for each database."""
