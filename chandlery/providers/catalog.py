"""Makes a provider from its configuration: the only place that reads a provider's keys, and only when one is made.

Vendor modules are imported here, when needed. Another package adds a kind by an entry point of group
``chandlery.providers`` that names a ``ProviderFactory``. Not here: what ``providers.yaml`` may say (``config``).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, cast

from pydantic import SecretStr, ValidationError

from chandlery.config.providers import (
    GROUP,
    OPTIONS,
    FilesOptions,
    ProviderConfig,
    ProvidersConfig,
    SampleOptions,
    SimulatedOptions,
    provider_kinds,
)
from chandlery.config.yaml_document import Section, findings, key_path, one_of
from chandlery.errors import ConfigurationError, ProviderAuthError
from chandlery.providers.base import Provider, ProviderLimits
from chandlery.providers.http.caller import Caller
from chandlery.providers.http.rate_limit import RateLimiterFactory, local_rate_limiter

#: The adapters that are asked over a network, each in the module of its kind.
_VENDORS = {
    "alpaca": "AlpacaProvider",
    "coinbase": "CoinbaseProvider",
    "ib": "IbProvider",
    "polygon": "PolygonProvider",
    "yahoo": "YahooProvider",
}
#: What their cheapest plans allow; sources in docs/providers.md.
_CALLS_PER_MINUTE = {"alpaca": 200.0, "coinbase": 600.0, "ib": 6.0, "polygon": 5.0, "yahoo": 60.0}


class ProviderFactory(Protocol):
    """What an entry point of group ``chandlery.providers`` names; the entry point's name is the kind.

    The provider's class will do. Where it has ``limits``, they are known before a provider is made.
    """

    def __call__(
        self,
        name: str,
        *,
        options: Mapping[str, object],
        keys: Mapping[str, SecretStr],
        calendars: Mapping[str, str],
        calls: Caller,
    ) -> Provider:
        """Make the provider.

        Args:
            name: as in ``providers.yaml``.
            options: as in ``providers.yaml``, overridden by the caller's.
            keys: the values of the variables that ``key_env`` names.
            calendars: calendar by symbol, of the symbols that will be asked for.
            calls: makes the provider's calls within its budget and tries them again.

        Raises:
            UsageError: an option is unknown or wrong.
        """
        ...


def build_provider(
    name: str,
    config: ProvidersConfig,
    *,
    options: Mapping[str, object] | None = None,
    calendars: Mapping[str, str] | None = None,
    rate_limiters: RateLimiterFactory = local_rate_limiter,
) -> Provider:
    """Make the provider called ``name``.

    Args:
        name: as in ``providers.yaml``.
        config: what that file says.
        options: override the file's, one by one. A relative ``path`` given here counts from the working directory; one
            in the file counts from the project, the folder that holds the file's folder.
        calendars: calendar by symbol, for a provider that must know when a market is open.
        rate_limiters: makes the budget of a key; by default one that holds in this process only.

    Raises:
        ConfigurationError: no provider is called so, or an option is unknown or wrong.
        ProviderAuthError: a variable that should hold a key is not set.
    """
    provider = config.provider(name)
    merged = {**provider.options, **(options or {})}
    if config.path and "path" in provider.options and "path" not in (options or {}):
        merged["path"] = config.path.absolute().parent.parent / str(provider.options["path"])
    keys = {key: _read_key(name, variable) for key, variable in provider.key_env.items()}
    calls = _calls(name, provider, keys, rate_limiters)
    if provider.kind in OPTIONS:
        checked = _check(name, provider.kind, merged)
        return _build_own(name, provider.kind, checked, keys=keys, calendars=calendars or {}, calls=calls)
    factory = _load_factory(name, provider.kind)
    return factory(name, options=merged, keys=keys, calendars=calendars or {}, calls=calls)


def is_static(provider: ProviderConfig) -> bool:
    """Return whether it never has news: what it has is there from the start."""
    return provider.kind in OPTIONS and provider.kind not in _VENDORS


def remote_limits(config: ProvidersConfig) -> dict[str, ProviderLimits]:
    """Return the terms of the providers that are asked over a network, by name, without making them."""
    found = {}
    for name, provider in config.providers.items():
        if provider.kind in _VENDORS:
            found[name] = getattr(import_module(f"chandlery.providers.{provider.kind}"), _VENDORS[provider.kind]).limits
        elif provider.kind not in OPTIONS:
            limits = getattr(_load_factory(name, provider.kind), "terms", ProviderLimits(remote=True))
            if limits.remote:
                found[name] = limits
    return found


def _calls(
    name: str, provider: ProviderConfig, keys: Mapping[str, SecretStr], rate_limiters: RateLimiterFactory
) -> Caller:
    """Return what makes the provider's calls, within the budget of its key: whoever uses the same key shares it."""
    limits = provider.limits
    secrets = [keys[key] for key in sorted(keys)]
    digest = hashlib.blake2b("\0".join(secret.get_secret_value() for secret in secrets).encode(), digest_size=12)
    rate_limiter = rate_limiters(
        f"{provider.kind}:{digest.hexdigest() if secrets else name}",
        limits.calls_per_minute or _CALLS_PER_MINUTE.get(provider.kind),
    )
    return Caller(name, rate_limiter, timeout=limits.timeout, attempts=limits.attempts, secrets=secrets)


