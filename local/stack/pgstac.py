"""Applies pgSTAC's schema to the database of DATABASE_URL.

A program of its own: importing pypgstac changes psycopg's JSON handling for the whole process.
"""

import os

from pypgstac.db import PgstacDB
from pypgstac.migrate import Migrate


def main() -> None:
    db = PgstacDB(dsn=os.environ["DATABASE_URL"])
    try:
        Migrate(db).run_migration()
    finally:
        db.close()


if __name__ == "__main__":
    main()
