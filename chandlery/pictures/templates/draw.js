// Draws the scene.
const pen = canvas.getContext("2d");
const NAMES = ["paper", "ink", "faint", "rule", "card", "up", "down", "cross", "extended", "hatch",
  "line0", "line1", "line2", "line3", "line4", "line5", ...data.reasons.map((each) => each.key), ...Object.keys(data.kinds)];
const HATCHED = { halted: "both", provider_gap: "up", not_observed: "dots", never_fetched: "down", quarantined: "both", not_known: "up", not_listed: "down" };
const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";

const hatch = (shade, kind) => {
  const tile = document.createElement("canvas"), ratio = window.devicePixelRatio || 1, side = 8;
  tile.width = tile.height = side * ratio;
  const ink = tile.getContext("2d");
  ink.scale(ratio, ratio);
  ink.fillStyle = shade;
  ink.fillRect(0, 0, side, side);
  ink.strokeStyle = ink.fillStyle = scene.colors.hatch;
  ink.lineWidth = 1.4;
  const stroke = (x1, y1, x2, y2) => { ink.beginPath(); ink.moveTo(x1, y1); ink.lineTo(x2, y2); ink.stroke(); };
  if (kind === "up" || kind === "both") for (const shift of [-side, 0, side]) stroke(shift, side, shift + side, 0);
  if (kind === "down" || kind === "both") for (const shift of [-side, 0, side]) stroke(shift, 0, shift + side, side);
  if (kind === "dots") for (const at of [2, 6]) { ink.beginPath(); ink.arc(at, at, 1, 0, 7); ink.fill(); }
  return tile;
};

const readColors = () => {
  const style = getComputedStyle(document.documentElement);
  for (const name of NAMES) scene.colors[name] = style.getPropertyValue(`--${name}`).trim();
  for (const { key } of data.reasons) {
    const tile = hatch(scene.colors[key], HATCHED[key]), pattern = pen.createPattern(tile, "repeat");
    pattern.setTransform(new DOMMatrix().scale(1 / (window.devicePixelRatio || 1)));
    scene.hatches[key] = pattern;
    for (const swatch of document.querySelectorAll(`.swatch[data-shade="${key}"]`)) {
      swatch.style.background = `url(${tile.toDataURL()}) 0 0 / 8px`;
    }
  }
  for (const swatch of document.querySelectorAll('.swatch[data-shade="extended"]')) swatch.style.background = scene.colors.extended;
  for (const stroke of document.querySelectorAll(".stroke")) stroke.style.background = lineColor(Number(stroke.dataset.number));
  for (const sign of document.querySelectorAll(".sign")) sign.style.backgroundImage = `url(${signPicture(sign.dataset.sign)})`;
};

const lineColor = (number) => scene.colors[`line${number % 6}`];

const drawSign = (ink, kind, x, y, r) => {
  ink.strokeStyle = ink.fillStyle = scene.colors[kind];
  ink.lineWidth = 1.8;
  ink.beginPath();
  if (kind === "revision") { ink.moveTo(x, y - r); ink.lineTo(x + r, y); ink.lineTo(x, y + r); ink.lineTo(x - r, y); ink.closePath(); ink.fill(); }
  else if (kind === "finding") { ink.moveTo(x, y - r); ink.lineTo(x + r, y + r * 0.8); ink.lineTo(x - r, y + r * 0.8); ink.closePath(); ink.fill(); }
  else if (kind === "released") { ink.rect(x - r * 0.75, y - r * 0.75, r * 1.5, r * 1.5); ink.fill(); }
  else {
    const d = r * 0.62;
    ink.moveTo(x - d, y - d); ink.lineTo(x + d, y + d); ink.moveTo(x - d, y + d); ink.lineTo(x + d, y - d); ink.stroke();
    if (kind === "false_print") { ink.beginPath(); ink.arc(x, y, r, 0, 7); ink.stroke(); }
  }
};

const signPicture = (kind) => {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 42;
  const ink = tile.getContext("2d");
  ink.scale(3, 3);
  drawSign(ink, kind, 7, 7, 5.2);
  return tile.toDataURL();
};

