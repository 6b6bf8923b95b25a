"""The record's tables: made and brought up to date by their owner, never by the service's account."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from trust_services.refusal import Refusal

SCHEMA = Path(__file__).parent / "schema"

_PREPARATION = """
CREATE SCHEMA IF NOT EXISTS issuing;
CREATE TABLE IF NOT EXISTS issuing.schema_versions (
    version integer PRIMARY KEY,
    digest bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""

# Taken away first, so that a right which an older version gave doesn't stay.
_RIGHTS = """
GRANT CONNECT ON DATABASE {database} TO {account};
REVOKE ALL ON SCHEMA issuing FROM PUBLIC, {account};
REVOKE ALL ON ALL TABLES IN SCHEMA issuing FROM PUBLIC, {account};
REVOKE ALL ON ALL SEQUENCES IN SCHEMA issuing FROM PUBLIC, {account};
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA issuing FROM PUBLIC, {account};
GRANT USAGE ON SCHEMA issuing TO {account};
GRANT SELECT ON ALL TABLES IN SCHEMA issuing TO {account};
GRANT INSERT ON issuing.orders, issuing.keys, issuing.intents, issuing.certificates TO {account};
GRANT INSERT (kind, order_id, serial, actor, facts) ON issuing.events TO {account};
GRANT USAGE ON SEQUENCE issuing.workers TO {account};
GRANT EXECUTE ON FUNCTION issuing.hold_chain() TO {account};
"""


def migrate(connection: psycopg.Connection[Any], account: str) -> list[int]:
    """Bring the schema up to date and give `account` its rights; return the versions that were applied.

    Run by the owner. A second run changes nothing; a run that is killed leaves nothing half done; two at once
    take turns. Refusal if the account is the owner itself, or could change the record all the same, or if a
    version that was applied isn't the one at hand.
    """
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('trust-services-issuing'))")
        _require_weak(cursor, account)
        cursor.execute(_PREPARATION)
        known = dict(cursor.execute("SELECT version, digest FROM issuing.schema_versions").fetchall())
        applied = []
        for file in sorted(SCHEMA.glob("*.sql")):
            version, text = int(file.name.partition("_")[0]), file.read_bytes()
            digest = hashlib.sha256(text).digest()
            if version not in known:
                cursor.execute(text)
                cursor.execute(
                    "INSERT INTO issuing.schema_versions (version, digest) VALUES (%s, %s)", (version, digest)
                )
                applied.append(version)
            elif known[version] != digest:
                raise Refusal(
                    f"version {version} of the record's schema was applied with other text than {file.name}",
                    "put the old text back and say the change in a new file",
                )
        names = {"account": sql.Identifier(account), "database": sql.Identifier(connection.info.dbname)}
        cursor.execute(sql.SQL(_RIGHTS).format(**names))
        return applied


def _require_weak(cursor: psycopg.Cursor[Any], account: str) -> None:
    found = cursor.execute(
        "SELECT rolsuper, pg_has_role(rolname, current_user, 'MEMBER') FROM pg_roles WHERE rolname = %s",
        (account,),
    ).fetchone()
    if found is None:
        raise Refusal(f"the database has no account '{account}'", f'createuser "{account}"')
    if any(found):
        raise Refusal(
            f"the service's account '{account}' is a superuser or has the owner's rights",
            "give the record an owner of its own, and the service an account without rights",
        )
