"""The platform of a site as a Pulumi program: portal and sector systems on Kubernetes."""

from stacks.platform.arguments import PlatformArgs, Secrets
from stacks.platform.program import arguments, declare, program, secrets

__all__ = ["PlatformArgs", "Secrets", "arguments", "declare", "program", "secrets"]
