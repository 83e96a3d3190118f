// The widget on a host page, served at /embed.js without comments and indents. In: a script tag's data-attributes, calls
// of cx(…). Out: the decision whether to ask, and then embed-card.js, which shows the form. docs/widget.md describes all of it.
// Host pages patch and pollute prototypes: so no for-in, no array methods, own properties only, bags without a prototype.
(() => {
  "use strict";
  const LABELS = { en: "Feedback" };
  const CARD = "embed-card.js";
  const win = window, doc = document, root = doc.documentElement;
  const { parse, stringify } = JSON, { hasOwnProperty } = Object.prototype;
  const own = (bag, name) => (bag != null && hasOwnProperty.call(bag, name) ? bag[name] : undefined);
  const first = (value, otherwise) => (value == null ? otherwise : value);
  const tag = doc.currentScript || doc.querySelector('script[src*="/embed.js"]');
  const isSurvey = tag.hasAttribute("data-touchpoint");
  const before = win.cx;
  // Included twice, or run again by a page that swaps its body: the first copy does the work.
  if (own(before, "widget")) return isSurvey && before("init", tag);
  if (before && !own(before, "q")) return console.warn("cxsurvey: window.cx is taken");

  const BASE = new URL(".", tag.src).href;
  const widgets = [], listeners = [], memory = { __proto__: null }, context = { __proto__: null };
  let token;

  const add = (target, type, heard, signal, capture) =>
    target.addEventListener(type, heard, { __proto__: null, passive: true, capture, signal });
  const seconds = (span) => {
    const part = /^(\d+)([smhd])$/.exec(span);
    return part ? part[1] * { s: 1, m: 60, h: 3600, d: 86400 }[part[2]] : 0;
  };
  const fetchCard = () => import(BASE + CARD);
  const say = (w, text) => {
    if (!w.debug) return;
    const line = "cxsurvey " + w.touchpoint + " " + w.way + ": " + text;
    console.info(line);
    fetchCard().then((card) => card.print(line, desk), () => 0);
  };
  const emit = (w, name, detail) => {
    const news = { touchpoint: w.touchpoint, way: w.way, ...detail };
    for (let i = 0; i < listeners.length; i++) {
      // A listener that throws is its author's affair, and must not stop us.
      if (listeners[i][0] === name) try { listeners[i][1](news); } catch (error) { setTimeout(() => { throw error; }); }
    }
  };
  const withhold = (w, reason, more) => {
    say(w, "not shown: " + reason + ", " + more);
    emit(w, "withheld", { reason });
  };

  // What this visitor drew, when they said "not now", when they were asked: "draw;rested;asked,asked". No cookie.
  const recall = (kind, slot) => {
    try { return win[kind].getItem(slot) || memory[slot]; } catch (_) { return memory[slot]; }
  };
  const remember = (kind, slot, text) => {
    memory[slot] = text;
    try { win[kind].setItem(slot, text); } catch (_) { /* this page remembers */ }
  };
  const past = (w, change) => {
    const part = first(recall("localStorage", "cx:" + w.touchpoint), "").split(";");
    const known = { draw: part[0], rested: first(part[1], 0), asked: first(part[2], ""), now: Math.floor(Date.now() / 1000) };
    if (change && !w.test) {
      change(known);
      remember("localStorage", "cx:" + w.touchpoint, known.draw + ";" + known.rested + ";" + known.asked.slice(0, 230));
    }
    return known;
  };

  const matches = (pattern) => {
    const glob = new RegExp("^" + pattern.replace(/[.+?^${}()|[\]\\]/g, "\\$&").replace(/\*/g, ".*") + "$");
    const { href, origin, pathname } = location;
    return glob.test(pathname) || glob.test(href) || glob.test(href.slice(origin.length));
  };
  const isHere = (w) => {
    const patterns = w.url.split(/[\s,]+/);
    let named = false, found = false;
    for (let i = 0; i < patterns.length; i++) {
      const pattern = patterns[i];
      if (pattern[0] === "!") {
        if (matches(pattern.slice(1))) return false;
      } else if (pattern) {
        named = true;
        found = found || matches(pattern);
      }
    }
    return found || !named;
  };
  // Whether it may be shown now; if not, says why.
  const mayShow = (w) => {
    if (!isHere(w)) return withhold(w, "url", location.href + " is none of " + w.url);
    if (w.test) return true;
    let known = past(w);
    if (w.sample < 1 && !known.draw) known = past(w, (it) => { it.draw = Math.random().toFixed(4); });
    if (+known.draw >= w.sample) return withhold(w, "sample", "drew " + known.draw + " of " + w.sample);
    const until = +known.rested + seconds(w.rest);
    if (until > known.now) return withhold(w, "rest", "until " + new Date(until * 1000));
    const cap = /^(?:(\d+)\/)?(\w+)$/.exec(w.cap) || [], asked = known.asked.split(",");
    let times = 0;
    for (let i = 0; i < asked.length; i++) if (+asked[i] + seconds(cap[2]) > known.now) times++;
    return times < first(cap[1], 1) || withhold(w, "cap", "asked " + times + " times in " + w.cap);
  };

  // Inside a closed shadow root no rule of the host's holds, and of two important rules the inner one wins. Constructed
  // style sheets need no permission of its style-src; browsers without them get the script's nonce.
  const shelter = (parent, css) => {
    const host = doc.createElement("cx-survey"), shadow = host.attachShadow({ __proto__: null, mode: "closed" });
    css = ":host{all:initial!important;" + (parent === root
      ? "position:fixed!important;top:0!important;left:0!important;z-index:2147483647!important}@media print{:host{display:none!important}}"
      : "display:block!important}") + css;
    try {
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(css);
      shadow.adoptedStyleSheets = [sheet];
    } catch (_) {
      const style = doc.createElement("style");
      style.nonce = tag.nonce;
      style.textContent = css;
      shadow.append(style);
    }
    // Many sites have their direction on the body alone.
    host.dir = getComputedStyle(doc.body).direction;
    parent.append(host);
    return shadow;
  };
  const watch = (element, margin, reached) => {
    const sight = new IntersectionObserver((entries) => {
      if (!entries[entries.length - 1].isIntersecting) return;
      sight.disconnect();
      reached();
    }, { __proto__: null, rootMargin: margin });
    sight.observe(element);
  };
  const told = (w) => ({ reference: first(context.reference, w.reference), facts: first(context.facts, w.facts) });

  // A known customer: the server decides. What it refused is not asked again in this tab for the same person.
  const ask = async (w) => {
    const slot = "cx:refused:" + w.touchpoint;
    let who, response, answer;
    try { who = parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).sub + " "; } catch (_) { who = token; }
    const refused = first(recall("sessionStorage", slot), "");
    if (refused.startsWith(who)) return withhold(w, refused.slice(who.length), "as the server said before");
    say(w, "asking the server");
    try {
      const body = stringify({ token, lang: w.lang, location: w.location });
      response = await fetch(BASE + "w/" + w.touchpoint + "/ask/", { __proto__: null, method: "POST", body, credentials: "omit" });
      answer = await response.json();
    } catch (_) { /* no answer */ }
    if (own(answer, "show") === true) return new URL(own(answer, "url"), BASE).pathname.slice(1);
    const reason = own(answer, "reason");
    // A stale token, or too many questions, is no decision about the customer.
    if (reason && response.ok && !/_token$/.test(reason)) remember("sessionStorage", slot, who + reason);
    return withhold(w, first(reason, "failed"), "says the server. Is " + location.origin + " among the allowed origins?");
  };

  // `opener` is what somebody pressed: only then does the focus move, and there it returns.
  const fire = async (w, opener, forced) => {
    if (doc.visibilityState === "hidden") {
      const later = new AbortController();
      return add(doc, "visibilitychange", () => { later.abort(); fire(w, opener, forced); }, later.signal);
    }
    if (w.way === "inline" && !w.shadow) return reach(w);
    if (w.busy || !(forced || mayShow(w))) return;
    if (!opener && w.way !== "inline" && desk.open) return withhold(w, "another", "one is open");
    w.opener = opener;
    if (w.reopen) return w.reopen();
    w.busy = true;
    try {
      const path = token ? await ask(w) : "t/" + w.touchpoint + "/";
      if (path) return (await fetchCard()).show(w, path, desk);
    } catch (error) {
      withhold(w, "failed", error);
    }
    w.busy = false;
  };
  const desk = { __proto__: null, BASE, own, first, add, say, emit, withhold, past, shelter, watch, told };

  const stop = (w) => {
    clearTimeout(w.wait);
    if (w.armed) w.armed.abort();
    if (w.search) w.search.disconnect();
    w.armed = w.search = undefined;
  };
  const addTab = (w) => {
    if (!mayShow(w)) return;
    w.shadow = shelter(root, `button{position:fixed;top:50%;inset-inline-end:0;transform:translateY(-50%);min-width:44px;min-height:44px;
margin:0;padding:14px 12px;border:1px solid #fff6;border-inline-end:0;border-start-start-radius:12px;border-end-start-radius:12px;cursor:pointer;
color:var(--cx-tab-text,#fff);background:var(--cx-tab,#1b1f24);font:600 16px/20px system-ui,sans-serif}
span{writing-mode:vertical-rl}:focus-visible{outline:3px solid;outline-offset:-5px}`);
    const button = w.tab = doc.createElement("button"), text = doc.createElement("span");
    text.textContent = w.label;
    button.append(text);
    button.setAttribute("aria-haspopup", "dialog");
    button.onclick = () => fire(w, button);
    w.shadow.append(button);
    say(w, "the tab is there");
  };
  const findPlace = (w) => {
    const place = w.target.nodeType ? w.target : doc.querySelector(w.target);
    if (!place) return;
    stop(w);
    w.shadow = shelter(place, "");
    watch(w.shadow.host, "300px", () => fire(w));
  };
  const reach = (w) => {
    stop(w);
    w.spent = location.pathname;
    if (w.way === "popup") fire(w);
    else if (w.way === "tab") addTab(w);
    else findPlace(w);
    if (w.way === "inline" && !w.shadow) {
      // Single-page apps draw it after they change the address.
      say(w, "waiting for " + w.target);
      w.search = new MutationObserver(() => findPlace(w));
      w.search.observe(root, { __proto__: null, childList: true, subtree: true });
    }
  };
  // At the beginning and wherever the address has changed.
  const arm = (w) => {
    const host = w.shadow && w.shadow.host, isHeld = host && host.isConnected, here = isHere(w);
    if (host && !(isHeld && (here || w.isOpen))) {
      if (w.drop) w.drop();
      host.remove();
      w.shadow = w.spent = undefined;
    }
    if (!here) {
      stop(w);
      w.spent = undefined;
      return mayShow(w);
    }
    if (w.armed || w.search || w.shadow || w.spent === location.pathname) return;
    say(w, "waiting for " + w.trigger);
    const { signal } = w.armed = new AbortController(), go = () => reach(w);
    const [, name, detail] = /^(\w*):?(.*)$/.exec(w.trigger);
    if (name === "delay") w.wait = setTimeout(go, detail * 1000);
    else if (name === "scroll") {
      add(doc, "scroll", (event) => {
        const box = event.target === doc ? doc.scrollingElement : event.target, way = box.scrollHeight - box.clientHeight;
        // A page may scroll in a box of its own; small boxes do not count.
        if (box.clientHeight > innerHeight / 2 && way > 0 && box.scrollTop / way >= detail / 100 - 0.005) go();
      }, signal, true);
    } else if (name === "exit") {
      add(root, "mouseleave", (event) => { if (event.clientY <= 0) go(); }, signal);
      if (!matchMedia("(hover:none)").matches) return;
      // Touch: the tab is left (and asked in on return), or half a screen back up within 300 ms.
      let top = 0, since = 0;
      add(doc, "visibilitychange", go, signal);
      add(doc, "scroll", (event) => {
        if (event.timeStamp - since > 300 || scrollY > top) {
          top = scrollY;
          since = event.timeStamp;
        } else if (top - scrollY > innerHeight / 2) go();
      }, signal);
    } else if (name === "click") {
      add(doc, "click", (event) => {
        const pressed = event.target.closest(detail);
        if (pressed) fire(w, pressed);
      }, signal, true);
    } else if (name === "now") go();
  };

  const NAMES = "touchpoint way trigger target url sample cap rest lang location reference facts label debug test token".split(" ");
  const init = (given) => {
    const isTag = given === tag || given instanceof Element, w = { __proto__: null };
    for (let i = 0; i < NAMES.length; i++) w[NAMES[i]] = isTag ? given.getAttribute("data-" + NAMES[i]) : own(given, NAMES[i]);
    w.debug = first(w.debug, false) !== false;
    w.test = first(w.test, false) !== false;
    w.way = first(w.way, "popup");
    w.trigger = first(w.trigger, "now");
    const asks = w.way === "popup" && /^(now|delay|scroll|exit)/.test(w.trigger);
    w.cap = first(w.cap, asks ? "1/30d" : "");
    w.rest = first(w.rest, asks ? "30d" : "");
    w.sample = first(w.sample, 1);
    w.url = "" + first(w.url, "");
    w.lang = first(w.lang, root.lang);
    token = first(w.token, token);
    const spoken = (w.lang || navigator.language).toLowerCase();
    w.label = first(w.label, LABELS[/^zh.*(hant|tw|hk|mo)/.test(spoken) ? "zh-hant" : spoken.split("-")[0]] || LABELS.en);
    if (typeof w.facts === "string") try { w.facts = parse(w.facts); } catch (error) { say(w, "facts: " + error); }
    for (let i = 0; i < widgets.length; i++) {
      const other = widgets[i];
      // A component that is drawn again says the same again.
      if (other.touchpoint + other.way + other.trigger + other.id === w.touchpoint + w.way + w.trigger + w.target) return arm(other);
    }
    w.id = w.target;
    if (w.way === "inline" && !w.target) {
      if (!isTag || !doc.body.contains(given)) return withhold(w, "target", "none is given, and the script is not in the body");
      given.after(w.target = doc.createElement("div"));
    }
    widgets[widgets.length] = w;
    arm(w);
  };
  const run = ([name, given, more]) => {
    const key = typeof given === "string" ? given : own(given, "touchpoint");
    let w, i;
    for (i = 0; i < widgets.length; i++) if (!key || widgets[i].touchpoint === key) w = widgets[i];
    if (name === "init") init(given);
    else if (name === "show" && w) {
      // Somebody's click that calls it is somebody's action; a timer that calls it is none.
      const event = win.event, pressed = event && event.isTrusted && /^(click|key|pointer|mouse|touch|submit)/.test(event.type);
      fire(w, first(own(given, "focus"), pressed) ? doc.activeElement : undefined, own(given, "force"));
    } else if (name === "hide" && w && w.isOpen) w.close();
    else if (name === "identify") token = given;
    else if (name === "context") {
      context.reference = own(given, "reference");
      context.facts = own(given, "facts");
      for (i = 0; i < widgets.length; i++) if (widgets[i].post) widgets[i].post("context", told(widgets[i]));
    } else if (name === "on") listeners[listeners.length] = [given, more];
    else if (name === "off") for (i = 0; i < listeners.length; i++) {
      if (listeners[i][0] === given && listeners[i][1] === more) listeners[i][0] = "";
    }
  };

  let address = location.href;
  const move = () => {
    if (address === location.href) return;
    address = location.href;
    for (let i = 0; i < widgets.length; i++) arm(widgets[i]);
  };
  // Where the browser does not tell of changes, ours call whatever was there before.
  const wrap = (name) => {
    const theirs = history[name];
    history[name] = function () {
      const result = theirs.apply(this, arguments);
      move();
      return result;
    };
  };
  const start = () => {
    if (win.navigation) add(win.navigation, "currententrychange", move);
    else {
      wrap("pushState");
      wrap("replaceState");
      add(win, "popstate", move);
    }
    const queue = own(win.cx, "q") || [];
    const cx = win.cx = function () {
      try { run(arguments); } catch (error) { console.error("cxsurvey:", error); }
    };
    cx.widget = true;
    // Who it is and who listens comes first, so that a tag's own survey does not outrun it.
    const later = (call) => /^(init|show|hide)$/.test(call[0]);
    for (let i = 0; i < queue.length; i++) if (!later(queue[i])) cx(...queue[i]);
    if (isSurvey) cx("init", tag);
    for (let i = 0; i < queue.length; i++) if (later(queue[i])) cx(...queue[i]);
  };
  // Until there is a body, calls wait in the queue.
  if (doc.body) start();
  else add(doc, "DOMContentLoaded", start);
})();
