"""numpy arrays as parameters of a statement, written as PostgreSQL writes arrays.

The driver turns lists into arrays value by value, which takes longer than the statement does. Not here: batches large
enough for COPY (``copy``).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def array_text(values: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_] | None = None) -> str:
    """Return ``values`` as the text of an array, exact to the bit; to be cast, as in ``%s::float8[]``.

    Args:
        values: one-dimensional; ``datetime64`` is UTC.
        valid: False where the value is NULL; None where none is.
    """
    texts: Iterable[str]
    if np.issubdtype(values.dtype, np.datetime64):
        texts = np.datetime_as_string(values.astype("datetime64[us]", copy=False), timezone="UTC")
    else:
        texts = map(str, values.tolist())
    if valid is not None:
        texts = (text if known else "NULL" for text, known in zip(texts, valid.tolist(), strict=True))
    return f"{{{','.join(texts)}}}"
