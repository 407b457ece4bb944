// Listens to the reader: pointer, touch, keys, buttons, and the theme.
const setCursor = (place, y = null) => {
  scene.cursor = place;
  scene.pointerY = y;
  say();
  redraw();
};

const viewChanged = () => { say(); redraw(); listBars(); };

const measure = () => {
  const ratio = window.devicePixelRatio || 1;
  scene.size = { w: plot.clientWidth, h: plot.clientHeight };
  canvas.width = Math.round(scene.size.w * ratio);
  canvas.height = Math.round(scene.size.h * ratio);
  arrange();
  readColors();
  redraw();
};

const goTo = (kind) => {
  const place = nextOf(kind, scene.cursor ?? -1);
  if (place === null) return;
  showPlace(place);
  scene.cursor = place;
  scene.pointerY = null;
  sayAloud();
  viewChanged();
};

const middle = () => (scene.cursor !== null && scene.cursor >= scene.view.from && scene.cursor <= scene.view.to
  ? scene.cursor + 0.5 : (scene.view.from + scene.view.to) / 2);
const page = () => (scene.view.to - scene.view.from) * 0.8;
const acts = {
  earlier: () => move(-page()), later: () => move(page()), in: () => zoom(0.6, middle()), out: () => zoom(1 / 0.6, middle()),
  all: () => { scene.view = { from: 0, to: data.length }; }, next: () => goTo(""), theme: () => setTheme(isDark() ? "light" : "dark"),
};

// The theme is the system's until the reader chooses.
const isDark = () => document.documentElement.dataset.theme === "dark";
const setTheme = (name) => {
  document.documentElement.dataset.theme = name;
  const button = document.getElementById("theme");
  button.textContent = name === "dark" ? "light" : "dark";
  button.setAttribute("aria-label", `Change to ${button.textContent} colours`);
  button.setAttribute("aria-pressed", String(name === "dark"));
  if (scene.count !== undefined) { readColors(); redraw(); }
};

const keys = {
  ArrowLeft: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => step(-10), ArrowDown: () => step(10),
  PageUp: acts.earlier, PageDown: acts.later, Home: () => step(-Infinity), End: () => step(Infinity),
  "+": acts.in, "=": acts.in, "-": acts.out, "0": acts.all, n: acts.next, N: acts.next,
  Escape: () => { scene.cursor = null; },
};
const step = (places) => {
  const from = scene.cursor ?? Math.floor(scene.view.to);
  scene.cursor = Math.max(0, Math.min(data.length - 1, from + places));
  scene.pointerY = null;
  showPlace(scene.cursor);
  sayAloud();
};

const pointers = new Map();
const inStrip = (y) => y >= scene.strip.top;
const centre = (x) => { move((x / scene.right) * data.length - (scene.view.from + scene.view.to) / 2); };

const pressed = (event) => {
  pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY, strip: inStrip(event.offsetY) });
  plot.setPointerCapture(event.pointerId);
  if (inStrip(event.offsetY)) { centre(event.offsetX); viewChanged(); }
};

const moved = (event) => {
  const before = pointers.get(event.pointerId), x = event.offsetX, y = event.offsetY;
  if (before && pointers.size === 1) {
    if (before.strip) centre(x); else move((before.x - x) / perPlace());
    pointers.set(event.pointerId, { ...before, x, y });
    redraw();
  } else if (before) {
    const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, each]) => each);
    const was = Math.abs(before.x - other.x) || 1, is = Math.abs(x - other.x) || 1;
    zoom(was / is, scene.view.from + (x + other.x) / 2 / perPlace());
    pointers.set(event.pointerId, { ...before, x, y });
    redraw();
  }
  if (x <= scene.right && !inStrip(y)) setCursor(placeAt(x), y);
};

const released = (event) => { if (pointers.delete(event.pointerId)) listBars(); };

const turned = (event) => {
  event.preventDefault();
  const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
  const factor = event.deltaMode === 1 ? 24 : 1;
  if (event.ctrlKey || event.metaKey || !sideways) zoom(Math.exp(event.deltaY * factor * 0.0016), scene.view.from + event.offsetX / perPlace());
  else move((event.deltaX * factor) / perPlace());
  viewChanged();
};

const listen = () => {
  plot.addEventListener("pointerdown", pressed);
  plot.addEventListener("pointermove", moved);
  plot.addEventListener("pointerup", released);
  plot.addEventListener("pointercancel", released);
  plot.addEventListener("pointerleave", () => { if (!pointers.size) setCursor(null); });
  plot.addEventListener("wheel", turned, { passive: false });
  plot.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
    viewChanged();
  });
  for (const button of document.querySelectorAll("button[data-do]")) {
    button.addEventListener("click", () => { acts[button.dataset.do](); viewChanged(); });
  }
  for (const button of document.querySelectorAll("button[data-find]")) button.addEventListener("click", () => goTo(button.dataset.find));
  document.getElementById("bars").addEventListener("toggle", listBars);
  new ResizeObserver(measure).observe(plot);
};

const start = async () => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let isChosen = false;
  setTheme(dark.matches ? "dark" : "light");
  dark.addEventListener("change", () => { if (!isChosen) setTheme(dark.matches ? "dark" : "light"); });
  document.getElementById("theme").addEventListener("click", () => { isChosen = true; });
  await load();
  scene.pointerY = null;
  const fitting = Math.max(60, Math.round(plot.clientWidth / 5));
  scene.view = { from: data.length <= 2 * fitting ? 0 : data.length - fitting, to: data.length };
  clampView();
  measure();
  listen();
  plot.dataset.ready = "true";
};

start();