const scaleOf = (low, high, { top, bottom }, pad) => {
  if (!(high >= low)) [low, high] = [0, 1];
  if (high === low) [low, high] = [low - (Math.abs(low) * 0.01 || 1), high + (Math.abs(high) * 0.01 || 1)];
  const room = (bottom - top) * pad, factor = (bottom - top - 2 * room) / (high - low);
  const y = (value) => bottom - room - (value - low) * factor;
  return { low, high, y, top, bottom, clamped: (value) => Math.max(top + 6, Math.min(bottom - 6, y(value))) };
};

const roundSteps = (low, high, most) => {
  const size = 10 ** Math.floor(Math.log10((high - low) / most));
  const step = [1, 2, 5, 10, 20].map((each) => each * size).find((each) => (high - low) / each <= most);
  const values = [];
  for (let n = Math.ceil(low / step); n * step <= high; n++) values.push(n * step);
  return { values, decimals: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
};

const short = (value, decimals) => {
  for (const [factor, unit] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e4, "k"]]) {
    if (Math.abs(value) >= factor) return `${+(value / (unit === "k" ? 1e3 : factor)).toPrecision(4)}${unit}`;
  }
  return value.toFixed(Math.min(decimals, 8));
};

const drawRules = (scale, most, name) => {
  const { values, decimals } = roundSteps(scale.low, scale.high, most);
  pen.textAlign = "left";
  for (const value of values) {
    const y = Math.round(scale.y(value)) + 0.5;
    if (y < scale.top + 7 || y > scale.bottom - 4) continue;
    pen.fillStyle = scene.colors.rule;
    pen.fillRect(0, y - 0.5, scene.right, 1);
    pen.fillStyle = scene.colors.faint;
    pen.fillText(name ? name(value, decimals) : value.toFixed(Math.min(decimals, 8)), scene.right + 6, y);
  }
};

const shadeGaps = (top, bottom, xAt, unit) => {
  const { place, wide, reason } = scene.gaps;
  let until = -1;
  for (let g = Math.max(0, firstAtOrAfter(place, unit ? scene.view.from : 0) - 1); g < place.length; g++) {
    if (unit && place[g] > scene.view.to) break;
    const x = Math.max(0, xAt(place[g])), end = Math.min(scene.right, xAt(place[g] + wide[g]));
    if (end <= 0 || (end - x < 1 && Math.floor(x) === until)) continue;
    pen.fillStyle = scene.hatches[data.reasons[reason[g]].key];
    pen.fillRect(x, top, Math.max(end - x, 1), bottom - top);
    until = Math.floor(x);
  }
};

const tintExtended = ([first, last]) => {
  pen.fillStyle = scene.colors.extended;
  for (let i = first; i < last; i++) {
    if (!(scene.flags[i] & EXTENDED)) continue;
    let end = i;
    while (end + 1 < last && scene.flags[end + 1] & EXTENDED && scene.places[end + 1] === scene.places[end] + 1) end++;
    pen.fillRect(xOf(scene.places[i]), 0, xOf(scene.places[end] + 1) - xOf(scene.places[i]), scene.volumePanel.bottom);
    i = end;
  }
};

const extremes = ([first, last], lows, highs, skip) => {
  let low = Infinity, high = -Infinity;
  for (let i = first; i < last; i++) {
    if (skip && scene.flags[i] & skip) continue;
    if (lows[i] < low) low = lows[i];
    if (highs[i] > high) high = highs[i];
  }
  return [low, high];
};

