"""Every indicator again, bar by bar in plain Python: what a value is, without a thought of speed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from statistics import fmean, pstdev, pvariance, stdev
from typing import NamedTuple

NAN = math.nan
Line = list[float]


class Bars(NamedTuple):
    open: Line
    high: Line
    low: Line
    close: Line
    volume: Line


def over(n: int, make: Callable[..., float], *lines: Sequence[float]) -> Line:
    """Return ``make`` of the last n values of each line; NaN where there are fewer, or one of them is NaN."""
    made = []
    for end in range(1, len(lines[0]) + 1):
        windows = [line[end - n : end] for line in lines]
        made.append(
            NAN if end < n or any(math.isnan(v) for window in windows for v in window) else no_error(make, windows)
        )
    return made


def no_error(make: Callable[..., float], arguments: Sequence[object]) -> float:
    try:
        return make(*arguments)
    except (ZeroDivisionError, ValueError):
        return NAN


def each(make: Callable[..., float], *lines: Sequence[float]) -> Line:
    return [no_error(make, values) if not any(map(math.isnan, values)) else NAN for values in zip(*lines, strict=True)]


def before(line: Sequence[float], n: int = 1) -> Line:
    return [NAN] * min(n, len(line)) + list(line[: max(len(line) - n, 0)])


def smooth(line: Sequence[float], n: int, weight: float) -> Line:
    """Return a recursive average that begins as the mean of the first n values that are not NaN."""
    first = next((place for place, value in enumerate(line) if not math.isnan(value)), len(line))
    made, now = [NAN] * len(line), NAN
    for place in range(first + n - 1, len(line)):
        now = fmean(line[first : first + n]) if place == first + n - 1 else now + weight * (line[place] - now)
        made[place] = now
    return made


def ema(line: Sequence[float], n: int) -> Line:
    return smooth(line, n, 2 / (n + 1))


def rma(line: Sequence[float], n: int) -> Line:
    return smooth(line, n, 1 / n)


def sma(line: Sequence[float], n: int) -> Line:
    return over(n, fmean, line)


def wma(line: Sequence[float], n: int) -> Line:
    return over(n, lambda w: sum((k + 1) * v for k, v in enumerate(w)) / (n * (n + 1) / 2), line)


def anew(make: Callable[[Bars], Line], b: Bars, moves: Line, n: int) -> Line:
    """Return what make gives, begun anew after each standstill of five times n bars; NaN while nothing moved."""
    moved = [m != 0 and not math.isnan(m) for m in moves]
    active = [any(moved[max(k + 1 - 5 * n, 0) : k + 1]) for k in range(len(moved))]
    begins = [0, *(k - 1 for k in range(5 * n, len(moved)) if active[k] and not active[k - 1]), len(moved)]
    made: Line = []
    for first, after in pairwise(begins):
        made += make(Bars(*(line[first:after] for line in b)))
    return [value if is_active else NAN for value, is_active in zip(made, active, strict=True)]


def change(b: Bars, n: int = 1) -> Line:
    return each(lambda now, then: now - then, b.close, before(b.close, n))


def true_range(b: Bars) -> Line:
    return each(lambda h, lo, c: max(h, c) - min(lo, c), b.high, b.low, before(b.close))


def typical(b: Bars) -> Line:
    return each(lambda h, lo, c: (h + lo + c) / 3, b.high, b.low, b.close)


def gains(b: Bars, n: int, make: Callable[[float, float], float]) -> list[Line]:
    def one(part: Bars) -> Line:
        moves = change(part)
        up, down = rma(each(lambda m: max(m, 0), moves), n), rma(each(lambda m: max(-m, 0), moves), n)
        return each(make, up, down)

    return [anew(one, b, change(b), n)]


def difference(b: Bars, fast: int, slow: int) -> tuple[Line, Line]:
    """Return the fast and the slow average; the fast one begins so that both have their first value together."""
    fast, slow = sorted((fast, slow))
    pad = min(slow - fast, len(b.close))
    return [NAN] * pad + ema(b.close[pad:], fast), ema(b.close, slow)


def signalled(line: Line, n: int) -> list[Line]:
    signal = ema(line, n)
    return [line, signal, each(lambda a, s: a - s, line, signal)]


def macd(b: Bars, fast: int, slow: int, signal: int) -> list[Line]:
    made = signalled(each(lambda f, s: f - s, *difference(b, fast, slow)), signal)
    return [[NAN if math.isnan(s) else v for v, s in zip(line, made[1], strict=True)] for line in made]


def trix(b: Bars, n: int) -> list[Line]:
    average = ema(ema(ema(b.close, n), n), n)
    return [each(lambda now, then: (now / then - 1) * 100, average, before(average))]


def tsi(b: Bars, slow: int, fast: int) -> list[Line]:
    def one(part: Bars) -> Line:
        way, size = (ema(ema(line, slow), fast) for line in (change(part), each(abs, change(part))))
        return each(lambda w, s: 100 * w / s, way, size)

    return [anew(one, b, change(b), slow + fast)]


def in_range(n: int, value: Line, high: Line, low: Line) -> Line:
    return over(n, lambda v, h, lo: 100 * (v[-1] - min(lo)) / (max(h) - min(lo)), value, high, low)


def stoch(b: Bars, n: int, k: int, d: int) -> list[Line]:
    slow = sma(in_range(n, b.close, b.high, b.low), k)
    return [slow, sma(slow, d)]


def stochrsi(b: Bars, length: int, n: int, k: int, d: int) -> list[Line]:
    (strength,) = REFERENCES["RSI"](b, length)
    slow = sma(
        over(n, lambda r: 100 * (r[-1] - min(r)) / (max(r) - min(r)) if max(r) - min(r) > 1e-3 else NAN, strength), k
    )
    return [slow, sma(slow, d)]


def cci(b: Bars, n: int) -> list[Line]:
    def one(p: Sequence[float]) -> float:
        return (p[-1] - fmean(p)) / (0.015 * fmean(abs(v - fmean(p)) for v in p)) if max(p) > min(p) else NAN

    return [over(n, one, typical(b))]


def ultosc(b: Bars, *lengths: int) -> list[Line]:
    pressure = each(lambda c, lo, then: c - min(lo, then), b.close, b.low, before(b.close))
    shares = [over(n, lambda p, r: sum(p) / sum(r), pressure, true_range(b)) for n in lengths]
    return [each(lambda *s: 100 * (4 * s[0] + 2 * s[1] + s[2]) / 7, *shares)]


def directional(name: str, b: Bars, n: int) -> list[Line]:
    if name == "ADXR":
        (adx,) = directional("ADX", b, n)
        return [each(lambda a, then: (a + then) / 2, adx, before(adx, n - 1))]
    moves = each(lambda h, h1, lo, lo1: max(h - h1, lo1 - lo, 0), b.high, before(b.high), b.low, before(b.low))
    return [anew(lambda part: wilder(part, n)[name], b, true_range(b) if "DI" in name else moves, n)]


def wilder(b: Bars, n: int) -> dict[str, Line]:
    size, plus, minus, ranges = len(b.close), [NAN], [NAN], true_range(b)
    for k in range(1, size):
        up, down = b.high[k] - b.high[k - 1], b.low[k - 1] - b.low[k]
        plus.append(up if up > max(down, 0) else 0.0)
        minus.append(down if down > max(up, 0) else 0.0)

    def total(line: Line) -> Line:
        made, now = [NAN] * size, 0.0
        for k in range(1, size):
            now = now + line[k] if k < n else now - now / n + line[k]
            made[k] = now if k >= n else NAN
        return made

    p, m = (each(lambda a, r: 100 * a / r, total(line), total(ranges)) for line in (plus, minus))
    dx = each(lambda a, c: 100 * abs(a - c) / (a + c), p, m)
    return {"PLUS_DI": p, "MINUS_DI": m, "DX": dx, "ADX": rma(dx, n)}


def aroon(b: Bars, n: int) -> list[Line]:
    def since(w: Sequence[float], best: float) -> float:
        return 100 * max(place for place, value in enumerate(w) if value == best) / n

    return [over(n + 1, lambda w: since(w, max(w)), b.high), over(n + 1, lambda w: since(w, min(w)), b.low)]


def vortex(b: Bars, n: int) -> list[Line]:
    up = each(lambda h, then: abs(h - then), b.high, before(b.low))
    down = each(lambda lo, then: abs(lo - then), b.low, before(b.high))
    return [over(n, lambda w, r: sum(w) / sum(r), line, true_range(b)) for line in (up, down)]


def kama(b: Bars, n: int, fast: int, slow: int) -> list[Line]:
    made, now = [NAN] * len(b.close), b.close[n - 1] if len(b.close) >= n else NAN
    for k in range(n, len(b.close)):
        path = sum(abs(b.close[j] - b.close[j - 1]) for j in range(k - n + 1, k + 1))
        ratio = min(abs(b.close[k] - b.close[k - n]) / path, 1) if path else 1
        weight = (ratio * (2 / (fast + 1) - 2 / (slow + 1)) + 2 / (slow + 1)) ** 2
        now += weight * (b.close[k] - now)
        made[k] = now
    return [made]


def t3(b: Bars, n: int, v: float) -> list[Line]:
    lines = [b.close]
    for _ in range(6):
        lines.append(ema(lines[-1], n))
    weights = (-(v**3), 3 * v**2 + 3 * v**3, -6 * v**2 - 3 * v - 3 * v**3, 1 + 3 * v + v**3 + 3 * v**2)
    return [each(lambda *e: sum(w * x for w, x in zip(weights, e, strict=True)), *lines[6:2:-1])]


def trima(b: Bars, n: int) -> list[Line]:
    weights = [min(k, n + 1 - k) for k in range(1, n + 1)]
    return [over(n, lambda w: sum(a * v for a, v in zip(weights, w, strict=True)) / sum(weights), b.close)]


def hma(b: Bars, n: int) -> list[Line]:
    return [wma(each(lambda half, whole: 2 * half - whole, wma(b.close, n // 2), wma(b.close, n)), math.isqrt(n))]


def ht_trendline(b: Bars) -> list[Line]:
    """Ehlers' own formula; it begins otherwise than TA-Lib's, and forgets where it began."""
    p, size = b.close, len(b.close)
    s, det, q1, i1, ji, jq, i2, q2, re, im, period, slow, it, made = ([0.0] * size for _ in range(14))

    def hilbert(line: Line, k: int) -> float:
        return (0.0962 * line[k] + 0.5769 * line[k - 2] - 0.5769 * line[k - 4] - 0.0962 * line[k - 6]) * (
            0.075 * period[k - 1] + 0.54
        )

    for k in range(50, size):
        s[k] = (4 * p[k] + 3 * p[k - 1] + 2 * p[k - 2] + p[k - 3]) / 10
        det[k] = hilbert(s, k)
        q1[k], i1[k] = hilbert(det, k), det[k - 3]
        ji[k], jq[k] = hilbert(i1, k), hilbert(q1, k)
        i2[k] = 0.2 * (i1[k] - jq[k]) + 0.8 * i2[k - 1]
        q2[k] = 0.2 * (q1[k] + ji[k]) + 0.8 * q2[k - 1]
        re[k] = 0.2 * (i2[k] * i2[k - 1] + q2[k] * q2[k - 1]) + 0.8 * re[k - 1]
        im[k] = 0.2 * (i2[k] * q2[k - 1] - q2[k] * i2[k - 1]) + 0.8 * im[k - 1]
        now = 360 / math.degrees(math.atan(im[k] / re[k])) if im[k] and re[k] else period[k - 1]
        now = min(max(now, 0.67 * period[k - 1]), 1.5 * period[k - 1])
        period[k] = 0.2 * min(max(now, 6), 50) + 0.8 * period[k - 1]
        slow[k] = 0.33 * period[k] + 0.67 * slow[k - 1]
        it[k] = fmean(p[k + 1 - max(int(slow[k] + 0.5), 1) : k + 1])
        made[k] = (4 * it[k] + 3 * it[k - 1] + 2 * it[k - 2] + it[k - 3]) / 10
    return [made]


def line_of(b: Bars, n: int, make: Callable[[float, float], float]) -> list[Line]:
    def one(y: Sequence[float]) -> float:
        x = range(n)
        slope = sum((a - fmean(x)) * (c - fmean(y)) for a, c in zip(x, y, strict=True)) / sum(
            (a - fmean(x)) ** 2 for a in x
        )
        return make(slope, fmean(y) - slope * fmean(x))

    return [over(n, one, b.close)]


def bands(b: Bars, n: int, k: float) -> list[Line]:
    mean, width = sma(b.close, n), over(n, pstdev, b.close)
    return [
        each(lambda m, w: m + k * w, mean, width),
        mean,
        each(lambda m, w: m - k * w, mean, width),
    ]


def log_returns(b: Bars, n: int = 1) -> Line:
    return each(lambda now, then: math.log(now / then), b.close, before(b.close, n))


def keltner(b: Bars, n: int, k: float, length: int) -> list[Line]:
    middle, width = ema(b.close, n), rma(true_range(b), length)
    upper, lower = (each(lambda m, w, s=sign: m + s * k * w, middle, width) for sign in (1, -1))
    return [upper, middle, lower]


def garman_klass(b: Bars, n: int) -> list[Line]:
    def one(o: Line, h: Line, lo: Line, c: Line) -> float:
        rows = zip(o, h, lo, c, strict=True)
        return math.sqrt(
            fmean(0.5 * math.log(y / z) ** 2 - (2 * math.log(2) - 1) * math.log(w / x) ** 2 for x, y, z, w in rows)
        )

    return [over(n, one, b.open, b.high, b.low, b.close)]


def running(line: Line) -> Line:
    return [math.fsum(line[: place + 1]) for place in range(len(line))]


def vwap_of_day(b: Bars) -> list[Line]:
    """Return it of bars of one session."""
    flow = running(each(lambda p, v: p * v, typical(b), b.volume))
    return [each(lambda f, v: f / v, flow, running(b.volume))]


def money_flow(b: Bars) -> Line:
    return each(
        lambda h, lo, c, v: ((c - lo) - (h - c)) / (h - lo) * v if h > lo else 0.0, b.high, b.low, b.close, b.volume
    )


def obv(b: Bars) -> list[Line]:
    signed = [
        v if c > then else -v if c < then else 0.0
        for c, then, v in zip(b.close[1:], b.close, b.volume[1:], strict=False)
    ]
    return [running(b.volume[:1] + signed)]


def adosc(b: Bars, fast: int, slow: int) -> list[Line]:
    level = running(money_flow(b))

    def average(n: int) -> Line:
        made = level[:1]
        for value in level[1:]:
            made.append(made[-1] + 2 / (n + 1) * (value - made[-1]))
        return made

    line = each(lambda f, s: f - s, average(fast), average(slow))
    return [[NAN] * min(max(fast, slow) - 1, len(line)) + line[max(fast, slow) - 1 :]]


def mfi(b: Bars, n: int) -> list[Line]:
    price = typical(b)
    flows = each(
        lambda p, then, v: math.copysign(p * v, p - then) if p != then else 0.0, price, before(price), b.volume
    )
    return [over(n, lambda w: 100 * sum(v for v in w if v > 0) / sum(map(abs, w)), flows)]


REFERENCES: dict[str, Callable[..., list[Line]]] = {
    "SMA": lambda b, n: [sma(b.close, n)],
    "EMA": lambda b, n: [ema(b.close, n)],
    "RMA": lambda b, n: [rma(b.close, n)],
    "WMA": lambda b, n: [wma(b.close, n)],
    "DEMA": lambda b, n: [each(lambda x, y: 2 * x - y, ema(b.close, n), ema(ema(b.close, n), n))],
    "TEMA": lambda b, n: [each(lambda x, y, z: 3 * x - 3 * y + z, (e := ema(b.close, n)), (f := ema(e, n)), ema(f, n))],
    "TRIMA": trima,
    "HMA": hma,
    "T3": t3,
    "KAMA": kama,
    "VWMA": lambda b, n: [
        over(n, lambda c, v: sum(x * y for x, y in zip(c, v, strict=True)) / sum(v), b.close, b.volume)
    ],
    "HT_TRENDLINE": ht_trendline,
    "MIDPOINT": lambda b, n: [over(n, lambda c: (max(c) + min(c)) / 2, b.close)],
    "MIDPRICE": lambda b, n: [over(n, lambda h, lo: (max(h) + min(lo)) / 2, b.high, b.low)],
    "AVGPRICE": lambda b: [each(lambda *p: fmean(p), b.open, b.high, b.low, b.close)],
    "MEDPRICE": lambda b: [each(lambda *p: fmean(p), b.high, b.low)],
    "TYPPRICE": lambda b: [typical(b)],
    "WCLPRICE": lambda b: [each(lambda *p: fmean(p), b.high, b.low, b.close, b.close)],
    "LINEARREG": lambda b, n: line_of(b, n, lambda slope, first: first + slope * (n - 1)),
    "LINEARREG_SLOPE": lambda b, n: line_of(b, n, lambda slope, _: slope),
    "LINEARREG_ANGLE": lambda b, n: line_of(b, n, lambda slope, _: math.degrees(math.atan(slope))),
    "LINEARREG_INTERCEPT": lambda b, n: line_of(b, n, lambda _, first: first),
    "TSF": lambda b, n: line_of(b, n, lambda slope, first: first + slope * n),
    "RSI": lambda b, n: gains(b, n, lambda up, down: 100 * up / (up + down)),
    "CMO": lambda b, n: gains(b, n, lambda up, down: 100 * (up - down) / (up + down)),
    "MACD": macd,
    "PPO": lambda b, fast, slow, signal: signalled(
        each(lambda f, s: (f - s) / s * 100, ema(b.close, min(fast, slow)), ema(b.close, max(fast, slow))), signal
    ),
    "APO": lambda b, fast, slow: [
        each(lambda f, s: f - s, ema(b.close, min(fast, slow)), ema(b.close, max(fast, slow)))
    ],
    "TRIX": trix,
    "TSI": tsi,
    "STOCH": stoch,
    "STOCHF": lambda b, n, d: [(fast := in_range(n, b.close, b.high, b.low)), sma(fast, d)],
    "STOCHRSI": stochrsi,
    "WILLR": lambda b, n: [each(lambda v: v - 100, in_range(n, b.close, b.high, b.low))],
    "ROC": lambda b, n: [each(lambda now, then: (now / then - 1) * 100, b.close, before(b.close, n))],
    "MOM": lambda b, n: [change(b, n)],
    "CCI": cci,
    "ULTOSC": ultosc,
    "BOP": lambda b: [each(lambda o, h, lo, c: (c - o) / (h - lo), b.open, b.high, b.low, b.close)],
    **{name: partial(directional, name) for name in ("ADX", "ADXR", "DX", "PLUS_DI", "MINUS_DI")},
    "AROON": aroon,
    "AROONOSC": lambda b, n: [each(lambda up, down: up - down, *aroon(b, n))],
    "VORTEX": vortex,
    "TRANGE": lambda b: [true_range(b)],
    "ATR": lambda b, n: [rma(true_range(b), n)],
    "NATR": lambda b, n: [each(lambda r, c: 100 * r / c, rma(true_range(b), n), b.close)],
    "STDDEV": lambda b, n: [over(n, pstdev, b.close)],
    "VAR": lambda b, n: [over(n, pvariance, b.close)],
    "ZSCORE": lambda b, n: [over(n, lambda c: (c[-1] - fmean(c)) / pstdev(c), b.close)],
    "BB": bands,
    "BBP": lambda b, n, k: [each(lambda c, u, _, lo: (c - lo) / (u - lo), b.close, *bands(b, n, k))],
    "BBW": lambda b, n, k: [each(lambda u, m, lo: (u - lo) / m * 100, *bands(b, n, k))],
    "DONCHIAN": lambda b, n: [
        over(n, max, b.high),
        over(n, lambda h, lo: (max(h) + min(lo)) / 2, b.high, b.low),
        over(n, min, b.low),
    ],
    "KELTNER": keltner,
    "RETURN": lambda b, n: [each(lambda now, then: now / then - 1, b.close, before(b.close, n))],
    "LOGRETURN": lambda b, n: [log_returns(b, n)],
    "REALIZED_VOL": lambda b, n: [over(n, stdev, log_returns(b))],
    "PARKINSON": lambda b, n: [
        over(
            n,
            lambda h, lo: math.sqrt(fmean(math.log(x / y) ** 2 for x, y in zip(h, lo, strict=True)) / math.log(16)),
            b.high,
            b.low,
        )
    ],
    "GARMAN_KLASS": garman_klass,
    "VWAP": lambda b: [typical(b)],
    "OBV": obv,
    "AD": lambda b: [running(money_flow(b))],
    "PVT": lambda b: [
        running(
            [0.0 if math.isnan(m) else m / c * v for m, c, v in zip(change(b), before(b.close), b.volume, strict=True)]
        )
    ],
    "ADOSC": adosc,
    "MFI": mfi,
    "CMF": lambda b, n: [over(n, lambda f, v: sum(f) / sum(v), money_flow(b), b.volume)],
    "EFI": lambda b, n: [ema(each(lambda m, v: m * v, change(b), b.volume), n)],
    "RVOL": lambda b, n: [each(lambda v, m: v / m, b.volume, before(sma(b.volume, n)))],
}
