"use strict";
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const touch = window.matchMedia("(pointer: coarse)").matches;
  const plots = [...document.querySelectorAll(".plot")];

  // Figures take ink and grid of the page, so that they follow light and dark.
  const theme = (layout) => {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--soft").trim();
    const grid = style.getPropertyValue("--grid").trim();
    const ground = style.getPropertyValue("--ground").trim();
    const change = { "font.color": ink, "hoverlabel.bgcolor": ground, "hoverlabel.font.color": ink };
    for (const axis of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      change[`${axis}.gridcolor`] = grid;
      change[`${axis}.linecolor`] = ink;
      change[`${axis}.tickcolor`] = ink;
    }
    return change;
  };

  const config = { responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover", showTips: false };
  const waiting = new Set(plots);
  const draw = (plot) => {
    if (!waiting.delete(plot)) return;
    const figure = JSON.parse(document.getElementById(`${plot.id}-data`).textContent);
    if (touch) figure.layout.dragmode = false; // a finger scrolls the page
    Plotly.newPlot(plot, figure.data, figure.layout, config).then(() => recolour(plot));
  };
  const recolour = (plot) => {
    const scaled = plot.data.map((trace, i) => (trace.colorbar ? i : -1)).filter((i) => i >= 0);
    if (scaled.length) Plotly.restyle(plot, { reversescale: dark.matches }, scaled); // few networks: near the ground
    const written = plot.data.map((trace, i) => (trace.texttemplate ? i : -1)).filter((i) => i >= 0);
    const style = getComputedStyle(document.documentElement);
    if (written.length) Plotly.restyle(plot, { "textfont.color": style.getPropertyValue("--ink").trim() }, written);
    Plotly.relayout(plot, theme(plot.layout));
  };

  // What is in view is drawn at once, the rest when the reader comes near or the browser is idle.
  const observer = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
    { rootMargin: "400px" },
  );
  plots.forEach((plot) => observer.observe(plot));
  const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 200));
  const drawNext = () => {
    const [plot] = waiting;
    if (!plot) return;
    draw(plot);
    idle(drawNext);
  };
  window.addEventListener("load", () => idle(drawNext));
  window.addEventListener("beforeprint", () => plots.forEach(draw));
  dark.addEventListener("change", () => plots.filter((plot) => !waiting.has(plot)).forEach(recolour));

  for (const button of document.querySelectorAll(".command button")) {
    const line = button.parentElement.querySelector("code");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(line.textContent);
        button.textContent = "Copied";
      } catch {
        window.getSelection().selectAllChildren(line); // pages opened from a file may not write the clipboard
        button.textContent = "Selected";
      }
    });
  }
})();
