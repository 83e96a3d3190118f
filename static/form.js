// The respondent's form with JavaScript: follow-ups appear by the answers given, a touch is recorded by itself, and "Send" goes
// without leaving the page and outlives a lost network. The form is whole without it. What a script does by itself records nothing.
(() => {
  "use strict";
  const WAIT = 700; // ms after a score, in which it may still be corrected
  const GAP = 2200; // between two recordings that nobody asked for: the server takes faster ones for a machine's
  const LIMIT = 20000, LONGEST = 60000, WEEK = 7 * 864e5;
  const $ = (selector) => document.querySelector(selector);
  const emit = (name, detail) => document.dispatchEvent(new CustomEvent(`cx:${name}`, { detail }));

  // --- A person's press, and no script's ---
  let pressed = false;
  addEventListener("click", (event) => {
    if (event.target.closest?.("button")?.type !== "submit") return;
    if (!event.isTrusted) return stop(event);
    pressed = true;
    setTimeout(() => { pressed = false; });
  }, true);
  addEventListener("submit", (event) => {
    if (!pressed) return stop(event);
    if (!told) return; // the page of unsubscribing goes by itself
    event.preventDefault();
    const { submitter } = event;
    if (submitter?.name === "switch") {
      const next = query();
      next.set("lang", submitter.value);
      location.search = next;
    } else send();
  }, true);
  const stop = (event) => { event.preventDefault(); event.stopImmediatePropagation(); };

  // --- What the form holds ---
  let form, told, questions, first, status, news, retry, sendText;
  const key = (question) => question.getAttribute("data-key");
  const values = (name) => new FormData(form).getAll(name).filter(Boolean);
  const answers = () => [...new FormData(form)].filter(([name]) => questions.some((question) => key(question) === name));
  const fields = () => {
    const found = new URLSearchParams(new FormData(form));
    for (const question of questions) if (question.hidden) found.delete(key(question));
    return found;
  };
  const fill = (pairs) => {
    for (const question of questions) {
      const held = pairs.filter(([name]) => name === key(question)).map(([, value]) => value);
      for (const input of question.querySelectorAll("input, textarea")) {
        if (input.type === "radio" || input.type === "checkbox") input.checked = held.includes(input.value);
        else input.value = held[0] ?? "";
      }
    }
  };

  // --- Follow-ups ---
  // "score:1,2,3;reason:late": every named question is shown itself and has one of its values.
  const applies = (rule) => !rule || rule.split(";").every((part) => {
    const [name, wanted] = part.split(":");
    const source = questions.find((question) => key(question) === name);
    return source && !source.hidden && values(name).some((value) => wanted.split(",").includes(value));
  });
  const write = (question, text) => {
    const nodes = document.createTreeWalker(question.querySelector(".legend"), NodeFilter.SHOW_TEXT);
    while (nodes.nextNode()) if (nodes.currentNode.data.trim()) return void (nodes.currentNode.data = `${text} `);
  };
  const reveal = () => {
    const waits = first.querySelector(".scale") && !values(key(first)).length && !$("#summary");
    const [score] = values("score");
    let shown = 0, more = 0;
    for (const question of questions) {
      const most = told?.most || Infinity;
      const wasHidden = question.hidden;
      question.hidden = shown >= most || (waits && question !== first) || !applies(question.getAttribute("data-show-if"));
      if (question.hidden) continue;
      shown += 1;
      more += wasHidden;
      const bands = told?.bands[key(question)];
      if (bands) write(question, bands.slice(1).find(([low, high]) => score && low <= score && score <= high)?.[2] ?? bands[0]);
    }
    number(shown);
    news.textContent = told?.revealed[more - 1] ?? "";
  };
  // "Question 1 of 5" holds the places of both numbers, in whatever order.
  let pattern;
  const number = (shown) => {
    let at = 0;
    for (const question of questions) {
      const step = question.querySelector(".step");
      if (!step) continue;
      pattern ??= step.textContent;
      at += !question.hidden;
      step.classList.toggle("alone", shown < 2);
      step.textContent = pattern.replace(/\d+/g, (digits) => (digits === "1" ? at : +digits === questions.length ? shown : digits));
    }
  };

  // --- What is kept on the device: in memory where it keeps nothing ---
  const area = (name) => {
    try {
      const found = window[name];
      found.cx = "";
      delete found.cx;
      return found;
    } catch { return {}; }
  };
  const local = area("localStorage"), session = area("sessionStorage");
  const keep = (store, name, value) => { try { store[name] = JSON.stringify(value); } catch { /* full */ } };
  const read = (store, name) => { try { return JSON.parse(store[name]); } catch { return null; } };
  const query = () => new URLSearchParams(location.search);
  const score = () => query().get("score");
  const formId = () => form.querySelector("[name=form]")?.value ?? "";
  const place = `cx:${location.pathname}:`;
  const slot = () => place + formId();
  const keepDraft = () => keep(session, place, { form: formId(), pairs: answers(), score: score() });

  // --- Recording ---
  let touched = false, recorded = null, waiting = null, flight = null, last = 0, failures = 0, tap, again, loaded;
  const make = (complete) => {
    const body = fields();
    const state = body.toString();
    body.set("edit", told.now + Date.now() - loaded); // the server's clock, whatever this device's says
    if (!complete) body.set("partial", "1");
    return { url: location.pathname + location.search, body: body.toString(), complete, state, at: Date.now() };
  };
  const send = () => {
    if (flight?.entry.complete) return;
    clearTimeout(tap);
    waiting = make(true);
    keep(local, slot(), waiting);
    deliver();
  };
  const record = (parting) => {
    clearTimeout(tap);
    if (!told || !form || !touched || waiting?.complete || !form.querySelector(".scale :checked")) return;
    if ([recorded, flight?.entry.state].includes(fields().toString())) return;
    waiting = make(false);
    deliver(parting);
  };
  const soon = () => {
    clearTimeout(tap);
    tap = setTimeout(record, WAIT);
  };

  // One try: what came back, or null where it was lost, on the way there or back.
  const post = async ({ url, body, complete }, signal, keepalive) => {
    try {
      const answer = await fetch(url, { method: "POST", body: new URLSearchParams(body), signal, keepalive });
      if (answer.status === 429 || answer.status >= 500) return null;
      const html = await answer.text();
      const isOurs = complete ? /<main/.test(html) && (answer.redirected || !answer.ok) : answer.status !== 200;
      return isOurs ? { ok: answer.ok, url: answer.redirected && answer.url, html } : null;
    } catch { return null; }
  };
  // A page that is being left sends what is on its way once more, in a manner that outlives it: twice is the same as once.
  const deliver = async (parting) => {
    clearTimeout(again);
    const entry = waiting;
    const isUnderWay = flight?.entry === entry;
    if (!entry || (isUnderWay && (parting !== true || flight.parting))) return;
    if (!entry.complete && !isUnderWay) {
      if (flight) return; // its end comes back here
      const rest = last + GAP - Date.now();
      if (rest > 0) return void (again = setTimeout(deliver, rest));
      last = Date.now();
    }
    flight?.control.abort(); // a part of what goes now
    const mine = flight = { entry, parting: parting === true, control: new AbortController() };
    if (entry.complete) busy(true);
    const limit = setTimeout(() => mine.control.abort(), LIMIT);
    const answer = await post(entry, mine.control.signal, mine.parting);
    clearTimeout(limit);
    if (flight !== mine) return;
    flight = null;
    last = Date.now();
    busy(false);
    if (!answer) {
      if (waiting === entry) keep(local, slot(), entry);
      failures += 1;
      tell("offline", true);
      again = setTimeout(deliver, Math.min(LONGEST, GAP * 2 ** (failures - 1)));
      return;
    }
    failures = 0;
    if (waiting === entry) {
      waiting = null;
      delete local[slot()];
    }
    if (answer.ok) recorded = entry.state;
    if (entry.complete) {
      if (answer.ok) delete session[place];
      swap(answer);
    } else tell(answer.ok ? "saved" : "");
    if (answer.ok) emit("answered", { complete: entry.complete });
    deliver();
  };
  const swap = ({ ok, url, html }) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const typed = answers();
    $("main").replaceWith(page.querySelector("main"));
    $("footer")?.remove();
    if (page.querySelector("footer")) $("main").after(page.querySelector("footer"));
    document.title = page.title;
    if (ok) history.replaceState(null, "", url);
    begin();
    if (told) {
      fill(typed); // some of it while this was on its way
      reveal();
    }
    const heading = $("#summary") ?? $("main h1");
    heading.tabIndex = -1;
    scrollTo(0, 0);
    heading.focus();
    emit("swapped");
  };

  // --- What the customer is told ---
  const tell = (name, canRetry = false) => {
    status.textContent = name && told.say[name];
    retry.hidden = !canRetry;
  };
  const busy = (is) => {
    const button = form?.querySelector(".send");
    if (!button) return;
    sendText ??= button.textContent;
    button.textContent = is ? told.say.sending : sendText;
    button.setAttribute("aria-disabled", is);
  };
  const made = (tag, properties) => Object.assign(document.createElement(tag), properties);

  // --- Beginning: of the page, and of what has taken its place ---
  const begin = () => {
    form = $("main form");
    told = null;
    if (typeof form?.submit === "function") form.submit = () => {}; // a script's own
    questions = form ? [...form.querySelectorAll("[data-key]")] : [];
    first = questions[0];
    if (!first) return;
    told = JSON.parse($("#script")?.textContent ?? "null");
    loaded = Date.now();
    pattern = sendText = null;
    status = made("p", { className: "status", role: "status" });
    news = made("p", { className: "visually-hidden", role: "status" });
    retry = made("button", { className: "retry", type: "button", hidden: true, textContent: told?.say.retry });
    retry.addEventListener("click", deliver);
    form.querySelector(".send").after(status, retry, news);
    reveal();
  };
  const resume = () => {
    if (score() === null) recorded = fields().toString();
    let draft = read(session, place);
    if ((query().get("form") ?? draft?.form) !== draft?.form) draft = null; // another answer is being changed
    if (draft?.form && form.querySelector("[name=form]")) form.querySelector("[name=form]").value = draft.form;
    const shown = JSON.stringify(answers());
    if (draft) {
      const chosen = values(key(first));
      fill(draft.pairs);
      // Another score of the same letter is the newer choice.
      if (draft.score !== score()) fill([...answers().filter(([name]) => name !== key(first)), ...chosen.map((value) => [key(first), value])]);
    }
    for (const name of Object.keys(local).filter((name) => name.startsWith(place))) {
      const entry = read(local, name);
      if (!entry || Date.now() - entry.at > WEEK) delete local[name];
      else if (name === slot() && (draft || score() === null)) {
        if (!draft) fill([...new URLSearchParams(entry.body)]);
        if (entry.complete) waiting = entry; else delete local[name]; // which waits for a touch again
      } else if (entry.complete) post(entry).then((answer) => answer && delete local[name]); // somebody's before
      else delete local[name];
    }
    reveal();
    news.textContent = "";
    if (JSON.stringify(answers()) !== shown) tell("restored");
    if (waiting) {
      tell("offline", true);
      deliver();
    }
  };

  begin();
  if (told) resume();
  $("#summary")?.focus();

  for (const type of ["pointerup", "keydown"]) {
    addEventListener(type, (event) => {
      if (!event.isTrusted || touched) return;
      touched = true;
      emit("started");
      if (told) soon(); // what came preselected, or was typed before
    }, true);
  }
  document.addEventListener("change", (event) => {
    if (!first || event.target.closest("form") !== form) return;
    reveal();
    if (event.target.closest(".scale")) soon();
  });
  document.addEventListener("input", () => { if (told) keepDraft(); });
  const leave = () => {
    record(true);
    if (flight && flight.entry === waiting) deliver(true);
    else if (waiting) keep(local, slot(), waiting);
  };
  addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) leave();
    else if (failures) deliver();
  });
  addEventListener("online", deliver);
  addEventListener("pageshow", (event) => { if (event.persisted) deliver(); });
})();
