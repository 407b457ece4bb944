"""What must not be shared with a child that was forked: connections, whose sockets two processes would write to.

A child forgets its parent's connections and opens its own. It never closes them, because closing ends the parent's
session on the server.
"""

from __future__ import annotations

import ctypes
import os
from typing import Protocol
from weakref import WeakSet


class Forgetful(Protocol):
    """Holds connections, and can do without them."""

    def forget(self) -> None:
        """Be as new, in a child; hand what was there to ``keep_for_ever``."""
        ...


_holders: WeakSet[Forgetful] = WeakSet()


def forget_in_children(holder: Forgetful) -> None:
    """Let ``holder`` forget its connections in every child that is forked from now on."""
    _holders.add(holder)


def keep_for_ever(resource: object) -> None:
    """Never let Python finalize ``resource`` (not at its exit either), because that would close a parent's session."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(resource))


def _forget_all() -> None:
    for holder in list(_holders):
        holder.forget()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_forget_all)
