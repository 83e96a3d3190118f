// The staff's page of the widget: each choice asks for the same page with it, and takes over the snippet, the preview and which fields
// matter. Without this script the button does the same.
(() => {
  "use strict";
  const form = document.querySelector("form[data-live]");
  if (!form) return;
  const phone = document.querySelector("[data-phone]");
  let running, waiting;

  const width = () => document.querySelector(".cx-sample")?.classList.toggle("cx-phone", phone.checked);

  const take = (page) => {
    page.querySelectorAll("[data-row]").forEach((row) => {
      const here = document.getElementById(row.id);
      here.hidden = row.hidden;
      here.querySelector("[data-errors]").innerHTML = row.querySelector("[data-errors]").innerHTML;
    });
    page.querySelectorAll("[data-swap]").forEach((part) => {
      const here = document.getElementById(part.id);
      const former = here.querySelector("iframe")?.getAttribute("src");
      // The same sample page is not started again.
      if (!former || former !== part.querySelector("iframe")?.getAttribute("src")) here.innerHTML = part.innerHTML;
    });
    width();
  };

  const ask = async () => {
    running?.abort();
    running = new AbortController();
    const query = new URLSearchParams(new FormData(form));
    const address = `${location.pathname}?${query}`;
    try {
      const answer = await fetch(address, { signal: running.signal });
      if (!answer.ok || answer.redirected) return form.submit();
      take(new DOMParser().parseFromString(await answer.text(), "text/html"));
      history.replaceState(null, "", address);
    } catch (error) {
      if (error.name !== "AbortError") form.submit();
    }
    return undefined;
  };

  form.addEventListener("input", ({ target }) => {
    clearTimeout(waiting);
    waiting = setTimeout(ask, target.matches("select, [type=checkbox]") ? 0 : 400);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    ask();
  });
  phone.addEventListener("change", width);
  document.addEventListener("click", ({ target }) => {
    if (!target.closest("[data-again]")) return;
    const frame = document.querySelector(".cx-sample");
    frame.src = frame.getAttribute("src");
  });
})();
