"""Which kinds of provider there are, and how a provider is made from its configuration.

A kind is an entry point of group ``chandlery.providers`` that names a ``ProviderKind``: our own are registered like
those of any other package, and each is imported where it is used. This is the only place that reads a provider's keys,
and only when the provider is made. Not here: the form of ``providers.yaml`` (``config.providers``).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from chandlery.config.providers import ProviderConfig, ProvidersConfig
from chandlery.config.yaml_document import Document, Section, key_path, list_choices, list_problems
from chandlery.core.schema import DERIVED, MIXED
from chandlery.core.timeframe import Timeframe
from chandlery.errors import ChandleryError, ConfigurationError, ProviderAuthError
from chandlery.providers.base import Provider, ProviderKind, ProviderLimits, ProviderSetup
from chandlery.providers.http.caller import Caller, RetryPolicy
from chandlery.providers.http.rate_limit import RateLimiterFactory, local_rate_limiter
from chandlery.settings import read_secret

#: The group of entry points by which a package adds kinds of provider.
GROUP = "chandlery.providers"
#: Sources of bars that no provider gave begin with these.
RESERVED = frozenset({DERIVED.rstrip(":"), MIXED})


def provider_kinds() -> list[str]:
    """Return the names of the kinds of provider that are installed, sorted."""
    return sorted(_entry_points(tuple(sys.path)).names)


def find_kind(name: str, *, provider: str | None = None) -> ProviderKind:
    """Return the kind called ``name``.

    Args:
        name: of the kind.
        provider: name of the provider that is of this kind, for an error.

    Raises:
        ConfigurationError: no installed package adds such a kind, or several do, or what is added is no kind.
    """
    shown = f"kind {name!r}" + (f" of provider {provider!r}" if provider else "")
    entries = {entry.value: entry for entry in _entry_points(tuple(sys.path)).select(name=name)}
    if not entries:
        raise ConfigurationError(f"{shown} is not installed; there are: {list_choices(provider_kinds(), name)}")
    if len(entries) > 1:
        places = " and ".join(sorted(entries))
        raise ConfigurationError(f"{shown} is added more than once, by {places}; uninstall all but one")
    ((place, entry),) = entries.items()
    try:
        kind = entry.load()
    except Exception as error:  # whatever a module of another package does when it is imported
        raise ConfigurationError(f"{shown} cannot be loaded from {place}: {error}") from error
    if name in RESERVED:
        raise ConfigurationError(f"{shown} cannot be used: sources called so are ours; its package must rename it")
    if not isinstance(kind, ProviderKind) or kind.name != name:
        raise ConfigurationError(f"{place} is not the ProviderKind called {name!r}, as its package says")
    return kind


def load_providers(path: Path) -> ProvidersConfig:
    """Read ``providers.yaml``, and check kind, options and names of keys of each provider.

    Of a provider whose kind is installed but cannot be loaded, nothing more is checked: it fails alone when it is made.

    Raises:
        ConfigurationError: with file, line, key, what was given and what is allowed, for each thing that is wrong.
    """
    document = Document.read(path)
    config = document.validate(ProvidersConfig)
    kinds = provider_kinds()
    for name, provider in config.providers.items():
        if provider.kind not in kinds:
            text = f"{provider.kind!r} is not known; allowed: {list_choices(kinds, provider.kind)}"
            raise config.error(("providers", name, "kind"), text)
        kind = _loadable_kind(provider)
        if kind is None:
            continue
        document.validate(kind.options, provider.options, at=("providers", name, "options"))
        if set(kind.keys) != set(provider.key_env):
            given, takes = (" ".join(sorted(names)) for names in (provider.key_env, kind.keys))
            text = f"names {given or 'nothing'}; kind {provider.kind} takes {takes or 'no key'}"
            raise config.error(("providers", name, "key_env"), text)
    return config


def build_provider(
    name: str,
    config: ProvidersConfig,
    *,
    options: Mapping[str, object] | None = None,
    calendars: Mapping[str, str] | None = None,
    tickers: Mapping[str, Sequence[str]] | None = None,
    rate_limiters: RateLimiterFactory = local_rate_limiter,
    retry: RetryPolicy | None = None,
) -> Provider:
    """Make the provider called ``name``.

    Args:
        name: a key of ``providers.yaml``.
        config: what that file says.
        options: chosen by a run, of those that the kind leaves to runs; they override the file's, one by one. A
            relative ``path`` or ``mapping`` given here counts from the working directory; one in the file counts from
            the project, the folder that holds the file's folder.
        calendars: name of the calendar by symbol, for a provider that must know when a market is open.
        tickers: other names by symbol, for a provider that may know an instrument by one of them.
        rate_limiters: makes the rate limiter of a key; by default one that holds in this process only.
        retry: when a call that failed is made again; by default as the kind says.

    Raises:
        ConfigurationError: no provider is called so, its kind is not installed, cannot be loaded or lacks a package, or
            an option is unknown, wrong, or not left to a run.
        ProviderAuthError: neither a variable that should hold a key is set nor the one that names its file.
    """
    provider = config.provider(name)
    kind = find_kind(provider.kind, provider=name)
    _refuse_others(name, kind, options or {})
    keys = {key: _read_key(name, variable) for key, variable in provider.key_env.items()}
    setup: ProviderSetup[Any] = ProviderSetup(
        kind=kind.name,
        name=name,
        options=_check_options(name, kind, _merge_options(config, provider, options or {})),
        keys=keys,
        calendars=calendars or {},
        tickers=tickers or {},
        caller=_make_caller(name, provider, kind, keys, rate_limiters=rate_limiters, retry=retry or kind.retry),
    )
    try:
        return kind.factory(setup)
    except ChandleryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever another package does
        raise ConfigurationError(f"provider {name!r} cannot be made: {type(error).__name__}: {error}") from None


def serves(config: ProviderConfig, timeframe: Timeframe) -> bool:
    """Return whether a provider can serve ``timeframe``; one whose kind cannot be loaded may, as far as is known."""
    try:
        return timeframe in find_kind(config.kind).timeframes
    except ConfigurationError:
        return True


def is_static(provider: ProviderConfig) -> bool:
    """Return whether all that the provider has is there from the start, so that it never has newer bars."""
    kind = _loadable_kind(provider)
    return kind is not None and kind.static


def remote_limits(config: ProvidersConfig) -> dict[str, ProviderLimits]:
    """Return the limits of the providers that are called over a network, by name, without making them."""
    kinds = {name: _loadable_kind(provider) for name, provider in config.providers.items()}
    return {name: kind.limits for name, kind in kinds.items() if kind is not None and kind.limits.remote}


def calls_per_minute(provider: ProviderConfig) -> float | None:
    """Return how many calls a minute the provider may get; None where there is no limit, or nobody knows."""
    kind = _loadable_kind(provider)
    return provider.limits.calls_per_minute or (None if kind is None else kind.calls_per_minute)


def _loadable_kind(provider: ProviderConfig) -> ProviderKind | None:
    """Return a provider's kind; None where it cannot be loaded, which is said when the provider is made."""
    try:
        return find_kind(provider.kind)
    except ConfigurationError:
        return None


