"""Each rule of the model accepts every valid estate and refuses what breaks it, at the right place."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.strategies import estates, lab, production

from estate import Estate
from estate.checks import RULES, check

Break = Callable[[dict[str, Any], st.DataObject], str]
"""Damages an estate's data and returns what the refusal must say."""


def host_in_other_zone(data: dict[str, Any], draw: st.DataObject) -> str:
    host = draw.draw(st.sampled_from([h for h in data["hosts"] if h["roles"] != ("router",)]))
    host["address"] = IPv4Address("192.168.77.7")
    return f"address 192.168.77.7 of '{host['name']}' is outside zone '{host['zone']}'"


def duplicate_address(data: dict[str, Any], draw: st.DataObject) -> str:
    pairs = [
        (a, b) for a in data["hosts"] for b in data["hosts"] if a["zone"] == b["zone"] and a["name"] < b["name"]
    ]
    first, second = draw.draw(st.sampled_from(pairs))
    second["address"] = first["address"]
    return f"address {first['address']} is used twice"


def duplicate_name(data: dict[str, Any], draw: st.DataObject) -> str:
    kind = draw.draw(st.sampled_from(["hosts", "zones", "flows", "sectors", "protections"]))
    item = dict(draw.draw(st.sampled_from(data[kind])))
    data[kind] = (*data[kind], item)
    return f"two {kind} are called '{item['name']}'"


def zone_that_does_not_exist(data: dict[str, Any], draw: st.DataObject) -> str:
    host = draw.draw(st.sampled_from(data["hosts"]))
    host["zone"] = "nowhere"
    return f"host '{host['name']}' is in zone 'nowhere', which doesn't exist"


def gateway_elsewhere(data: dict[str, Any], draw: st.DataObject) -> str:
    zone = draw.draw(st.sampled_from(data["zones"]))
    zone["gateway"] = IPv4Address("192.168.77.254")
    return f"gateway 192.168.77.254 isn't inside zone '{zone['name']}'"


def zone_outside_site(data: dict[str, Any], draw: st.DataObject) -> str:
    zone = draw.draw(st.sampled_from(data["zones"]))
    zone["network"] = IPv4Network("192.168.77.0/24")
    return f"zone '{zone['name']}' (192.168.77.0/24) isn't inside"


def overlapping_zones(data: dict[str, Any], draw: st.DataObject) -> str:
    first, second = draw.draw(st.permutations(data["zones"]))[:2]
    second["network"] = first["network"]
    return f"overlaps zone '{min((first, second), key=data['zones'].index)['name']}'"


def pods_outside(data: dict[str, Any], draw: st.DataObject) -> str:
    node = draw.draw(st.sampled_from([h for h in data["hosts"] if h["pod_network"]]))
    node["pod_network"] = IPv4Network("192.168.77.0/24")
    return f"pods of '{node['name']}' (192.168.77.0/24) lie outside"


def node_without_pods(data: dict[str, Any], draw: st.DataObject) -> str:
    node = draw.draw(st.sampled_from([h for h in data["hosts"] if h["pod_network"]]))
    node["pod_network"] = None
    return f"node '{node['name']}' has no pod_network"


def legs_without_router(data: dict[str, Any], draw: st.DataObject) -> str:
    hosts = [h for h in data["hosts"] if h["roles"] != ("router",) and h["zone"] == "exchange"]
    host = draw.draw(st.sampled_from(hosts))
    zone = next(z for z in data["zones"] if z["name"] == "edge")
    host["legs"] = {"edge": zone["network"][77]}
    return f"'{host['name']}' isn't a router"


def role_without_host(data: dict[str, Any], draw: st.DataObject) -> str:
    role = draw.draw(st.sampled_from(["certificate_authority", "postgresql", "registry", "load_balancer"]))
    for host in data["hosts"]:
        host["roles"] = tuple(r for r in host["roles"] if r != role)
    return f"no host has the role '{role}'"


def lone_host(data: dict[str, Any], draw: st.DataObject) -> str:
    role = draw.draw(st.sampled_from(["status_responder", "time_stamping"]))
    for host in [host for host in data["hosts"] if role in host["roles"]][1:]:
        host["roles"] = ()
    return f"one host alone has the role '{role}'"


def responder_with_keys(data: dict[str, Any], draw: st.DataObject) -> str:
    responder = draw.draw(st.sampled_from([h for h in data["hosts"] if "status_responder" in h["roles"]]))
    other = draw.draw(st.sampled_from(["certificate_authority", "time_stamping"]))
    responder["roles"] = (*responder["roles"], other)
    return f"'{responder['name']}' holds keys and can't be a status responder"


