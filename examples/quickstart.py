"""The smallest application: JWT_SECRET_KEY=... uvicorn examples.quickstart:app"""

from fastapi import FastAPI

from jwt_auth_kit import AdminDep, UserDep, auth_router

app = FastAPI()
app.include_router(auth_router)


@app.get("/projects")
async def list_projects(user: UserDep) -> list[str]:
    """List what the caller works on."""
    return [f"A project of {user.email}"]


@app.get("/admin/projects")
async def list_all_projects(admin: AdminDep) -> list[str]:
    """List everybody's projects, for administrators."""
    return [f"Every project, for {admin.email}"]
