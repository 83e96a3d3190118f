// A rule's trial: takes its pieces over as they come, without leaving the page. Without this script the page itself grows.
(() => {
  "use strict";
  const form = document.querySelector("form[data-try]");
  if (!form || !window.TextDecoderStream) return;
  const output = document.querySelector("[data-output]");
  const stop = form.querySelector("[data-stop]");
  const NEXT = "\n<!-- next -->\n";
  let running;

  const tell = (name) => output.replaceChildren(document.querySelector(`template[data-${name}]`).content.cloneNode(true));

  const run = async () => {
    running?.abort();
    const own = new AbortController();
    running = own;
    stop.hidden = false;
    try {
      const answer = await fetch(location.href, {
        method: "POST", body: new FormData(form), headers: { "X-Requested-With": "fetch" }, signal: own.signal,
      });
      if (!answer.ok || answer.redirected) return form.submit();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let held = "", step = await reader.read(); !step.done; step = await reader.read()) {
        const pieces = (held + step.value).split(NEXT);
        held = pieces.pop();
        if (pieces.length) output.innerHTML = pieces.at(-1);
      }
      if (!output.querySelector("[data-done]")) tell("broken");
    } catch (error) {
      if (running === own) tell(error.name === "AbortError" ? "stopped" : "broken");
    }
    if (running === own) stop.hidden = true;
    return undefined;
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  stop.addEventListener("click", () => running?.abort());
  if (form.hasAttribute("data-at-once")) run();
})();
