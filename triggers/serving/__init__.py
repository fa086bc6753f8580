"""ASGI apps of the field's libraries under routes of ours: OGC API Features and tiles (tipg), STAC (stac-fastapi)."""
