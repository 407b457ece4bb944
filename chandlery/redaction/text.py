"""Takes secrets out of whatever is shown, logged or stored: the one place that knows what must not be read there.

A secret is the value of an environment variable that is named like one (``ALPACA_SECRET_KEY``, ``PGPASSWORD``), the
password within a URL or a connection string of the environment, what was remembered here (a provider's key), and
whatever stands where only a secret stands: in a URL before the host, behind ``password=`` or ``apikey=``, in a header.
Not here: records of logs (``logs``), and reading any of them (``settings``, ``providers.catalog``).
"""

from __future__ import annotations

import base64
import html
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

HIDDEN = "***"
#: The shortest beginning or end of a secret that is hidden beside the mark of a cut, and the shortest value that its
#: variable's name makes a secret. A shorter one is of no use to anybody, and could be part of an ordinary word.
_SHORTEST_PIECE, _SHORTEST_VALUE = 4, 6
#: A shorter one that has but letters and digits may be part of a word: it is hidden where it stands by itself.
_SURELY_NO_WORD = 12
#: A shorter one of these alone is a word or a number, which stand in many a text: it is hidden only in its own place.
_WORD = re.compile(r"[A-Z]?[a-z]*|[A-Z]*|[0-9]*")
_SECRET_VARIABLE = re.compile(r"(?i)password|passwd|passphrase|secret|credential|token(?!s|iz)|(^|_)(api)?key(_id)?$")
_PLACE_VARIABLE = re.compile(r"_(file|path|dir|sock)$", re.IGNORECASE)
_URL = re.compile(r"(?<![A-Za-z0-9+.-])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*+)://(?P<rest>[^\s\"'<>]*+)")
# What repeats has a limit everywhere, so that no text takes longer than its length.
_NAME = (
    r"(?:passw(?:or)?d|passphrase|secret|(?<![a-z])(?:token|pwd|pass(?![a-z]))|api[_-]?key|access[_-]?key"
    r"|signature(?=\s?=\s?\S{0,40}\d)|credential)[\w.-]{0,40}+"
)
_VALUE = r"""(?:'(?:[^'\\]|\\.){0,999}+'|"(?:[^"\\]|\\.){0,999}+"|['"]?[^\s&"'<>,;)\]}]++)"""
#: One of these stands where a name does, in lower case: looked for first, because it costs next to nothing.
_NAMED = (re.compile("pass(?:w|phr|(?![a-z]))"), "pwd", "secret", "token", "api", "access", "signature", "credential")
_ASSIGNED = re.compile(rf"(?:(?<=[?&])key|{_NAME})\s?=\s?(?P<value>{_VALUE})", re.IGNORECASE)
#: What stands only beside a secret, the group ``value``, after a word without one of which it need not be looked for.
_PATTERNS: tuple[tuple[tuple[str | re.Pattern[str], ...], str], ...] = (
    ((*_NAMED, "key="), _ASSIGNED.pattern),
    ((*_NAMED, "authorization", "cookie"), rf"""(?:{_NAME}|authorization|cookie)["']\s*:\s*(?P<value>{_VALUE})"""),
    (("apca-",), r"\bAPCA-API-[A-Z-]{1,40}\s{0,9}:\s{0,9}(?P<value>[^\s,;]+)"),
    (("x-",), r"\bX-[A-Z-]{0,40}(?:KEY|TOKEN)\s{0,9}:\s{0,9}(?P<value>[^\s,;]+)"),
    (("bearer",), r"\bbearer\s{1,9}(?P<value>(?=\S{0,40}\d|\S{20})[\w.~+/=-]{6,})"),
    (("basic",), r"\b(?-i:[Bb]asic)\s{1,9}(?P<value>[A-Za-z0-9+/_-]{6,}={0,2})"),
    (("authorization",), r"\bAuthorization\s{0,9}:\s{0,9}(?:\w{1,40}\s{1,9})?(?P<value>\S+)"),
    (("cookie",), r"\b(?:Set-)?Cookie\s{0,9}:\s{0,9}(?P<value>[^\r\n]+)"),
    (("password",), r"\bpassword\s{1,9}(?P<value>'[^'\n]{1,999}')"),
)
_BESIDE = [(words, re.compile(pattern, re.IGNORECASE)) for words, pattern in _PATTERNS]
#: What examples in our own texts have in the place of a secret.
_PLACEHOLDERS = frozenset({"", HIDDEN, "password", "...", "…", "None", "null"})
#: What is named like a secret and is a number of them.
_COUNT = re.compile(r"(?:count|limit|size|length)\s?=\s?\d+$", re.IGNORECASE)
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
    return _hide_beside(_hide_known(text, _known(secrets)))


def holds_secret(texts: Collection[str]) -> bool:
    """Return whether ``hide`` would change one of ``texts``; of many, it takes much less time."""
    joined = "\n".join(texts)
    return _hide_known(joined, _known()) != joined or any(_hide_beside(text) != text for text in texts)


