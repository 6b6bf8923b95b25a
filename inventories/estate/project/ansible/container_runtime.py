"""Variables of role container_runtime."""

from __future__ import annotations

from typing import Any

from estate.host import Host
from estate.model import Estate
from estate.project.ansible.secret import secret


def variables(estate: Estate, host: Host) -> dict[str, Any]:
    """How containers run on a node, and the account with which it pulls the site's images.

    ValueError while the digest of image `pause` isn't known.
    """
    return {
        "container_runtime_cgroup_driver": estate.kubernetes.cgroup_driver.value,
        "container_runtime_restrict_oom_score": estate.kubernetes.nodes_are_containers,
        "container_runtime_sandbox_image": estate.image_reference("pause"),
        "container_runtime_registries": [
            {
                "address": estate.image_repository("pause").partition("/")[0],
                "authority": "/etc/smartgouv/tls/root.crt",
                "account": "pull",
                "password": secret("registry-pull"),
            }
        ],
    }
