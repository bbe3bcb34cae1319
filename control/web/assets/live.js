// Keeps the live regions of a page fresh. Without this script the pages work the same; they only stand still.
"use strict";
(() => {
  const regions = () => document.querySelectorAll("[data-live]");
  const copy = (button) => {
    const text = document.getElementById(button.dataset.copy);
    if (!text || !navigator.clipboard) return;
    navigator.clipboard.writeText(text.textContent).then(() => { button.textContent = button.dataset.done; });
  };
  document.addEventListener("click", (e) => {
    const button = e.target.closest("button[data-copy]");
    if (button) copy(button);
  });
  // Times in the words and the zone of who reads them.
  const localise = (within) => {
    for (const time of within.querySelectorAll("time[datetime]")) {
      const when = new Date(time.dateTime);
      const form = { dateStyle: "medium", timeStyle: "short" };
      if (!Number.isNaN(when.valueOf())) time.textContent = when.toLocaleString(undefined, form);
    }
  };
  localise(document);
  document.querySelector("header nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  // Clipboards exist in secure contexts only: elsewhere the button would do nothing, so it is not there.
  if (navigator.clipboard) for (const b of document.querySelectorAll("button[data-copy]")) b.hidden = false;
  // The line of a front, scanned with a phone: it stands behind # in the URL, where it is not sent anywhere. It leaves
  // the address bar at once, waits in this tab until somebody has logged in, and ends in its field.
  const takeLine = () => {
    const scanned = /^#front=(hgfront-[A-Za-z0-9_-]{1,500})$/.exec(location.hash);
    if (scanned) {
      sessionStorage.setItem("front", scanned[1]);
      history.replaceState(null, "", location.pathname);
    }
    const line = sessionStorage.getItem("front");
    if (line && document.querySelector("form[action='/admin/logout']")) {
      const step = document.getElementById("front");
      if (!step && location.pathname !== "/admin/setup") location.assign("/admin/setup");
      else {
        sessionStorage.removeItem("front");
        const field = document.getElementById("pairing");
        if (step) step.open = true;
        if (field) {
          field.value = line;
          field.focus();
        }
      }
    }
  };
  // A browser may have no storage; the line can be pasted all the same.
  try { takeLine(); } catch { }
  // Checks a draft while it is typed, as its button "Check only" does.
  const draft = document.querySelector("textarea[data-check]");
  if (draft) {
    let timer, round = 0;
    const check = async () => {
      const mine = (round += 1);
      const fields = new URLSearchParams(new FormData(draft.form));
      fields.set("do", draft.dataset.check);
      const answer = await fetch(draft.form.action, { method: "POST", body: fields, credentials: "same-origin", redirect: "error" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const [old, fresh] = [document, page].map((d) => d.getElementById("checked"));
      if (mine === round && old && fresh) old.innerHTML = fresh.innerHTML;
    };
    draft.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => check().catch(() => {}), 600); });
  }
  if (!regions().length) return;
  let busy = false, again = false;
  const refresh = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      localise(page);
      for (const old of regions()) {
        const fresh = page.getElementById(old.id);
        // What somebody is working in is left alone.
        if (fresh && !old.contains(document.activeElement) && old.innerHTML !== fresh.innerHTML) old.replaceWith(fresh);
      }
    } finally {
      busy = false;
      if (again) { again = false; refresh(); }
    }
  };
  const events = new EventSource("/admin/live");
  events.addEventListener("change", refresh);
})();
