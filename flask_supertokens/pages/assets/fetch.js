// Pages that call their own server by scripts: an expired token is refreshed, and the call is made again.
//
// * `fetch` and XMLHttpRequest are wrapped, and with them what uses them: htmx, Turbo and others. Calls to other origins pass.
// * One refresh serves all calls and all tabs. A call is repeated once.
// * Where the session is over, htmx and Turbo lead to the log-in; a call of the page's own gets its 401.
// * A link with `download` refreshes first: browsers cancel it at a 401.
(() => {
  const { refresh: refreshPath, login: loginPath } = document.currentScript?.dataset ?? {};
  if (window.SuperTokensFetch) return;
  if (!refreshPath) return console.error("fetch.js: write {{ supertokens_script() }} in your template, or add data-refresh.");

  const plainFetch = window.fetch.bind(window);
  const memory = new Map(); // where there is no storage

  // -- what all tabs know -----------------------------------------------------------------------------------------------

  const keyOf = (name) => `supertokens ${refreshPath} ${name}`; // another app of this origin has its own

  function remember(name, value) {
    memory.set(name, String(value));
    try {
      localStorage.setItem(keyOf(name), value);
    } catch {} // forbidden by the browser's user
  }

  function remembered(name) {
    try {
      return localStorage.getItem(keyOf(name)) ?? memory.get(name);
    } catch {
      return memory.get(name);
    }
  }

  // -- the refresh ----------------------------------------------------------------------------------------------------

  let last = Promise.resolve();
  const inTurn = (act) => (last = last.then(act, act)); // without https there are no locks between tabs

  function alone(act) {
    return navigator.locks ? navigator.locks.request(keyOf("refresh"), act) : inTurn(act);
  }

  // After a call that began then: nothing if the tokens are fresh, else the response of a refresh that failed.
  function refresh(began) {
    return alone(async () => {
      if (Number(remembered("refreshed")) > began) return undefined; // another call or tab did
      const response = await plainFetch(refreshPath, { method: "POST", headers: marks(), body: new URLSearchParams() });
      if (!noted(response).ok) return response;
      remember("refreshed", Date.now());
    });
  }

  function marks() {
    const antiCsrf = remembered("anti-csrf");
    return { rid: "anti-csrf", ...(antiCsrf && { "anti-csrf": antiCsrf }) };
  }

  function note(header) {
    const [front, antiCsrf] = [header("front-token"), header("anti-csrf")];
    if (front) remember("expires", front === "remove" ? 0 : JSON.parse(atob(front)).ate);
    if (antiCsrf) remember("anti-csrf", antiCsrf);
  }

  function isOurs(url) {
    const { origin, protocol } = new URL(url, document.baseURI);
    return origin === location.origin && protocol === location.protocol;
  }

  function messageOf(text) {
    try {
      return JSON.parse(text).message;
    } catch {
      return undefined;
    }
  }

  // Whether the browser goes to the log-in: nobody waits for the response then.
  function isOver(message, byLibrary) {
    if (message !== "unauthorised" && message !== "token theft detected") return false;
    const event = new CustomEvent("supertokens:ended", { detail: { message }, cancelable: true });
    if (!document.dispatchEvent(event) || !byLibrary) return false;
    const next = encodeURIComponent(location.pathname + location.search);
    if (loginPath) location.assign(`${loginPath}${loginPath.includes("?") ? "&" : "?"}next=${next}`);
    else location.replace(location.pathname + location.search); // no reload: that would send a form again
    return true;
  }

  // -- fetch ----------------------------------------------------------------------------------------------------------

  window.fetch = async (input, init) => {
    if (!isOurs(input instanceof Request ? input.url : input)) return plainFetch(input, init);
    const [send, headers] = input instanceof Request ? ofRequest(new Request(input, init)) : ofAddress(input, init ?? {});
    const [began, byUser] = [Date.now(), isByUser()];
    let response = await send();
    if (isStale(await messageIn(response))) {
      const failed = await refresh(began);
      if (failed && failed.status >= 500) return failed; // still logged in, but not now
      const isTheft = failed && (await messageIn(failed)) === "token theft detected";
      response = isTheft ? failed : await send();
    }
    const ended = isOver(await messageIn(response), byUser && isOfLibrary(headers()));
    return ended ? new Promise(() => {}) : response;
  };

  // How to send it, as often as needed, and its headers.
  function ofRequest(request) {
    const send = async () => {
      addMarks(request.headers);
      return noted(await plainFetch(request.clone()));
    };
    return [send, () => request.headers];
  }

  function ofAddress(url, init) {
    const headers = () => addMarks(new Headers(init.headers));
    return [async () => noted(await plainFetch(url, { ...init, headers: headers() })), headers];
  }

  function noted(response) {
    note((name) => response.headers.get(name));
    return response;
  }

  function addMarks(headers) {
    for (const [name, value] of Object.entries(marks())) headers.set(name, value);
    return headers;
  }

  function isOfLibrary(headers) {
    const isAhead = headers.has("X-Sec-Purpose") || headers.has("HX-Preloaded"); // of a link that nobody has followed yet
    return !isAhead && (headers.has("HX-Request") || headers.has("X-Turbo-Request-Id"));
  }

  // Whether somebody just clicked or typed: a timer leads nobody away.
  function isByUser() {
    return navigator.userActivation?.isActive ?? true;
  }

  function isStale(message) {
    return message === "try refresh token";
  }

  async function messageIn(response) {
    const isJson = /json/.test(response.headers.get("Content-Type") ?? "");
    return response.ok || !isJson ? undefined : messageOf(await response.clone().text());
  }

  // -- XMLHttpRequest -------------------------------------------------------------------------------------------------

  // What ends a call that is about to be made again is told nobody: this listens first.
  window.XMLHttpRequest = class extends XMLHttpRequest {
    #call = {};

    constructor() {
      super();
      for (const type of ["readystatechange", "load", "loadend"]) this.addEventListener(type, this.#watch);
    }

    open(method, url, async = true, ...more) {
      this.#call = { ours: Boolean(async) && isOurs(url), headers: new Headers(), open: [method, url, async, ...more] };
      super.open(method, url, async, ...more);
    }

    setRequestHeader(name, value) {
      super.setRequestHeader(name, value);
      this.#call.headers.append(name, value);
    }

    send(body) {
      const call = this.#call;
      Object.assign(call, { body, began: Date.now() });
      call.leads = isByUser() && isOfLibrary(call.headers);
      if (call.ours) this.#mark();
      super.send(body);
    }

    abort() {
      this.#call.ours = false;
      super.abort();
    }

    #mark() {
      const given = this.#call.headers;
      for (const [name, value] of Object.entries(marks())) if (!given.has(name)) super.setRequestHeader(name, value);
    }

    #watch(event) {
      const call = this.#call;
      if (!call.ours || this.readyState !== XMLHttpRequest.DONE || !this.status) return;
      if (event.type === "readystatechange") this.#judge(call);
      if (call.held) event.stopImmediatePropagation();
      if (event.type === "loadend" && call.isStale) this.#again(call);
    }

    #judge(call) {
      note((name) => this.getResponseHeader(name));
      const message = this.status < 400 ? undefined : this.#message();
      call.isStale = isStale(message) && !call.again;
      call.held = call.isStale || isOver(message, call.leads);
    }

    #message() {
      if (this.responseType === "json") return this.response?.message;
      if (this.responseType === "" || this.responseType === "text") return messageOf(this.responseText);
      return this.status === 401 ? "try refresh token" : undefined; // is no text: a repeat will tell
    }

    async #again(call) {
      const failed = await refresh(call.began).catch(() => undefined);
      if (!call.ours || call !== this.#call || (failed && isOver(await messageIn(failed), call.leads))) return;
      Object.assign(call, { again: true, isStale: false, held: false });
      super.open(...call.open);
      for (const [name, value] of call.headers) super.setRequestHeader(name, value);
      this.#mark();
      super.send(call.body);
    }
  };

  // -- links with `download` ------------------------------------------------------------------------------------------

  document.addEventListener("click", async (event) => {
    const link = event.target.closest?.("a[download]");
    const isPlain = !event.button && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (!link || !isPlain || event.defaultPrevented || !isOurs(link.href)) return;
    if (Number(remembered("expires")) > Date.now() + 5000) return;
    event.preventDefault();
    await refresh(Date.now()).catch(() => undefined);
    const copy = link.cloneNode(); // nobody else listens to it
    copy.hidden = true;
    copy.addEventListener("click", (click) => click.stopPropagation());
    document.body.append(copy);
    copy.click();
    copy.remove();
  });

  // -- EventSource ----------------------------------------------------------------------------------------------------

  // An EventSource that opens again after a refresh. It is closed for good where a refresh does not help.
  class RefreshingEventSource extends EventTarget {
    #types = new Set();
    #source;
    #helped = false;

    constructor(url, options) {
      super();
      Object.assign(this, { url, options, onopen: null, onmessage: null, onerror: null });
      for (const type of ["open", "message", "error"]) {
        super.addEventListener(type, (event) => this[`on${type}`]?.(event));
        this.#types.add(type);
      }
      this.#open();
    }

    get readyState() {
      return this.#source.readyState;
    }

    addEventListener(type, ...more) {
      if (!this.#types.has(type)) this.#source.addEventListener(type, this.#forward);
      this.#types.add(type);
      super.addEventListener(type, ...more);
    }

    close() {
      this.#source.close();
      this.closed = true;
    }

    #open() {
      this.#source = new EventSource(this.url, this.options);
      this.began = Date.now();
      for (const type of this.#types) this.#source.addEventListener(type, this.#forward);
    }

    #forward = async (event) => {
      if (event.type === "open") this.#helped = false;
      if (event.type === "error" && this.readyState === EventSource.CLOSED && !this.closed && !this.#helped) {
        this.#helped = true;
        const failed = await refresh(this.began).catch(() => Response.error());
        if (this.closed) return;
        if (!failed) return this.#open();
        isOver(await messageIn(failed), false);
      }
      const { data, lastEventId, origin } = event;
      const isMessage = event instanceof MessageEvent;
      this.dispatchEvent(isMessage ? new MessageEvent(event.type, { data, lastEventId, origin }) : new Event(event.type));
    };
  }

  window.SuperTokensFetch = { refresh: () => refresh(Date.now()), EventSource: RefreshingEventSource };
})();
