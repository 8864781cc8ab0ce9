// Keeps what a reader opened and where they stand while Sync health renews itself, and lets it rest while
// nobody looks. The page works without this file.
"use strict";

const ours = (event) => event.target.id === "health";
let open = [];
let places = [];

document.addEventListener("htmx:beforeRequest", (event) => {
  if (ours(event) && document.hidden) event.preventDefault();
});

document.addEventListener("visibilitychange", () => {
  const part = document.getElementById("health");
  if (part && !document.hidden) htmx.trigger(part, "refresh");
});

document.addEventListener("htmx:beforeSwap", (event) => {
  if (!ours(event)) return;
  open = [...event.target.querySelectorAll("details[open][id]")].map((each) => each.id);
  places = [...event.target.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
});

document.addEventListener("htmx:afterSwap", () => {
  const part = document.getElementById("health");
  if (!part) return;
  for (const id of open) {
    const details = document.getElementById(id);
    if (details) details.open = true;
  }
  [...part.querySelectorAll(".scroll")].forEach((each, number) => {
    if (places[number]) [each.scrollLeft, each.scrollTop] = places[number];
  });
});
