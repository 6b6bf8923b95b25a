"""Optional parts of the global configuration as X-Road wants them uploaded.

Content identifiers and file names: X-Road, ConfigurationConstants.java, MonitoringParameters.java,
OcspFetchInterval.java, OcspNextUpdate.java; forms: monitoring-conf.xsd, ocsp-fetchinterval-conf.xsd,
ocsp-nextupdate-conf.xsd.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from estate.federation import SubsystemId
from estate.model import Estate

_NAMESPACE = "http://x-road.eu/xsd/xroad.xsd"
_IDENTIFIERS = "http://x-road.eu/xsd/identifiers"


def configuration_parts(estate: Estate) -> list[dict[str, str]]:
    """The parts that the estate sets."""
    parts = estate.federation.configuration_parts
    found = []
    if parts.monitoring_client is not None:
        client = SubsystemId.parse(parts.monitoring_client)
        named = {
            "xRoadInstance": estate.federation.instance,
            "memberClass": client.member_class,
            "memberCode": client.member,
            "subsystemCode": client.subsystem,
        }
        identifier = "".join(f"<id:{name}>{escape(value)}</id:{name}>" for name, value in named.items())
        content = (
            f'<monitoringClient><monitoringClientId xmlns:id="{_IDENTIFIERS}" id:objectType="SUBSYSTEM">'
            f"{identifier}</monitoringClientId></monitoringClient>"
        )
        found.append(_part("MONITORING", "monitoring-params.xml", content))
    if parts.ocsp_fetch_interval is not None:
        content = f"<ocspFetchInterval>{parts.ocsp_fetch_interval}</ocspFetchInterval>"
        found.append(_part("FETCHINTERVAL", "fetchinterval-params.xml", content))
    if parts.verify_next_update is not None:
        content = f"<verifyNextUpdate>{str(parts.verify_next_update).lower()}</verifyNextUpdate>"
        found.append(_part("NEXTUPDATE", "nextupdate-params.xml", content))
    return found


def _part(part: str, file: str, content: str) -> dict[str, str]:
    document = f'<tns:conf xmlns:tns="{_NAMESPACE}">{content}</tns:conf>'
    return {
        "part": part,
        "file": file,
        "content": f'<?xml version="1.0" encoding="UTF-8"?>\n{document}\n',
    }
