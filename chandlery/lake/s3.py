"""A lake in a bucket: how to reach S3, or what speaks like it, from a URL and the environment.

Credentials are found by the AWS SDK itself, at each request: ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and
``AWS_SESSION_TOKEN``, a profile, or a role. ``AWS_ENDPOINT_URL_S3`` or ``AWS_ENDPOINT_URL`` names another server than
Amazon's, ``AWS_REGION`` or ``AWS_DEFAULT_REGION`` the region (otherwise the bucket's is looked up), and
``AWS_CA_BUNDLE`` a file of certificates to trust. They have to allow ``s3:ListBucket``, ``s3:GetObject``,
``s3:PutObject`` and ``s3:DeleteObject``.

A writer that dies leaves parts of a file of more than 10 MiB, which nobody sees and which are paid for. Have the bucket
clear them away, by a lifecycle rule with ``AbortIncompleteMultipartUpload`` after a day.
Not here: what is kept in the bucket and how (``store``).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from chandlery.errors import ConfigurationError, LakeError

_URL = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{2,62})(?P<prefix>(/[^/?#]+)*)/?")
#: In seconds: how long a connection may take, and how long it may go without a byte. A server that is up answers much
#: sooner; one that accepts everything and never answers is given up after less than a minute.
_TIMEOUT = 5.0
#: How often a request is made in all, with random pauses of up to 1, 2 and 4 seconds between.
_ATTEMPTS = 4
#: The parts in which two texts about the same failure differ.
_VOLATILE = re.compile(r"\s*\(Request ID: [^)]*\)|\s+after \d+ (ms|milliseconds)\b")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A place in a bucket. No server is contacted before ``connect``.

    Attributes:
        name: of the bucket.
        base: the bucket and the prefix of every key, as ``bucket/prefix``.
        endpoint: (scheme, host and port) of a server other than Amazon's.
    """

    name: str
    base: str
    endpoint: tuple[str, str] | None

    @classmethod
    def parse(cls, url: str, variable: str) -> Bucket:
        """Return the place that ``s3://bucket/prefix`` names, at the server that the environment names.

        Raises:
            ConfigurationError: one of them is malformed. The text quotes neither: there may be a secret in it.
        """
        match = _URL.fullmatch(url)
        if match is None or {".", ".."} & set(match["prefix"].split("/")):
            raise ConfigurationError(
                f"{variable} is not of the form s3://bucket/prefix; credentials, region and endpoint are not part of"
                " it but come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL"
            )
        if bool(os.environ.get("AWS_ACCESS_KEY_ID")) != bool(os.environ.get("AWS_SECRET_ACCESS_KEY")):
            raise ConfigurationError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together; only one of them is set")
        return cls(match["bucket"], match["bucket"] + match["prefix"], _endpoint())

    def connect(self) -> Any:  # noqa: ANN401 - pyarrow is not typed
        """Return the file system of all buckets.

        Raises:
            LakeError: the environment does not name the bucket's region, and the server does not tell it.
        """
        from pyarrow import fs  # noqa: PLC0415 - slow to import, and to know a place needs it not

        scheme, host = self.endpoint or (None, None)
        return fs.S3FileSystem(
            region=self._region(),
            scheme=scheme,
            endpoint_override=host,
            connect_timeout=_TIMEOUT,
            request_timeout=_TIMEOUT,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
            tls_ca_file_path=os.environ.get("AWS_CA_BUNDLE"),
            allow_delayed_open=True,  # small files in a single request, which leaves nothing behind if it fails
        )

    def _region(self) -> str:
        named = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if named or self.endpoint:
            return named or "us-east-1"  # which servers other than Amazon's take for any
        from pyarrow import fs  # noqa: PLC0415 - see ``connect``

        try:
            return str(fs.resolve_s3_region(self.name))
        except OSError as error:
            raise LakeError(
                f"the region of the bucket {self.name!r} cannot be found ({describe_error(error)}); set AWS_REGION"
            ) from error


def describe_error(error: BaseException | str) -> str:
    """Return the text of ``error``, the same whenever the failure is the same."""
    return _VOLATILE.sub("", str(error))


def _endpoint() -> tuple[str, str] | None:
    text = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not text:
        return None
    parts = urlsplit(text if "://" in text else f"https://{text}")
    more = "@" in parts.netloc or parts.path.strip("/") or parts.query
    if parts.scheme not in {"http", "https"} or not parts.hostname or more:
        raise ConfigurationError("AWS_ENDPOINT_URL is not of the form https://host:port")
    return parts.scheme, parts.netloc