// Candles as wide as they may be; narrower than a pixel, each column of pixels shows all of its bars.
const drawCandles = ([first, last], scale) => {
  const step = perPlace(), half = Math.max(0.5, Math.min(step * 0.36, 12)), { open, high, low, close, places, flags } = scene;
  const body = (i, x, up) => {
    const top = scale.clamped(Math.max(open[i], close[i])), bottom = scale.clamped(Math.min(open[i], close[i]));
    pen.fillStyle = up ? scene.colors.up : scene.colors.down;
    pen.fillRect(x - 0.5, scale.clamped(high[i]), 1, Math.max(1, scale.clamped(low[i]) - scale.clamped(high[i])));
    if (step < 2.5) return;
    if (flags[i] & FALSE_PRINT) { pen.globalAlpha = 0.45; }
    pen.fillRect(x - half, top, 2 * half, Math.max(1, bottom - top));
    pen.globalAlpha = 1;
  };
  if (step >= 1) {
    for (let i = first; i < last; i++) body(i, Math.round(xOf(places[i] + 0.5)) + (step < 2.5 ? 0.5 : 0), close[i] >= open[i]);
    return;
  }
  for (let i = first; i < last;) {
    const x = Math.floor(xOf(places[i])), from = i;
    let top = -Infinity, bottom = Infinity;
    for (; i < last && Math.floor(xOf(places[i])) === x; i++) {
      if (flags[i] & FALSE_PRINT) continue;
      if (high[i] > top) top = high[i];
      if (low[i] < bottom) bottom = low[i];
    }
    if (!(top >= bottom)) continue;
    pen.fillStyle = close[i - 1] >= open[from] ? scene.colors.up : scene.colors.down;
    pen.fillRect(x, scale.y(top), 1, Math.max(1, scale.y(bottom) - scale.y(top)));
  }
};

const drawVolume = ([first, last]) => {
  let most = 0;
  for (let i = first; i < last; i++) if (scene.volume[i] > most) most = scene.volume[i];
  const panel = scene.volumePanel, scale = scaleOf(0, most || 1, { top: panel.top + 8, bottom: panel.bottom }, 0);
  drawRules({ ...scale, top: panel.top, bottom: panel.bottom }, 2, short);
  const step = perPlace(), half = Math.max(0.5, Math.min(step * 0.36, 12));
  pen.globalAlpha = 0.6;
  let until = -1, tallest = 0;
  pen.save();
  pen.beginPath();
  pen.rect(0, panel.top, scene.right, panel.bottom - panel.top);
  pen.clip();
  for (let i = first; i < last; i++) {
    const x = xOf(scene.places[i] + 0.5), value = scene.volume[i];
    if (!(value > 0)) continue;
    if (step < 1 && Math.floor(x) === until && value <= tallest) continue;
    tallest = Math.floor(x) === until ? Math.max(tallest, value) : value;
    until = Math.floor(x);
    pen.fillStyle = scene.close[i] >= scene.open[i] ? scene.colors.up : scene.colors.down;
    const y = scale.y(value);
    if (step < 1) pen.fillRect(until, y, 1, panel.bottom - y); else pen.fillRect(x - half, y, 2 * half, panel.bottom - y);
  }
  pen.restore();
  pen.globalAlpha = 1;
  pen.fillStyle = scene.colors.faint;
  pen.textAlign = "left";
  pen.fillText("volume", 6, panel.top + 10);
};

const drawLine = (line, [first, last], scale) => {
  const { values, number } = line, skip = Math.max(1, Math.floor((last - first) / (4 * scene.right)));
  pen.strokeStyle = lineColor(number);
  pen.lineWidth = 1.5;
  pen.beginPath();
  let down = false, before = 0;
  for (let i = Math.max(0, first - 1); i < Math.min(last + 1, scene.count); i += skip) {
    if (Number.isNaN(values[i])) { down = false; continue; }
    if (scene.places[i] - before > 4 * skip) down = false;
    before = scene.places[i];
    const x = xOf(before + 0.5), y = scale.y(values[i]);
    if (down) pen.lineTo(x, y); else pen.moveTo(x, y);
    down = true;
  }
  pen.stroke();
};

const drawPanels = (range) => {
  for (const panel of scene.indicatorPanels) {
    const lines = scene.lines.filter((line) => line.panel === panel.name);
    let low = Infinity, high = -Infinity;
    for (const line of lines) {
      const [least, most] = extremes(range, line.values, line.values, 0);
      low = Math.min(low, least);
      high = Math.max(high, most);
    }
    const scale = scaleOf(low, high, { top: panel.top + 2, bottom: panel.bottom - 2 }, 0.08);
    pen.fillStyle = scene.colors.faint;
    pen.fillRect(0, panel.top, scene.size.w, 1);
    drawRules(scale, 3, short);
    clipped(panel, () => lines.forEach((line) => drawLine(line, range, scale)));
    pen.fillStyle = scene.colors.faint;
    pen.textAlign = "left";
    pen.fillText(panel.name, 6, panel.top + 10);
  }
};

