"""The federation of a site as a Pulumi program."""

from stacks.federation.access import access_changes
from stacks.federation.arguments import FederationArgs
from stacks.federation.program import arguments, program

__all__ = ["FederationArgs", "access_changes", "arguments", "program"]
