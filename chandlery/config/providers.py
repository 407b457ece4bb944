"""``providers.yaml``: which providers there are, the kind and options of each, and where its keys are found.

Keys themselves never stand in the file, and an error never repeats what was written in the place of one.
Not here: which kinds there are and what their options mean (``providers.catalog``), and reading keys (likewise).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from chandlery.config.yaml_document import Document, Root, Section, list_choices, problem_at
from chandlery.errors import ConfigurationError

_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?")


class CallLimits(Section):
    """How a provider may be called.

    Attributes:
        calls_per_minute: shared by all who use the same key; the kind's own limit where absent.
        timeout: seconds that a call waits for the provider.
        attempts: how often a call is made at most while its errors are expected to pass.
    """

    calls_per_minute: Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)] | None = None
    timeout: Annotated[float, Field(strict=True, gt=0, le=600)] = 30.0
    attempts: Annotated[int, Field(strict=True, ge=1, le=20)] = 6


class ProviderConfig(Section):
    """One provider.

    Attributes:
        kind: the name of a ``ProviderKind``.
        options: the kind's options, as in the file.
        key_env: for each key that the provider needs, the environment variable that holds it. Never the key itself.
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
            if re.search(r"(^|_|-)(api)?(key|secret|token|passw|auth|credential)", str(name), re.IGNORECASE):
                raise problem_at((name,), "keys do not belong into this file; name an environment variable in key_env")
            cls._holds_no_key(value[name])
        return value

    @field_validator("key_env", mode="before")
    @classmethod
    def _names_variables(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        if not isinstance(value, Mapping):
            raise problem_at((), "is not a mapping of a key's name to the environment variable that holds it")
        for name, variable in value.items():
            # Without the underscore, many a vendor's key would pass for a name. What was given is not repeated here,
            # because it may be a key.
            if not isinstance(variable, str) or not re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", variable):
                text = "is not the name of an environment variable; write one like ALPACA_API_KEY, never the key itself"
                raise problem_at((name,), text)
        return value


class ProvidersConfig(Root):
    """What ``providers.yaml`` says: providers by name."""

    providers: dict[str, ProviderConfig]

    @field_validator("providers", mode="before")
    @classmethod
    def _names_are_plain(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        # A name is part of a row's source, of a folder of the landing zone and of an asset's key.
        for name in value if isinstance(value, Mapping) else ():
            if not _NAME.fullmatch(str(name)):
                raise problem_at((name,), "is not a name; allowed: lower-case letters, digits, and - and _ within")
        return value

    def provider(self, name: str) -> ProviderConfig:
        """Return what is configured for ``name``; raise ``ConfigurationError`` listing the providers there are."""
        if name not in self.providers:
            raise ConfigurationError(
                f"provider {name!r} is not configured; there are: {list_choices(self.providers, name)}"
            )
        return self.providers[name]


def read_providers(path: Path) -> ProvidersConfig:
    """Read ``providers.yaml`` without a look at its kinds: their options, their keys, and whether there are any such.

    Raises:
        ConfigurationError: with file, line and key for each thing that is wrong.
    """
    return Document.read(path).validate(ProvidersConfig)