const clipped = ({ top, bottom }, draw) => {
  pen.save();
  pen.beginPath();
  pen.rect(0, top, scene.right, bottom - top);
  pen.clip();
  draw();
  pen.restore();
};

// Marks: those that would fall onto each other are drawn once.
const drawMarks = (scale) => {
  const seen = new Set(), step = perPlace();
  for (let m = firstAtOrAfter(scene.markPlaces, Math.floor(scene.view.from)); m < scene.marks.length; m++) {
    const mark = scene.marks[m];
    if (mark.place > scene.view.to) break;
    const { bar } = lookAt(mark.place), x = xOf(mark.place + 0.5), kinds = [...new Set(mark.says.map(([kind]) => kind))];
    let above = bar < 0 ? scale.top + 12 : scale.clamped(scene.high[bar]) - 9, below = bar < 0 ? scale.bottom - 10 : scale.clamped(scene.low[bar]) + 10;
    for (const kind of kinds) {
      const spot = `${kind}${Math.round(x / 5)}`;
      if (kind === "rejected" && mark.rejected && bar < 0 && step >= 3) drawGhost(mark.rejected, x, step, scale);
      if (seen.has(spot)) continue;
      seen.add(spot);
      if (kind === "finding" || kind === "released") { drawSign(pen, kind, x, Math.min(below, scale.bottom - 6), 5); below += 11; }
      else { drawSign(pen, kind, x, Math.max(above, scale.top + 7), 5); above -= 12; }
    }
  }
};

// A rejected row where it would be; a price that is far away, or none, ends at the panel's edge.
const drawGhost = ([open, high, low, close], x, step, scale) => {
  const at = (value) => scale.clamped(value ?? (scale.low + scale.high) / 2), half = Math.max(1, Math.min(step * 0.36, 12));
  const top = Math.min(at(open), at(close)), bottom = Math.max(at(open), at(close)), edges = [at(high), at(low)].sort((a, b) => a - b);
  pen.strokeStyle = scene.colors.rejected;
  pen.lineWidth = 1;
  pen.setLineDash([3, 2]);
  if (open !== null && close !== null) pen.strokeRect(x - half, top, 2 * half, Math.max(2, bottom - top));
  pen.beginPath();
  pen.moveTo(x, Math.min(edges[0], top));
  pen.lineTo(x, top);
  pen.moveTo(x, Math.max(bottom, top + 2));
  pen.lineTo(x, Math.max(edges[1], bottom));
  pen.stroke();
  pen.setLineDash([]);
};

// Times stand where a month or a day begins; within a few days, at any bar.
const DAY = 86400e3;
const drawTimes = ([first, last]) => {
  const every = scene.size.w < 600 ? 84 : 110, y = scene.times.top + 11;
  const at = (i) => scene.ts[i] * data.unit, day = (i) => Math.floor(at(i) / DAY);
  const span = last > first ? at(last - 1) - at(first) : 0, byMonth = span > 200 * DAY, byDay = data.intraday && span >= 4 * DAY;
  const month = (i) => { const date = new Date(at(i)); return date.getUTCFullYear() * 12 + date.getUTCMonth(); };
  const begins = (i) => i === 0 || (day(i) !== day(i - 1) && (!byMonth || month(i) !== month(i - 1)));
  let i = firstAtOrAfter(scene.places, scene.view.from + 40 / perPlace());
  while (i < last) {
    if ((byMonth || byDay) && !begins(i)) { i++; continue; }
    const x = xOf(scene.places[i] + 0.5), iso = new Date(at(i)).toISOString();
    if (x > scene.right - 34) break;
    pen.fillStyle = scene.colors.rule;
    pen.fillRect(Math.round(x), 0, 1, scene.times.top);
    pen.fillStyle = scene.colors.faint;
    pen.textAlign = "center";
    pen.fillText(byMonth ? iso.slice(0, 7) : data.intraday && !byDay ? `${iso.slice(5, 10)} ${iso.slice(11, 16)}` : iso.slice(0, 10), x, y);
    i = Math.max(i + 1, firstAtOrAfter(scene.places, scene.view.from + (x + every) / perPlace()));
  }
};

