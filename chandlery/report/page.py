"""The page into which a report is written: its style and its script. Not here: what the report says (``report``)."""

from __future__ import annotations

#: Filled by ``string.Template``: title, body, plotly, charts.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
:root {
  --paper: #fbfaf7; --raised: #ffffff; --ink: #23262d; --soft: #62666e; --rule: #e4e1d9; --accent: #2b7bba;
  --warm: #b9581b; --c0: #d9722e; --c1: #f0d2ad; --c2: #a9cbe4; --c3: #2b7bba;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181c; --raised: #1d2025; --ink: #e8e6e1; --soft: #9a9da4; --rule: #30343b; --accent: #6db0e6;
    --warm: #f0a06a; --c0: #e38a4c; --c1: #6d5540; --c2: #33587a; --c3: #4f9bd6;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink); -webkit-font-smoothing: antialiased;
  font: 16px/1.6 ui-sans-serif, system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1080px; margin: 0 auto; padding: 72px 28px 96px; }
header { border-bottom: 1px solid var(--rule); padding-bottom: 36px; }
h1 {
  font: 500 44px/1.1 "Iowan Old Style", "Palatino Linotype", Palatino, Georgia, "DejaVu Serif", serif;
  margin: 0 0 10px; letter-spacing: -.01em;
}
h2 {
  font: 500 25px/1.2 "Iowan Old Style", "Palatino Linotype", Palatino, Georgia, "DejaVu Serif", serif;
  margin: 64px 0 6px;
}
h3 { font-size: 16px; font-weight: 600; margin: 36px 0 2px; }
p { margin: 6px 0 14px; max-width: 68ch; }
.soft { color: var(--soft); }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 26px; margin: 36px 0 0; }
.facts div { display: flex; flex-direction: column-reverse; }
.facts dt { color: var(--soft); font-size: 13.5px; }
.facts dd {
  margin: 0; font-size: 29px; font-weight: 600; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums;
}
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; margin: 14px 0; }
th { font-weight: 600; color: var(--soft); font-size: 12.5px; text-align: right; }
th, td { padding: 7px 14px 7px 0; border-bottom: 1px solid var(--rule); white-space: nowrap; }
td { text-align: right; }
th.l, td.l { text-align: left; }
th:last-child, td:last-child { padding-right: 0; } td.l:last-child { white-space: normal; }
.tag {
  display: inline-block; font-size: 11.5px; font-weight: 600; padding: 0 8px; border-radius: 99px;
  border: 1px solid currentColor;
}
.real { color: var(--accent); } .made { color: var(--warm); }
td small { display: block; color: var(--soft); font-size: 12.5px; line-height: 1.35; }
.chart { height: 430px; margin: 4px 0 8px; }
.rangeslider-slidebox { fill-opacity: 0 !important; }
.rangeslider-mask-min, .rangeslider-mask-max { fill: var(--paper) !important; fill-opacity: .72 !important; }
.note {
  background: var(--raised); border: 1px solid var(--rule); border-radius: 8px; padding: 18px 22px; margin: 32px 0 0;
}
.note p:last-child { margin-bottom: 0; }
pre {
  background: var(--raised); border: 1px solid var(--rule); border-radius: 8px; padding: 16px 20px; overflow-x: auto;
  font: 13.5px/1.55 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
svg text { fill: var(--soft); font-size: 11.5px; } svg text.name { fill: var(--ink); font-size: 13px; }
.s0 { fill: var(--c0); } .s1 { fill: var(--c1); } .s2 { fill: var(--c2); } .s3 { fill: var(--c3); }
footer {
  margin-top: 72px; padding-top: 18px; border-top: 1px solid var(--rule); color: var(--soft); font-size: 13.5px;
}
@media print { .chart { break-inside: avoid; } }
</style>
</head>
<body>
<main>
$body
</main>
<script>$plotly</script>
<script type="application/json" id="charts">$charts</script>
<script>
(function () {
  var charts = JSON.parse(document.getElementById("charts").textContent);
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  // The prices that show should fill the chart, however wide the rest of the history ranges.
  function fit(c, from, until) {
    var low = Infinity, high = -Infinity;
    var a = Date.parse(from.replace(" ", "T")), b = Date.parse(until.replace(" ", "T"));
    c.x.forEach(function (x, i) {
      var t = Date.parse(x.length > 10 ? x : x + "T00:00");
      if (t >= a && t <= b) { low = Math.min(low, c.low[i]); high = Math.max(high, c.high[i]); }
    });
    if (low > high) { low = Math.min.apply(null, c.low); high = Math.max.apply(null, c.high); }
    var pad = (high - low) * 0.05 || 1;
    return [low - pad, high + pad];
  }
  function draw() {
    var css = getComputedStyle(document.body);
    function v(name) { return css.getPropertyValue(name).trim(); }
    charts.forEach(function (c) {
      var up = v("--c3"), down = v("--c0");
      var colors = c.close.map(function (x, i) { return x >= c.open[i] ? up : down; });
      var axis = { gridcolor: v("--rule"), zeroline: false, linecolor: v("--rule"), tickfont: { color: v("--soft") } };
      var layout = {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: css.fontFamily, size: 12 },
        margin: { l: 54, r: 8, t: 8, b: 24 }, showlegend: false, hovermode: "x", dragmode: "zoom", bargap: 0.25,
        xaxis: Object.assign({}, axis, {
          rangebreaks: c.breaks, showgrid: false, anchor: "y2", range: c.range,
          rangeslider: {
            visible: true, thickness: 0.1, bgcolor: v("--raised"), bordercolor: v("--rule"), borderwidth: 1,
            yaxis: { rangemode: "auto" }, yaxis2: { rangemode: "fixed", range: [-2, -1] }
          }
        }),
        modebar: { bgcolor: "rgba(0,0,0,0)", color: v("--rule"), activecolor: v("--accent") },
        yaxis: Object.assign({}, axis, { domain: [0.27, 1], range: fit(c, c.range[0], c.range[1]) }),
        yaxis2: Object.assign({}, axis, { domain: [0, 0.2], nticks: 3, fixedrange: true })
      };
      var plot = document.getElementById(c.id);
      Plotly.react(plot, [
        { type: "candlestick", x: c.x, open: c.open, high: c.high, low: c.low, close: c.close, name: c.name,
          increasing: { line: { color: up, width: 1 }, fillcolor: up },
          decreasing: { line: { color: down, width: 1 }, fillcolor: down } },
        { type: "bar", x: c.x, y: c.volume, yaxis: "y2", name: "volume",
          marker: { color: colors, opacity: 0.6, line: { width: 0 } } }
      ], layout, {
        responsive: true, displaylogo: false, scrollZoom: false,
        modeBarButtonsToRemove: ["select2d", "lasso2d", "toImage"]
      });
      if (plot.removeAllListeners) { plot.removeAllListeners("plotly_relayout"); }
      plot.on("plotly_relayout", function (change) {
        if (Object.keys(change).some(function (key) { return key.indexOf("xaxis") === 0; })) {
          var shown = plot.layout.xaxis.range.map(String);
          Plotly.relayout(plot, { "yaxis.range": fit(c, shown[0], shown[1]) });
        }
      });
    });
  }
  draw();
  dark.addEventListener("change", draw);
})();
</script>
</body>
</html>
"""
