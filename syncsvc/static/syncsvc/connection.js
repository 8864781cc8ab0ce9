// Says when the page has lost its server. Everything else works without this file.
"use strict";

const show = (lost) => {
  const notice = document.getElementById("connection");
  if (notice) notice.hidden = !lost;
};

for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
  document.addEventListener(name, () => show(true));
}
document.addEventListener("htmx:beforeOnLoad", (event) => {
  if (event.detail.xhr.status < 400) show(false);
});