// Everything there is, in a strip below; what is in view stands out.
const drawStrip = () => {
  const { top, bottom } = scene.strip, [low, high] = extremes([0, scene.count], scene.low, scene.high, FALSE_PRINT);
  const scale = scaleOf(low, high, scene.strip, 0.12), factor = scene.right / data.length;
  shadeGaps(top, bottom, (place) => place * factor, false);
  pen.strokeStyle = scene.colors.faint;
  pen.lineWidth = 1;
  pen.beginPath();
  const skip = Math.max(1, Math.floor(scene.count / (2 * scene.right)));
  for (let i = 0; i < scene.count; i += skip) {
    if (scene.flags[i] & FALSE_PRINT) continue;
    pen.lineTo((scene.places[i] + 0.5) * factor, scale.y(scene.close[i]));
  }
  pen.stroke();
  const from = scene.view.from * factor, to = scene.view.to * factor;
  pen.globalAlpha = 0.62;
  pen.fillStyle = scene.colors.paper;
  pen.fillRect(0, top, from, bottom - top);
  pen.fillRect(to, top, scene.right - to, bottom - top);
  pen.globalAlpha = 1;
  pen.strokeStyle = scene.colors.up;
  pen.strokeRect(from + 0.5, top + 0.5, Math.max(2, to - from - 1), bottom - top - 1);
};

const drawCursor = (scale) => {
  if (scene.cursor === null) return;
  const x = Math.round(xOf(scene.cursor + 0.5)) + 0.5;
  pen.strokeStyle = scene.colors.cross;
  pen.setLineDash([4, 3]);
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(x, 0);
  pen.lineTo(x, scene.times.top);
  const y = scene.pointerY;
  if (y !== null && y < scene.price.bottom) { pen.moveTo(0, y + 0.5); pen.lineTo(scene.right, y + 0.5); }
  pen.stroke();
  pen.setLineDash([]);
  if (y === null || y >= scene.price.bottom) return;
  const value = scale.low + (scale.y(scale.low) - y) / (scale.y(scale.low) - scale.y(scale.high)) * (scale.high - scale.low);
  pen.fillStyle = scene.colors.ink;
  pen.fillRect(scene.right, y - 9, scene.size.w - scene.right, 18);
  pen.fillStyle = scene.colors.paper;
  pen.textAlign = "left";
  const digits = Math.ceil(Math.log10(Math.abs(value) + 1)); // as many as fit
  pen.fillText(value.toFixed(Math.max(0, Math.min(scene.decimals, 6 - digits))), scene.right + 6, y);
};

const draw = () => {
  const ratio = window.devicePixelRatio || 1, { w, h } = scene.size, range = visibleBars();
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.font = FONT;
  pen.textBaseline = "middle";
  pen.fillStyle = scene.colors.paper;
  pen.fillRect(0, 0, w, h);
  let [low, high] = extremes(range, scene.low, scene.high, FALSE_PRINT);
  for (const line of scene.lines.filter((each) => !each.panel)) {
    const [least, most] = extremes(range, line.values, line.values, 0);
    [low, high] = [Math.min(low, least), Math.max(high, most)];
  }
  const scale = scaleOf(low, high, scene.price, 0.07);
  clipped({ top: 0, bottom: scene.times.top }, () => {
    tintExtended(range);
    shadeGaps(0, scene.volumePanel.bottom, xOf, true);
  });
  drawTimes(range);
  drawRules(scale, 7);
  pen.fillStyle = scene.colors.faint;
  pen.fillRect(0, scene.volumePanel.top, w, 1);
  clipped(scene.price, () => {
    drawCandles(range, scale);
    for (const line of scene.lines) if (!line.panel) drawLine(line, range, scale);
    drawMarks(scale);
  });
  drawVolume(range);
  drawPanels(range);
  drawStrip();
  drawCursor(scale);
  if (!scene.count) { pen.fillStyle = scene.colors.faint; pen.textAlign = "center"; pen.fillText("no bars", scene.right / 2, 40); }
};

let isWaiting = false;
const redraw = () => {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => { isWaiting = false; draw(); });
};

