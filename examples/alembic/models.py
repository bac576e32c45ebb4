"""What the application keeps itself."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from jwt_auth_kit.stores.sqlalchemy import User


class AppBase(DeclarativeBase):
    """The application's own tables."""


class Project(AppBase):
    """Something people work on."""

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[str] = mapped_column(
        ForeignKey(User.id, name="fk_projects_owner_id_users", ondelete="CASCADE"), index=True
    )
    name: Mapped[str] = mapped_column(String(100))
