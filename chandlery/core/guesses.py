"""What a symbol most likely stands for, by its spelling alone: its asset class and its calendar.

A guess knows that it guesses: where the spelling names a market or a currency that is not known here, there is none.
Not here: what may be a symbol (``symbols``).
"""

from __future__ import annotations

import re

from chandlery.core.symbols import AssetClass

_CLASS_OF_ENDING: dict[str, AssetClass] = {"=F": "future", "=X": "fx"}
_CALENDAR_OF_CLASS = {"crypto": "24/7", "fx": "24/5", "future": "CMES", "power": "24/7", "spread": "CMES"}
_CURRENCIES = """
    AED ARS AUD BGN BRL CAD CHF CLP CNH CNY COP CZK DKK EUR GBP HKD HUF IDR ILS INR ISK JPY KRW MXN MYR NGN NOK NZD PEN
    PHP PLN RON RUB SAR SEK SGD THB TRY TWD UAH USD VND XAG XAU ZAR
"""
#: What coins are quoted in, besides currencies.
_COIN_QUOTES = "USDT USDC BUSD FDUSD TUSD USDP USDE USDD DAI PYUSD EURC EURI BTC XBT ETH BNB PERP SWAP"
#: Coins that are written together with a currency: ``BTCEUR``.
_COINS = """
    AAVE ADA ATOM AVAX BCH BNB BTC DOGE DOT ETC ETH FIL LINK LTC NEAR PEPE SHIB SOL SUI TRX UNI XBT XLM XMR XRP
"""
#: Pairs with a coin that has no sign between: no share of New York has as many letters, or ends so.
_WRITTEN_TOGETHER = re.compile(
    r"[A-Z0-9]{2,}(USDT|USDC|BUSD|FDUSD|TUSD)|[A-Z0-9]{2,6}(USD)"
    r"|[A-Z0-9]{3,6}(BTC|XBT|ETH|BNB|EUR|GBP|JPY|CHF|CAD|AUD|BRL|KRW)"
)
#: How contracts without an end are marked, which trade like what they follow.
_PERPETUAL = re.compile(r"(\.P|[-_]PERP|[-_]SWAP)$")
#: A contract of a future: its root, the letter of its month, its year; and, at Yahoo, its exchange.
_CONTRACT = re.compile(r"([A-Z0-9]{1,3})[FGHJKMNQUVXZ](\d{1,2}|20\d\d)(\.(CME|CBT|NYM|CMX|NYB))?")
#: Roots of the contracts that trade by the hours of Chicago.
_CHICAGO_ROOTS = """
    6A 6B 6C 6E 6J 6M 6N 6S BTC BZ CL ES ETH GC GE GF HE HG HO KE LE M2K MBT MCL MES MET MGC MNQ MYM NG NQ PA PL QG QM
    RB RTY SI SR1 SR3 TN UB YM ZB ZC ZF ZL ZM ZN ZQ ZS ZT ZW
"""
#: What stands before a colon: an exchange whose shares trade by the calendar of New York ...
_NEW_YORK_PREFIXES = "NYSE NASDAQ AMEX ARCA BATS NYSEARCA NYSEAMERICAN CBOE US"
#: ... or, at Polygon, the class of what follows.
_CLASS_OF_PREFIX: dict[str, AssetClass] = {"X": "crypto", "C": "fx", "I": "index"}
#: As Yahoo ends the symbols of an exchange; where a country has several, the calendar of their common holidays.
_MARKETS = """
    IEPA .NYB
    ASEX .AT  BVMF .SA  XAMS .AS  XASX .AX .XA  XBKK .BK  XBOG .CL  XBOM .BO .NS  XBRA .BV  XBRU .BR  XBSE .RO  XBUD .BD
    XBUE .BA  XCSE .CO  XCYS .CY  XDUB .IR  XDUS .DU  XETR .DE  XFRA .F .BE .MU .BM  XHAM .HM .HA  XHEL .HE  XHKG .HK
    XICE .IC  XIDX .JK  XIST .IS  XJSE .JO  XKAR .KA  XKLS .KL  XKRX .KS .KQ  XLIM .LM  XLIS .LS  XLIT .VS  XLJU .LJ
    XLON .L .IL .XC .AQ  XLUX .LU  XMAD .MC  XMEX .MX  XMIL .MI .TI  XMOS .ME  XNZE .NZ  XOSL .OL  XPAR .PA .NX
    XPHS .PS  XPRA .PR  XRIS .RG  XSAU .SR .SAU  XSES .SI  XSGO .SN  XSHG .SS .SZ  XSTO .ST  XSTU .SG  XSWX .SW .VX
    XTAE .TA  XTAI .TW .TWO  XTAL .TL  XTKS .T  XTSE .TO .V .CN .NE  XWAR .WA  XWBO .VI  XZAG .ZG
"""
_INDICES = """
    XNYS ^GSPC ^DJI ^DJT ^DJU ^IXIC ^NDX ^NYA ^XAX ^RUT ^RUI ^RUA ^VIX ^VXN ^OEX ^MID ^SOX ^TNX ^TYX ^FVX ^IRX ^SP500TR
    BVMF ^BVSP  XAMS ^AEX  XASX ^AXJO ^AORD  XBOM ^NSEI ^BSESN ^NSEBANK  XBRU ^BFX  XBUE ^MERV  XETR ^GDAXI ^MDAXI
    ^TECDAX ^STOXX50E ^STOXX  XHKG ^HSI ^HSCE  XIDX ^JKSE  XKLS ^KLSE  XKRX ^KS11 ^KS200 ^KQ11  XLON ^FTSE ^FTMC ^FTAS
    XMAD ^IBEX  XMEX ^MXX  XNZE ^NZ50  XPAR ^FCHI ^SBF120 ^N100  XSES ^STI  XSTO ^OMX ^OMXS30  XSWX ^SSMI  XTAI ^TWII
    XTKS ^N225 ^TPX  XTSE ^GSPTSE  XWBO ^ATX
"""
#: What stands behind a dot or a dash in one symbol of a share: its class, its kind.
_OF_A_SHARE = re.compile(r"[A-Z]|P[A-Z]?|PR[A-Z]?|WS[A-Z]?|WT|RT|UN?|CL")


