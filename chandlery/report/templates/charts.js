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
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: css.fontFamily, size: 12, color: v("--ink") },
        margin: { l: 54, r: 8, t: 30, b: 24 }, showlegend: false, hovermode: "x", dragmode: "zoom", bargap: 0.25,
        xaxis: Object.assign({}, axis, {
          rangebreaks: c.breaks, showgrid: false, anchor: "y2", range: c.range,
          rangeslider: {
            visible: true, thickness: 0.1, bgcolor: v("--raised"), bordercolor: v("--rule"), borderwidth: 1,
            yaxis: { rangemode: "auto" }, yaxis2: { rangemode: "fixed", range: [-2, -1] }
          }
        }),
        // By default, labels take the colour of the candle, and the name beside them a ground of its own: unreadable.
        hoverlabel: {
          namelength: 0, bgcolor: v("--raised"), bordercolor: v("--soft"), font: { family: css.fontFamily, color: v("--ink") }
        },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: v("--soft"), activecolor: v("--accent") },
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
