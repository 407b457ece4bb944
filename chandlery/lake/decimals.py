"""Columns of doubles as decimals, and back: every bit as it was, and small.

Prices are decimal fractions, which a double hides from a codec and an integer shows. So a column of doubles becomes
DECIMAL at the smallest scale at which every value is exactly an integer / 10^scale, and stays as it is where there is
no such scale. Not here: the file (``parquet``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chandlery.core.digest import bits_of

_LARGEST = 2.0**53  # integers below it are doubles too
_MAX_SCALE = 15  # as large as any reader takes in 18 digits with room before the point; 10^15 is a double


def encode(array: pa.Array) -> pa.Array:
    """Return doubles as decimals if that loses nothing; everything else as it is."""
    if array.type != pa.float64():
        return array
    values = bits_of(array).view(np.float64)
    validity = None
    if array.null_count:
        valid = array.is_valid().to_numpy(zero_copy_only=False)
        values = np.where(valid, values, 0.0)
        validity = _bitmap(valid)
    scale = _smallest_scale(values) if array.null_count < len(array) else None
    if scale is None:
        return array
    numbers = _scaled(values, scale)
    if scale <= 9 and np.abs(numbers).max() < 10**9:
        numbers, kind = numbers.astype(np.int32), pa.decimal32(9, scale)
    else:
        kind = pa.decimal64(18, scale)
    return pa.Array.from_buffers(kind, len(array), [validity, pa.py_buffer(numbers)], array.null_count)


def decode(array: pa.Array) -> pa.Array:
    """Return decimals as the doubles they were; everything else as it is."""
    if not pa.types.is_decimal(array.type):
        return array
    # What is above the lowest word only repeats the sign.
    words = np.frombuffer(array.buffers()[1], "<i8", 2 * len(array), 16 * array.offset)
    content = pa.allocate_buffer(8 * len(array))  # Arrow's memory is warm, where numpy would ask the system for new one
    np.true_divide(words[::2], 10.0**array.type.scale, out=np.frombuffer(content, np.float64))
    validity = _bitmap(array.is_valid().to_numpy(zero_copy_only=False)) if array.null_count else None
    return pa.Array.from_buffers(pa.float64(), len(array), [validity, content], array.null_count)


def _smallest_scale(values: npt.NDArray[np.float64]) -> int | None:
    """Return the smallest scale at which every value is an integer / 10^scale, bit for bit; None if there is none.

    A scale that is right for a value is right for the larger ones too; so the value that failed one pass over the
    column says where the next one need not even begin.
    """
    largest = float(np.abs(values).max())
    culprit = values[:1]
    for scale in range(_MAX_SCALE + 1):
        if not largest * 10.0**scale < _LARGEST:  # nor if it is NaN
            return None
        if _is_exact(culprit, scale).all():
            exact = _is_exact(values, scale)
            if exact.all():
                return scale
            culprit = values[exact.argmin()][np.newaxis]
    return None


def _is_exact(values: npt.NDArray[np.float64], scale: int) -> npt.NDArray[np.bool_]:
    back = _scaled(values, scale) / 10.0**scale
    return np.equal(back.view(np.int64), values.view(np.int64))  # so that -0.0 is not 0.0


def _scaled(values: npt.NDArray[np.float64], scale: int) -> npt.NDArray[np.int64]:
    return np.rint(values * 10.0**scale).astype(np.int64)


def _bitmap(valid: npt.NDArray[np.bool_]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(valid, bitorder="little"))
