"""``python -m jwt_auth_kit``."""

from .cli.main import main

if __name__ == "__main__":
    main()