def hide_within(value: Any, kept: Collection[str] = ()) -> Any:  # noqa: ANN401 - whatever JSON can hold
    """Return ``value``, as JSON can hold it, with each text in it as ``hide`` returns it.

    Args:
        value: dictionaries, lists, texts, numbers, booleans and None.
        kept: keys of dictionaries whose values stay as they are.
    """
    if isinstance(value, str):
        return hide(value)
    if isinstance(value, dict):
        return {key: each if key in kept else hide_within(each, kept) for key, each in value.items()}
    return [hide_within(each, kept) for each in value] if isinstance(value, list) else value


def holds_credentials(text: str) -> bool:
    """Return whether there is a URL in ``text`` that has a password or a key in it."""
    return any(
        _keep_address(url) != url[0] or _ASSIGNED.sub(_keep_name, url["rest"]) != url["rest"]
        for url in _URL.finditer(text)
    )


def passwords_of(text: str) -> Iterator[str]:
    """Yield the passwords in the URLs and connection strings of ``text``, and parts of one that would be misread.

    One that is the same as the user's name beside it is left out: there is nothing to hide. So is a word or a number:
    it is hidden in its place, and stands in many a text that has nothing to do with it.
    """
    for url in _URL.finditer(text):
        userinfo = _userinfo(url["scheme"], url["rest"])
        user, _, password = (userinfo or "").partition(":")
        if password and password != user and not _is_word(password):
            yield from {password, unquote(password)}
            if re.search(r"[@/?]", password):  # whoever reads the address takes one of the parts for the host
                pieces = re.split(r"[@/:#?%]", password)
                yield from (piece for piece in pieces if len(piece) >= _SHORTEST_PIECE)
            yield base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    for match in re.finditer(rf"\bpassword\s*=\s*({_VALUE})", text):
        if not _is_word(match[1].strip("'")):
            yield match[1].strip("'")


def _known(more: Iterable[str] = ()) -> frozenset[str]:
    """Return the secrets that are known now, and ``more``."""
    # What the mapping holds is taken as it is: to decode each name and value takes longer than all the rest.
    environment = getattr(os.environ, "_data", None) or os.environ
    return _secrets_of(frozenset(environment.items())) | _remembered | set(filter(None, more))


def _is_word(text: str) -> bool:
    return len(text) < _SURELY_NO_WORD and _WORD.fullmatch(text) is not None


@lru_cache(maxsize=4)
def _secrets_of(environment: frozenset[tuple[str | bytes, str | bytes]]) -> frozenset[str]:
    """Return the secrets among the variables of the environment."""
    secrets = set()
    for name, value in ((os.fsdecode(name), os.fsdecode(value)) for name, value in environment):
        is_secret = _SECRET_VARIABLE.search(name) and not _PLACE_VARIABLE.search(name)
        if is_secret and len(value) >= _SHORTEST_VALUE and not _is_word(value):
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


def _hide_beside(text: str) -> str:
    """Hide what stands where only a secret stands."""
    lower = text.lower()
    for words, beside in _BESIDE:
        if any(word in lower if isinstance(word, str) else word.search(lower) for word in words):
            text = beside.sub(_keep_name, text)
    return _URL.sub(_keep_address, text) if "://" in text else text


def _hide_pieces(text: str, forms: Sequence[str]) -> str:
    """Hide what is left of a secret on both sides of each mark of a cut."""
    kept, place = [], 0
    reach = max(map(len, forms), default=0)
    for cut in _CUT.finditer(text):
        if cut.start() < place:
            continue
        before = text[place : cut.start()]
        near, after = before[-reach:], text[cut.end() : cut.end() + reach][::-1]
        head = max((_overlap(form, near) for form in forms), default=0)
        tail = max((_overlap(form[::-1], after) for form in forms), default=0)
        kept += [before[: len(before) - head] + HIDDEN if head else before, cut[0]]
        kept += [HIDDEN] if tail else []
        place = cut.end() + tail
    return "".join((*kept, text[place:]))


def _overlap(form: str, text: str) -> int:
    """Return how many letters of the beginning of ``form`` stand at the end of ``text``; 0 where they are too few."""
    form, text = form.lower(), text.lower()[-len(form) :]
    if form[:_SHORTEST_PIECE] not in text:
        return 0
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
    if value in _PLACEHOLDERS or _COUNT.search(match[0]) or not _may_be_login(match):
        return match[0]
    start, whole = match.start("value") - match.start(), match[0]
    mark = match["value"][0] if match["value"][0] in "\"'" else ""
    return f"{whole[:start]}{mark}{HIDDEN}{mark}{whole[start + len(match['value']) :]}"


def _may_be_login(match: re.Match[str]) -> bool:
    """Return whether what stands behind ``basic`` is a user and a password in base64, and no word of a sentence."""
    if match[0][:5].lower() != "basic":
        return True
    try:
        return b":" in base64.b64decode(match["value"].rstrip("=") + "==", altchars=b"-_")
    except ValueError:
        return False


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
