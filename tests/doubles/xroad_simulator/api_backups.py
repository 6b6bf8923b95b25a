"""Backups through the admin APIs of both servers."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, File, Request, Response, UploadFile

from xroad_simulator.authentication import allow
from xroad_simulator.backups import Backup, Backups


class BackedUpServer(Protocol):
    """A server that can be backed up."""

    @property
    def backups(self) -> Backups:
        """Its backups."""

    def backup_label(self) -> str:
        """Whose backup an archive is."""

    def key_name(self) -> str:
        """Name of its OpenPGP key."""

    def forget(self) -> None:
        """Forget what is in memory of the state that was replaced."""


def _server(request: Request) -> BackedUpServer:
    server: BackedUpServer = request.app.state.server
    return server


Server = Annotated[BackedUpServer, Depends(_server)]


def operations(
    backing_up: str,
    restoring: str,
    view: Callable[[Backup], dict[str, Any]],
    *,
    checks_uploads: bool,
    extended: bool = False,
) -> APIRouter:
    """The operations of a server whose permissions these are and which shows backups so.

    `extended`: with the operation that also tells of a file of old versions, which is never there.
    """
    routes = APIRouter()
    may_back_up, may_restore = allow(backing_up), allow(restoring)

    @routes.get("/backups", dependencies=[may_back_up])
    def list_backups(server: Server) -> list[dict[str, Any]]:
        """Every backup, the newest first."""
        return [view(backup) for backup in server.backups.all()]

    @routes.post("/backups", dependencies=[may_back_up], status_code=HTTPStatus.CREATED)
    def add_backup(server: Server) -> dict[str, Any]:
        """Back up the state as it is now."""
        return view(server.backups.create(server.backup_label(), server.key_name()))

    if extended:

        @routes.post("/backups/ext", dependencies=[may_back_up], status_code=HTTPStatus.CREATED)
        def add_extended_backup(server: Server) -> dict[str, Any]:
            """Back up the state as it is now."""
            made = server.backups.create(server.backup_label(), server.key_name())
            return {**view(made), "local_conf_present": False}

    @routes.post("/backups/upload", dependencies=[may_back_up], status_code=HTTPStatus.CREATED)
    def upload_backup(
        server: Server, file: Annotated[UploadFile, File()], ignore_warnings: bool = False
    ) -> dict[str, Any]:
        """Keep a backup that was made before."""
        uploaded = server.backups.upload(
            file.filename or "",
            file.file.read(),
            ignore_warnings=ignore_warnings,
            checks_content=checks_uploads,
        )
        return view(uploaded)

    @routes.delete("/backups/{filename}", dependencies=[may_back_up], status_code=HTTPStatus.NO_CONTENT)
    def delete_backup(server: Server, filename: str) -> None:
        """Remove a backup."""
        server.backups.delete(filename)

    @routes.get("/backups/{filename}/download", dependencies=[may_back_up])
    def download_backup(server: Server, filename: str) -> Response:
        """A backup's file."""
        return Response(
            server.backups.read(filename),
            media_type="application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="{filename}"'},
        )

    @routes.put("/backups/{filename}/restore", dependencies=[may_restore])
    def restore_backup(server: Server, filename: str) -> dict[str, bool]:
        """Replace the state by that of a backup. The token is logged out then."""
        server.backups.restore(filename, server.backup_label(), server.forget)
        return {"hsm_tokens_logged_out": False}

    return routes
