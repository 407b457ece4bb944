"""What a person chooses in a run's configuration: a choice that is not allowed ends the run with one sentence.

Not here: the choices themselves, which stand with each asset and op.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import dagster as dg

from chandlery.errors import ConfigurationError, GateError, UsageError


@contextmanager
def choices_of_run(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Iterator[None]:
    """Run the block that follows the choices of a run.

    Dagster would let a choice be the content of any environment variable, ``{"env": NAME}``, and it would stand in the
    run's log: passwords and keys too. So none may.

    Raises:
        dagster.Failure: a choice names a variable, or is refused in the block; it is not tried again.
    """
    named = next(_named_variables(context.run.run_config, ()), None)
    if named is not None:
        raise dg.Failure(
            f"{named}: a run does not take values from environment variables; write the value", allow_retries=False
        )
    try:
        yield
    except (UsageError, ConfigurationError, GateError) as error:
        raise dg.Failure(str(error), allow_retries=False) from error


def _named_variables(given: object, place: tuple[str, ...]) -> Iterator[str]:
    """Yield where in a configuration the content of an environment variable is asked for."""
    if isinstance(given, Mapping):
        if set(given) == {"env"}:
            yield ".".join(place)
        for name, value in given.items():
            yield from _named_variables(value, (*place, str(name)))
    elif isinstance(given, Sequence) and not isinstance(given, str):
        for position, value in enumerate(given):
            yield from _named_variables(value, (*place, str(position)))
