"""The instance: the central server with its members, subsystems and approved trust services."""

from __future__ import annotations

import pulumi

from stacks.federation.arguments import InstanceArgs, MemberArgs
from stacks.providers.xroad.resource import Resource
from stacks.providers.xroad.resources.central_server import CentralServerInputs
from stacks.providers.xroad.resources.certification_service import CertificationServiceInputs
from stacks.providers.xroad.resources.configuration_part import ConfigurationPartInputs
from stacks.providers.xroad.resources.groups import GlobalGroupInputs
from stacks.providers.xroad.resources.management import ManagementProviderInputs
from stacks.providers.xroad.resources.member import MemberInputs
from stacks.providers.xroad.resources.member_class import MemberClassInputs
from stacks.providers.xroad.resources.subsystem import SubsystemInputs
from stacks.providers.xroad.resources.timestamping_service import TimestampingServiceInputs


class Instance(pulumi.ComponentResource):
    """A central server that generates a valid global configuration."""

    subsystems: dict[str, Resource]
    """By identifier."""
    groups: dict[str, Resource]
    """Global groups, as `INSTANCE:GROUP`."""
    configuration: list[pulumi.Resource]
    """What a security server needs before it can be initialised."""

    def __init__(self, name: str, args: InstanceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("stacks:federation:Instance", name, None, opts)
        self.central = Resource(
            args.server,
            CentralServerInputs(server=args.server, instance=args.instance, address=args.address),
            pulumi.ResourceOptions(parent=self),
        )
        classes = {
            item.code: Resource(
                item.code,
                MemberClassInputs(code=item.code, description=item.description),
                self._after(self.central),
            )
            for item in args.member_classes
        }
        self.members: dict[str, Resource] = {}
        self.subsystems = {}
        for member in args.members:
            self._member(member, classes[member.member_class])
        provider = Resource(
            "management-provider",
            ManagementProviderInputs(subsystem=args.management_provider),
            self._after(self.subsystems[args.management_provider]),
        )
        certification = Resource(
            args.certification.name,
            CertificationServiceInputs(
                name=args.certification.name,
                profile=args.certification.profile,
                ocsp_responders=args.certification.ocsp_responders,
                intermediates=args.certification.intermediates,
            ),
            self._after(self.central),
        )
        timestamping = [
            Resource(
                item.url,
                TimestampingServiceInputs(url=item.url, host=item.host),
                self._after(self.central),
            )
            for item in args.timestamping
        ]
        parts = [
            Resource(
                item.part,
                ConfigurationPartInputs(part=item.part, file=item.file, content=item.content),
                self._after(self.central),
            )
            for item in args.configuration_parts
        ]
        self.groups = {
            f"{args.instance}:{item.code}": Resource(
                f"{args.instance}:{item.code}",
                GlobalGroupInputs(
                    code=item.code, description=item.description, members=tuple(sorted(item.members))
                ),
                self._after(*(self.subsystems[member] for member in item.members)),
            )
            for item in args.global_groups
        }
        self.configuration = [provider, certification, *timestamping, *parts]
        self.register_outputs({"instance": args.instance})

    def _member(self, args: MemberArgs, member_class: Resource) -> None:
        member = Resource(
            args.member, MemberInputs(member=args.member, name=args.name), self._after(member_class)
        )
        self.members[args.member] = member
        for item in args.subsystems:
            self.subsystems[item.subsystem] = Resource(
                item.subsystem,
                SubsystemInputs(subsystem=item.subsystem, name=item.name),
                self._after(member),
            )

    def _after(self, *needed: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=list(needed))