def _table(text: str) -> dict[str, str]:
    """Return the calendar of each of the words that follow its name."""
    table: dict[str, str] = {}
    calendar = ""
    for word in text.split():
        if word[0] in ".^":
            table[word] = calendar
        else:
            calendar = word
    return table


_FIAT, _COIN = frozenset(_CURRENCIES.split()), frozenset(_COINS.split())
_CHICAGO, _NEW_YORK = frozenset(_CHICAGO_ROOTS.split()), frozenset(_NEW_YORK_PREFIXES.split())
#: What is usual on the second side of a pair.
QUOTES = _FIAT | frozenset(_COIN_QUOTES.split())
_CALENDAR_OF_SUFFIX, _CALENDAR_OF_INDEX = _table(_MARKETS), _table(_INDICES)


def default_asset_class(symbol: str) -> AssetClass:
    """Return what ``symbol`` looks like: an index, a future, a pair of currencies, one with a coin, or else a share."""
    prefix, name = _split(symbol)
    if name.startswith("^"):
        return "index"
    known = _CLASS_OF_PREFIX.get(prefix) or _CLASS_OF_ENDING.get(name[-2:])
    if known is not None:
        return known
    legs = _legs(name)
    if legs is not None and _FIAT.issuperset(legs):
        return "fx"
    if legs is not None and ("/" in name or legs[1] in QUOTES):
        return "crypto"
    return "equity" if _calendar_of_contract(name) is None else "future"


def default_calendar(symbol: str, asset_class: str) -> str | None:
    """Return the calendar by which ``symbol`` most likely trades; None where its spelling names what is not known.

    For a share its suffix decides (``VOD.L``), and that of New York is the calendar of a symbol without any.
    """
    (prefix, name), looks = _split(symbol), default_asset_class(symbol)
    legs = _legs(name)
    if asset_class == "future" and _calendar_of_contract(name):
        return _calendar_of_contract(name)
    if asset_class in _CALENDAR_OF_CLASS:
        is_known = looks != asset_class or legs is None or legs[1] in QUOTES
        return _CALENDAR_OF_CLASS[asset_class] if is_known else None
    suffix = name[name.rfind(".") :] if "." in name else ""
    if suffix in _CALENDAR_OF_SUFFIX:
        return _CALENDAR_OF_SUFFIX[suffix]
    if name.startswith("^") or prefix in _CLASS_OF_PREFIX:
        return _CALENDAR_OF_INDEX.get(f"^{name.removeprefix('^')}")
    if (prefix and prefix not in _NEW_YORK) or name.isdigit():
        return None
    ends = [suffix[1:]] if suffix else [] if legs is None else [legs[1]]
    return "XNYS" if all(_OF_A_SHARE.fullmatch(end) for end in ends) else None


def why_unknown(symbol: str) -> str:
    """Return, for people, what of ``symbol`` is not known, so that there is no guess."""
    prefix, name = _split(symbol)
    legs = _legs(name)
    if name.startswith("^") or prefix == "I":
        return f"where the index {symbol} is quoted is not known"
    if "." in name:
        return f"which market {symbol[symbol.rfind('.') :]!r} is, at the end of {symbol}, is not known"
    if legs:
        return f"what {symbol[-len(legs[1]) :]!r} is, at the end of {symbol}, is not known"
    if prefix:
        return f"which market {prefix!r} is, at the start of {symbol}, is not known"
    return f"at which exchange {symbol} is that number is not known"


def _calendar_of_contract(name: str) -> str | None:
    """Return the calendar of a contract of a future that is known: ``ESZ24``, ``CLZ24.NYM``; None for anything else."""
    contract = _CONTRACT.fullmatch(name)
    if contract is None or not (contract[4] or contract[1] in _CHICAGO):
        return None
    return "IEPA" if contract[4] == "NYB" else "CMES"


def _split(symbol: str) -> tuple[str, str]:
    """Return the exchange before a colon, or nothing, and the name behind it without the mark of a perpetual one."""
    prefix, _, name = symbol.upper().rpartition(":")
    bare = _PERPETUAL.sub("", name)
    return prefix, bare if _legs(bare) else name


def _legs(name: str) -> tuple[str, str] | None:
    """Return the two parts of a pair: ``BTC-EUR``, ``BTC/EUR``, ``BTCUSDT``, ``EURUSD``; None where it is none."""
    parts = re.split(r"[-/_]", name)
    if len(parts) == 2 and all(parts):
        return parts[0], parts[1]
    base, quote = name[:-3], name[-3:]
    if quote in _FIAT and base in _COIN | _FIAT:
        return base, quote
    together = _WRITTEN_TOGETHER.fullmatch(name)
    if together:
        quote = next(filter(None, together.groups()))
        return name.removesuffix(quote), quote
    return None
