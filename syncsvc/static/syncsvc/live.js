// Live updates: what a run does shows at once, without asking. Everything works without this file, too:
// the page then asks by itself (hx-trigger="every ..."), as it does while no stream can be had.
//
// An element that shows a run says so: data-live, data-job and data-status of the run that it shows (empty for
// none), and data-installation when it is about all runs of an account. It is updated in place where its parts
// say what they are (data-part: stage, figures, bar, item), and fetched anew (hx-trigger="live") when more changed.
"use strict";

{
  const RARELY = 10_000; // an element is asked for so often although we hear of it (milliseconds)
  const LONGEST_PAUSE = 60_000;
  const SPREAD = 400;
  const { stream } = document.currentScript.dataset;
  const askedAt = new Map();
  const waiting = new Set();
  let source = null;
  let connected = false;
  let failures = 0;
  let timer = 0;

  const shown = () => document.querySelectorAll("[data-live]");

  const lost = (yes) => {
    const notice = document.getElementById("connection");
    if (notice) notice.hidden = !yes;
  };

  // -- an element ----------------------------------------------------------------------------------

  // A second request would break off the first, which may be a button's.
  const busy = (element) => element.matches(".htmx-request") || element.querySelector(".htmx-request");

  const fetchAnew = (id) => {
    const element = document.getElementById(id); // meanwhile it may have been replaced
    if (element && busy(element)) {
      setTimeout(fetchAnew, SPREAD, id);
      return;
    }
    waiting.delete(id);
    element?.dispatchEvent(new CustomEvent("live"));
  };

  const refresh = ({ id }, within = 50) => {
    if (waiting.has(id)) return;
    waiting.add(id);
    setTimeout(fetchAnew, Math.random() * within, id);
  };

  const refreshAll = () => shown().forEach((element) => refresh(element, SPREAD));

  const span = (seconds) => {
    const units = [[86_400, "day"], [3_600, "h"], [60, "min"], [1, "s"]];
    const [size, name] = units.find(([each]) => seconds >= each) ?? [1, "s"];
    const count = Math.floor(seconds / size);
    return `${count} ${name}${name === "day" && count > 1 ? "s" : ""}`;
  };

  const grouped = (number) => number.toLocaleString("en");

  const figures = (run) => {
    const told = [];
    if (run.total) told.push(`${grouped(run.current)} of ${grouped(run.total)}`);
    else if (run.current) told.push(`${grouped(run.current)} so far`);
    if (run.errors) told.push(`${grouped(run.errors)} error${run.errors === 1 ? "" : "s"} so far`);
    if (run.eta_seconds !== null) told.push(`about ${span(run.eta_seconds)} left`);
    return told.join(" · ");
  };

  const announce = (element, stage) => {
    const { installation } = element.dataset;
    const place = installation
      ? document.getElementById(`news-${installation}`)
      : element.querySelector("[role=status]");
    const name = installation ? element.querySelector("h2")?.textContent.trim() : "";
    if (place) place.textContent = name ? `${name}: ${stage}.` : `${stage}.`;
  };

  const update = (element, run) => {
    const part = (name) => element.querySelector(`[data-part="${name}"]`);
    const [stage, bar, item] = [part("stage"), part("bar"), part("item")];
    if (!stage || !bar || !item) {
      refresh(element);
      return;
    }
    const said = run.stage.charAt(0).toUpperCase() + run.stage.slice(1);
    if (stage.textContent !== said) {
      stage.textContent = said;
      announce(element, run.stage);
    }
    part("figures").textContent = figures(run);
    if (run.total) {
      bar.max = run.total;
      bar.value = run.current;
      bar.textContent = `${run.percent} %`;
    } else {
      bar.removeAttribute("value");
    }
    item.textContent = run.item;
    item.hidden = !run.item;
  };

  // -- what is heard -------------------------------------------------------------------------------

  const hear = (name, run) => {
    for (const element of shown()) {
      const { installation, job, status, cancelling } = element.dataset;
      const same = job === run.job_id;
      if (installation ? installation !== String(run.installation) : !same) continue;
      const ended = name === "sync:complete" || name === "sync:error";
      if (ended && job && !same) continue; // it shows the next one already
      if (!ended && same && status === run.status && cancelling === String(run.cancelling)) {
        update(element, run);
      } else {
        refresh(element);
      }
    }
  };

  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
    connected = false;
  };

  const open = () => {
    if (source || document.hidden || !navigator.onLine || !window.EventSource) return;
    if (!shown().length) return;
    clearTimeout(timer);
    source = new EventSource(stream);
    source.addEventListener("open", () => {
      connected = true;
      failures = 0;
      lost(false);
    });
    // While it tries again by itself, and after it gave up, the page asks as often as it says.
    source.addEventListener("error", () => {
      connected = false;
      if (source?.readyState !== EventSource.CLOSED) return;
      close();
      failures += 1;
      timer = setTimeout(open, Math.min(LONGEST_PAUSE, 2_500 * 2 ** failures) * (0.5 + Math.random()));
    });
    for (const name of ["sync:start", "sync:progress", "sync:complete", "sync:error"]) {
      source.addEventListener(name, (event) => hear(name, JSON.parse(event.data)));
    }
    source.addEventListener("sync:reset", refreshAll);
  };

  // A browser has six connections a server: only the page that is looked at holds one.
  const look = () => {
    if (document.hidden) {
      close();
    } else if (!source) {
      open();
      refreshAll();
    }
  };

  document.addEventListener("visibilitychange", look);
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => event.persisted && look());
  window.addEventListener("online", look);
  window.addEventListener("offline", () => {
    close();
    lost(true);
  });

  // Asking goes on, but rarely, while we hear.
  document.addEventListener("htmx:confirm", (event) => {
    const { elt, triggeringEvent } = event.detail;
    if (!elt.matches("[data-live]")) return;
    const now = Date.now();
    const rests = connected && now - (askedAt.get(elt.id) ?? 0) < RARELY;
    if (!triggeringEvent && (rests || busy(elt))) event.preventDefault();
    else askedAt.set(elt.id, now);
  });
  document.addEventListener("htmx:afterSettle", () => (shown().length ? open() : close()));
  open();
}
