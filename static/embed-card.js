// What a visitor sees of the widget: the card with the form's frame, or the frame in its place. embed.js imports it once
// somebody is to be asked. In: messages of our own frame. Out: messages to it. No answer and no score ever passes.
const READY_S = 10;
const TALLEST = 20000;
// Raised from below by a transform: so a form that grows or shrinks is no shift of the host's layout.
const CSS = `
*{box-sizing:border-box}.card>div{position:relative}
.card{--up:calc(-100% - 16px - var(--lift,0px));position:fixed;top:100%;inset-inline-end:16px;width:min(400px,100vw - 32px);overflow:hidden;
  border-radius:16px;background:#fff;color:#1b1f24;box-shadow:0 0 0 1px #0000001f,0 12px 40px #00000040;
  visibility:hidden;opacity:0;transform:translateY(calc(var(--up) + 16px))}
.open{visibility:visible;opacity:1;transform:translateY(var(--up));transition:opacity .2s,transform .2s}
iframe{display:block;width:100%;height:0;border:0;color-scheme:light dark;max-height:calc(100vh - 32px - var(--lift,0px))}
button{position:absolute;top:4px;inset-inline-end:4px;width:44px;height:44px;margin:0;padding:0;border:0;border-radius:50%;
  background:none;color:inherit;cursor:pointer}
button:hover{background:#80808033}
button:before,button:after{content:"";position:absolute;inset:21px 14px;background:currentColor;transform:rotate(45deg)}
button:after{transform:rotate(-45deg)}
:focus-visible{outline:3px solid;outline-offset:-3px}
@supports(height:1dvh){iframe{max-height:calc(100dvh - 32px - var(--lift,0px))}}
@media(max-width:600px){
  .card{--up:calc(-100% - var(--lift,0px));inset-inline:0;width:100%;border-radius:16px 16px 0 0;padding-bottom:env(safe-area-inset-bottom)}
  iframe{max-height:calc(85vh - var(--lift,0px))}
}
@media(prefers-color-scheme:dark){.card{background:#14171a;color:#eceef0;box-shadow:0 0 0 1px #ffffff2e,0 12px 40px #000000a6}}
@media(prefers-reduced-motion:reduce){.open{transition:none}}
@media(forced-colors:active){.card{border:1px solid}button:before,button:after{background:ButtonText}}`;
const PANEL = `div{position:fixed;left:8px;top:8px;max-width:min(440px,100vw - 16px);max-height:40vh;overflow:auto;padding:8px 12px;
  border-radius:8px;background:#1b1f24;color:#fff;font:12px/1.5 ui-monospace,monospace;white-space:pre-line;overflow-wrap:anywhere}`;
const root = document.documentElement;
let panel;

const make = (name, parent) => parent.appendChild(document.createElement(name));

/** Where data-debug is set: one more line of what was decided, on the page itself. */
export function print(line, desk) {
  if (!panel) {
    panel = make("div", desk.shelter(root, PANEL));
    panel.dir = "ltr";
    panel.setAttribute("role", "log");
  }
  panel.textContent += line + "\n";
  panel.scrollTop = panel.scrollHeight;
}

