#!/usr/bin/python
"""Ansible module: anchors of a central server's global configuration, read on its host."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: xroad_anchor
short_description: Read the anchors of a central server's global configuration
description:
  - Asks the admin API on the central server's own host with the key that lies there, which so is in no answer.
    The certificate isn't verified, because it carries the host's public name and nothing leaves the host.
  - An anchor that there isn't yet, as before the federation is made, is left out.
options:
  url: {description: The admin API on this host., type: str, default: "https://localhost:4000/api/v1"}
  key: {description: File with the admin API key., type: path, default: /etc/smartgouv/xroad/api-key}
  sources: {description: C(INTERNAL) or C(EXTERNAL)., type: list, elements: str, required: true}
author: the maintainers of this repository
"""

EXAMPLES = """
- name: Ask for the anchor
  xroad_anchor:
    sources: [INTERNAL]
"""

RETURN = """
anchors:
  description: The anchor's XML by source.
  type: dict
  returned: success
"""

_SECONDS = 30
_NOT_YET = (404, 409)


def answer(url: str, key: str) -> tuple[int, str]:
    """Status and text."""
    address = urlsplit(url)
    connection: http.client.HTTPConnection
    if address.scheme == "https":
        # Its certificate names the host as others see it; this connection ends on the host that it began on.
        context = ssl._create_unverified_context()  # noqa: S323
        connection = http.client.HTTPSConnection(address.netloc, timeout=_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(address.netloc, timeout=_SECONDS)
    try:
        connection.request("GET", address.path, headers={"Authorization": f"X-Road-ApiKey token={key}"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "https://localhost:4000/api/v1"},
            "key": {"type": "path", "default": "/etc/smartgouv/xroad/api-key", "no_log": False},
            "sources": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    wanted, path = module.params, Path(module.params["key"])
    if not path.exists():
        if module.check_mode:
            module.exit_json(changed=False, anchors={})
        module.fail_json(msg=f"there is no {path} on the central server. Next: apply the central server first")
    key = path.read_text(encoding="utf-8").strip()
    anchors = {}
    for source in wanted["sources"]:
        url = f"{wanted['url']}/configuration-sources/{source}/anchor/download"
        try:
            status, text = answer(url, key)
        except (OSError, http.client.HTTPException) as error:
            module.fail_json(
                msg=f"{url} can't be asked: {error}. Next: see on the host why (systemctl --failed)"
            )
        if status == http.client.OK:
            anchors[source] = text
        elif status not in _NOT_YET:
            module.fail_json(msg=f"{url} answered with status {status}: {text[:200]}")
    module.exit_json(changed=False, anchors=anchors)


if __name__ == "__main__":
    main()
