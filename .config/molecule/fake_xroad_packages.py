# ruff: noqa: E501 - programs of the stand-ins are short, not beautiful
"""Stand-ins for X-Road's packages: its names, dependencies, questions, files and units, and none of its programs.

Usage: fake_xroad_packages.py FOLDER. Makes a signed archive there with the suites noble-7.7.1 and noble-7.8.0, and beside
it the key's fingerprint. What stands in for a server answers on the admin API's and the health check's ports.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

VERSIONS = ("7.7.1", "7.8.0")

ADMIN_API = '''#!/usr/bin/python3
"""Stands in for the admin API: keys and the version."""
import base64, http.server, json, os, pathlib, secrets, ssl, subprocess, sys
name = sys.argv[1]
state = pathlib.Path("/var/lib/xroad/fake-keys.json")
def keys(): return json.loads(state.read_text()) if state.exists() else {}
class Api(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=None):
        text = json.dumps(body).encode()
        self.send_response(status); self.send_header("content-length", str(len(text))); self.end_headers()
        self.wfile.write(text)
    def key(self): return (self.headers["authorization"] or "").removeprefix("X-Road-ApiKey token=")
    def basic(self): return (self.headers["authorization"] or "").startswith("Basic ")
    def do_GET(self):
        if self.path.endswith("/api-keys"):
            return self.answer(200 if self.basic() else 401, [{"id": int(n)} for n in keys()])
        if self.key() not in keys().values():
            return self.answer(401)
        if self.path.endswith("/anchor/download"):
            text = b"<anchor/>"
            self.send_response(200); self.send_header("content-length", str(len(text))); self.end_headers()
            return self.wfile.write(text)
        self.answer(200, {})
    def do_POST(self):
        if not self.basic(): return self.answer(401)
        known, text = keys(), secrets.token_hex(8)
        number = str(max(map(int, known), default=0) + 1)
        state.write_text(json.dumps({**known, number: text}))
        self.answer(200, {"id": int(number), "key": text, "roles": json.loads(self.rfile.read(int(self.headers["content-length"])))})
    def do_DELETE(self):
        known = keys(); known.pop(self.path.rpartition("/")[2]); state.write_text(json.dumps(known)); self.answer(200)
    def log_message(self, *_): pass
store = f"/etc/xroad/ssl/{name}.p12"
pem = subprocess.run(["openssl", "pkcs12", "-in", store, "-passin", f"pass:{name}", "-nodes"], capture_output=True, check=True).stdout
at = pathlib.Path(f"/var/lib/xroad/{name}.pem"); at.touch(mode=0o600); at.write_bytes(pem)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(at)
server = http.server.ThreadingHTTPServer(("", 4000), Api)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
'''

HEALTH = '''#!/usr/bin/python3
"""Stands in for the proxy: its health check and its maintenance mode."""
import http.server, threading
maintenance = False
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global maintenance
        if self.server.server_port == 5566:
            maintenance = "targetState=true" in self.path
        self.send_response(503 if maintenance and self.server.server_port == 5588 else 200)
        self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *_): pass
threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", 5566), Answer).serve_forever).start()
http.server.ThreadingHTTPServer(("", 5588), Answer).serve_forever()
'''

SIGNER_CONSOLE = '''#!/usr/bin/python3
"""Stands in for the signer's console: a token that is initialized with a PIN from a terminal, and opened."""
import getpass, pathlib, sys
token = pathlib.Path("/etc/xroad/signer/softtoken/.softtoken.p12")
if sys.argv[1] == "init-software-token":
    first, second = getpass.getpass("PIN: "), getpass.getpass("retype PIN: ")
    if first != second: sys.exit("ERROR: PINs do not match")
    token.parent.mkdir(parents=True, exist_ok=True)
    token.write_text(first)
elif sys.argv[1] == "list-tokens":
    opened = pathlib.Path("/run/xroad-autologin/opened").exists()
    print(f"Token: 0 (OK, writable, available, {'active' if opened else 'inactive'})")
'''

CONFPROXY = '''#!/usr/bin/python3
"""Stands in for the configuration proxy's tools."""
import pathlib, sys
tool, name = pathlib.Path(sys.argv[0]).name, sys.argv[2]
folder = pathlib.Path("/etc/xroad/confproxy") / name
ini = folder / "conf.ini"
if tool == "confproxy-create-instance":
    folder.mkdir(parents=True)
    ini.write_text("validity-interval-seconds = 600\\\\n")
elif tool == "confproxy-add-signing-key":
    keys = len(list(folder.glob("cert_*.pem"))) + 1
    (folder / f"cert_KEY{keys}.pem").write_text("certificate")
    ini.write_text(ini.read_text() + f"active-signing-key-id = KEY{keys}\\\\nsigning-key-id-1 = KEY{keys}\\\\n")
