"""The site's package mirror: every Debian package that a role names, with what those depend on, and our own.

The roles' lists are resolved with apt against the archives that this machine's apt uses, as if on a node:
what the node image holds isn't mirrored again. The mirror's folder is laid out like an archive:

    pool/            packages; only ever added to, so that an index handed out earlier stays true
    indices/<key>/   one signed index for each set of packages
    dists            a link to the index in force, exchanged in one step under running nodes
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from operate.failure import Failure
from operate.files import write_atomically
from operate.locations import ROOT
from operate.toolchain import apt_source
from operate.toolchain.commands import run
from operate.toolchain.node_image import NodeImage
from operate.toolchain.progress import Progress
from operate.toolchain.signing_key import public_key, sign
from operate.toolchain.store import SOURCES, building, digest, locked, place, point, require_room

SUITE = "site"
COMPONENT = "main"

_LISTS_ARE_FRESH_SECONDS = 24 * 3600
_RETRY_ATTEMPTS = 2


@dataclass(frozen=True)
class Mirror:
    """A folder to be mounted at /srv/mirror on a node."""

    folder: Path
    key: str
    """Names the set of packages."""
    packages: int


def wanted(roles: Path = ROOT / "roles", seed: Path = SOURCES / "mirror.yml") -> dict[str, list[str]]:
    """The packages to mirror: of each role, from its `__<role>_packages`, and of the seed's topics."""
    lists: dict[str, list[str]] = {}
    for file in sorted(roles.glob("*/vars/main.yml")):
        role = file.parts[-3]
        names = _mapping(file).get(f"__{role}_packages", [])
        if names:
            lists[role] = _names(file, names)
    for topic, names in _mapping(seed).items() if seed.is_file() else ():
        lists[str(topic)] = _names(seed, names)
    return lists


def ensure(progress: Progress, node: NodeImage, own: Path | None = None, *, refresh: bool = False) -> Mirror:
    """The mirror for the roles as they are now; `own` is a folder with packages of our own.

    Costs nothing if the lists are unchanged. With `refresh` newer versions of all packages are looked for.
    """
    lists = wanted()
    request = digest(json.dumps(lists, sort_keys=True), node.reference, own.name if own else "", _FORMAT)
    folder = place("mirror", "pool").parent
    with locked("mirror"):
        answer = folder / "requests" / request
        if not refresh and answer.is_file() and (folder / "indices" / answer.read_text()).is_dir():
            key = answer.read_text()
        else:
            require_room(1, "filling the package mirror")
            with progress.step("mirror", "packages of the roles") as step:
                key = _fill(folder, lists, node, own, refresh=refresh)
                write_atomically(answer, key)
                step.note(_size(folder, key))
        point(folder / "dists", folder / "indices" / key)
    return Mirror(folder, key, len(_members(folder, key)))


_FORMAT = "2"
"""Changed when the index is to be made anew although no list has changed."""


def _mapping(file: Path) -> Mapping[str, object]:
    try:
        content = YAML(typ="safe").load(file)
    except YAMLError as error:
        raise Failure(f"{file} isn't YAML", details=str(error), next_step=f"yamllint {file}") from error
    return content if isinstance(content, dict) else {}


def _names(file: Path, names: object) -> list[str]:
    if not isinstance(names, list) or not all(
        isinstance(name, str) and re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name) for name in names
    ):
        raise Failure(
            f"{file} must list its packages by name",
            details=f"found {names!r}",
            next_step="write plain package names: no versions, no templates",
        )
    return sorted(set(names))


