"""Signs the requests of a test in."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import FastAPI

from ..current_user import CurrentUser
from ..web.dependencies import get_current_user, require_session
from ..web.entrance import watch_entrance
from ..web.routing import list_applications


@contextmanager
def signed_in_as(app: FastAPI, user: CurrentUser) -> Iterator[None]:
    """Sign each request to *app*, and to what is mounted in it, in as *user*.

    Roles, owners and scopes are checked as ever. No token is made and no store asked, so a route
    with ``SessionDep`` gets *user* as well. Other overrides stay as they are.
    """

    def give_user() -> CurrentUser:
        return user

    apps = list(list_applications(app))
    watch_entrance(app)
    before = [each.dependency_overrides for each in apps]
    for each, overrides in zip(apps, before, strict=True):
        each.dependency_overrides = {
            **overrides,
            get_current_user: give_user,
            require_session: give_user,
        }
    try:
        yield
    finally:
        for each, overrides in zip(apps, before, strict=True):
            each.dependency_overrides = overrides
