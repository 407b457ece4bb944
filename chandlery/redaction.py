"""Takes secrets out of whatever is shown, logged or stored: the one place that knows what must not be read there.

A secret is the value of an environment variable that is named like one (``ALPACA_SECRET_KEY``, ``PGPASSWORD``), the
password within a URL or a connection string of the environment, what was remembered here (a provider's key), and
whatever stands where only a secret stands: in a URL before the host, behind ``password=`` or ``apikey=``, in a header.
Not here: reading any of them (``settings``, ``providers.catalog``).
"""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

HIDDEN = "***"
#: The shortest beginning or end of a secret that is hidden beside the mark of a cut, and the shortest value that its
#: variable's name makes a secret. A shorter one is of no use to anybody, and could be part of an ordinary word.
_SHORTEST_PIECE, _SHORTEST_VALUE = 4, 6
#: A shorter one that has but letters and digits may be part of a word: it is hidden where it stands by itself.
_SURELY_NO_WORD = 12
_SECRET_VARIABLE = re.compile(
    r"password|passwd|passphrase|secret|credential|token(?!s|iz)|(^|_)(api)?key(_id)?$", re.IGNORECASE
)
_PLACE_VARIABLE = re.compile(r"_(file|path|dir|sock)$", re.IGNORECASE)
_URL = re.compile(r"(?<![A-Za-z0-9+.-])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*+)://(?P<rest>[^\s\"'<>]*+)")
_NAME = r"(?:passw(?:or)?d|passphrase|secret|(?<![a-z])token|api[_-]?key|access[_-]?key|signature|credential)[\w.-]*+"
_VALUE = r"""(?:'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+"|[^\s&"'<>,;)\]}]++)"""
_WORDS = (
    "passw",
    "passphrase",
    "secret",
    "token",
    "api",
    "access",
    "signature",
    "credential",
    "key=",
    "auth",
    "cookie",
)
_ASSIGNED = re.compile(rf"(?:(?<=[?&])key|{_NAME})\s?=\s?(?P<value>{_VALUE})", re.IGNORECASE)
#: What stands only beside a secret, the group ``value``, after words without any of which it need not be looked for.
_BESIDE = (
    (_WORDS, _ASSIGNED),
    (_WORDS, re.compile(rf"""(?:{_NAME}|authorization|cookie)["']\s*:\s*(?P<value>{_VALUE})""", re.IGNORECASE)),
    (
        ("apca-", "x-"),
        re.compile(r"\b(?:APCA-API-[A-Z-]+|X-[A-Z-]*(?:KEY|TOKEN))\s*:\s*(?P<value>[^\s,;]+)", re.IGNORECASE),
    ),
    (("bearer",), re.compile(r"\bbearer\s+(?P<value>[\w.~+/=-]{6,})", re.IGNORECASE)),
    (("basic",), re.compile(r"\b[Bb]asic\s+(?P<value>(?=[a-z+/]*[A-Z0-9=])[A-Za-z0-9+/_-]{6,}={0,2})")),
    (_WORDS, re.compile(r"\b(?:Authorization|Cookie)\s*:\s*(?:\w+\s+)?(?P<value>\S+)", re.IGNORECASE)),
)
#: What examples in our own texts have in the place of a secret.
_PLACEHOLDERS = frozenset({"", HIDDEN, "password", "...", "…", "None"})
_CUT = re.compile(r"…|\.\.\.")

_remembered: set[str] = set()


def remember(*secrets: str) -> None:
    """Hide these from now on, wherever they are from. What is too short to be told from a word is not kept."""
    _remembered.update(secret for secret in secrets if len(secret) >= _SHORTEST_VALUE)


def hide(text: str, *secrets: str) -> str:
    """Return ``text`` with three stars in the place of each secret, however it is spelled.

    Args:
        text: to be shown or stored.
        secrets: which are hidden in it besides those that are known, however short.
    """
    known = _secrets_of(frozenset(os.environ.items())) | _remembered | set(filter(None, secrets))
    text = _hide_known(text, known)
    lower = text.lower()
    for words, beside in _BESIDE:
        if any(word in lower for word in words):
            text = beside.sub(_keep_name, text)
    return _URL.sub(_keep_address, text) if "://" in text else text


def hide_in_logs() -> None:
    """From now on, let no record that this process logs hold a secret, neither its text nor its traceback."""
    make = logging.getLogRecordFactory()
    if make is not _LogRecord:
        logging.setLogRecordFactory(_LogRecord)


class _LogRecord(logging.LogRecord):
    """A record whose text, once put together, and whose traceback hold no secret."""

    def getMessage(self) -> str:  # noqa: N802 - the name in the standard library
        """Return the text."""
        return hide(super().getMessage())

    @property
    def exc_text(self) -> str | None:
        """The traceback, as a formatter put it together."""
        return self._exc_text

    @exc_text.setter
    def exc_text(self, text: str | None) -> None:
        self._exc_text = hide(text) if text else text


