"""Ansible module: a node's container images, each under the name by which kubeadm looks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: node_images
short_description: Container images of a Kubernetes node
description:
  - Pulls images by digest, or reads them from archives, and gives each the name and tag that kubeadm expects.
  - Images that are there already, of the same digest, are left alone.
  - The kubelet, which pulls none of them, is told to keep them when it makes room on a full disk.
  - In check mode on a node whose runtime doesn't run yet, all of them are predicted.
author: SMARTGOUV infrastructure
options:
  repository:
    description: The new names begin with it.
    type: str
    required: true
  registry_hosts:
    description: Folder with containerd's registry settings.
    type: path
    required: true
  images:
    description: The images; see role kubernetes.
    type: list
    elements: dict
    required: true
    options:
      name: {type: str, required: true, description: Name below the repository.}
      tag: {type: str, required: true, description: Tag to give.}
      reference: {type: str, required: true, description: What to pull, or the name inside the archive.}
      archive: {type: path, description: Archive to read instead of pulling.}
"""

RUNTIME = Path("/run/containerd/containerd.sock")
PINNED = "io.cri-containerd.pinned=pinned"
"""The label by which containerd tells the kubelet that an image must stay."""

ARGUMENTS: dict[str, Any] = {
    "repository": {"type": "str", "required": True},
    "registry_hosts": {"type": "path", "required": True},
    "images": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "tag": {"type": "str", "required": True},
            "reference": {"type": "str", "required": True},
            "archive": {"type": "path"},
        },
    },
}


def digests(listing: str) -> dict[str, str]:
    """Digest of each image, by name, from the output of `ctr images ls`."""
    rows = (line.split() for line in listing.splitlines()[1:])
    return {row[0]: row[2] for row in rows if len(row) > 2}


def pinned(listing: str) -> set[str]:
    """Names of the images that must stay, from the output of `ctr images ls`."""
    return {line.split()[0] for line in listing.splitlines()[1:] if PINNED in line}


def is_present(image: dict[str, Any], name: str, known: dict[str, str]) -> bool:
    """Whether the node has an image under its final name, of the digest that its reference asks for."""
    if name not in known:
        return False
    _, at, digest = image["reference"].partition("@")
    return known[name] == digest if at else True


def final_name(repository: str, image: dict[str, Any]) -> str:
    """The name by which kubeadm looks for an image."""
    return f"{repository}/{image['name']}:{image['tag']}"


def main() -> None:
    """Entry point of Ansible."""
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    named = [(image, final_name(module.params["repository"], image)) for image in module.params["images"]]
    if module.check_mode and not RUNTIME.is_socket():
        # The runtime comes with another role, whose run may only have been predicted.
        module.exit_json(changed=True, images=[name for _, name in named])

    def ctr(*arguments: str) -> str:
        code, output, errors = module.run_command(["ctr", "--namespace", "k8s.io", *arguments])
        if code != 0:
            # Above its error, ctr prints warnings about the host.
            said = (errors.strip().splitlines() or ["nothing"])[-1].removeprefix("ctr: ")
            module.fail_json(
                msg=f"`ctr {' '.join(arguments[:2])}` of {arguments[-1]} failed: {said}. "
                "Next: see that the registry answers and holds the image (stage data), then repeat this stage"
            )
        return str(output)

    listing = ctr("images", "ls")
    known, kept = digests(listing), pinned(listing)
    missing = [(image, name) for image, name in named if name not in kept or not is_present(image, name, known)]
    if not module.check_mode:
        for image, name in missing:
            if image["archive"]:
                # Images whose archive knows only their tag get the name that kubeadm's names begin with.
                ctr("images", "import", "--base-name", name.rpartition(":")[0], image["archive"])
            elif image["reference"] not in known:
                hosts = ("--hosts-dir", module.params["registry_hosts"])
                ctr("images", "pull", *hosts, image["reference"])
            if image["reference"] != name:
                ctr("images", "tag", "--force", image["reference"], name)
            ctr("images", "label", name, PINNED)
    module.exit_json(changed=bool(missing), images=[name for _, name in missing])


if __name__ == "__main__":
    main()
