// Draws the report's figures with chart.js from the JSON in the page. What is shown was decided when the page was made;
// here are only looks: colours with different markers and dashes, error bars, chance lines, labels beside the points.
"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures-data").textContent);
  const lightColours = ["#0b5cad", "#b3440b", "#1a7f37", "#8a3ffc", "#7a5c00", "#c2185b", "#00707a", "#57606a"];
  const darkColours = ["#6cb0f5", "#f0a05a", "#5fcf80", "#c4a0ff", "#d8bd4a", "#ff8fb8", "#4fd0d8", "#aab4be"];
  const markers = ["circle", "rect", "triangle", "rectRot", "crossRot", "star", "cross"];
  const dashes = [[], [7, 4], [2, 3], [10, 4, 2, 4], [14, 4], [5, 2, 1, 2, 1, 2]];
  const charts = [];
  let theme = {};

  function readTheme() {
    const style = getComputedStyle(document.documentElement);
    const value = (name) => style.getPropertyValue(name).trim();
    const dark = matchMedia("(prefers-color-scheme: dark)").matches && document.documentElement.dataset.theme !== "light";
    theme = { ink: value("--ink"), soft: value("--soft"), grid: value("--grid"), paper: value("--paper"),
              colours: dark ? darkColours : lightColours };
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 12;
    Chart.defaults.color = theme.soft;
    Chart.defaults.borderColor = theme.grid;
    Chart.defaults.animation = false;
  }

  const colourOf = (style) => theme.colours[style % theme.colours.length];

  function trimmed(text) {
    return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  }

  function short(value) {
    const size = Math.abs(value);
    if (size === 0) return "0";
    if (size >= 1e15 || size < 1e-3) {
      const [digits, power] = value.toExponential(2).split("e");
      return trimmed(digits) + "e" + power.replace("+", "");
    }
    for (const [unit, name] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]]) {
      if (size >= unit) return trimmed((value / unit).toPrecision(3)) + name;
    }
    return trimmed(value.toPrecision(4));
  }

  // A plugin that draws with small words at `moment`, and leaves the drawing state as it was.
  const plugin = (id, moment, draw) => ({
    id,
    [moment](chart) {
      chart.ctx.save();
      chart.ctx.font = "11px " + Chart.defaults.font.family;
      draw(chart, chart.ctx, chart.chartArea);
      chart.ctx.restore();
    },
  });

  // The visible datasets, each with the elements that are drawn for it.
  const visible = (chart) => chart.data.datasets.map((dataset, index) => [dataset, chart.getDatasetMeta(index).data])
    .filter((_, index) => chart.isDatasetVisible(index));

  const across = (chart, value) => chart.scales.x.getPixelForValue(value);
  const up = (chart, value) => chart.scales.y.getPixelForValue(value);

  function line(ctx, points, dash = []) {
    ctx.setLineDash(dash);
    ctx.beginPath();
    points.forEach((p) => ctx.lineTo(...p));
    ctx.stroke();
  }

  // A 95 % interval with caps at `at` of the other axis.
  function whisker(ctx, low, high, at, horizontal) {
    const to = (value, shift) => (horizontal ? [value, at + shift] : [at + shift, value]);
    ctx.beginPath();
    for (const [from, end] of [[to(low, 0), to(high, 0)], [to(low, -3.5), to(low, 3.5)], [to(high, -3.5), to(high, 3.5)]]) {
      ctx.moveTo(...from);
      ctx.lineTo(...end);
    }
    ctx.stroke();
  }

  // The band of a law's line: a faint fill between two dotted edges, so that it is seen without colour too.
  function drawBand(chart, dataset) {
    const { ctx } = chart;
    const points = dataset.data.filter((p) => p.low !== undefined && p.high !== undefined);
    if (points.length < 2) return;
    const edge = (key) => points.map((p) => [across(chart, p.x), up(chart, p[key])]);
    ctx.beginPath();
    edge("high").concat(edge("low").reverse()).forEach((p) => ctx.lineTo(...p));
    ctx.closePath();
    ctx.globalAlpha = 0.1;
    ctx.fillStyle = dataset.borderColor;
    ctx.fill();
    ctx.globalAlpha = 0.75;
    ctx.lineWidth = 0.8;
    for (const key of ["low", "high"]) line(ctx, edge(key), [1.5, 2.5]);
    ctx.setLineDash([]);
    ctx.globalAlpha = 1;
  }

  // 95 % intervals with caps, and the bands of laws.
  const errorBars = plugin("errorBars", "beforeDatasetsDraw", (chart, ctx, area) => {
    ctx.beginPath();
    ctx.rect(area.left - 4, area.top - 4, area.width + 8, area.height + 8);
    ctx.clip();
    for (const [dataset] of visible(chart)) {
      ctx.strokeStyle = dataset.borderColor;
      ctx.lineWidth = 1.2;
      if (dataset.curve) {
        drawBand(chart, dataset);
        continue;
      }
      for (const p of dataset.data) {
        if (p.x_low !== undefined && p.x_high !== undefined) whisker(ctx, across(chart, p.x_low), across(chart, p.x_high), up(chart, p.y), true);
        if (p.low !== undefined && p.high !== undefined) whisker(ctx, up(chart, p.low), up(chart, p.high), across(chart, p.x), false);
      }
    }
  });

  // Dashed horizontal lines with their words, such as chance.
  const rules = plugin("rules", "beforeDatasetsDraw", (chart, ctx, area) => {
    ctx.strokeStyle = ctx.fillStyle = theme.soft;
    ctx.textAlign = "right";
    ctx.textBaseline = "bottom";
    for (const rule of chart.options.plugins.rules.list || []) {
      const y = up(chart, rule.y);
      if (y < area.top - 1 || y > area.bottom + 1) continue;
      line(ctx, [[area.left, y], [area.right, y]], [4, 4]);
      ctx.fillText(rule.label, area.right - 2, y - 2);
    }
  });

  // Vertical lines with their words and dotted 95 % ends, such as turning points.
  const verticals = plugin("verticals", "beforeDatasetsDraw", (chart, ctx, area) => {
    ctx.strokeStyle = ctx.fillStyle = theme.ink;
    ctx.textBaseline = "top";
    for (const mark of chart.options.plugins.verticals.list || []) {
      for (const [value, dash] of [[mark.x, []], [mark.low, [1.5, 2.5]], [mark.high, [1.5, 2.5]]]) {
        if (value === null) continue;
        const x = Math.min(area.right, Math.max(area.left, across(chart, value)));
        line(ctx, [[x, area.top], [x, area.bottom]], dash);
      }
      ctx.fillText(mark.label, across(chart, mark.x) + 4, area.top + 2);
    }
  });

  // Words beside points, where they do not run into each other; curves carry their name at their end.
  const pointLabels = plugin("pointLabels", "afterDatasetsDraw", (chart, ctx, area) => {
    const wanted = visible(chart).flatMap(([dataset, elements]) => elements.map(({ x, y }, i) => (
      { text: dataset.data[i].label, x, y, colour: dataset.borderColor }))).filter((w) => w.text);
    if (wanted.length > 40) return;
    ctx.textBaseline = "middle";
    const taken = wanted.map((w) => [w.x - 5, w.y - 5, w.x + 5, w.y + 5]);
    const free = (box) => box[0] >= area.left - 2 && box[2] <= chart.width && box[1] >= area.top - 12 && box[3] <= area.bottom + 8 &&
      taken.every((t) => box[2] < t[0] || box[0] > t[2] || box[3] < t[1] || box[1] > t[3]);
    for (const { text, x, y, colour } of wanted) {
      const width = ctx.measureText(text).width;
      const places = [[7, -8], [7, 9], [-7 - width, -8], [-7 - width, 9], [-width / 2, -14], [-width / 2, 15], [9, 0]];
      const box = places.map(([dx, dy]) => [x + dx, y + dy - 6, x + dx + width, y + dy + 6]).find(free);
      if (!box) continue;
      taken.push(box);
      ctx.fillStyle = colour;
      ctx.fillText(text, box[0], box[1] + 6);
    }
  });

  const curveNames = plugin("curveNames", "afterDatasetsDraw", (chart, ctx, area) => {
    if (!chart.options.plugins.curveNames.on) return;
    const names = [];
    for (const [dataset, points] of visible(chart)) {
      if (points.length === 0) continue;
      const last = points[points.length - 1];
      const same = names.find((name) => name.text === dataset.group);
      if (same) Object.assign(same, { y: same.y + last.y, count: same.count + 1 });
      else names.push({ text: dataset.group, x: last.x, y: last.y, count: 1, colour: dataset.borderColor });
    }
    for (const name of names) name.y /= name.count;
    names.sort((a, b) => a.y - b.y);
    for (let i = 1; i < names.length; ++i) names[i].y = Math.max(names[i].y, names[i - 1].y + 12);
    const over = names.length ? names[names.length - 1].y - area.bottom : 0;
    if (over > 0) {
      names[names.length - 1].y -= over;
      for (let i = names.length - 2; i >= 0; --i) names[i].y = Math.min(names[i].y, names[i + 1].y - 12);
    }
    ctx.textBaseline = "middle";
    for (const name of names) {
      ctx.fillStyle = name.colour;
      ctx.fillText(name.text, name.x + 6, name.y);
    }
  });

  const barValues = plugin("barValues", "afterDatasetsDraw", (chart, ctx) => {
    ctx.fillStyle = theme.ink;
    ctx.textBaseline = "middle";
    chart.getDatasetMeta(0).data.forEach((bar, i) => ctx.fillText(short(chart.data.datasets[0].data[i]), bar.x + 5, bar.y));
  });

  // Hatched, so that two sorts of bars differ without colour.
  function hatching(colour) {
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const context = tile.getContext("2d");
    context.strokeStyle = colour;
    context.lineWidth = 1.3;
    context.beginPath();
    for (const shift of [-6, 0, 6]) {
      context.moveTo(shift, 6);
      context.lineTo(shift + 6, 0);
    }
    context.stroke();
    return context.createPattern(tile, "repeat");
  }

  const xValues = (view) => view.series.flatMap((s) => s.points.map((p) => p.x));

  // 1, 2, 5 in every decade; over many decades 1 alone, within one also 3 and 7.
  function logTicks(scale) {
    const decades = Math.log10(scale.max / scale.min);
    const steps = decades > 4 ? [1] : decades > 1.5 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7];
    const values = [];
    for (let power = Math.floor(Math.log10(scale.min)); power <= Math.log10(scale.max); ++power) {
      for (const step of steps) {
        const value = Number((step * 10 ** power).toPrecision(3));
        if (value >= scale.min && value <= scale.max) values.push({ value });
      }
    }
    scale.ticks = values;
  }

  function axis(label, log) {
    const scale = {
      type: log ? "logarithmic" : "linear",
      title: { display: true, text: label, color: theme.ink },
      ticks: { color: theme.soft, maxRotation: 0, autoSkipPadding: 14 },
      grid: { color: theme.grid },
    };
    scale.ticks.callback = (value) => short(value);
    if (log) scale.afterBuildTicks = logTicks;
    return scale;
  }

  function datasetOf(series, index) {
    const colour = series.strong ? theme.ink : colourOf(series.style);
    const radius = series.curve ? 0 : series.strong ? 6 : series.marker ? (series.points.length > 300 ? 2.5 : 4.5) : (context) => (context.dataIndex % 20 === (7 * series.style) % 20 ? 3.5 : 0);
    return {
      label: series.name, group: series.group, data: series.points, showLine: series.line, curve: series.curve,
      order: series.strong && !series.curve ? -1000 : -index, borderColor: colour, backgroundColor: colour,
      borderWidth: series.marker ? 1.6 : 1.4, borderDash: dashes[series.style % dashes.length],
      pointStyle: series.strong ? "rectRot" : markers[series.style % markers.length], pointRadius: radius, pointHoverRadius: 6,
      pointBorderColor: colour, pointBackgroundColor: series.hollow ? theme.paper : colour, pointBorderWidth: 1.5, tension: 0,
    };
  }

  function tooltipText(context) {
    const point = context.raw;
    const interval = point.low === undefined ? "" : ` [${short(point.low)}, ${short(point.high)}]`;
    const across = point.x_low === undefined ? "" : ` [${short(point.x_low)}, ${short(point.x_high)}]`;
    return `${context.dataset.label}${point.label ? ", " + point.label : ""}: ${short(point.y)}${interval} at ${short(point.x)}${across}`;
  }

  // One entry a group; a click hides or shows all of its series.
  function legendOf(chart) {
    const seen = new Set();
    const items = Chart.defaults.plugins.legend.labels.generateLabels(chart);
    const curve = (item) => Boolean(chart.data.datasets[item.datasetIndex].curve);
    return items.sort((a, b) => curve(a) - curve(b) || a.datasetIndex - b.datasetIndex).filter((item) => {
      const { group } = chart.data.datasets[item.datasetIndex];
      if (curve(item)) Object.assign(item, { pointStyle: "line", lineWidth: 2 });
      item.text = group;
      return !seen.has(group) && seen.add(group);
    });
  }

  function toggleGroup(event, item, legend) {
    const { chart } = legend;
    const visible = chart.isDatasetVisible(item.datasetIndex);
    chart.data.datasets.forEach((dataset, index) => {
      if (dataset.group === item.text) chart.setDatasetVisibility(index, !visible);
    });
    chart.update();
  }

  function scatter(canvas, panel, view) {
    const xs = xValues(view);
    const spread = Math.max(...xs) / Math.min(...xs);
    const groups = new Set(view.series.map((s) => s.group));
    const names = view.series.some((s) => !s.marker && !s.curve) && groups.size <= 14;
    const longest = Math.max(0, ...[...groups].map((g) => g.length));
    const x = axis(view.x_label || panel.x_label, panel.x_log && Math.min(...xs) > 0 && spread > 2.5);
    if (x.type === "logarithmic") Object.assign(x, { min: Math.min(...xs) / 1.15, max: Math.max(...xs) * 1.15 });
    else if (!names && spread < 1e3) x.grace = "6%";
    if (panel.x_kind === "tokens") {
      const last = Math.max(...xs);
      Object.assign(x, Math.min(...xs) > 0.45 * last ? { max: last } : { min: 0, max: last });
    }
    const y = axis(view.y_label, false);
    y.grace = "6%";
    const marks = view.rules.map((r) => r.y).concat(view.series.flatMap((s) => s.points.flatMap((p) => [p.low, p.high])))
      .filter((v) => v !== undefined && v !== null);
    if (marks.length) Object.assign(y, { suggestedMin: Math.min(...marks), suggestedMax: Math.max(...marks) });
    return new Chart(canvas, {
      type: "scatter",
      data: { datasets: view.series.map(datasetOf) },
      plugins: [errorBars, rules, verticals, pointLabels, curveNames],
      options: {
        responsive: true, maintainAspectRatio: false, animation: false,
        layout: { padding: { right: names ? Math.min(130, 12 + 6.4 * longest) : 8 } },
        interaction: { mode: "nearest", intersect: false },
        scales: { x, y },
        plugins: {
          rules: { list: view.rules }, verticals: { list: view.marks }, curveNames: { on: names },
          legend: { display: (groups.size > 1 || view.series.some((s) => s.curve)) && !names && groups.size <= 24,
                    labels: { usePointStyle: true, color: theme.ink, boxHeight: 7, generateLabels: legendOf },
                    onClick: toggleGroup },
          tooltip: { callbacks: { label: tooltipText } },
        },
      },
    });
  }

  function bars(canvas, view) {
    const x = axis(view.y_label, false);
    x.beginAtZero = true;
    x.grace = "12%";
    return new Chart(canvas, {
      type: "bar",
      data: { labels: view.series[0].points.map((p) => p.label),
              datasets: view.series.map((series, i) => ({
                label: series.name, group: series.group, data: series.points.map((p) => p.y), maxBarThickness: 15, borderWidth: i,
                borderColor: colourOf(i), backgroundColor: i ? hatching(colourOf(i)) : colourOf(0) })) },
      plugins: [barValues],
      options: {
        indexAxis: "y", responsive: true, maintainAspectRatio: false, animation: false,
        scales: { x, y: { ticks: { color: theme.ink, autoSkip: false }, grid: { display: false } } },
        plugins: { legend: { display: view.series.length > 1, labels: { color: theme.ink } } },
      },
    });
  }

  // Grey levels: 0 is white, the mean mid grey, three times the mean black.
  const grey = (load) => Math.round(255 * (1 - Math.min(1, load / 3) ** 0.63));

  function pixels(canvas, rows) {
    canvas.width = Math.max(...rows.map((r) => r.length));
    canvas.height = rows.length;
    const context = canvas.getContext("2d");
    rows.forEach((row, y) => row.forEach((load, x) => {
      const level = grey(load / 100);
      context.fillStyle = `rgb(${level},${level},${level})`;
      context.fillRect(x, y, 1, 1);
    }));
  }

  function drawPanel(entry) {
    if (entry.chart) entry.chart.destroy();
    const view = entry.panel.views.find((v) => v.name === entry.view) || entry.panel.views[0];
    entry.chart = entry.panel.bars ? bars(entry.canvas, view) : scatter(entry.canvas, entry.panel, view);
  }

  function setUpFigure(figure) {
    const element = document.getElementById("figure-" + figure.id);
    for (const canvas of element.querySelectorAll("canvas[data-panel]")) {
      const panel = figure.panels[Number(canvas.dataset.panel)];
      charts.push({ canvas, panel, figure: figure.id, view: panel.views[0].name, chart: null });
    }
    for (const canvas of element.querySelectorAll("canvas[data-strip]")) {
      const { layers } = figure.strips[Number(canvas.dataset.strip)];
      pixels(canvas, layers);
      canvas.style.height = Math.max(12, 11 * layers.length) + "px";
    }
    for (const canvas of element.querySelectorAll("canvas[data-scale]")) {
      pixels(canvas, [Array.from({ length: 61 }, (_, i) => 5 * i)]);
    }
    for (const select of element.querySelectorAll("select[data-selector]")) {
      const mine = charts.filter((c) => c.figure === figure.id && c.panel.selector === select.dataset.selector);
      for (const name of new Set(mine.flatMap((c) => c.panel.views.map((v) => v.name)))) select.add(new Option(name, name));
      select.addEventListener("change", () => {
        for (const entry of mine) {
          entry.view = select.value;
          drawPanel(entry);
        }
      });
    }
  }

  function drawAll() {
    readTheme();
    charts.forEach(drawPanel);
  }

  figures.forEach(setUpFigure);
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => {
    document.documentElement.dataset.theme = "light";
    drawAll();
  });
  addEventListener("afterprint", () => {
    delete document.documentElement.dataset.theme;
    drawAll();
  });
})();