/** Loads the form at `path` and shows it as soon as it says that it is ready; one that never does was never there. */
export function show(w, path, desk) {
  const { own, first, add, say, emit } = desk;
  const isInline = w.way === "inline";
  const { origin } = new URL(desk.BASE);
  const over = new AbortController();
  const shadow = isInline ? w.shadow : desk.shelter(root, CSS);
  const card = isInline ? shadow : make("div", shadow);
  // The card stands where the host's direction has it, its button where the form's has it.
  const pane = isInline ? shadow : make("div", card);
  const frame = make("iframe", pane);
  let state = "loading", counted = false, answered = false, complete = false, back, timer;

  const post = w.post = (name, more) => {
    frame.contentWindow.postMessage({ __proto__: null, ...more, type: "cx:" + name, key: w.touchpoint }, origin);
  };
  const drop = w.drop = () => {
    clearTimeout(timer);
    over.abort();
    (isInline ? frame : shadow.host).remove();
    if (desk.open === w) desk.open = undefined;
    w.post = w.drop = w.close = w.reopen = undefined;
    w.busy = w.isOpen = false;
  };
  const rest = () => w.way === "popup" && desk.past(w, (known) => { known.rested = known.now; });

  // The card stands where the tab is: only one of them is there.
  const showTab = (isThere) => { if (w.tab) w.tab.style.visibility = isThere ? "" : "hidden"; };
  const count = () => {
    if (counted) return;
    counted = true;
    desk.past(w, (known) => { known.asked = known.now + "," + known.asked; });
    post("shown");
    emit(w, "shown");
    say(w, "shown");
  };
  const open = () => {
    clearTimeout(timer);
    state = "open";
    w.busy = true;
    if (isInline) return desk.watch(shadow.host, "0px", count);
    if (desk.open && desk.open !== w) desk.open.close();
    desk.open = w;
    w.isOpen = true;
    w.reopen = undefined;
    back = w.opener || document.activeElement;
    card.classList.add("open");
    if (w.opener) card.focus({ __proto__: null, preventScroll: true });
    showTab(false);
    count();
    return undefined;
  };
  const close = w.close = (isDismissed) => {
    if (state !== "open" || isInline) return;
    state = "closed";
    w.busy = w.isOpen = false;
    desk.open = undefined;
    const hadFocus = shadow.activeElement;
    card.classList.remove("open");
    showTab(true);
    if (hadFocus) {
      hadFocus.blur();
      if (back && back.isConnected) back.focus({ __proto__: null, preventScroll: true });
    }
    say(w, "closed");
    if (isDismissed && !answered) {
      rest();
      post("dismissed");
      emit(w, "dismissed");
    }
    // A tab's form keeps what was typed; another one lives on only until it has counted.
    if (w.way === "tab" && !complete) w.reopen = open;
    else timer = setTimeout(drop, 1000);
  };

  const hear = ({ data, source, origin: sender }) => {
    if (source !== frame.contentWindow || sender !== origin || own(data, "key") !== w.touchpoint) return;
    const type = own(data, "type"), text = (name) => "" + first(own(data, name), "");
    const height = Math.min(+own(data, "height"), TALLEST);
    if (height > 0) frame.style.height = height + "px";
    if (type === "cx:ready" && state === "loading") {
      frame.title = text("title");
      if (!isInline) {
        card.setAttribute("aria-label", frame.title);
        pane.lastChild.setAttribute("aria-label", text("close"));
        pane.dir = text("dir");
        card.style.backgroundColor = text("ground");
        card.style.color = text("ink");
      }
      post("context", desk.told(w));
      emit(w, "ready");
      open();
    } else if (type === "cx:resized") emit(w, "resized", { height });
    else if (type === "cx:started") emit(w, "started");
    else if (type === "cx:answered") {
      answered = true;
      complete = complete || own(data, "complete") === true;
      rest();
      emit(w, "answered", { complete });
    } else if (type === "cx:dismissed") close(true);
  };
  add(window, "message", hear, over.signal);

  if (isInline) frame.style.cssText = "display:block;width:100%;height:0;border:0;color-scheme:light dark";
  else {
    card.className = "card";
    card.tabIndex = -1;
    card.setAttribute("role", "dialog");
    const button = make("button", pane);
    button.type = "button";
    button.onclick = () => close(true);
    add(document, "focusout", ({ target }) => {
      if (target.localName !== "cx-survey") back = target;
    }, over.signal);
    add(window, "keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented && !event.isComposing) close(true);
    }, over.signal);
    // A phone's keyboard covers the bottom of the page: the sheet stands on it.
    const view = window.visualViewport;
    const lift = () => {
      if (view.scale < 1.01) card.style.setProperty("--lift", Math.max(0, innerHeight - view.height - view.offsetTop) + "px");
    };
    if (view) {
      add(view, "resize", lift, over.signal);
      add(view, "scroll", lift, over.signal);
    }
  }

  const address = new URL(path, desk.BASE), query = address.searchParams;
  query.set("via", "web");
  query.set("origin", location.origin);
  // A known customer's own language goes before the page's, which the server was told when it was asked.
  if (w.lang && path[0] === "t") query.set("lang", w.lang);
  if (w.location) query.set("loc", w.location);
  if (w.test) query.set("test", "1");
  frame.referrerPolicy = "no-referrer";
  frame.src = address.href;
  say(w, "loading " + address.href);
  timer = setTimeout(() => {
    drop();
    desk.withhold(w, "failed", "the form did not come in " + READY_S + " s. Is it offline, switched off, or is " + location.origin +
      " not among the touchpoint's allowed origins?");
  }, READY_S * 1000);
}