def _fill(
    folder: Path, lists: Mapping[str, list[str]], node: NodeImage, own: Path | None, *, refresh: bool
) -> str:
    pool = folder / "pool"
    (pool / "partial").mkdir(parents=True, exist_ok=True)
    packages = sorted(own.glob("*.deb")) if own else []
    named = {name for names in lists.values() for name in names}
    # What no role installs yet must be installable all the same. One by one: they may conflict.
    unnamed = {name: [name] for name in (path.name.partition("_")[0] for path in packages) if name not in named}
    members = _from_debian(folder, {**lists, **unnamed}, node, own, refresh=refresh)
    for package in packages:
        # The name tells builds of one version apart: the pool may still serve an older one.
        name = f"{package.stem}.{digest(package.read_bytes())}.deb"
        if not (pool / name).is_file():
            (pool / name).hardlink_to(package)
        members.add(name)
    key = digest(_FORMAT, public_key().read_bytes(), *sorted(members))
    final = folder / "indices" / key
    if not final.is_dir():
        with building(final) as new:
            _index(folder, new, members)
    return key


def _from_debian(
    folder: Path, lists: Mapping[str, list[str]], node: NodeImage, own: Path | None, *, refresh: bool
) -> set[str]:
    """The Debian packages that the lists need, in the pool. Asks apt only if the answer may have changed."""
    needs = re.findall(r"^(?:Package|Depends): .*$", _own_index(own), re.MULTILINE)
    question = digest(json.dumps(lists, sort_keys=True), node.reference, *needs)
    answer = folder / "resolutions" / question
    if answer.is_file() and not refresh:
        members = set(answer.read_text(encoding="utf-8").split())
        if all((folder / "pool" / name).is_file() for name in members):
            return members
    apt = _Apt(place("mirror-apt", "apt.conf").parent, node, own)
    apt.update(force=refresh)
    members = set(apt.resolve(lists, folder / "pool"))
    write_atomically(answer, "\n".join(sorted(members)))
    return members


def _own_index(own: Path | None) -> str:
    return (own / "Packages").read_text(encoding="utf-8") if own else ""


def _index(folder: Path, new: Path, members: set[str]) -> None:
    """Write the index of these members of the pool, and sign it."""
    everything = run(
        ["apt-ftparchive", "--db", str(folder / "packages.db"), "packages", "pool"],
        purpose="indexing the package mirror",
        directory=folder,
    )
    stanzas = [
        stanza
        for stanza in everything.strip().split("\n\n")
        if Path(re.findall(r"^Filename: (.*)$", stanza, re.MULTILINE)[0]).name in members
    ]
    if len(stanzas) != len(members):
        raise Failure(
            f"the package mirror's index holds {len(stanzas)} of {len(members)} packages",
            next_step="python -m operate.toolchain clean mirror   # then build it anew",
        )
    binary = new / SUITE / COMPONENT / f"binary-{_architecture()}"
    binary.mkdir(parents=True)
    (binary / "Packages").write_text("\n\n".join(stanzas) + "\n", encoding="utf-8")
    fields = {"Suite": SUITE, "Codename": SUITE, "Components": COMPONENT, "Architectures": _architecture()}
    options = [f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in fields.items()]
    release = run(
        ["apt-ftparchive", *options, "release", SUITE], purpose="indexing the package mirror", directory=new
    )
    (new / SUITE / "Release").write_text(release, encoding="utf-8")
    sign(new / SUITE / "Release")
    (new / "members.json").write_text(json.dumps(sorted(members)), encoding="utf-8")


def _members(folder: Path, key: str) -> list[str]:
    members: list[str] = json.loads((folder / "indices" / key / "members.json").read_text())
    return members


def _size(folder: Path, key: str) -> str:
    members = _members(folder, key)
    size = sum((folder / "pool" / name).stat().st_size for name in members)
    return f"{len(members)} packages, {size / 2**20:.0f} MiB"


def _architecture() -> str:
    return run(["dpkg", "--print-architecture"], purpose="asking for the architecture").strip()


