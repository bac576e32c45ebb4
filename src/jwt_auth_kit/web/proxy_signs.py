"""Signs, in the environment and on the command line, that a proxy stands in front."""

from collections.abc import Mapping, Sequence

SERVER_VARIABLES = ("FORWARDED_ALLOW_IPS", "UVICORN_FORWARDED_ALLOW_IPS", "UVICORN_UDS")
PLATFORMS = {
    "DYNO": "Heroku",
    "FLY_APP_NAME": "Fly.io",
    "K_SERVICE": "Cloud Run",
    "KUBERNETES_SERVICE_HOST": "Kubernetes",
    "RAILWAY_ENVIRONMENT_ID": "Railway",
    "RENDER": "Render",
    "VERCEL": "Vercel",
    "WEBSITE_SITE_NAME": "Azure App Service",
}
"""By the variable that each sets; all of them put a proxy in front of every application."""

SOCKET_OPTIONS = ("--uds", "unix:")


def find_proxy_sign(environment: Mapping[str, str], command_line: Sequence[str]) -> str | None:
    """Return a sentence that says what points to a proxy; None where nothing does.

    Whoever serves at a socket file has a proxy at its other end.
    """
    for name, platform in PLATFORMS.items():
        if environment.get(name):
            return f"{platform} puts a proxy in front."
    for name in SERVER_VARIABLES:
        if environment.get(name):
            return f"{name} is set, so there is a proxy in front."
    words = [*command_line, *environment.get("GUNICORN_CMD_ARGS", "").split()]
    if any(option in word for word in words for option in SOCKET_OPTIONS):
        return "The server listens at a socket file, so there is a proxy in front."
    return None
