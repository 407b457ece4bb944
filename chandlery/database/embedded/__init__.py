"""The embedded PostgreSQL: a server of the installation's own, which runs while any process of ours uses it.

``server`` starts and leaves it; ``keeper`` is the process that stops it; ``cluster`` makes its files and says who may
connect; ``folders`` keeps other users out; ``processes`` tells our server from other processes; ``programs`` alone
knows where PostgreSQL's programs come from. Linux and macOS only.
"""

from chandlery.database.embedded.cluster import ROLE, SUPERUSER
from chandlery.database.embedded.server import PORT, leave, start

__all__ = ["PORT", "ROLE", "SUPERUSER", "leave", "start"]
