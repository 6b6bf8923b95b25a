"""Ansible module: has every secret of the cluster encrypted with the key that is in use."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.cluster_store import ERRORS, Store

DOCUMENTATION = """
module: encrypted_secrets
short_description: Secrets in etcd, encrypted with the present key
description:
  - Looks into etcd, through this control plane's member, for secrets that aren't encrypted with O(key).
  - If there are any, all secrets are written again, with what is in them, by the API server.
  - A secret that somebody changes meanwhile is looked for and written once more.
author: SMARTGOUV infrastructure
options:
  key:
    description: Name of the key that the API servers use. All of them must.
    type: str
    required: true
"""

PKI = Path("/etc/kubernetes/pki")
KUBECTL = ("kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf", "--request-timeout=60s")
FOLDER = "/registry/secrets/"
"""Where the API server keeps them in etcd."""

_TIMES = 5


def others(store: Store, key: str) -> list[str]:
    """Names in etcd of the secrets that aren't encrypted with `key`."""
    encrypted = f"k8s:enc:secretbox:v1:{key}:".encode()
    return [name for name, value in store.values(FOLDER) if not value.startswith(encrypted)]


def write_again(module: AnsibleModule) -> None:
    """Have the API server write all secrets. What is in them stays between the two commands."""
    _, secrets, _ = module.run_command(
        [*KUBECTL, "get", "secrets", "--all-namespaces", "-o", "json"], check_rc=True
    )
    # Fails where one was changed or removed since; the others are written.
    module.run_command([*KUBECTL, "replace", "--filename", "-"], data=secrets)


def main() -> None:
    """Entry point of Ansible."""
    module = AnsibleModule({"key": {"type": "str", "required": True}}, supports_check_mode=True)
    store = Store(PKI)
    try:
        left = others(store, module.params["key"])
        if not left or module.check_mode:
            module.exit_json(changed=bool(left), written=left)
        for _ in range(_TIMES):
            write_again(module)
            if not (still := others(store, module.params["key"])):
                module.exit_json(changed=True, written=left)
    except ERRORS as error:
        module.fail_json(
            msg=f"etcd doesn't answer, or has no majority: {error}. "
            "Next: start the control planes that are down (docs/control-planes.md)"
        )
    module.fail_json(
        msg=f"{len(still)} secrets aren't encrypted with {module.params['key']}, {still[0]} among them, though "
        "the API server wrote them again: does every API server use that key? Next: repeat this stage"
    )


if __name__ == "__main__":
    main()
