// A part of the page that renews itself must not throw out whoever stands in it by keyboard. htmx finds
// what has an id again; this finds links by where they lead.
"use strict";

{
  let held = null;

  document.addEventListener("htmx:beforeSwap", (event) => {
    const at = document.activeElement;
    const link = at?.matches("a[href]:not([id])") && event.detail.target.contains(at);
    held = link ? { href: at.getAttribute("href"), text: at.textContent } : null;
  });

  document.addEventListener("htmx:afterSettle", () => {
    if (!held || document.activeElement !== document.body) return;
    const same = [...document.querySelectorAll(`a[href="${CSS.escape(held.href)}"]`)];
    (same.find((link) => link.textContent === held.text) ?? same[0])?.focus({ preventScroll: true });
    held = null;
  });
}
