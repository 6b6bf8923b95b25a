"""The trust stage's own programs, as the roles configure them, run in turn in one process.

Ceremonies use a token in software. Below the root, keys are in files: tokens know no time, and programs that
share a process would close one another's. Orders of members, of the publisher and of the time-stamping
authority go over TLS to the API, which shows the host's certificate.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from tests.postgresql_server import Server
from tests.unit.trust_services.conftest import ACCOUNT, DATABASE, OWNER
from tests.unit.trust_services.issuing.ordering import Memory as Holder

from estate import Estate
from estate.host import Role
from estate.project.ansible import trust_services as variables
from estate.project.ceremony import agenda
from estate.trust import TRUST_SERVICES, label
from time_travel.hosts import HostCertificate
from time_travel.serving import OverTls
from trust_services import authority, enrolment, key_file, settings_file
from trust_services.authority import InFile
from trust_services.ceremony import records
from trust_services.ceremony.isolation import Isolation
from trust_services.ceremony.perform import Place, perform
from trust_services.issuing.api import Reader, application, connecting
from trust_services.issuing.configuration import Configuration
from trust_services.issuing.migrating import migrate
from trust_services.issuing.service import Service
from trust_services.issuing.signing import Authority
from trust_services.signing import SigningKey
from trust_services.status.fetching import Fetched
from trust_services.status.metrics import Counts
from trust_services.status.publishing import Program, PublishSettings
from trust_services.status.responder import Responder
from trust_services.status.settings import Settings
from trust_services.status.shelf import Shelf
from trust_services.timestamps import service as stamping
from trust_services.timestamps.clock import ClockWatch
from trust_services.timestamps.renewed import IdentityWatch
from trust_services.timestamps.settings import Identity, read_identity, read_settings
from trust_services.timestamps.tally import Tally

HOST = "localhost"
PASSPHRASE = "a passphrase of the test"
ROLES = {"federation": "orderer", "officer": "officer", "publisher": "service"}

_CHRONYC = """#!/bin/sh
echo "C0000201,192.0.2.1,3,$(date +%s).0,0.0001,-0.000012,0.00003,-12.345,0.001,0.05,0.002,0.0004,64.2,Normal"
"""

Tell = Callable[[str, str], None]
"""A kind of thing that happened, and what it was."""


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates in PEM."""
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


class Root:
    """The root in its records, and the ceremonies that are held."""

    def __init__(self, folder: Path, told: dict[str, Any], library: str) -> None:
        self._agenda = {**told, "token": {"library": library}}
        self._place = Place(
            inbox=folder / "inbox",
            records=folder / "records",
            shares=folder / "shares",
            # The ceremony's own tests prove that it is cut off.
            isolated=lambda: Isolation(("lo",), 0, "ENETUNREACH"),
        )

    def hold(self, requests: Sequence[Path]) -> None:
        """Hold a ceremony over these requests."""
        self.__dict__.pop("history", None)
        shutil.rmtree(self._place.inbox, ignore_errors=True)
        (self._place.inbox / records.REQUESTS).mkdir(parents=True)
        (self._place.inbox / records.AGENDA).write_text(json.dumps(self._agenda), encoding="utf-8")
        for request in requests:
            for path in (request, request.with_name(f"{request.name}.sig")):
                shutil.copyfile(path, self._place.inbox / records.REQUESTS / path.name)
        perform(self._place, lambda _: None)

    @cached_property
    def history(self) -> records.History:
        """What ceremonies issued."""
        return records.load(self._place.records)

    @property
    def list(self) -> bytes:
        """The last ceremony's revocation list in PEM."""
        return (self.history.folders[-1] / records.LIST).read_bytes()


class _Token:
    """What the publisher finds in the authority's token: the authority's key, and its responder's."""

    def __init__(self, keys: dict[str, SigningKey]) -> None:
        self._keys = keys

    def token(self) -> _Token:
        return self

    def forget(self) -> None:
        """Nothing to close."""

    def key(self, label: str) -> SigningKey | None:
        return self._keys.get(label)

    def generate(self, label: str, kind: str) -> SigningKey:
        made: SigningKey = (
            rsa.generate_private_key(65537, int(kind.removeprefix("rsa-")))
            if kind.startswith("rsa-")
            else ec.generate_private_key(ec.SECP256R1())
        )
        return self._keys.setdefault(label, made)