def _check(name: str, kind: str, options: Mapping[str, Any]) -> Section:
    try:
        return OPTIONS[kind].model_validate(options)
    except ValidationError as error:
        text = "; ".join(f"{key_path(at)}: {what}" for at, what in findings(error))
        raise ConfigurationError(f"options of provider {name!r}: {text}") from None


def _build_own(
    name: str,
    kind: str,
    options: Section,
    *,
    keys: Mapping[str, SecretStr],
    calendars: Mapping[str, str],
    calls: Caller,
) -> Provider:
    match options:
        case FilesOptions(path=Path() as path):
            from chandlery.providers.files.provider import FilesProvider  # noqa: PLC0415 - only where it is used

            return FilesProvider(
                path.expanduser(),
                tz=options.tz,
                epoch_unit=options.epoch_unit,
                ignore_columns=options.ignore_columns,
            )
        case FilesOptions():
            raise ConfigurationError(
                f"provider {name!r} has no folder; give --path DIR or set its option path in providers.yaml"
            )
        case SampleOptions():
            from chandlery.providers.sample import SampleProvider  # noqa: PLC0415 - only where it is used

            return SampleProvider()
        case SimulatedOptions(seed=seed):
            from chandlery.providers.simulated import SimulatedProvider  # noqa: PLC0415 - only where it is used

            return SimulatedProvider(seed=seed, calendars=calendars)
    made: Provider = getattr(import_module(f"chandlery.providers.{kind}"), _VENDORS[kind])(
        name, options=options, keys=keys, calendars=calendars, calls=calls
    )
    return made


def _load_factory(name: str, kind: str) -> ProviderFactory:
    found = tuple(entry_points(group=GROUP, name=kind))
    if not found:
        raise ConfigurationError(
            f"kind {kind!r} of provider {name!r} is not installed; there are: {one_of(provider_kinds(), kind)}"
        )
    return cast("ProviderFactory", found[0].load())


def _read_key(name: str, variable: str) -> SecretStr:
    value = os.environ.get(variable, "")
    if not value:
        raise ProviderAuthError(f"provider {name!r} needs the environment variable {variable}", provider=name)
    if not all("!" <= letter <= "~" for letter in value):
        text = (
            f"the environment variable {variable} of provider {name!r} holds a space, a line break or another character"
        )
        raise ProviderAuthError(f"{text} that no key has", provider=name)
    return SecretStr(value)
