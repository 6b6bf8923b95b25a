"""What the service is told by its environment. Secrets come as files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Settings:
    """The sector served and the database behind it."""

    sector: str
    database_host: str
    database_port: int
    database_name: str
    database_user: str
    password_file: Path
    root_certificate: Path | None
    port: int = 8080

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Settings from the environment; SystemExit naming what is missing."""
        needed = ("SECTOR", "DATABASE_HOST", "DATABASE_NAME", "DATABASE_USER", "DATABASE_PASSWORD_FILE")
        if missing := [name for name in needed if not environment.get(name)]:
            raise SystemExit(f"set {', '.join(missing)}")
        certificate = environment.get("DATABASE_ROOT_CERTIFICATE")
        return cls(
            sector=environment["SECTOR"],
            database_host=environment["DATABASE_HOST"],
            database_port=int(environment.get("DATABASE_PORT", "5432")),
            database_name=environment["DATABASE_NAME"],
            database_user=environment["DATABASE_USER"],
            password_file=Path(environment["DATABASE_PASSWORD_FILE"]),
            root_certificate=Path(certificate) if certificate else None,
            port=int(environment.get("PORT", "8080")),
        )

    def connection(self) -> dict[str, Any]:
        """Arguments of a database connection. The password is read anew, so that a rotated one is used."""
        arguments: dict[str, Any] = {
            "host": self.database_host,
            "port": self.database_port,
            "dbname": self.database_name,
            "user": self.database_user,
            "password": self.password_file.read_text(encoding="utf-8").strip(),
            "connect_timeout": 5,
            "application_name": f"sector-system {self.sector}",
        }
        if self.root_certificate is not None:
            arguments |= {"sslmode": "verify-full", "sslrootcert": str(self.root_certificate)}
        return arguments
