// Says the chosen crontab in words below its field. The list of them stands in the page.
"use strict";

(() => {
  const data = document.getElementById("readable-crontabs");
  const field = document.getElementById("id_crontab");
  if (!data || !field) return;
  const words = JSON.parse(data.textContent);
  const said = document.createElement("p");
  said.setAttribute("role", "status");
  (field.closest(".field-line, .field-crontab") || field.parentElement).append(said);
  const say = () => { said.textContent = words[field.value] || ""; };
  field.addEventListener("change", say);
  // Select2 tells only those who ask through jQuery.
  if (window.django && window.django.jQuery) window.django.jQuery(field).on("change", say);
  say();
})();
