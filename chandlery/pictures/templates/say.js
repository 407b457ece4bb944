// Says what stands at the cursor, in words. Texts are set as texts, never as markup.
const readout = document.getElementById("readout"), box = document.getElementById("box");

const timeOf = (value) => {
  const iso = new Date(value * data.unit).toISOString();
  return data.intraday ? `${iso.slice(0, 10)} ${iso.slice(11, 16)}` : iso.slice(0, 10);
};
const price = (value) => (Number.isNaN(value) ? "none" : String(+value.toFixed(8)));
const amount = (value) => (Number.isNaN(value) ? "none" : value.toLocaleString("en-US", { maximumFractionDigits: 8 }));
const element = (tag, text, parent) => {
  const made = document.createElement(tag);
  made.textContent = text;
  if (parent) parent.append(made);
  return made;
};

const valuesOf = (bar) => [
  ["", timeOf(scene.ts[bar])], ["open", price(scene.open[bar])], ["high", price(scene.high[bar])], ["low", price(scene.low[bar])],
  ["close", price(scene.close[bar])], ["volume", amount(scene.volume[bar])],
  ...scene.lines.map((line) => [line.name, Number.isNaN(line.values[bar]) ? "none" : String(+line.values[bar].toPrecision(6))]),
  ...(scene.flags[bar] & EXTENDED ? [["", "extended hours"]] : []),
];

const gapText = (gap) => {
  const { slots, start, end, reason } = scene.gaps, each = data.reasons[reason[gap]], count = slots[gap];
  const what = each.key === "closed" ? "day" : "bar", detail = data.details[gap];
  const many = `${count.toLocaleString("en-US")} ${what}${count === 1 ? "" : "s"}`;
  const span = data.intraday && each.key !== "closed" ? `${timeOf(start[gap])} to ${timeOf(end[gap])}`
    : count === 1 || end[gap] - start[gap] === 1 ? timeOf(start[gap]) : `${timeOf(start[gap])} until ${timeOf(end[gap])}`;
  return [each.name, `${span}, ${many}: ${each.about}${detail ? ` (${detail})` : ""}`];
};

// What is known of the place besides the values of a bar: names and texts.
const known = ({ bar, gap, mark }) => [
  ...(gap >= 0 && bar < 0 ? [gapText(gap)] : []),
  ...(mark ? mark.says.map(([kind, text]) => [data.kinds[kind], text]) : []),
];

const say = () => {
  readout.replaceChildren();
  box.replaceChildren();
  box.hidden = true;
  if (scene.cursor === null) { readout.textContent = "\u00a0"; return; }
  const found = lookAt(scene.cursor), { bar, gap } = found, lines = known(found);
  const gone = gap < 0 ? [] : [["", timeOf(scene.gaps.start[gap])], ["", data.reasons[scene.gaps.reason[gap]].name]];
  for (const [name, text] of bar >= 0 ? valuesOf(bar) : gone) {
    const span = element("span", "", readout);
    if (name) element("i", name, span);
    span.append(text);
  }
  if (!lines.length) return;
  for (const [name, text] of lines.slice(0, 12)) {
    const line = element("p", "", box);
    element("strong", name, line);
    line.append(text);
  }
  if (lines.length > 12) element("p", `and ${lines.length - 12} more, in the table below`, box);
  box.hidden = false;
  const x = xOf(scene.cursor + 0.5), wide = box.offsetWidth;
  box.style.left = `${Math.max(4, x + 14 + wide < scene.right ? x + 14 : x - 14 - wide)}px`;
  box.style.top = `${Math.min(Math.max(6, (scene.pointerY ?? 30) + 14), Math.max(6, scene.size.h - box.offsetHeight - 8))}px`;
};

// Said aloud where a key or a button moved the cursor; a pointer would make too much of it.
const sayAloud = () => {
  if (scene.cursor === null) return;
  const found = lookAt(scene.cursor), values = found.bar >= 0 ? valuesOf(found.bar) : [];
  document.getElementById("said").textContent = [...values, ...known(found)].map((each) => each.join(" ").trim()).join(", ");
};

const MOST_LISTED = 500;
const listBars = () => {
  const holder = document.querySelector("#bars .scroll");
  holder.replaceChildren();
  if (!document.getElementById("bars").open) return;
  const [first, last] = visibleBars(), from = Math.max(first, last - MOST_LISTED), table = element("table", "", holder);
  element("caption", from > first ? `the last ${MOST_LISTED} of ${(last - first).toLocaleString("en-US")} bars in view` : `${last - first} bars in view`, table);
  const names = ["bar", "open", "high", "low", "close", "volume", ...scene.lines.map((line) => line.name)];
  const head = element("tr", "", element("thead", "", table));
  for (const name of names) element("th", name, head).scope = "col";
  const body = element("tbody", "", table);
  for (let i = from; i < last; i++) {
    const row = element("tr", "", body);
    for (const [, text] of valuesOf(i).slice(0, names.length)) element("td", text, row);
  }
};

