// The form's side of a frame or of an app's web view. In: DOM events of form.js, messages of the page around. Out: messages to
// that page, if its origin is allowed, and what is counted. No answer and no score ever passes. docs/widget.md has the types.
(() => {
  "use strict";
  const { key, origins, close, title } = document.documentElement.dataset;
  const query = new URLSearchParams(location.search);
  const origin = query.get("origin");
  const isFramed = window.parent !== window;
  const host = isFramed && origins.split(" ").includes(origin) ? window.parent : null;
  const app = !isFramed && (window.ReactNativeWebView || window.webkit?.messageHandlers?.cxsurvey || window.cxsurvey);
  const counted = new Set();
  let context, sent;

  const say = (name, more) => {
    const message = { type: `cx:${name}`, key, ...more };
    if (host) host.postMessage(message, origin);
    else if (app?.postMessage) app.postMessage(JSON.stringify(message));
  };
  // Not sendBeacon: under no-referrer its Origin is "null".
  const count = (event) => {
    if (counted.has(event) || query.has("test")) return;
    counted.add(event);
    fetch(`/w/${key}/seen/`, { method: "POST", keepalive: true, body: new URLSearchParams({ event }) }).catch(() => {});
  };
  const measure = () => Math.ceil(document.body.getBoundingClientRect().height);
  const resize = () => {
    const height = measure();
    if (height && height !== sent) say("resized", { height: sent = height });
  };
  const fill = () => {
    const form = document.querySelector("main form");
    if (!form || !context) return;
    for (const name of ["reference", "facts"]) {
      const input = form.querySelector(`input[type=hidden][name=${name}]`) || form.appendChild(document.createElement("input"));
      Object.assign(input, { type: "hidden", name, value: context[name] });
    }
  };
  const dismiss = () => {
    say("dismissed");
    if (!host) count("dismissed");
  };

  addEventListener("message", ({ data, source, origin: sender }) => {
    if (!host || source !== host || sender !== origin || data?.key !== key) return;
    if (data.type === "cx:shown") count("shown");
    else if (data.type === "cx:dismissed") count("dismissed");
    else if (data.type === "cx:context") {
      context = { reference: String(data.reference ?? ""), facts: JSON.stringify(data.facts ?? {}) };
      fill();
    }
  });
  document.addEventListener("cx:started", () => { say("started"); count("started"); });
  document.addEventListener("cx:answered", ({ detail }) => say("answered", { complete: detail.complete === true }));
  document.addEventListener("cx:swapped", () => { fill(); resize(); });
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented && !event.isComposing) dismiss();
  });

  // A notice is no survey: whoever frames it shows nothing.
  const { backgroundColor: ground, color: ink, direction: dir } = getComputedStyle(document.body);
  if (query.has("done")) say("answered", { complete: true });
  else if (document.querySelector("main form")) say("ready", { height: sent = measure(), title, close, dir, ground, ink });
  new ResizeObserver(resize).observe(document.body);
  // Without a script around that tells us, it is shown when it is seen.
  if (!origin) {
    new IntersectionObserver((entries, sight) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      sight.disconnect();
      count("shown");
    }).observe(document.body);
  }
})();
