// The staff's pages: draws trends on the Chart.js that Unfold brings, and copies a link. Nothing is asked of any server.
(() => {
  "use strict";
  const charts = [];
  const root = document.documentElement;
  const onPaper = () => root.classList.contains("cx-printing");
  const fontOf = (holder) => ({ family: getComputedStyle(holder).fontFamily, size: onPaper() ? 10 : 12 });
  const sharpness = Chart.defaults.devicePixelRatio;

  // A canvas knows neither custom properties nor, in older browsers, every colour of theirs: one pixel is painted and read back.
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colour = (element, name, alpha = 1) => {
    const probe = document.createElement("span");
    probe.style.color = `var(${name})`;
    element.append(probe);
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = getComputedStyle(probe).color;
    pixel.fillRect(0, 0, 1, 1);
    probe.remove();
    const [red, green, blue] = pixel.getImageData(0, 0, 1, 1).data;
    return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
  };

  const told = (marks, items) => marks.filter((mark) => mark.period === items[0]?.dataIndex).map((mark) => `${mark.number}  ${mark.text}`);

  // Decisions are lines across the chart, each with the number that it has in the list of the page.
  const marking = (marks, ink, ground, font) => ({
    id: "marks",
    afterDatasetsDraw: ({ ctx, chartArea, scales }) => {
      ctx.save();
      ctx.font = `600 11px ${font.family}`;
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      ctx.lineWidth = 1;
      let free = -Infinity; // two of one day stand beside each other
      marks.forEach((mark) => {
        const x = Math.round(scales.x.getPixelForValue(mark.at)) + 0.5;
        ctx.strokeStyle = ink;
        ctx.beginPath();
        ctx.moveTo(x, chartArea.top);
        ctx.lineTo(x, chartArea.bottom);
        ctx.stroke();
        const left = Math.max(free, x - 8);
        free = left + 18;
        ctx.fillStyle = ink;
        ctx.fillRect(left, chartArea.bottom - 16, 16, 16);
        ctx.fillStyle = ground;
        ctx.fillText(String(mark.number), left + 8, chartArea.bottom - 7.5);
      });
      ctx.restore();
    },
  });

  const draw = (canvas) => {
    const data = JSON.parse(document.getElementById(canvas.dataset.trend).textContent);
    const holder = canvas.parentElement;
    const ink = colour(holder, "--ink");
    const quiet = colour(holder, "--quiet");
    const line = colour(holder, "--line");
    const accent = colour(holder, "--accent");
    const band = colour(holder, "--accent", 0.16);
    const plain = { borderWidth: 0, pointRadius: 0, pointHitRadius: 0, pointStyle: "rect", borderColor: band, backgroundColor: band };
    const datasets = [
      {
        label: data.words.value, data: data.values, borderColor: accent, backgroundColor: accent, borderWidth: 2,
        pointRadius: data.values.length > 40 ? 0 : 3, pointHoverRadius: 5, pointBackgroundColor: accent, pointBorderColor: accent,
        pointHoverBackgroundColor: accent, pointHoverBorderColor: accent, tension: 0,
        // What can still rise is drawn with dashes.
        segment: { borderDash: (piece) => (data.rising?.[piece.p1DataIndex] ? [4, 4] : undefined) },
      },
      { ...plain, label: data.words.interval, data: data.highs, fill: "+1" },
      { ...plain, label: "", data: data.lows, fill: false },
    ];
    if (data.target !== null) {
      datasets.push({
        label: data.words.target, data: data.labels.map(() => data.target), borderColor: quiet, backgroundColor: quiet,
        borderWidth: 1, borderDash: [4, 4], pointRadius: 0, pointHitRadius: 0, pointStyle: "line", fill: false,
      });
    }
    const percent = data.unit === "%" ? "%" : "";
    const signed = (value) => (data.min < 0 && value > 0 ? `+${value}` : String(value).replace("-", "−")) + percent;
    const font = fontOf(holder);
    const marks = data.marks ?? [];
    return new Chart(canvas, {
      type: "line",
      data: { labels: data.labels, datasets },
      plugins: marks.length ? [marking(marks, ink, colour(holder, "--ground"), font)] : [],
      options: {
        animation: false,
        maintainAspectRatio: false,
        interaction: { mode: "index", intersect: false },
        layout: { padding: { top: 8, right: marks.length ? 10 : 0 } },
        scales: {
          x: { grid: { display: false }, border: { color: line }, ticks: { color: quiet, font, maxRotation: 0, autoSkipPadding: 16 } },
          y: {
            // The metric's own range, so that no change looks larger than it is; a duration starts at 0.
            min: data.min, max: data.max ?? undefined, grid: { color: line }, border: { display: false },
            ticks: { color: quiet, font, maxTicksLimit: 6, callback: signed },
            title: { display: data.unit !== "" && !percent, text: data.unit, color: quiet, font },
          },
        },
        plugins: {
          legend: {
            align: "end",
            labels: { color: quiet, font, boxHeight: 8, usePointStyle: true, pointStyleWidth: 10, filter: (item) => item.text !== "" },
            onClick: () => {},
          },
          tooltip: {
            filter: (item) => item.datasetIndex === 0, displayColors: false,
            callbacks: {
              label: (item) => data.texts[item.dataIndex],
              afterBody: (items) => told(marks, items),
            },
            backgroundColor: ink, titleColor: colour(holder, "--ground"), bodyColor: colour(holder, "--ground"),
            titleFont: font, bodyFont: font,
          },
        },
      },
    });
  };

  // A stepped curve over a duration, with its interval and its median: "points" are (duration, share, low, high).
  const drawCurve = (canvas) => {
    const data = JSON.parse(document.getElementById(canvas.dataset.curve).textContent);
    const holder = canvas.parentElement;
    const [ink, ground, quiet, line, accent] = ["--ink", "--ground", "--quiet", "--line", "--accent"].map((name) => colour(holder, name));
    const band = colour(holder, "--accent", 0.16);
    const font = fontOf(holder);
    const column = (place) => data.points.map((point) => ({ x: point[0], y: point[place] }));
    const plain = { stepped: "before", borderWidth: 0, pointRadius: 0, pointHitRadius: 0, pointStyle: "rect", borderColor: band, backgroundColor: band };
    const datasets = [
      { ...plain, label: data.words.value, data: column(1), borderColor: accent, backgroundColor: accent, borderWidth: 2, pointHoverRadius: 4 },
      { ...plain, label: data.words.interval, data: column(3), fill: "+1" },
      { ...plain, label: "", data: column(2), fill: false },
    ];
    if (data.median !== null) {
      datasets.push({
        label: data.words.median, borderColor: quiet, backgroundColor: quiet, borderWidth: 1, borderDash: [4, 4], pointRadius: 0,
        pointHitRadius: 0, pointStyle: "line", data: [{ x: 0, y: 50 }, { x: data.median, y: 50 }, { x: data.median, y: 0 }], fill: false,
      });
    }
    const title = (text) => ({ display: text !== "", text, color: quiet, font });
    return new Chart(canvas, {
      type: "line",
      data: { datasets },
      options: {
        animation: false,
        maintainAspectRatio: false,
        interaction: { mode: "nearest", axis: "x", intersect: false },
        layout: { padding: { top: 8 } },
        scales: {
          x: {
            type: "linear", min: 0, max: data.points.at(-1)[0], grid: { display: false }, border: { color: line },
            ticks: { color: quiet, font, maxRotation: 0, autoSkipPadding: 16 }, title: title(data.unit),
          },
          y: {
            min: 0, max: 100, grid: { color: line }, border: { display: false },
            ticks: { color: quiet, font, maxTicksLimit: 6, callback: (value) => `${value}%` },
          },
        },
        plugins: {
          legend: {
            align: "end", labels: { color: quiet, font, boxHeight: 8, usePointStyle: true, pointStyleWidth: 10, filter: (item) => item.text !== "" }, onClick: () => {},
          },
          tooltip: {
            filter: (item) => item.datasetIndex === 0, displayColors: false,
            callbacks: { title: () => "", label: (item) => data.texts[item.dataIndex] },
            backgroundColor: ink, titleColor: ground, bodyColor: ground, titleFont: font, bodyFont: font,
          },
        },
      },
    });
  };

  // Bands over time: each period is a whole, cut into its bands, the best at the bottom.
  const drawBands = (canvas) => {
    const data = JSON.parse(document.getElementById(canvas.dataset.bands).textContent);
    const holder = canvas.parentElement;
    const quiet = colour(holder, "--quiet");
    const font = fontOf(holder);
    const ground = colour(holder, "--ground");
    const datasets = data.sets.map((set) => ({
      label: set.label, data: set.values, backgroundColor: colour(holder, `--${set.tone}`), borderColor: ground, borderWidth: { top: 1 },
      borderSkipped: false, categoryPercentage: 0.96, barPercentage: 0.96, maxBarThickness: 48,
    }));
    return new Chart(canvas, {
      type: "bar",
      data: { labels: data.labels, datasets },
      plugins: data.marks.length ? [marking(data.marks, colour(holder, "--ink"), ground, font)] : [],
      options: {
        animation: false,
        maintainAspectRatio: false,
        interaction: { mode: "index", intersect: false },
        layout: { padding: { right: data.marks.length ? 10 : 0 } },
        scales: {
          x: { stacked: true, grid: { display: false }, border: { color: colour(holder, "--line") }, ticks: { color: quiet, font, maxRotation: 0, autoSkipPadding: 16 } },
          y: {
            stacked: true, min: 0, max: 100, grid: { color: colour(holder, "--line") }, border: { display: false },
            ticks: { color: quiet, font, stepSize: 25, callback: (value) => `${value}%` },
          },
        },
        plugins: {
          legend: { align: "end", labels: { color: quiet, font, boxWidth: 14, boxHeight: 8 }, onClick: () => {} },
          tooltip: {
            callbacks: {
              title: (items) => `${items[0].label} · ${data.counts[items[0].dataIndex]}`,
              label: (item) => `${item.dataset.label} ${Math.round(item.raw)}%`,
              afterBody: (items) => told(data.marks, items),
            },
            backgroundColor: colour(holder, "--ink"), titleColor: ground, bodyColor: ground, titleFont: font, bodyFont: font,
          },
        },
      },
    });
  };

  const drawAll = () => {
    charts.splice(0).forEach((chart) => chart.destroy());
    document.querySelectorAll("canvas[data-curve]").forEach((canvas) => charts.push(drawCurve(canvas)));
    document.querySelectorAll("canvas[data-bands]").forEach((canvas) => charts.push(drawBands(canvas)));
    document.querySelectorAll("canvas[data-trend]").forEach((canvas) => charts.push(draw(canvas)));
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      // Without HTTPS there is no clipboard: the text is selected, ready to be copied by hand.
      getSelection().selectAllChildren(source);
      return;
    }
    const before = button.textContent;
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = before; }, 2000);
  });

  // A page that counts takes a while: it is seen that it was asked. Whoever comes back finds it as it was.
  document.addEventListener("submit", (event) => {
    if (event.target.matches(".cx-form")) busy(true);
  });
  const busy = (is) => {
    const page = document.querySelector(".cx");
    page?.setAttribute("aria-busy", String(is));
    page?.querySelectorAll(":scope > :not(.cx-filters)").forEach((part) => part.classList.toggle("cx-busy", is));
  };
  addEventListener("pageshow", () => busy(false));

  // A canvas is a picture: for paper it is drawn in paper's colours, sharp, and as wide as a page; afterwards as it was.
  const print = (is) => {
    if (onPaper() === is) return;
    root.classList.toggle("cx-printing", is);
    Chart.defaults.devicePixelRatio = is ? 3 : sharpness;
    drawAll();
  };
  addEventListener("beforeprint", () => print(true));
  addEventListener("afterprint", () => print(false));
  matchMedia("print").addEventListener("change", (event) => print(event.matches));

  drawAll();
  // The theme is a class of the root element, set by the switch and, at first, by Alpine after this script.
  new MutationObserver(drawAll).observe(root, { attributes: true, attributeFilter: ["class"] });
})();