@lru_cache(maxsize=8)
def _entry_points(path: tuple[str, ...]) -> EntryPoints:  # noqa: ARG001 - another path has other packages
    """Return the entry points of all kinds; kept, because a look at every installed package takes 20 ms."""
    return entry_points(group=GROUP)


def _refuse_others(name: str, kind: ProviderKind, options: Mapping[str, object]) -> None:
    """Raise where a run chooses an option that ``providers.yaml`` alone decides, such as an address for the keys."""
    others = sorted(options.keys() & kind.options.model_fields.keys() - kind.run_options)
    if others:
        raise ConfigurationError(
            f"options of provider {name!r}: {', '.join(others)} can be set in providers.yaml only; a run may choose:"
            f" {' '.join(sorted(kind.run_options)) or 'none'}"
        )


def _merge_options(
    config: ProvidersConfig, provider: ProviderConfig, options: Mapping[str, object]
) -> dict[str, object]:
    merged = {**provider.options, **options}
    for name in ("path", "mapping"):
        given = str(provider.options.get(name, ""))
        is_file = name == "path" or given.endswith((".yaml", ".yml"))  # a mapping may also be the name of a layout
        if config.path and given and name not in options and is_file:
            merged[name] = str(config.path.absolute().parent.parent / given)
    return merged


def _check_options(name: str, kind: ProviderKind, options: Mapping[str, object]) -> Section:
    try:
        return kind.options.model_validate(options)
    except ValidationError as error:
        text = "; ".join(f"{key_path(at)}: {what}" for at, what in list_problems(error))
        raise ConfigurationError(f"options of provider {name!r}: {text}") from None


def _make_caller(
    name: str,
    provider: ProviderConfig,
    kind: ProviderKind,
    keys: Mapping[str, SecretStr],
    *,
    rate_limiters: RateLimiterFactory,
    retry: RetryPolicy,
) -> Caller:
    """Return what makes the provider's calls, within the rate limit of its key: all who use the same key share it."""
    limits = provider.limits
    secrets = [keys[key] for key in sorted(keys)]
    digest = hashlib.blake2b("\0".join(secret.get_secret_value() for secret in secrets).encode(), digest_size=12)
    rate_limiter = rate_limiters(
        f"{kind.name}:{digest.hexdigest() if secrets else name}",
        limits.calls_per_minute or kind.calls_per_minute,
    )
    return Caller(name, rate_limiter, timeout=limits.timeout, attempts=limits.attempts, secrets=secrets, retry=retry)


def _read_key(name: str, variable: str) -> SecretStr:
    value = read_secret(variable)
    if not value:
        raise ProviderAuthError(f"provider {name!r} needs the environment variable {variable}", provider=name)
    if not all("!" <= letter <= "~" for letter in value):
        text = (
            f"the environment variable {variable} of provider {name!r} holds a space, a line break or another character"
        )
        raise ProviderAuthError(f"{text} that no key has", provider=name)
    return SecretStr(value)
