"""``providers.yaml``: which providers there are, their options, and where their keys are found.

Keys themselves never stand in the file, and an error never repeats what was written in the place of one.
Not here: making a provider and reading keys (``registry``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from chandlery.config.yaml_document import Document, Root, Section, misplaced, one_of
from chandlery.errors import ConfigurationError

#: Entry points by which other packages add a kind of provider; see ``registry.ProviderFactory``.
GROUP = "chandlery.providers"


class FilesOptions(Section):
    """Options of kind ``files``; see ``providers.files``."""

    path: Path | None = None
    tz: str | None = None
    epoch_unit: Literal["s", "ms", "us", "ns"] | None = None
    ignore_columns: tuple[str, ...] = ()

    @field_validator("tz")
    @classmethod
    def _zone_exists(cls, value: str | None) -> str | None:
        try:
            return value and ZoneInfo(value).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is not an IANA time zone; write one like UTC or America/New_York") from None


class SampleOptions(Section):
    """Options of kind ``sample``: none."""


class SimulatedOptions(Section):
    """Options of kind ``simulated``; see ``providers.simulated``."""

    seed: Annotated[int, Field(strict=True, ge=0)] = 7


class RemoteOptions(Section):
    """Options of every provider that is asked over HTTP: ``url``, its address where that is not the vendor's own."""

    url: Annotated[str, Field(pattern=r"^https?://")] | None = None


class AlpacaOptions(RemoteOptions):
    """Options of kind ``alpaca``; see ``providers.alpaca``."""

    feed: Literal["iex", "sip"] = "iex"


class IbOptions(Section):
    """Options of kind ``ib``; see ``providers.ib``."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 4002
    client_id: Annotated[int, Field(strict=True, ge=0)] = 71
    regular_hours: bool = False
    allow_adjusted: bool = False


#: The kinds of provider that come with Chandlery, and the options each takes.
OPTIONS: Mapping[str, type[Section]] = {
    "alpaca": AlpacaOptions,
    "coinbase": RemoteOptions,
    "files": FilesOptions,
    "ib": IbOptions,
    "polygon": RemoteOptions,
    "sample": SampleOptions,
    "simulated": SimulatedOptions,
    "yahoo": RemoteOptions,
}
#: The keys that each kind needs, of those that come with Chandlery.
KEYS: Mapping[str, tuple[str, ...]] = {"alpaca": ("key", "secret"), "polygon": ("key",)}


class CallLimits(Section):
    """How a provider may be called.

    Attributes:
        calls_per_minute: shared by all who use the same key; the kind's own limit where absent.
        timeout: seconds that a call waits for the provider.
        attempts: how often a call is tried while its errors are expected to pass.
    """

    calls_per_minute: Annotated[float, Field(gt=0)] | None = None
    timeout: Annotated[float, Field(gt=0, le=600)] = 30.0
    attempts: Annotated[int, Field(strict=True, ge=1, le=20)] = 6


class ProviderConfig(Section):
    """One provider.

    Attributes:
        kind: what makes it: a key of ``OPTIONS`` or an entry point of group ``GROUP``.
        options: the kind's options, as in the file.
        key_env: for each key the provider wants, the environment variable that holds it. Never the key itself.
        limits: how it may be called.
    """

    kind: str
    options: dict[str, Any] = Field(default_factory=dict)
    key_env: dict[str, str] = Field(default_factory=dict)
    limits: CallLimits = Field(default_factory=CallLimits)

    @field_validator("options", mode="before")
    @classmethod
    def _holds_no_key(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        for name in value if isinstance(value, Mapping) else ():
            if re.search(r"(^|_)(key|secret|token|password)", str(name), re.IGNORECASE):
                raise misplaced((name,), "keys do not belong into this file; name an environment variable in key_env")
        return value

    @field_validator("key_env", mode="before")
    @classmethod
    def _names_variables(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        if not isinstance(value, Mapping):
            raise misplaced((), "is not a mapping of a key's name to the environment variable that holds it")
        for name, variable in value.items():
            # Without the underscore, many a vendor's key would pass for a name. What was given is not repeated here,
            # because it may be a key.
            if not isinstance(variable, str) or not re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", variable):
                text = "is not the name of an environment variable; write one like ALPACA_API_KEY, never the key itself"
                raise misplaced((name,), text)
        return value


class ProvidersConfig(Root):
    """What ``providers.yaml`` says: providers by name."""

    providers: dict[str, ProviderConfig]

    def provider(self, name: str) -> ProviderConfig:
        """Return what is configured for ``name``; raise ``ConfigurationError`` listing the providers there are."""
        if name not in self.providers:
            raise ConfigurationError(f"provider {name!r} is not configured; there are: {one_of(self.providers, name)}")
        return self.providers[name]


def load_providers(path: Path) -> ProvidersConfig:
    """Read ``providers.yaml``; raise ``ConfigurationError`` as ``load_universe`` does."""
    document = Document.read(path)
    config = document.validate(ProvidersConfig)
    for name, provider in config.providers.items():
        if provider.kind in OPTIONS:
            document.validate(OPTIONS[provider.kind], provider.options, at=("providers", name, "options"))
            wanted = KEYS.get(provider.kind, ())
            if set(wanted) != set(provider.key_env):
                given, takes = (" ".join(sorted(names)) for names in (provider.key_env, wanted))
                text = f"names {given or 'nothing'}; kind {provider.kind} takes {takes or 'no key'}"
                raise config.error(("providers", name, "key_env"), text)
        elif provider.kind not in (kinds := provider_kinds()):
            text = f"{provider.kind!r} is not known; allowed: {one_of(kinds, provider.kind)}"
            raise config.error(("providers", name, "kind"), text)
    return config


def provider_kinds() -> list[str]:
    """Return the kinds of provider there are: our own, and those that installed packages add."""
    return [*OPTIONS, *sorted(entry_points(group=GROUP).names)]
