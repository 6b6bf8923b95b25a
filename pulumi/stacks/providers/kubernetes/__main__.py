"""Serves the provider: started by the Pulumi engine, not by people."""

from stacks.providers.kubernetes.provider import KubernetesProvider
from stacks.providers.serving import serve

serve(KubernetesProvider())
