"""The command line: ``python -m jwt_auth_kit`` and ``jwt-auth-kit``."""