def _record(data: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(d for d in data["postgresql"]["databases"] if d["name"] == "certificates")
    return found


def record_that_can_be_rewritten(data: dict[str, Any], _: st.DataObject) -> str:
    _record(data)["apart"] = False
    return "database 'certificates' holds the record of certificates"


def record_out_of_reach(data: dict[str, Any], draw: st.DataObject) -> str:
    zones = [zone["name"] for zone in data["zones"] if zone["name"] != "trust"]
    _record(data)["from_zones"] = (draw.draw(st.sampled_from(zones)),)
    return "the trust services CA can't use 'certificates' from zone 'trust'"


def record_without_database(data: dict[str, Any], _: st.DataObject) -> str:
    data["trust"]["record"] = "nowhere"
    return "database 'nowhere' doesn't exist"


def even_quorum(data: dict[str, Any], draw: st.DataObject) -> str:
    worker = draw.draw(st.sampled_from([h for h in data["hosts"] if "kubernetes_worker" in h["roles"]]))
    worker["roles"] = ("kubernetes_control_plane",)
    return "control planes make an even etcd quorum"


def too_many_shares(data: dict[str, Any], draw: st.DataObject) -> str:
    ceremony = data["trust"]["root"]["ceremony"]
    count = len(ceremony["custodians"])
    ceremony["threshold"] = draw.draw(st.integers(count + 1, count + 9))
    return f"{ceremony['threshold']} of {count} shares can't be brought"


def two_shares_of_one_custodian(data: dict[str, Any], draw: st.DataObject) -> str:
    ceremony = data["trust"]["root"]["ceremony"]
    name = draw.draw(st.sampled_from(ceremony["custodians"]))
    ceremony["custodians"] = (*ceremony["custodians"], name.upper())
    return f"custodian '{name.casefold()}' would keep two shares"


def two_authorities_of_one_name(data: dict[str, Any], draw: st.DataObject) -> str:
    other = draw.draw(st.sampled_from(["root", "infrastructure_tls"]))
    first, generation = draw.draw(
        st.sampled_from([("Kubernetes etcd CA", 1), ("Kubernetes front proxy CA G2", 2)])
    )
    data["trust"]["kubernetes"] = {"generation": generation}
    data["trust"][other]["common_name"] = first
    return f"two authorities would be called '{first}'"


def key_in_software(data: dict[str, Any], draw: st.DataObject) -> str:
    authority = data["trust"][draw.draw(st.sampled_from(["root", "trust_services", "infrastructure_tls"]))]
    folder = draw.draw(st.sampled_from(["/usr/lib/softhsm", "/usr/lib/x86_64-linux-gnu/softhsm"]))
    authority["token"]["library"] = f"{folder}/libsofthsm2.so"
    return f"the key of '{authority['common_name']}' would lie in software"


def flow_past_the_zones(data: dict[str, Any], draw: st.DataObject) -> str:
    zone = draw.draw(st.sampled_from(["edge", "exchange"]))
    data["flows"] = (
        *data["flows"],
        {"name": "shortcut", "source": {"zones": (zone,)}, "to": ("postgresql",), "reason": "none"},
    )
    return f"from zone '{zone}' into 'data', but '{zone}' doesn't reach 'data'"


def host_cut_off(data: dict[str, Any], draw: st.DataObject) -> str:
    name, need = draw.draw(
        st.sampled_from([("certificates-of-hosts", "renew its TLS certificate"), ("time", "ask for the time")])
    )
    flow = next(flow for flow in data["flows"] if flow["name"] == name)
    zones = [zone for zone in flow["source"]["zones"] if zone != "operations"]
    gone = draw.draw(st.sampled_from([z for z in zones if any(h["zone"] == z for h in data["hosts"])]))
    flow["source"]["zones"] = tuple(zone for zone in flow["source"]["zones"] if zone != gone)
    cut = [
        host["name"]
        for host in data["hosts"]
        if host["zone"] == gone and "certificate_authority" not in host["roles"]
    ]
    return f"no flow lets '{cut[0]}' {need}" if len(cut) == 1 else f"' {need}"


def flow_from_nowhere(data: dict[str, Any], draw: st.DataObject) -> str:
    flow = draw.draw(st.sampled_from(data["flows"]))
    flow["source"] = {}
    return f"flow '{flow['name']}' has no source"


def right_to_unoffered_service(data: dict[str, Any], draw: st.DataObject) -> str:
    right = draw.draw(st.sampled_from(data["federation"]["access_rights"]))
    right["services"] = ("unheard-of",)
    return f"access right to service 'unheard-of', which '{right['provider']}' doesn't offer"


def right_given_twice(data: dict[str, Any], draw: st.DataObject) -> str:
    right = draw.draw(st.sampled_from(data["federation"]["access_rights"]))
    data["federation"]["access_rights"] = (*data["federation"]["access_rights"], dict(right))
    return "is given twice"


def right_of_unknown_client(data: dict[str, Any], draw: st.DataObject) -> str:
    right = draw.draw(st.sampled_from(data["federation"]["access_rights"]))
    right["client"] = "GOV/NOBODY/PORTAL"
    return "subsystem 'GOV/NOBODY/PORTAL' doesn't exist"


APPROVERS = (
    {"name": "registrar", "key": "ssh-ed25519 AAAA"},
    {"name": "security-officer", "key": "ssh-ed25519 AAAB"},
)


def more_approvals_than_approvers(data: dict[str, Any], draw: st.DataObject) -> str:
    required = draw.draw(st.integers(3, 9))
    data["federation"]["approvals"] = {"required": required, "approvers": APPROVERS, "valid_days": 30}
    return f"{required} approvals are required of 2 approvers"


def approver_twice(data: dict[str, Any], draw: st.DataObject) -> str:
    fact = draw.draw(st.sampled_from(["name", "key"]))
    same = {**APPROVERS[0], fact: APPROVERS[1][fact]}
    data["federation"]["approvals"] = {"required": 1, "approvers": (same, APPROVERS[1]), "valid_days": 30}
    return f"two approvers have the {fact} '{APPROVERS[1][fact]}'"


def _provider(data: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """The subsystem that grants a right."""
    member_class, code, subsystem = right["provider"].split("/")
    found: dict[str, Any] = next(
        item
        for member in data["federation"]["members"]
        if (member["member_class"], member["code"]) == (member_class, code)
        for item in member["subsystems"]
        if item["code"] == subsystem
    )
    return found


def _narrowed(data: dict[str, Any], draw: st.DataObject) -> dict[str, Any]:
    """A right that is narrowed to an endpoint of its service, in order."""
    right: dict[str, Any] = draw.draw(st.sampled_from(data["federation"]["access_rights"]))
    endpoint = {"method": "GET", "path": "/records/*"}
    right["endpoints"] = (endpoint,)
    for service in _provider(data, right)["services"]:
        service["endpoints"] = (endpoint,)
    return right


def right_to_unknown_endpoint(data: dict[str, Any], draw: st.DataObject) -> str:
    right = _narrowed(data, draw)
    right["endpoints"] = ({"method": "POST", "path": "/records/*"},)
    code = right["services"][0]
    return f"access right to endpoint 'POST /records/*', which service '{code}' doesn't have"


def right_to_endpoints_of_two_services(data: dict[str, Any], draw: st.DataObject) -> str:
    right = _narrowed(data, draw)
    right["services"] = (*right["services"], "another")
    return "a right to endpoints is to those of one service"


def right_to_a_part_of_the_whole(data: dict[str, Any], draw: st.DataObject) -> str:
    right = _narrowed(data, draw)
    data["federation"]["access_rights"] = (*data["federation"]["access_rights"], {**right, "endpoints": ()})
    return f"'{right['client']}' may call all of '{right['services'][0]}' already"


def endpoint_twice(data: dict[str, Any], draw: st.DataObject) -> str:
    service = _provider(data, _narrowed(data, draw))["services"][0]
    service["endpoints"] = (*service["endpoints"], *service["endpoints"])
    return f"service '{service['code']}' has endpoint 'GET /records/*' twice"


def service_twice(data: dict[str, Any], draw: st.DataObject) -> str:
    right = draw.draw(st.sampled_from(data["federation"]["access_rights"]))
    provider = _provider(data, right)
    provider["services"] = (*provider["services"], provider["services"][0])
    return f"'{right['provider']}' offers two services '{provider['services'][0]['code']}'"


def service_of_xroad_itself(data: dict[str, Any], draw: st.DataObject) -> str:
    right = draw.draw(st.sampled_from(data["federation"]["access_rights"]))
    code = draw.draw(st.sampled_from(["listMethods", "getOpenAPI"]))
    _provider(data, right)["services"][0]["code"] = code
    return f"'{code}' is a service of X-Road itself"


def _grouped(data: dict[str, Any], draw: st.DataObject, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A group in the place of a right's client, in order, with the right."""
    right = draw.draw(st.sampled_from(data["federation"]["access_rights"]))
    group = {"code": "readers", "description": "Who may read", "members": (right["client"],)}
    owner = data["federation"] if kind == "global" else _provider(data, right)
    owner[f"{kind}_groups"] = (group,)
    right["client"] = f"{kind}-group/readers"
    return group, right


KINDS = st.sampled_from(["global", "local"])


def group_with_unknown_member(data: dict[str, Any], draw: st.DataObject) -> str:
    group, _ = _grouped(data, draw, draw.draw(KINDS))
    group["members"] = (*group["members"], "GOV/NOBODY/PORTAL")
    return "subsystem 'GOV/NOBODY/PORTAL' doesn't exist"


def group_with_member_twice(data: dict[str, Any], draw: st.DataObject) -> str:
    group, _ = _grouped(data, draw, draw.draw(KINDS))
    group["members"] = (*group["members"], *group["members"])
    return "is in group 'readers' twice"


def group_twice(data: dict[str, Any], draw: st.DataObject) -> str:
    group, _ = _grouped(data, draw, "global")
    data["federation"]["global_groups"] = (group, group)
    return "the instance has two groups 'readers'"


def group_without_rights(data: dict[str, Any], draw: st.DataObject) -> str:
    kind = draw.draw(KINDS)
    group, right = _grouped(data, draw, kind)
    right["client"] = group["members"][0]
    owner = "the instance" if kind == "global" else f"'{right['provider']}'"
    return f"no right is given to group 'readers' of {owner}"


def group_of_xroad_itself(data: dict[str, Any], draw: st.DataObject) -> str:
    group, right = _grouped(data, draw, "global")
    group["code"] = "security-server-owners"
    right["client"] = "global-group/security-server-owners"
    return "group 'security-server-owners' is X-Road's own"


def right_of_unknown_group(data: dict[str, Any], draw: st.DataObject) -> str:
    right = draw.draw(st.sampled_from(data["federation"]["access_rights"]))
    right["client"] = draw.draw(st.sampled_from(["global-group/nobody", "local-group/nobody"]))
    kind = "global group 'nobody' doesn't exist"
    return kind if right["client"].startswith("global") else "has no local group 'nobody'"


def right_of_anothers_group(data: dict[str, Any], draw: st.DataObject) -> str:
    rights = data["federation"]["access_rights"]
    right = draw.draw(st.sampled_from([item for item in rights if item["provider"] != rights[0]["provider"]]))
    group = {"code": "readers", "description": "Who may read", "members": (right["client"],)}
    _provider(data, rights[0])["local_groups"] = (group,)
    rights[0]["client"] = right["client"] = "local-group/readers"
    return f"local group 'readers' is of '{rights[0]['provider']}': '{right['provider']}' can't give it rights"


def subsystem_on_one_server_twice(data: dict[str, Any], draw: st.DataObject) -> str:
    member = draw.draw(st.sampled_from(data["federation"]["members"]))
    server = member["subsystems"][0]["security_server"]
    member["subsystems"][0]["security_server"] = (server, server)
    return f"is on '{server}' twice"


def subsystem_on_no_server(data: dict[str, Any], draw: st.DataObject) -> str:
    member = draw.draw(st.sampled_from(data["federation"]["members"]))
    member["subsystems"][0]["security_server"] = ()
    return "is on no security server"


def management_elsewhere(data: dict[str, Any], draw: st.DataObject) -> str:
    hosts = [item["host"] for item in data["federation"]["security_servers"]]
    management = data["federation"]["management"]
    management["security_server"] = draw.draw(
        st.sampled_from([host for host in hosts if host != management["security_server"]])
    )
    return f"offers the management services: it is on '{management['security_server']}' alone"


def portal_elsewhere(data: dict[str, Any], draw: st.DataObject) -> str:
    hosts = [item["host"] for item in data["federation"]["security_servers"]]
    portal = data["portal"]
    portal["security_server"] = draw.draw(st.sampled_from([h for h in hosts if h != portal["security_server"]]))
    return f"the portal asks at '{portal['security_server']}', but '{portal['client']}' isn't there"


def certificate_that_nobody_asks_for(data: dict[str, Any], draw: st.DataObject) -> str:
    member = draw.draw(st.sampled_from(data["federation"]["members"]))
    member["subsystems"][0]["connection"] = draw.draw(st.sampled_from(["HTTP", "HTTPS_NO_AUTH"]))
    member["subsystems"][0]["certificates"] = (
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    )
    return "for a certificate: its connection isn't HTTPS"


def unknown_monitoring_client(data: dict[str, Any], _: st.DataObject) -> str:
    data["federation"]["configuration_parts"]["monitoring_client"] = "GOV/NOBODY/MONITORING"
    return "subsystem 'GOV/NOBODY/MONITORING' doesn't exist"


def service_without_sector(data: dict[str, Any], draw: st.DataObject) -> str:
    name = draw.draw(st.sampled_from([sector["name"] for sector in data["sectors"]]))
    data["sectors"] = tuple(s for s in data["sectors"] if s["name"] != name)
    return f"leads to sector '{name}', which doesn't exist"


def subsystem_on_other_server(data: dict[str, Any], draw: st.DataObject) -> str:
    member = draw.draw(st.sampled_from(data["federation"]["members"]))
    member["subsystems"][0]["security_server"] = "database1"
    return "is on 'database1', which isn't a security server"


def missing_database(data: dict[str, Any], draw: st.DataObject) -> str:
    sector = draw.draw(st.sampled_from(data["sectors"]))
    sector["database"] = "elsewhere"
    return "database 'elsewhere' doesn't exist"


def node_port_twice(data: dict[str, Any], draw: st.DataObject) -> str:
    first, second = draw.draw(st.permutations(data["sectors"]))[:2]
    second["node_port"] = first["node_port"]
    return f"node port {first['node_port']} is used twice"


def image_missing(data: dict[str, Any], draw: st.DataObject) -> str:
    name = draw.draw(st.sampled_from(sorted(data["images"])))
    del data["images"][name]
    return f"image '{name}' is missing"


def short_lived_configuration(data: dict[str, Any], draw: st.DataObject) -> str:
    interval = draw.draw(st.integers(min_value=2, max_value=600))
    data["federation"]["configuration_interval"] = interval
    data["federation"]["configuration_lifetime"] = 2 * interval - 1
    return "must outlive two intervals"


def setting_that_does_not_exist(data: dict[str, Any], draw: st.DataObject) -> str:
    server = draw.draw(st.sampled_from(data["federation"]["security_servers"]))
    server["settings"] = {"proxy": {"health-chek-port": 5588}}
    return "[proxy] has no parameter 'health-chek-port'; did you mean 'health-check-port'?"


def node_of_no_cluster(data: dict[str, Any], draw: st.DataObject) -> str:
    host = draw.draw(st.sampled_from([h for h in data["hosts"] if "security_server" in h["roles"]]))
    host["roles"] = (*host["roles"], "security_server_cluster")
    return f"which '{host['name']}' isn't in the federation"


def proxy_of_nothing(data: dict[str, Any], draw: st.DataObject) -> str:
    host = draw.draw(st.sampled_from([h for h in data["hosts"] if "monitoring" in h["roles"]]))
    host["roles"] = (*host["roles"], "configuration_proxy")
    return f"'{host['name']}' proxies no configuration of the federation"


def database_of_two_servers(data: dict[str, Any], draw: st.DataObject) -> str:
    first, second = draw.draw(st.permutations(data["federation"]["security_servers"]))[:2]
    first["database"] = second["database"] = {"host": "db.example", "version": 16}
    return f"'{first['host']}' would share db.example:5432 with another server"


def _shared(data: dict[str, Any], draw: st.DataObject) -> dict[str, Any]:
    found: dict[str, Any] = draw.draw(st.sampled_from(data["shared_addresses"]))
    return found


def shared_by_one(data: dict[str, Any], draw: st.DataObject) -> str:
    shared = _shared(data, draw)
    holders = [host for host in data["hosts"] if shared["role"] in host["roles"]]
    for host in holders[1:]:
        host["roles"] = ()
    return f"'{shared['name']}' can't move: hosts with the role '{shared['role']}': 1"


def shared_across_networks(data: dict[str, Any], draw: st.DataObject) -> str:
    shared = _shared(data, draw)
    holder = draw.draw(st.sampled_from([host for host in data["hosts"] if shared["role"] in host["roles"]]))
    holder["zone"] = draw.draw(st.sampled_from(["exchange", "trust", "data"]))
    return (
        f"'{holder['name']}' is in zone '{holder['zone']}' and can't hold an address of zone '{shared['zone']}'"
    )


def shared_outside_its_network(data: dict[str, Any], draw: st.DataObject) -> str:
    shared = _shared(data, draw)
    shared["address"] = IPv4Address("192.168.77.7")
    return f"shared address 192.168.77.7 is outside zone '{shared['zone']}'"


def shared_in_no_zone(data: dict[str, Any], draw: st.DataObject) -> str:
    shared = _shared(data, draw)
    shared["zone"] = "nowhere"
    return f"'{shared['name']}' is in zone 'nowhere', which doesn't exist"


def shared_with_its_owner(data: dict[str, Any], draw: st.DataObject) -> str:
    shared = _shared(data, draw)
    owner = draw.draw(st.sampled_from([h for h in data["hosts"] if h["zone"] == shared["zone"]]))
    shared["address"] = owner["address"]
    return f"shared address {owner['address']} is {owner['name']}'s own already"


def shared_with_the_gateway(data: dict[str, Any], draw: st.DataObject) -> str:
    shared = _shared(data, draw)
    zone = next(zone for zone in data["zones"] if zone["name"] == shared["zone"])
    shared["address"] = zone["gateway"]
    return f"shared address {zone['gateway']} is the gateway of zone '{zone['name']}'"


def shared_with_the_whole_network(data: dict[str, Any], draw: st.DataObject) -> str:
    shared = _shared(data, draw)
    zone = next(zone for zone in data["zones"] if zone["name"] == shared["zone"])
    shared["address"] = draw.draw(st.sampled_from([zone["network"][0], zone["network"][-1]]))
    return f"shared address {shared['address']} can't be a host's"


def router_id_twice(data: dict[str, Any], draw: st.DataObject) -> str:
    shared = _shared(data, draw)
    other = {**shared, "name": "another", "address": shared["address"] + 50}
    data["shared_addresses"] = (*data["shared_addresses"], other)
    return f"router id {shared['router_id']} is used twice in zone '{shared['zone']}'"


def shared_twice(data: dict[str, Any], draw: st.DataObject) -> str:
    shared = _shared(data, draw)
    field, said = draw.draw(
        st.sampled_from(
            [
                ("name", "two shared addresses are called '{}'"),
                ("address", "shared address {} is used twice"),
                ("role", "hosts with the role '{}' share two addresses"),
            ]
        )
    )
    other = {"name": "another", "address": shared["address"] + 50, "role": "monitoring", "router_id": 99}
    same = {**shared, **other, field: shared[field]}
    data["shared_addresses"] = (*data["shared_addresses"], same)
    return said.format(shared[field])


def shared_by_hosts_that_cannot(data: dict[str, Any], draw: st.DataObject) -> str:
    shared = _shared(data, draw)
    shared["role"] = draw.draw(st.sampled_from(["postgresql", "kubernetes_worker", "security_server"]))
    return f"hosts with the role '{shared['role']}' can't share an address"


def shared_under_a_hosts_name(data: dict[str, Any], draw: st.DataObject) -> str:
    shared = _shared(data, draw)
    shared["name"] = draw.draw(st.sampled_from(data["hosts"]))["name"]
    return f"'{shared['name']}' is a host's name"


def control_planes_that_share_nothing(data: dict[str, Any], _: st.DataObject) -> str:
    data["shared_addresses"] = ()
    return "3 control planes share no address at which clients reach the API"


ANYWHERE: tuple[Break, ...] = (
    shared_by_one,
    shared_across_networks,
    shared_outside_its_network,
    shared_in_no_zone,
    shared_with_its_owner,
    shared_with_the_gateway,
    shared_with_the_whole_network,
    router_id_twice,
    shared_twice,
    shared_by_hosts_that_cannot,
    shared_under_a_hosts_name,
    control_planes_that_share_nothing,
    more_approvals_than_approvers,
    approver_twice,
    setting_that_does_not_exist,
    node_of_no_cluster,
    proxy_of_nothing,
    host_in_other_zone,
    duplicate_address,
    duplicate_name,
    zone_that_does_not_exist,
    gateway_elsewhere,
    zone_outside_site,
    overlapping_zones,
    pods_outside,
    node_without_pods,
    legs_without_router,
    role_without_host,
    lone_host,
    responder_with_keys,
    record_that_can_be_rewritten,
    record_out_of_reach,
    record_without_database,
    even_quorum,
    too_many_shares,
    two_shares_of_one_custodian,
    two_authorities_of_one_name,
    flow_past_the_zones,
    host_cut_off,
    flow_from_nowhere,
    right_to_unoffered_service,
    right_given_twice,
    right_of_unknown_client,
    right_to_unknown_endpoint,
    right_to_endpoints_of_two_services,
    right_to_a_part_of_the_whole,
    endpoint_twice,
    service_twice,
    service_of_xroad_itself,
    group_with_unknown_member,
    group_with_member_twice,
    group_twice,
    group_without_rights,
    group_of_xroad_itself,
    right_of_unknown_group,
    right_of_anothers_group,
    subsystem_on_one_server_twice,
    subsystem_on_no_server,
    management_elsewhere,
    portal_elsewhere,
    certificate_that_nobody_asks_for,
    unknown_monitoring_client,
    service_without_sector,
    subsystem_on_other_server,
    missing_database,
    node_port_twice,
    image_missing,
    short_lived_configuration,
)


def _machines(data: dict[str, Any], role: str) -> list[dict[str, Any]]:
    """Servers of the hosts with a role."""
    servers = {server["name"]: server for server in data["servers"]}
    return [servers[host["server"]] for host in data["hosts"] if role in host["roles"]]


def quorum_in_one_rack(data: dict[str, Any], draw: st.DataObject) -> str:
    role, name = draw.draw(st.sampled_from([("kubernetes_control_plane", "etcd"), ("postgresql", "databases")]))
    first, second = draw.draw(st.permutations(_machines(data, role)))[:2]
    for key in ("rack", "power_feeds"):
        second[key] = first[key]
    second["unit"] = 30
    return f"rack '{first['rack']}' takes 2 of 3 hosts of service '{name}' with it"


def copies_on_one_feed(data: dict[str, Any], draw: st.DataObject) -> str:
    role, name = draw.draw(
        st.sampled_from([("load_balancer", "load balancing"), ("time_stamping", "time stamps")])
    )
    machines = _machines(data, role)
    for machine in machines:
        machine["rack"], machine["power_feeds"] = machines[0]["rack"], machines[0]["power_feeds"][:1]
    return f"power feed '{machines[0]['power_feeds'][0]}' takes 2 of 2 hosts of service '{name}' with it"


def copies_behind_one_switch(data: dict[str, Any], draw: st.DataObject) -> str:
    role, name = draw.draw(
        st.sampled_from([("status_responder", "status of certificates"), ("registry", "images")])
    )
    names = {machine["name"] for machine in _machines(data, role)}
    switch = draw.draw(st.sampled_from([s["name"] for s in data["switches"] if s["tier"] == "leaf"]))
    for link in data["links"]:
        if link["a"]["device"] in names:
            link["b"]["device"] = switch
    return f"switch '{switch}' takes 2 of 2 hosts of service '{name}' with it"


def quorum_in_one_data_centre(data: dict[str, Any], draw: st.DataObject) -> str:
    role, name = draw.draw(st.sampled_from([("kubernetes_control_plane", "etcd"), ("postgresql", "databases")]))
    centre = draw.draw(st.sampled_from([c for c in data["data_centres"] if len(c["racks"]) > 1]))
    for machine, rack in zip(_machines(data, role)[:2], centre["racks"][:2], strict=True):
        machine["rack"], machine["power_feeds"] = rack["name"], rack["power_feeds"]
    return f"data centre '{centre['name']}' takes 2 of 3 hosts of service '{name}' with it"


def quorum_on_one_feed(data: dict[str, Any], draw: st.DataObject) -> str:
    role, name = draw.draw(st.sampled_from([("kubernetes_control_plane", "etcd"), ("postgresql", "databases")]))
    feed = draw.draw(st.sampled_from(["dc-a-feed-a", "dc-b-feed-b"]))
    for machine in draw.draw(st.permutations(_machines(data, role)))[:2]:
        machine["power_feeds"] = (feed,)
    return f"power feed '{feed}' takes 2 of 3 hosts of service '{name}' with it"


def unit_taken(data: dict[str, Any], draw: st.DataObject) -> str:
    rack = draw.draw(st.sampled_from(sorted({s["rack"] for s in data["servers"]})))
    first, second = draw.draw(st.permutations([s for s in data["servers"] if s["rack"] == rack]))[:2]
    second["unit"] = first["unit"]
    return f"both take unit {first['unit']} of rack '{rack}'"


def above_the_rack(data: dict[str, Any], draw: st.DataObject) -> str:
    server = draw.draw(st.sampled_from(data["servers"]))
    server["unit"] = draw.draw(st.integers(min_value=43, max_value=60))
    return f"'{server['name']}' stands above the top of rack '{server['rack']}'"


def rack_that_does_not_exist(data: dict[str, Any], draw: st.DataObject) -> str:
    device = draw.draw(st.sampled_from([*data["servers"], *data["switches"]]))
    device["rack"] = "z9"
    return f"rack 'z9' of '{device['name']}' doesn't exist"


def feed_of_other_site(data: dict[str, Any], draw: st.DataObject) -> str:
    server = draw.draw(st.sampled_from([s for s in data["servers"] if s["rack"].startswith("a")]))
    server["power_feeds"] = ("dc-b-feed-a",)
    return f"'{server['name']}' takes power feed 'dc-b-feed-a'"


def rack_on_unknown_feed(data: dict[str, Any], draw: st.DataObject) -> str:
    centre = draw.draw(st.sampled_from(data["data_centres"]))
    rack = draw.draw(st.sampled_from(centre["racks"]))
    rack["power_feeds"] = (*rack["power_feeds"], "unknown")
    return f"rack '{rack['name']}' names power feed 'unknown', which '{centre['name']}' lacks"


def overloaded_feed(data: dict[str, Any], draw: st.DataObject) -> str:
    feed = draw.draw(st.sampled_from(data["data_centres"]))["power_feeds"][0]
    feed["capacity_watts"] = draw.draw(st.integers(min_value=1, max_value=999))
    return f"feed '{feed['name']}' carries"


def server_that_does_not_exist(data: dict[str, Any], draw: st.DataObject) -> str:
    host = draw.draw(st.sampled_from(data["hosts"]))
    host["server"] = "srv-none"
    return f"server 'srv-none' of '{host['name']}' doesn't exist"


def cable_to_nowhere(data: dict[str, Any], draw: st.DataObject) -> str:
    link = draw.draw(st.sampled_from([k for k in data["links"] if k["a"]["device"].startswith("srv-")]))
    link["a"]["port"] = "eth9"
    return f"there is no port 'eth9' on '{link['a']['device']}'"


def port_with_two_cables(data: dict[str, Any], draw: st.DataObject) -> str:
    first, second = draw.draw(st.permutations(data["links"]))[:2]
    second["b"] = first["b"]
    return "has two cables"


def spine_to_spine(data: dict[str, Any], _: st.DataObject) -> str:
    ends = ({"device": "dc-a-spine1", "port": "x1"}, {"device": "dc-a-spine2", "port": "x1"})
    data["links"] = (*data["links"], {"a": ends[0], "b": ends[1]})
    return "a spine is joined to leaves only"


def sector_left_out(data: dict[str, Any], draw: st.DataObject) -> str:
    sector = draw.draw(st.sampled_from(data["sectors"]))
    data["sectors"] = tuple(s for s in data["sectors"] if s is not sector)
    return f"sector '{sector['name']}' is missing"


def documentation_addresses_in_earnest(data: dict[str, Any], _: st.DataObject) -> str:
    data["site"]["template"] = False
    return "is for documentation (RFC 5737): set real addresses"


def simulator_in_production(data: dict[str, Any], _: st.DataObject) -> str:
    data["federation"]["distribution"] = "simulator"
    return "the simulator is test equipment, not for production"


def xroad_on_debian(data: dict[str, Any], _: st.DataObject) -> str:
    data["federation"]["operating_system"] = "debian-13"
    return "X-Road has no packages for Debian"


def no_package_repository(data: dict[str, Any], _: st.DataObject) -> str:
    data["federation"]["repository"] = None
    return "X-Road's packages need a 'repository'"


IN_PRODUCTION: tuple[Break, ...] = (
    database_of_two_servers,
    key_in_software,
    quorum_in_one_rack,
    copies_on_one_feed,
    copies_behind_one_switch,
    quorum_in_one_data_centre,
    quorum_on_one_feed,
    unit_taken,
    above_the_rack,
    rack_that_does_not_exist,
    feed_of_other_site,
    rack_on_unknown_feed,
    overloaded_feed,
    server_that_does_not_exist,
    cable_to_nowhere,
    port_with_two_cables,
    spine_to_spine,
    sector_left_out,
    documentation_addresses_in_earnest,
    simulator_in_production,
    xroad_on_debian,
    no_package_repository,
)

FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


@settings(max_examples=40, deadline=None)
@given(estates())
def test_valid_estates_are_accepted(estate: Estate) -> None:
    """No rule refuses an estate for being moved, reordered or smaller."""
    assert check(estate) == []


@pytest.mark.parametrize("damage", ANYWHERE, ids=lambda damage: damage.__name__)
@FEW
@given(draw=st.data())
def test_damage_to_a_lab_is_refused(damage: Break, draw: st.DataObject) -> None:
    """The refusal says what is wrong, and its place exists in the data."""
    _assert_refused(lab(), damage, draw)


@pytest.mark.parametrize("damage", IN_PRODUCTION, ids=lambda damage: damage.__name__)
@FEW
@given(draw=st.data())
def test_damage_to_production_is_refused(damage: Break, draw: st.DataObject) -> None:
    """Likewise for rules about hardware and production."""
    _assert_refused(production(), damage, draw)


def _assert_refused(estate: Estate, damage: Break, draw: st.DataObject) -> None:
    data = estate.model_dump()
    expected = damage(data, draw)
    damaged = Estate.model_validate(data)
    found = [finding for finding in check(damaged) if expected in finding.message]
    assert found, f"nothing says '{expected}': {[f.message for f in check(damaged)]}"
    for finding in found:
        value: Any = damaged.model_dump()
        for key in finding.location[:-1]:
            value = value[key]


def _broken_rules(base: Estate, damage: Break, broken: set[str]) -> None:
    """Add to `broken` the rules that refuse one example of a damage."""

    @settings(max_examples=1, deadline=None, database=None)
    @given(draw=st.data())
    def once(draw: st.DataObject) -> None:
        data = base.model_dump()
        damage(data, draw)
        estate = Estate.model_validate(data)
        broken.update(rule.__name__ for rule in RULES if list(rule(estate)))

    once()


def test_every_rule_has_an_example_that_breaks_it() -> None:
    """A rule that nothing can break isn't tested."""
    broken: set[str] = set()
    for base, breaks in ((lab(), ANYWHERE), (production(), IN_PRODUCTION)):
        for damage in breaks:
            _broken_rules(base, damage, broken)
    assert {rule.__name__ for rule in RULES} - broken == set()
