"""A PostgreSQL server as those who connect see it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

DATABASE = "geodata"


@dataclass(frozen=True)
class Server:
    """Address and credentials of a server, ours or the user's own."""

    host: str
    port: int
    user: str
    password: str
    database: str = DATABASE

    @classmethod
    def from_environment(cls, env: Mapping[str, str] = os.environ) -> "Server | None":
        """The user's own server, when POSTGIS_HOST names one."""
        if not env.get("POSTGIS_HOST"):
            return None
        return cls(
            env["POSTGIS_HOST"],
            int(env.get("POSTGIS_PORT", "5432")),
            env.get("POSTGIS_USER", "postgres"),
            env.get("POSTGIS_PASSWORD", ""),
            env.get("POSTGIS_DATABASE", DATABASE),
        )

    def url(self, database: str = "") -> str:
        """A connection URL that psycopg and psql take."""
        user = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"postgresql://{user}@{self.host}:{self.port}/{database or self.database}"

    def settings(self, database: str = "") -> dict[str, str]:
        return {
            "POSTGIS_HOST": self.host,
            "POSTGIS_PORT": str(self.port),
            "POSTGIS_DATABASE": database or self.database,
            "POSTGIS_USER": self.user,
            "POSTGIS_PASSWORD": self.password,
        }
