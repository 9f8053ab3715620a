"""What others speak: a table of providers, and one file, or a folder once it grows, for each.

A provider turns values into values, without input or output: our request into its wire form, its answers into
readings. What it must be able to do is the protocol ``Provider`` in ``receiver.lifecycle.ports.provider``; ``wire``
holds what a provider's file needs to read strangers' JSON and to judge requests.

To add a provider:

1. write ``receiver/providers/<name>.py`` with a frozen class that has the methods of ``Provider`` and an ``ENTRY``
   that names its options; above each rule say which page of its documentation it comes from;
2. put its ``ENTRY`` into the table below;
3. record its payloads in ``tests/providers/payloads/<name>/``: one file for each form it sends, named by what it
   means, with what is to be read from it beside it (``tests/providers/test_contract.py`` says how).

No route, no setting and no table changes: its options become settings, its key is read from ``<NAME>_API_KEY``.
"""

from collections.abc import Mapping
from types import MappingProxyType

from receiver.lifecycle.ports.provider import ProviderEntry
from receiver.providers import aimlapi, runware

PROVIDERS: Mapping[str, ProviderEntry] = MappingProxyType(
    {entry.name: entry for entry in (runware.ENTRY, aimlapi.ENTRY)}
)
