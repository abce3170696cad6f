// The queue of reactions on this device: what page and service worker share.
//
// A plain script that is also a valid module, because service workers cannot import modules in every browser. It defines
// `self.reactionQueue`. Pages use it through outbox.js.
(() => {
  "use strict";

  const DATABASE = "react2eo";
  const ADDRESS = "/api/reactions";
  const LOCK = "react2eo-sending";
  const CHANNEL = "react2eo";
  const PATIENCE_MS = 20_000;
  const FIRST_WAIT_MS = 1_000;
  const LONGEST_WAIT_MS = 300_000;
  // Keys of devices change with the period of publication: an older reaction would count for nobody.
  const KEPT_MS = 30 * 24 * 3_600_000;
  const VOTES_AT_MOST = 500;

  let opened = null;
  let chain = Promise.resolve();

  function openDatabase() {
    opened ??= new Promise((resolve, reject) => {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => {
        const database = request.result;
        database.createObjectStore("queue", { keyPath: "order", autoIncrement: true });
        database.createObjectStore("votes", { keyPath: "key" }).createIndex("subject", "subject");
        database.createObjectStore("settings");
        database.createObjectStore("kept", { keyPath: "url" });
      };
      request.onsuccess = () => {
        // Another tab with a newer app must be able to change the database.
        request.result.onversionchange = () => { request.result.close(); opened = null; };
        request.result.onclose = () => { opened = null; };
        resolve(request.result);
      };
      request.onerror = () => reject(request.error);
    }).catch((error) => { opened = null; throw error; });
    return opened;
  }

  // Runs work(get) in one transaction; it is durable when the promise is fulfilled.
  async function change(stores, work, mode = "readwrite") {
    const database = await openDatabase();
    return new Promise((resolve, reject) => {
      const transaction = database.transaction(stores, mode);
      const ask = (request) => new Promise((answer) => { request.onsuccess = () => answer(request.result); });
      let result;
      transaction.oncomplete = () => resolve(result);
      transaction.onabort = () => reject(transaction.error);
      work((name) => transaction.objectStore(name), ask).then((value) => { result = value; }, (error) => {
        reject(error);
        transaction.abort();
      });
    });
  }

  const read = (stores, work) => change(stores, work, "readonly");

  // Only one tab or worker of a profile sends at a time; without locks (no HTTPS) only this page is kept in order.
  function exclusively(name, work) {
    if (navigator.locks) return navigator.locks.request(name, work);
    const next = chain.then(work, work);
    chain = next.catch(() => undefined);
    return next;
  }

  function tell(message) {
    const channel = new BroadcastChannel(CHANNEL);
    channel.postMessage(message);
    channel.close();
  }

  // Where the view is the same within about 100 m, so is the reaction that is shown for it.
  function viewKey({ region, layer, first, last, bounds }) {
    return [region, layer, first, last, ...bounds.map((degrees) => degrees.toFixed(3))].join("|");
  }

  // Puts a reaction last in the queue; one for the same view that was never sent gives way to it.
  async function add(entry) {
    const key = viewKey(entry.view);
    return change(["queue", "votes"], async (store, ask) => {
      for (const waiting of await ask(store("queue").getAll())) {
        if (waiting.key === key && waiting.tries === 0) store("queue").delete(waiting.order);
      }
      store("queue").add({ ...entry, key, tries: 0, next: 0, made: Date.now() });
      const known = await ask(store("votes").get(key));
      const vote = {
        key,
        view: entry.view,
        subject: entry.subject ?? known?.subject ?? "",
        reaction: entry.reaction === "none" ? null : entry.reaction,
        confirmed: known?.confirmed ?? null,
        pending: entry.id,
        at: Date.now(),
      };
      store("votes").put(vote);
      return vote;
    });
  }

  // The server's answer holds for every view of its subject, unless something newer waits for it.
  async function settle(entry, answer) {
    return change(["queue", "votes"], async (store, ask) => {
      store("queue").delete(entry.order);
      const same = await ask(store("votes").index("subject").getAll(answer.subject));
      const own = await ask(store("votes").get(entry.key));
      if (own && !same.some((vote) => vote.key === own.key)) same.push(own);
      for (const vote of same) {
        const settled = !vote.pending || vote.pending === entry.id;
        store("votes").put({
          ...vote,
          subject: answer.subject,
          confirmed: answer.reaction,
          reaction: settled ? answer.reaction : vote.reaction,
          pending: settled ? "" : vote.pending,
          at: Date.now(),
        });
      }
      await forgetOldVotes(store, ask);
    });
  }

  async function forgetOldVotes(store, ask) {
    if ((await ask(store("votes").count())) <= VOTES_AT_MOST) return;
    const votes = (await ask(store("votes").getAll())).filter((vote) => !vote.pending).sort((a, b) => a.at - b.at);
    for (const vote of votes.slice(0, votes.length - VOTES_AT_MOST)) store("votes").delete(vote.key);
  }

  // What the server refused is taken back on the screen too.
  async function drop(entry) {
    return change(["queue", "votes"], async (store, ask) => {
      store("queue").delete(entry.order);
      const vote = await ask(store("votes").get(entry.key));
      if (vote?.pending === entry.id) store("votes").put({ ...vote, reaction: vote.confirmed, pending: "" });
    });
  }

  async function postpone(entry, retryAfter = null) {
    const next = Date.now() + waitAfter(entry, retryAfter);
    await change(["queue"], async (store) => { store("queue").put({ ...entry, next, told: Boolean(retryAfter) }); });
    return next;
  }

  function waitAfter(entry, retryAfter) {
    const seconds = Number(retryAfter);
    if (retryAfter && Number.isFinite(seconds)) return Math.max(seconds, 0) * 1000;
    const date = Date.parse(retryAfter ?? "");
    if (Number.isFinite(date)) return Math.max(date - Date.now(), 0);
    const wait = Math.min(FIRST_WAIT_MS * 2 ** (entry.tries - 1), LONGEST_WAIT_MS);
    return wait * (0.75 + Math.random() / 2);
  }

  async function post({ id, device, view, reaction, near }) {
    const { region, layer, first, last, bounds } = view;
    return fetch(ADDRESS, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ id, device, view: { region, layer, first, last, bounds }, reaction, near }),
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
  }

  // Sends one entry; returns the time of the next try, or 0 where it has left the queue.
  async function sendOne(entry) {
    if (Date.now() - entry.made > KEPT_MS) {
      await drop(entry);
      tell({ type: "dropped", key: entry.key, view: entry.view, reason: "expired", status: 0 });
      return 0;
    }
    let answer;
    try {
      answer = await post(entry);
      if (answer.ok) {
        const body = await answer.json();
        await settle(entry, body);
        tell({ type: "sent", key: entry.key, view: entry.view, subject: body.subject, reaction: body.reaction });
        return 0;
      }
    } catch (error) {
      // No network, a time-out or an answer cut short: the same id is sent again and counts once.
      tell({ type: "waiting", key: entry.key, view: entry.view, reason: String(error) });
      return postpone(entry);
    }
    if (answer.status === 429 || answer.status === 408 || answer.status === 425 || answer.status >= 500) {
      tell({ type: "waiting", key: entry.key, view: entry.view, reason: `HTTP ${answer.status}` });
      return postpone(entry, answer.headers.get("Retry-After"));
    }
    const body = await answer.json().catch(() => ({}));
    await drop(entry);
    const reason = typeof body.detail === "string" ? body.detail : `HTTP ${answer.status}`;
    tell({ type: "dropped", key: entry.key, view: entry.view, reason, status: answer.status });
    return 0;
  }

  // Sends what waits, in order; returns the time of the next try [ms since 1970], or 0 where nothing is left.
  // With `now` it does not wait for anything but what the server asked for: the network has just come back.
  function flush({ now = false } = {}) {
    return exclusively(LOCK, async () => {
      for (;;) {
        const entry = await change(["queue"], async (store, ask) => {
          const [first] = await ask(store("queue").getAll(null, 1));
          if (!first || (first.next > Date.now() && !(now && !first.told))) return first;
          // Counted before it is sent: from here on it may have reached the server, and stays as it is.
          first.tries += 1;
          first.next = 0;
          store("queue").put(first);
          return first;
        });
        if (!entry) return 0;
        if (entry.next > Date.now()) return entry.next;
        const next = await sendOne(entry);
        if (next) return next;
      }
    });
  }

  self.reactionQueue = { CHANNEL, add, change, exclusively, flush, read, tell, viewKey };
})();
