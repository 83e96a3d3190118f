// The look: the previews and what is said of the colour follow what is chosen, before it is saved. Without it they show what is saved.
(() => {
  "use strict";
  const page = document.querySelector(".cx-look");
  if (!page || !page.querySelector("form")) return;
  const told = page.querySelector("[data-corrections]");
  const value = (name) => page.querySelector(`[data-look=${name}]`).value.trim();
  let waiting, asked = 0;

  const follow = async () => {
    const [accent, radius, scheme] = ["accent", "radius", "scheme"].map(value);
    if (!/^#[0-9a-f]{6}$/i.test(accent)) return;
    page.querySelectorAll("figure[data-scheme]").forEach((figure) => {
      figure.hidden = scheme !== "auto" && scheme !== figure.dataset.scheme;
      const frame = figure.querySelector("iframe");
      const language = document.documentElement.lang;
      const query = new URLSearchParams({ language, accent, radius, scheme: figure.dataset.scheme });
      const address = `${page.dataset.preview}?${query}`;
      // In place: each colour that is tried would be a step of "Back" otherwise.
      if (frame.dataset.address !== address) { frame.dataset.address = address; frame.contentWindow.location.replace(address); }
    });
    const turn = ++asked;
    const answer = await fetch(`?told=${encodeURIComponent(accent)}`, { credentials: "same-origin" }).catch(() => null);
    if (answer && answer.ok && turn === asked) told.innerHTML = await answer.text();
  };

  page.addEventListener("input", (event) => {
    if (!event.target.closest("form")) return;
    clearTimeout(waiting);
    waiting = setTimeout(follow, 250);
  });
})();
