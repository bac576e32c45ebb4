"""What FastAPI sees: routers, dependencies, transports, and what is checked at the start."""
