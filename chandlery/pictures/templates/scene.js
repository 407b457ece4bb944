// What is shown and which part of it: bars, gaps, marks, the view, and the sizes of the panels.
const EXTENDED = 1, FALSE_PRINT = 4;
const data = JSON.parse(document.getElementById("data").textContent);
const plot = document.getElementById("plot"), canvas = document.getElementById("canvas");
const scene = { view: { from: 0, to: 1 }, cursor: null, size: { w: 0, h: 0 }, colors: {}, hatches: {} };

const firstAtOrAfter = (values, wanted) => {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle + 1; else high = middle;
  }
  return low;
};

const load = async () => {
  const [prices, ts, places, volume, flags] = await Promise.all(
    [unpackPrices(data.prices), unpack(data.ts), unpack(data.places), unpack(data.volume), inflate(data.flags)]);
  const names = ["place", "wide", "start", "end", "slots"];
  const columns = await Promise.all(names.map((name) => unpack(data.gaps[name])));
  const lines = await Promise.all(data.lines.map((line) => unpack(line.values)));
  Object.assign(scene, { ...prices, ts, places, volume, flags, count: ts.length });
  scene.gaps = Object.fromEntries(names.map((name, n) => [name, columns[n]]));
  scene.gaps.reason = await inflate(data.gaps.reason);
  scene.lines = data.lines.map((line, n) => ({ ...line, values: lines[n], number: n }));
  scene.panels = [...new Set(data.lines.map((line) => line.panel).filter(Boolean))];
  scene.marks = data.marks;
  scene.markPlaces = Float64Array.from(data.marks, (mark) => mark.place);
  scene.decimals = data.prices.decimals ?? 4;
};

// The panels, from top to bottom, in pixels: prices, volume, one for each kind of indicator, times, everything.
const arrange = () => {
  const { w, h } = scene.size, narrow = w < 600;
  scene.right = w - (narrow ? 54 : 68);
  const strip = 40, times = 22, below = h - strip - times, count = scene.panels.length;
  const each = count ? Math.min(96, (below * 0.5) / count) : 0, volume = Math.min(84, below * 0.17);
  let top = 0;
  const take = (height) => { const part = { top, bottom: top + height }; top += height; return part; };
  scene.price = take(below - volume - each * count);
  scene.volumePanel = take(volume);
  scene.indicatorPanels = scene.panels.map((name) => ({ name, ...take(each) }));
  scene.times = take(times);
  scene.strip = take(strip);
};

const clampView = () => {
  const least = Math.min(12, data.length), view = scene.view;
  let width = Math.max(least, Math.min(data.length, view.to - view.from));
  let from = Math.max(0, Math.min(data.length - width, view.from));
  scene.view = { from, to: from + width };
};

const zoom = (factor, around) => {
  const { from, to } = scene.view;
  scene.view = { from: around - (around - from) * factor, to: around + (to - around) * factor };
  clampView();
};

const move = (places) => {
  scene.view = { from: scene.view.from + places, to: scene.view.to + places };
  clampView();
};

const showPlace = (place) => {
  const { from, to } = scene.view;
  if (place < from + 1 || place > to - 2) move(place + 0.5 - (from + to) / 2);
};

const perPlace = () => scene.right / (scene.view.to - scene.view.from);
const xOf = (place) => (place - scene.view.from) * perPlace();
const placeAt = (x) => Math.max(0, Math.min(data.length - 1, Math.floor(scene.view.from + x / perPlace())));

// What stands at a place: the number of a bar and of a gap, -1 where there is none, and what is marked.
const lookAt = (place) => {
  let bar = firstAtOrAfter(scene.places, place);
  if (scene.places[bar] !== place) bar = -1;
  let gap = firstAtOrAfter(scene.gaps.place, place + 1) - 1;
  if (gap < 0 || place >= scene.gaps.place[gap] + scene.gaps.wide[gap]) gap = -1;
  const found = firstAtOrAfter(scene.markPlaces, place);
  return { bar, gap, mark: scene.markPlaces[found] === place ? scene.marks[found] : null };
};

const visibleBars = () => {
  const first = firstAtOrAfter(scene.places, Math.floor(scene.view.from));
  return [first, firstAtOrAfter(scene.places, Math.ceil(scene.view.to))];
};

// The place of the next gap or mark after ``place``, of a kind or of any; from the beginning again where there is none.
const nextOf = (kind, place) => {
  const reason = data.reasons.findIndex((each) => each.key === kind);
  const gaps = [], wanted = (each) => !kind || each.says.some(([name]) => name === kind);
  if (!kind || reason >= 0) {
    for (let g = 0; g < scene.gaps.place.length; g++) {
      if (!kind ? data.reasons[scene.gaps.reason[g]].key !== "closed" : scene.gaps.reason[g] === reason) gaps.push(scene.gaps.place[g]);
    }
  }
  const marks = reason >= 0 ? [] : scene.marks.filter(wanted).map((each) => each.place);
  const every = [...gaps, ...marks].sort((a, b) => a - b);
  return every.find((each) => each > place) ?? every[0] ?? null;
};