class _Apt:
    """This machine's apt, made to see the node's release and installed packages instead of its own."""

    def __init__(self, folder: Path, node: NodeImage, own: Path | None) -> None:
        self._folder = folder
        self._configuration = folder / "apt.conf"
        for part in ("lists/partial", "cache", "none/partial"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        parts = folder / "sources.d"
        parts.mkdir(exist_ok=True)
        lines = [source.line() for source in apt_source.sources()]
        self._archives = digest(*lines)
        write_atomically(parts / "archives.list", "\n".join(lines) + "\n")
        write_atomically(parts / "own.list", f"deb [trusted=yes] file:{own} ./\n" if own else "")
        settings = {
            "Dir::State": folder,
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": node.status,
            "Dir::Cache": folder / "cache",
            "Dir::Cache::pkgcache": "pkgcache.bin",
            "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": parts,
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
        }
        text = "".join(f'{name} "{value}";\n' for name, value in settings.items())
        write_atomically(self._configuration, text + apt_source.settings() + "\n")

    def update(self, *, force: bool) -> None:
        """Fetch the archives' lists unless they are of today and of the same archives."""
        stamp = self._folder / "updated"
        if force or not (
            stamp.is_file()
            and stamp.read_text(encoding="utf-8") == self._archives
            and time.time() - stamp.stat().st_mtime < _LISTS_ARE_FRESH_SECONDS
        ):
            self._get("update", "--error-on=any", purpose="fetching Debian's package lists")
            write_atomically(stamp, self._archives)
        else:
            # Our own folder alone: no network, and the other lists stay as they are.
            own = self._folder / "sources.d" / "own.list"
            options = (f"-oDir::Etc::sourcelist={own}", "-oDir::Etc::sourceparts=/dev/null")
            self._get(*options, "-oAPT::Get::List-Cleanup=0", "update", purpose="reading our own packages")

    def resolve(self, lists: Mapping[str, list[str]], pool: Path) -> Iterable[str]:
        """Download what the lists need into the pool; yields the file names, our own packages left out."""
        self._refuse_unknown(lists)
        for names in lists.values():
            needed = self._needed(names)
            if any(not (pool / name).is_file() for name in needed):
                self._download(names, pool)
            yield from needed

    def _refuse_unknown(self, lists: Mapping[str, list[str]]) -> None:
        names = sorted({name for names in lists.values() for name in names})
        shown = self._run("apt-cache", "policy", *names, purpose="looking packages up")
        blocks = re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (.*)$", shown, re.MULTILINE)
        known = {name for name, candidate in blocks if candidate != "(none)"}
        unknown = {
            topic: missing
            for topic, names in lists.items()
            if (missing := [name for name in names if name not in known])
        }
        if unknown:
            raise Failure(
                f"packages are named that neither Debian {apt_source.RELEASE} nor this project has",
                details="\n".join(f"{topic}: {', '.join(missing)}" for topic, missing in unknown.items()),
                next_step="correct roles/<role>/vars/main.yml or scripts/toolchain/mirror.yml",
            )

    def _needed(self, names: list[str]) -> list[str]:
        # An empty archive folder has every file printed, whether the pool holds it or not.
        shown = self._get(
            f"-oDir::Cache::archives={self._folder / 'none'}",
            "install",
            "--print-uris",
            "-qq",
            *names,
            purpose=f"resolving the packages {' '.join(names)}",
        )
        return [
            name
            for address, name in re.findall(r"^'(\S+)' (\S+) ", shown, re.MULTILINE)
            if not address.startswith("file:")
        ]

    def _download(self, names: list[str], pool: Path) -> None:
        for attempt in range(_RETRY_ATTEMPTS):
            try:
                self._get(
                    f"-oDir::Cache::archives={pool}",
                    "install",
                    "--download-only",
                    "--yes",
                    *names,
                    purpose="downloading packages",
                )
                return
            except Failure:
                if attempt == _RETRY_ATTEMPTS - 1:
                    raise
                # The archive may have moved on since its lists were fetched.
                self.update(force=True)

    def _get(self, *arguments: str, purpose: str) -> str:
        return self._run("apt-get", *arguments, purpose=purpose)

    def _run(self, program: str, *arguments: str, purpose: str) -> str:
        return run(
            [program, *arguments],
            purpose=purpose,
            next_step="apt-get update   # does this machine's own apt reach its archives?",
            environment={"APT_CONFIG": str(self._configuration), "DEBIAN_FRONTEND": "noninteractive"},
        )