def hide_within(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Return ``value``, as JSON can hold it, with each text in it as ``hide`` returns it."""
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return {key: hide_within(each) for key, each in value.items()}
    return [hide_within(each) for each in value] if isinstance(value, list) else value


def holds_credentials(text: str) -> bool:
    """Return whether there is a URL in ``text`` that has a password or a key in it."""
    return any(
        _keep_address(url) != url[0] or _ASSIGNED.sub(_keep_name, url["rest"]) != url["rest"]
        for url in _URL.finditer(text)
    )


def passwords_of(text: str) -> Iterator[str]:
    """Yield the passwords in the URLs and connection strings of ``text``, and parts of one that is not escaped.

    One that is the same as the user's name beside it is left out: there is nothing to hide.
    """
    for url in _URL.finditer(text):
        userinfo = _userinfo(url["scheme"], url["rest"])
        user, _, password = (userinfo or "").partition(":")
        if password and password != user:
            yield from {password, unquote(password)}
            pieces = re.split(r"[@/:#?%]", password)
            yield from (piece for piece in pieces if len(piece) >= _SHORTEST_PIECE and len(pieces) > 1)
            yield base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    for match in re.finditer(rf"\bpassword\s*=\s*({_VALUE})", text):
        yield match[1].strip("'")


@lru_cache(maxsize=4)
def _secrets_of(environment: frozenset[tuple[str, str]]) -> frozenset[str]:
    """Return the secrets among the variables of the environment."""
    secrets = set()
    for name, value in environment:
        if len(value) >= _SHORTEST_VALUE and _SECRET_VARIABLE.search(name) and not _PLACE_VARIABLE.search(name):
            secrets.add(value)
        secrets.update(each for each in passwords_of(value) if len(each) >= _SHORTEST_PIECE)
    return frozenset(secrets)


def _hide_known(text: str, secrets: frozenset[str]) -> str:
    forms = _forms(secrets)
    if _CUT.search(text):  # what a server answered is quoted in part, and may be cut within a secret
        text = _hide_pieces(text, forms)
    lower = text.lower()
    found = [form for form in forms if form.lower() in lower]
    return re.sub(_any_of(found), HIDDEN, text, flags=re.IGNORECASE) if found else text


def _hide_pieces(text: str, forms: Iterable[str]) -> str:
    """Hide what is left of a secret on both sides of each mark of a cut."""
    kept, place = [], 0
    for cut in _CUT.finditer(text):
        before, after = text[place : cut.start()], text[cut.end() :]
        head = max((_overlap(form, before) for form in forms), default=0)
        tail = max((_overlap(form[::-1], after[::-1]) for form in forms), default=0)
        kept += [before[: len(before) - head] + HIDDEN if head else before, cut[0]]
        kept += [HIDDEN] if tail else []
        place = cut.end() + tail
    return "".join((*kept, text[place:]))


def _overlap(form: str, text: str) -> int:
    """Return how many letters of the beginning of ``form`` stand at the end of ``text``; 0 where they are too few."""
    form, text = form.lower(), text.lower()[-len(form) :]
    lengths = range(min(len(form), len(text)), _SHORTEST_PIECE - 1, -1)
    return next((length for length in lengths if text.endswith(form[:length])), 0)


@lru_cache(maxsize=64)
def _forms(secrets: frozenset[str]) -> tuple[str, ...]:
    """Return all spellings, longest first: where one secret begins like another, nothing is left of either."""
    return tuple(sorted({form for secret in secrets for form in _spellings(secret) if form}, key=len, reverse=True))


def _any_of(forms: Iterable[str]) -> str:
    return "|".join(_pattern(form) for form in forms)


def _pattern(form: str) -> str:
    pattern = re.escape(form)
    if len(form) >= _SURELY_NO_WORD or not form.isalnum():
        return pattern
    # A letter before it may also end what stands for another character: %3D, \n.
    return rf"(?:(?<![^\W_])|(?<=%[0-9A-F]{{2}})|(?<=\\[nrt])){pattern}(?![^\W_])"


def _spellings(secret: str) -> Iterator[str]:
    """Yield how a secret may be spelled: as it is, in a URL, in JSON, in HTML, in Python, within base64."""
    escaped = json.dumps(secret)[1:-1]
    yield from (secret, quote(secret), quote(secret, safe=""))
    yield from (escaped, escaped.replace("/", "\\/"), html.escape(secret), html.escape(secret, quote=False))
    yield repr(secret)[1:-1]
    raw = secret.encode()
    if len(raw) < 2 * _SHORTEST_PIECE:
        return
    for offset in range(3):  # where the secret begins among the three bytes that become four letters
        within = base64.b64encode(bytes(offset) + raw)
        sure = within[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6].decode()
        yield from (sure, sure.translate(str.maketrans("+/", "-_")))


def _keep_name(match: re.Match[str]) -> str:
    """Return what matched with stars for its value."""
    value = match["value"].strip("\"'")
    if value in _PLACEHOLDERS:
        return match[0]
    start, whole = match.start("value") - match.start(), match[0]
    mark = match["value"][0] if match["value"][0] in "\"'" else ""
    return f"{whole[:start]}{mark}{HIDDEN}{mark}{whole[start + len(match['value']) :]}"


def _keep_address(match: re.Match[str]) -> str:
    """Return a URL with stars for its password; of one that is no database's, for its user too."""
    scheme, rest = match["scheme"], match["rest"]
    userinfo = _userinfo(scheme, rest)
    if userinfo is None:
        return match[0]
    user, colon, password = userinfo.partition(":")
    if _is_database(scheme):
        shown = f"{user}:{HIDDEN}" if colon and password not in _PLACEHOLDERS else userinfo
    else:
        shown = userinfo if password in _PLACEHOLDERS and user in _PLACEHOLDERS else HIDDEN
    return f"{scheme}://{shown}{rest[len(userinfo) :]}"


def _userinfo(scheme: str, rest: str) -> str | None:
    """Return what stands before the host, also where characters in it are not escaped; None where nothing does."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    before_query = rest.partition("?")[0]
    if "@" in authority:
        after = before_query[len(authority) :]
        return before_query.rpartition("@")[0] if "@" in after else authority.rpartition("@")[0]
    _, _, port = authority.partition(":")
    if "@" in rest and port and (_is_database(scheme) or not port.isdigit()):
        return (before_query if "@" in before_query else rest).rpartition("@")[0]
    return None


def _is_database(scheme: str) -> bool:
    return scheme.lower().split("+")[0] in {"postgres", "postgresql"}
