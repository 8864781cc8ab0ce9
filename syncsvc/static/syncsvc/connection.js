// Says when the page has lost its server. Everything else works without this file.
"use strict";

const show = (lost) => {
  const notice = document.getElementById("connection");
  if (notice) notice.hidden = !lost;
};

for (const name of ["htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, () => show(true));
}
// A refusal (4xx) is an answer: the server is there. But for one that says "later".
document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  show(status >= 500 || status === 429);
});
document.addEventListener("htmx:beforeOnLoad", (event) => {
  if (event.detail.xhr.status < 400) show(false);
});