class Stage:
    """All of it. `tell` hears what was renewed."""

    def __init__(self, folder: Path, estate: Estate, server: Server, library: str, tell: Tell) -> None:
        self.folder = folder
        self.estate = estate
        self.tell = tell
        self.publication = label(TRUST_SERVICES, 1)
        self.freshness = timedelta(minutes=estate.trust.status.freshness)
        self.list_life = timedelta(hours=estate.trust.status.revocation_list_lifetime)
        for name in ("issued", "published", "state", "served", "stamps", "tokens", "requests", "tls-authority"):
            (folder / name).mkdir()
        self.root = Root(folder / "ceremony", agenda(estate), library)
        self._library = library
        self._server = server
        self._kept: dict[str, SigningKey] = {}
        self.holder: Holder | None = None
        self.api: OverTls | None = None
        self.host: HostCertificate | None = None
        self.publisher_runs = True
        self._port = 0
        self._chain = b""
        self._prepare_record()

    # Authorities and their ceremonies.

    def authorities(self) -> dict[str, InFile]:
        """How `trust_services.authority` is told about each authority that the root certifies here."""
        trust = self.estate.trust
        return {
            name: InFile(
                authority=name,
                country=trust.country,
                organization=trust.organization,
                common_name=one.name,
                key=one.key.value,
                certificate=self.issued(f"{name}.crt"),
                requests=self.folder / "requests",
                revocation_list=self.issued("root.crl"),
                key_file=self.folder / f"{name}.key",
            )
            for name, one in trust.issuing.items()
        }

    def requests(self) -> list[Path]:
        """What authorities ask of the root now."""
        states = [authority.ensure(one, datetime.now(UTC)) for one in self.authorities().values()]
        return [self.folder / "requests" / state.request for state in states if state.request is not None]

    def hold_ceremony(self) -> None:
        """Grant what is asked, and bring what was issued to the hosts."""
        asked = self.requests()
        self.root.hold(asked)
        self.tell("root's revocation list", "issued by a ceremony")
        for request in asked:
            self.tell("issuing CA's certificate", request.name.rsplit("-", 2)[0])
        self.apply()

    def issued(self, name: str) -> Path:
        """A file of the root's that `apply` brings to hosts."""
        return self.folder / "issued" / name

    def apply(self) -> None:
        """Bring what the ceremonies issued to the hosts, as roles do; what has changed is started anew."""
        history = self.root.history
        if history.root is None:
            return
        self.issued("root.crt").write_bytes(pem(history.root))
        self.issued("root.crl").write_bytes(self.root.list)
        for name, found in history.present.items():
            self.issued(f"{name}.crt").write_bytes(pem(found))
        tls = self.folder / "tls-authority"
        shutil.copyfile(self.issued("infrastructure-tls.crt"), tls / "ca.crt")
        shutil.copyfile(self.folder / "infrastructure-tls.key", tls / "ca.key")
        chain = b"".join(pem(found) for _, found in sorted(history.present.items()))
        if self.api is not None and chain != self._chain:
            self._start_programs()
        self._chain = chain

    # Programs.

    def _prepare_record(self) -> None:
        with self._server.connect(autocommit=True) as administrator:
            administrator.execute(f"CREATE ROLE {OWNER} LOGIN")
            administrator.execute(f"CREATE ROLE {ACCOUNT} LOGIN")
        self._server.make_anew(DATABASE)
        with self._server.connect(DATABASE, autocommit=True) as administrator:
            administrator.execute(f"GRANT CREATE ON DATABASE {DATABASE} TO {OWNER}")
        with self._server.connect(DATABASE, OWNER, autocommit=True) as owner:
            migrate(owner, ACCOUNT)

    def start(self) -> None:
        """Start all but the time stamps, on a host that has a new certificate."""
        trust = self.estate.trust
        if self.host is None:
            self.host = HostCertificate(
                self.folder / "tls",
                HOST,
                issuer=trust.infrastructure_tls.name,
                lifetime_hours=trust.infrastructure_tls.leaf_lifetime,
                authority=self.folder / "tls-authority",
            )
            shutil.copyfile(self.issued("root.crt"), self.host.folder / "root.crt")
        self.host.enrol()
        self._start_programs()

    def _start_programs(self) -> None:
        self.restart_api()
        self.program = Program(self._publishing())
        self.program._token = _Token(self._keys())  # type: ignore[assignment] # of the same shape
        self._start_responder()

    def _keys(self) -> dict[str, SigningKey]:
        if not self._kept:
            key = key_file.read(self.folder / "trust-services.key")
            assert key is not None
            self._kept[self.publication] = key
        return self._kept

    def token(self, client: str) -> str:
        """A client's bearer token."""
        return f"a token that only {client} has"

    def token_file(self, client: str) -> Path:
        """A file with that token."""
        path = self.folder / "tokens" / client
        path.write_text(self.token(client), encoding="ascii")
        return path

    def configuration(self) -> Configuration:
        """The issuing service's."""
        estate = self.estate
        [host, *_] = estate.hosts_with(Role.CERTIFICATE_AUTHORITY)
        told = variables.variables(estate, host)
        status = f"http://{told['trust_services_status']['name']}"
        hours = told["trust_services_lifetime_hours"]
        clients = [
            {
                "name": client["name"],
                "role": client["role"],
                "token_sha256": hashlib.sha256(self.token(client["name"]).encode()).hexdigest(),
                "services": client.get("services", []),
            }
            for client in told["trust_services_clients"]
        ]
        return Configuration.model_validate(
            {
                "country": told["trust_services_country"],
                "organization": told["trust_services_organization"],
                "issuer": {
                    "certificate": self.issued("trust-services.crt"),
                    "above": [self.issued("root.crt")],
                },
                "token": self._told_token(),
                "addresses": {
                    "ocsp": f"{status}/",
                    "crl": f"{status}/crl/{self.publication}.crl",
                    "ca_issuers": f"{status}/ca/{self.publication}.crt",
                },
                "lifetimes": {
                    "authentication_hours": hours["member"],
                    "signing_hours": hours["member"],
                    "status_responder_hours": hours["status_responder"],
                    "time_stamping_hours": hours["time_stamping"],
                },
                "database": {"connection": self._connection, "account": ACCOUNT},
                "clients": clients,
                "automatic": told["trust_services_members"],
                "publication": self.folder / "published",
                "listen": {"port": 9444},
            }
        )

    def _told_token(self) -> dict[str, str]:
        return {"library": "none", "label": "trust-services", "key": self.publication, "pin_file": "/none"}

    @property
    def _connection(self) -> str:
        return f"host={self._server.folder} dbname={DATABASE} user={ACCOUNT}"

    def restart_api(self) -> None:
        """Start the issuing API anew, with the certificates that are there now."""
        self.stop_api()
        assert self.host is not None
        configuration = self.configuration()
        trouble = self.holder.trouble if self.holder is not None else ""
        self.holder = Holder(self._keys()[self.publication])
        self.holder.trouble = trouble
        service = Service(
            Authority(configuration.terms(), self.holder), connecting(configuration), configuration.expects
        )
        made = application(
            service,
            Reader(connecting(configuration)),
            configuration.clients,
            configuration.issuer.chain(),
            configuration.publication,
        )
        self.api = OverTls(self.host.folder, made, self.folder / "published", self._port)
        self._port = self.api.server_address[1]

    def stop_api(self) -> None:
        """End the issuing API."""
        if self.api is not None:
            self.api.end()
            self.api = None

    def url(self) -> str:
        """Address of the issuing API, also while it is down."""
        return f"https://{HOST}:{self._port}"

    def _order(self, client: str) -> dict[str, Any]:
        return {
            "url": self.url(),
            "ca": str(self.issued("root.crt")),
            "token_file": str(self.token_file(client)),
        }

    def _publishing(self) -> PublishSettings:
        trust = self.estate.trust
        return PublishSettings.model_validate(
            {
                "authority": self.publication,
                "issuer": {
                    "certificate": self.issued("trust-services.crt"),
                    "above": [self.issued("root.crt")],
                },
                "token": self._told_token(),
                "organization": trust.organization,
                "country": trust.country,
                "responder": {"name": self.estate.status_name, "key": trust.status.responder_key.value},
                "record": {"connection": self._connection},
                "carried": {
                    "root": {"certificate": str(self.issued("root.crt")), "crl": str(self.issued("root.crl"))}
                },
                "folder": str(self.folder / "published"),
                "state": str(self.folder / "state"),
                "freshness_seconds": self.freshness.total_seconds(),
                "revocation_list_hours": self.list_life / timedelta(hours=1),
                "order": self._order("publisher"),
            }
        )

    def _start_responder(self) -> None:
        settings = Settings.model_validate_json(
            json.dumps(
                {
                    "listen": {"port": 8888},
                    "folder": str(self.folder / "served"),
                    "freshness_seconds": self.freshness.total_seconds(),
                    "authorities": [
                        {
                            "name": self.publication,
                            "certificate": str(self.issued("trust-services.crt")),
                        },
                        {
                            "name": "root",
                            "certificate": str(self.issued("root.crt")),
                            "publishes": ["crl", "crt"],
                        },
                    ],
                    "source": {"url": f"{self.url()}/status", "ca": str(self.issued("root.crt"))},
                }
            )
        )
        assert settings.source is not None
        # Two programs: what one fetches, the other finds on the disk.
        fetched, self.shelf = Shelf(settings), Shelf(settings)
        watched: list[Any] = [
            *fetched.publications.values(),
            *fetched.lists.values(),
            *fetched.certificates.values(),
        ]
        self._fetchers: dict[str, Fetched[Any]] = {
            file.path.name: Fetched(settings.source, file) for file in watched
        }
        self.shelf.look()
        self.responder = Responder(self.shelf, Counts())

    # What timers and loops do.

    def publish(self) -> None:
        """One round of the publisher and all that follows from it, unless it is down."""
        if not self.publisher_runs:
            return
        before = self._responder_certificate()
        listed = self._file("published", f"{self.publication}.crl")
        while self.program.round(datetime.now(UTC)):
            pass
        if self._responder_certificate() != before:
            self.tell("OCSP responder's certificate", "ordered by the publisher")
        if self._file("published", f"{self.publication}.crl") != listed:
            self.tell("issuing CA's revocation list", "signed by the publisher")

    def fetch(self, *, seldom: bool) -> list[str]:
        """The responder's host fetches and looks; why it couldn't, if it couldn't.

        `seldom` includes what changes a few times a year: certificates, and the root's list.
        """
        trouble = []
        for name, fetcher in self._fetchers.items():
            if not seldom and name not in (f"{self.publication}.answers", f"{self.publication}.crl"):
                continue
            try:
                fetcher.fetch()
            except Exception as error:  # noqa: BLE001 - as the program does: the last good file stays
                trouble.append(f"{error}")
        self.shelf.look()
        return trouble

    def renew_host(self) -> None:
        """The timer of a host's TLS certificate."""
        assert self.host is not None
        if self.host.renew():
            self.tell("host's TLS certificate", "renewed by the role's script")
            if self.api is not None:
                self.restart_api()

    def _file(self, folder: str, name: str) -> bytes:
        path = self.folder / folder / name
        return path.read_bytes() if path.exists() else b""

    def _responder_certificate(self) -> bytes:
        return self._file("state", "responder.pem")

    # Time stamps.

    @property
    def stamping_name(self) -> str:
        """The time-stamping authority's host."""
        return self.estate.fqdn(self.estate.hosts_with(Role.TIME_STAMPING)[0])

    def enrol_stamping(self) -> None:
        """The daily timer of the time-stamping authority. Refusal if it isn't given what is due."""
        place = self.folder / "stamps"
        if not (place / "enrolment.json").exists():
            self._configure_enrolment(place)
        settings = settings_file.read(place / "enrolment.json", enrolment.Settings)
        if enrolment.ensure(settings, datetime.now(UTC)).changed:
            self.tell("time-stamping authority's certificate", "ordered by its enrolment")

    def _configure_enrolment(self, place: Path) -> None:
        (place / "passphrase").write_text(PASSPHRASE, encoding="ascii")
        (place / "enrolment.json").write_text(
            json.dumps(
                {
                    "profile": "time-stamping",
                    "name": self.stamping_name,
                    "organization": self.estate.trust.organization,
                    "country": self.estate.trust.country,
                    "key": {
                        "file": str(place / "key.pem"),
                        "kind": "rsa-3072",
                        "passphrase_file": str(place / "passphrase"),
                    },
                    "certificate": str(place / "certificate.pem"),
                    "chain": str(place / "chain.pem"),
                    "authority": self._order(self.estate.hosts_with(Role.TIME_STAMPING)[0].name),
                }
            ),
            encoding="utf-8",
        )

    def start_stamping(self) -> None:
        """Start the time-stamping service, with what its enrolment has brought."""
        place = self.folder / "stamps"
        chronyc = place / "chronyc"
        chronyc.write_text(_CHRONYC, encoding="ascii")
        chronyc.chmod(0o755)
        config = place / "settings.json"
        config.write_text(
            json.dumps(
                {
                    "address": "127.0.0.1",
                    "port": 8899,
                    "policy": self.estate.trust.time_stamping.policy,
                    "certificate": str(place / "certificate.pem"),
                    "chain": str(place / "chain.pem"),
                    "key": str(place / "key.pem"),
                    "passphrase": str(place / "passphrase"),
                    # The machine may be busy.
                    "clock": {"command": [str(chronyc)], "deadline_seconds": 30.0},
                }
            ),
            encoding="utf-8",
        )
        settings = read_settings(config)
        self._renewed = IdentityWatch(config, settings)
        identity = read_identity(config, settings)
        # Nobody set this clock: the time that the journey leaves out has passed for the monotonic one as well.
        self._chrony = ClockWatch(settings.clock.limits, time.time_ns, time.time_ns)
        self.stamping = stamping.Service(settings, identity, self._chrony, Tally(stamping.RESULTS, 1))

    def look_at_clock(self) -> None:
        """The service's thread that asks chrony."""
        self._chrony.look()

    def stamping_turn(self) -> None:
        """The service's thread that looks for a renewed certificate."""

        def use(identity: Identity) -> None:
            self.stamping._use(identity)

        self._renewed.look(use)
