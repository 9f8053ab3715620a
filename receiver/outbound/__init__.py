"""Every call we make, to providers, media and endpoints: its time limits, its size limits, its addresses."""

from receiver.outbound.addresses import AllowedHost, AllowedHosts, Purpose
from receiver.outbound.calls import CallLimits, HttpOutbound
from receiver.outbound.network import Network, Resolve

__all__ = ["AllowedHost", "AllowedHosts", "CallLimits", "HttpOutbound", "Network", "Purpose", "Resolve"]