elif tool == "confproxy-generate-anchor":
    pathlib.Path(sys.argv[4]).write_text(f"<anchor of='{name}'/>")
'''.replace("\\\\n", "\\n")

CRUDINI = '''#!/usr/bin/python3
"""As much of crudini as is used here: --set FILE SECTION NAME VALUE."""
import pathlib, re, sys
_, _, path, section, name, value = sys.argv
lines = [line for line in pathlib.Path(path).read_text().splitlines() if not re.match(rf"{re.escape(name)}\\s*=", line)]
if section and f"[{section}]" not in lines: lines = [f"[{section}]", *lines]
at = lines.index(f"[{section}]") + 1 if section else len(lines)
pathlib.Path(path).write_text("\\n".join([*lines[:at], f"{name} = {value}", *lines[at:]]) + "\\n")
'''

RESTORE = """#!/bin/sh
# Stands in for restore_xroad_proxy_configuration.sh -s ID -f FILE: what is in a backup of that ID comes back.
[ "$(id -nu)" = xroad ] || exit 2
content=$(gpg --batch --no-tty --homedir /etc/xroad/gpghome --decrypt "$4") || exit 1
[ "$content" = "security_XROAD_7.1_$2" ] || { echo "The expected label and the actual label do not match"; exit 1; }
echo "$content" >/var/lib/xroad/restored
"""

BASE = """
getent passwd xroad >/dev/null || useradd --system --home /var/lib/xroad --shell /bin/bash --user-group xroad
usermod --append -G shadow xroad
mkdir -p /var/lib/xroad/backup /etc/xroad/conf.d /etc/xroad/ssl /etc/xroad/services /var/log/xroad /var/tmp/xroad
chown -R xroad:xroad /var/lib/xroad /etc/xroad
touch /etc/xroad/conf.d/local.ini /etc/xroad/services/local.properties
"""

GROUPS = """
. /usr/share/debconf/confmodule
db_get xroad-common/username && user=$RET
for group in security-officer registration-officer service-administrator system-administrator securityserver-observer; do
    getent group "xroad-$group" >/dev/null || groupadd --system "xroad-$group"
    [ -z "$user" ] || usermod -a -G "xroad-$group" "$user"
done
db_stop
"""

CERTIFICATE = """
for name in {names}; do
    [ -e /etc/xroad/ssl/$name.p12 ] || {{
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 7 -subj /CN=self-made \\
            -keyout /etc/xroad/ssl/$name.key -out /etc/xroad/ssl/$name.crt 2>/dev/null
        openssl pkcs12 -export -in /etc/xroad/ssl/$name.crt -inkey /etc/xroad/ssl/$name.key -name $name \\
            -out /etc/xroad/ssl/$name.p12 -passout pass:$name
        chown xroad:xroad /etc/xroad/ssl/$name.*
    }}
done
"""

# As configure_management_api_key.sh and the postinst of the WSDL validator do.
TOKENS = "grep -q api-token /etc/xroad/conf.d/local.ini || printf '[{0}]\\napi-token = made-here\\n' >>/etc/xroad/conf.d/local.ini\n"
VALIDATOR = """grep -q wsdl-validator-command /etc/xroad/conf.d/local.ini ||
    printf '[proxy-ui-api]\\nwsdl-validator-command = /usr/share/xroad/validator\\n' >>/etc/xroad/conf.d/local.ini
"""

SLEEPER = "/usr/bin/sleep infinity"
AUTOLOGIN = "/usr/share/xroad/autologin/retry.sh"
RETRY = """#!/bin/sh
# Keeps what the hook printed, so that a test sees that the PIN arrived.
umask 077
/usr/share/xroad/autologin/custom-fetch-pin.sh >/run/xroad-autologin/pin && touch /run/xroad-autologin/opened
"""


def unit(command: str, *more: str, kind: str = "simple", user: str = "xroad") -> str:
    """A unit as X-Road's are."""
    return "\n".join(
        [
            "[Unit]",
            f"Description={command}",
            "[Service]",
            f"Type={kind}",
            f"User={user}",
            f"ExecStart={command}",
            "AmbientCapabilities=CAP_NET_BIND_SERVICE",
            *more,
            "[Install]",
            "WantedBy=multi-user.target",
            *(["WantedBy=xroad-signer.service"] if command == AUTOLOGIN else []),
            "",
        ]
    )


def question(*names: str) -> str:
    """Templates of debconf."""
    return "\n".join(
        f"Template: {name}\nType: {'boolean' if 'enable-' in name or 'skip-' in name else 'string'}\nDescription: {name}\n"
        for name in names
    )


COMMON = "xroad-common/"
PACKAGES: dict[str, dict[str, object]] = {
    "xroad-base": {
        "depends": "python3, openssl, adduser, debconf",
        "postinst": BASE,
        "templates": question(f"{COMMON}username"),
        "files": {
            "/usr/bin/crudini": CRUDINI,
            "/usr/share/xroad/scripts/restore_xroad_proxy_configuration.sh": RESTORE,
        },
        "units": {"xroad-base": unit("/bin/true", "RemainAfterExit=yes", kind="oneshot")},
    },
    "xroad-signer": {
        "depends": "xroad-base (= {version})",
        "units": {"xroad-signer": unit(SLEEPER)},
        "files": {"/usr/bin/signer-console": SIGNER_CONSOLE},
    },
    "xroad-confclient": {"depends": "xroad-base (= {version})", "units": {"xroad-confclient": unit(SLEEPER)}},
    "xroad-autologin": {
        "depends": "xroad-signer (= {version})",
        "files": {AUTOLOGIN: RETRY},
        "units": {
            "xroad-autologin": unit(
                AUTOLOGIN,
                "RuntimeDirectory=xroad-autologin",
                "RuntimeDirectoryPreserve=yes",
                "Restart=on-failure",
                "RestartPreventExitStatus=127",
            )
        },
    },
    "xroad-database-local": {"depends": "xroad-base (= {version})", "conflicts": "xroad-database-remote"},
    "xroad-database-remote": {"depends": "xroad-base (= {version})", "conflicts": "xroad-database-local"},
    "xroad-nginx": {
        "depends": "xroad-base (= {version})",
        "units": {"nginx": unit(SLEEPER, "ExecReload=/bin/true")},
    },
    "xroad-proxy": {
        "depends": "xroad-signer (= {version}), xroad-confclient (= {version})",
        "conflicts": "xroad-center, xroad-confproxy",
        "templates": question(
            *(
                f"{COMMON}{name}"
                for name in (
                    "username",
                    "database-host",
                    "proxy-memory",
                    "service-subject",
                    "service-altsubject",
                )
            )
        ),
        "postinst": GROUPS + CERTIFICATE.format(names="internal"),
        "files": {"/usr/share/xroad/bin/health": HEALTH},
        "units": {"xroad-proxy": unit("/usr/share/xroad/bin/health")},
    },
    "xroad-proxy-ui-api": {
        "depends": "xroad-proxy (= {version})",
        "templates": question(f"{COMMON}proxy-ui-api-subject", f"{COMMON}proxy-ui-api-altsubject"),
        "postinst": CERTIFICATE.format(names="proxy-ui-api") + VALIDATOR,
        "files": {"/usr/share/xroad/bin/admin-api": ADMIN_API},
        "units": {"xroad-proxy-ui-api": unit("/usr/share/xroad/bin/admin-api proxy-ui-api")},
    },
    "xroad-addon-messagelog": {
        "depends": "xroad-proxy (= {version})",
        "templates": question("xroad-addon-messagelog/enable-messagelog"),
        "units": {"xroad-addon-messagelog": unit(SLEEPER)},
    },
    "xroad-monitor": {"depends": "xroad-base (= {version})", "units": {"xroad-monitor": unit(SLEEPER)}},
    "xroad-securityserver": {
        "depends": "xroad-proxy-ui-api (= {version}), xroad-addon-messagelog (= {version}), xroad-monitor (= {version})",
        "conflicts": "xroad-centralserver",
    },
    "xroad-center": {
        "depends": "xroad-nginx (= {version}), xroad-signer (= {version}), xroad-confclient (= {version})",
        "conflicts": "xroad-proxy, xroad-confproxy",
        "templates": question(
            *(
                f"{COMMON}{name}"
                for name in (
                    "username",
                    "database-host",
                    "admin-subject",
                    "admin-altsubject",
                    "service-subject",
                    "service-altsubject",
                    "global-conf-subject",
                    "global-conf-altsubject",
                    "skip-cs-db-migrations",
                )
            )
        ),
        "postinst": GROUPS + CERTIFICATE.format(names="center-admin-service management-service global-conf"),
        "files": {"/usr/share/xroad/bin/admin-api": ADMIN_API},
        "units": {"xroad-center": unit("/usr/share/xroad/bin/admin-api center-admin-service")},
    },
    "xroad-centralserver": {
        "depends": "xroad-center (= {version})",
        "conflicts": "xroad-securityserver",
        "postinst": TOKENS.format("management-service"),
        "units": {
            "xroad-center-registration-service": unit(SLEEPER),
            "xroad-center-management-service": unit(SLEEPER),
        },
    },
    "xroad-confproxy": {
        "depends": "xroad-confclient (= {version}), xroad-nginx (= {version}), xroad-signer (= {version})",
        "conflicts": "xroad-center, xroad-proxy",
        "templates": question(f"{COMMON}confproxy-subject", f"{COMMON}confproxy-altsubject"),
        "postinst": CERTIFICATE.format(names="confproxy")
        + "mkdir -p /etc/xroad/confproxy /var/lib/xroad/anchors; chown -R xroad:xroad /etc/xroad /var/lib/xroad\n",
        "files": {
            f"/usr/bin/confproxy-{tool}": CONFPROXY
            for tool in ("create-instance", "add-signing-key", "generate-anchor")
        },
    },
}


def build(name: str, version: str, pool: Path) -> None:
    """One package."""
    what = PACKAGES[name]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        control = root / "DEBIAN"
        control.mkdir(mode=0o755)
        fields = {
            "Package": name,
            "Version": f"{version}-1.ubuntu24.04",
            "Architecture": "all",
            "Maintainer": "Tests <tests@example.test>",
            "Depends": str(what.get("depends", "")).format(version=f"{version}-1.ubuntu24.04"),
            "Conflicts": str(what.get("conflicts", "")),
            "Description": "stands in for a package of X-Road",
        }
        (control / "control").write_text("".join(f"{key}: {value}\n" for key, value in fields.items() if value))
        if templates := what.get("templates"):
            (control / "templates").write_text(str(templates))
        units = dict(what.get("units", {}))  # type: ignore[call-overload]
        script = "#!/bin/bash\nset -e\n" + str(what.get("postinst", ""))
        script += "systemctl daemon-reload\n" if units else ""
        script += "".join(
            f"systemctl enable --quiet {each}.service; systemctl restart {each}.service || true\n"
            for each in units
        )
        (control / "postinst").write_text(script)
        (control / "postinst").chmod(0o755)
        files = dict(what.get("files", {}))  # type: ignore[call-overload]
        for path, content in files.items():
            target = root / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
            target.chmod(0o755)
        for each, content in units.items():
            target = root / f"usr/lib/systemd/system/{each}.service"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        for path in root.rglob("*"):
            if path.is_dir():
                path.chmod(0o755)
        archive = pool / f"{name}_{version}_all.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Znone", "--build", root, archive],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def index(folder: Path, version: str, home: Path) -> None:
    """The index of a suite, signed."""
    suite = folder / f"dists/noble-{version}"
    packages = suite / "main/binary-amd64/Packages"
    packages.parent.mkdir(parents=True)
    entries = []
    for archive in sorted((folder / "pool").glob(f"*_{version}_all.deb")):
        fields = subprocess.run(
            ["dpkg-deb", "--field", archive], check=True, capture_output=True, text=True
        ).stdout
        content = archive.read_bytes()
        entries.append(
            f"{fields}Filename: pool/{archive.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
        )
    packages.write_text("\n".join(entries))
    content = packages.read_bytes()
    release = (
        f"Suite: noble-{version}\nCodename: noble-{version}\nArchitectures: amd64 all\nComponents: main\n"
        "Date: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n"
        f" {hashlib.sha256(content).hexdigest()} {len(content)} main/binary-amd64/Packages\n"
    )
    subprocess.run(
        ["gpg", "--homedir", home, "--batch", "--clearsign", "--output", suite / "InRelease"],
        input=release,
        text=True,
        check=True,
        capture_output=True,
    )


def main() -> None:
    """Make the whole."""
    folder = Path(sys.argv[1])
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "pool").mkdir(parents=True)
    for version in VERSIONS:
        for name in PACKAGES:
            build(name, version, folder / "pool")
    with tempfile.TemporaryDirectory() as home:
        gpg = ["gpg", "--homedir", home, "--batch"]
        subprocess.run(
            [
                *gpg,
                "--passphrase",
                "",
                "--quick-generate-key",
                "Scenario <scenario@example.test>",
                # To sign, and to encrypt for.
                "default",
                "default",
                "1d",
            ],
            check=True,
            capture_output=True,
        )
        shown = subprocess.run(
            [*gpg, "--list-keys", "--with-colons"], check=True, capture_output=True, text=True
        ).stdout
        fingerprint = next(line.split(":")[9] for line in shown.splitlines() if line.startswith("fpr:"))
        key = subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True, text=True).stdout
        (folder / "key.asc").write_text(key)
        (folder / "fingerprint").write_text(fingerprint)
        for version in VERSIONS:
            index(folder, version, Path(home))
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)
    subprocess.run(["tar", "--create", f"--file={folder}.tar", f"--directory={folder}", "."], check=True)


if __name__ == "__main__":
    os.umask(0o022)
    main()
