// Closes an open menu as people expect: Escape, a click beside it, the focus moving on. Without this
// file its own word closes it.
"use strict";

{
  const opened = () => document.querySelectorAll(".top nav details[open]");
  const close = (inside) => {
    for (const menu of opened()) if (!inside || !menu.contains(inside)) menu.open = false;
  };

  document.addEventListener("click", (event) => close(event.target));
  document.addEventListener("focusin", (event) => close(event.target));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of opened()) {
      const inside = menu.contains(document.activeElement);
      menu.open = false;
      if (inside) menu.querySelector("summary").focus();
    }
  });
}
