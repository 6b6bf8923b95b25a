"""Lookup plugin: the value of a secret of the deployment."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from estate import load_secret

DOCUMENTATION = """
name: secret
short_description: Value of a secret of the site
description:
  - Reads the file of that name in the directory that E(SMARTGOUV_SECRETS) names.
  - Tasks that use it set C(no_log).
options:
  _terms:
    description: Names of secrets.
    required: true
"""


class LookupModule(LookupBase):  # type: ignore[misc]
    """Wraps `estate.load_secret`."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[str]:
        """Values of `terms`; a missing one is an error that names the secret and its file."""
        try:
            return [load_secret(term) for term in terms]
        except LookupError as error:
            raise AnsibleError(str(error)) from error
