"use strict";
// Escape closes an enlarged picture. What is typed in the field of `finder` hides all figures, table rows and reasons
// without those words, and the sections that are empty then.
const finder = document.querySelector(".find");
if (finder) {
  const [field, count] = [finder.querySelector("input"), finder.querySelector("output")];
  const items = [...document.querySelectorAll("figure, tr:has(td), .glossary > div")].map((item) => {
    const title = item.closest(".group")?.querySelector("h3");
    return { item, text: `${title ? title.textContent : ""} ${item.textContent}`.toLowerCase() };
  });
  const wholes = document.querySelectorAll(".group, .part");
  const folds = [...document.querySelectorAll(".fold")];
  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { item, text } of items) item.hidden = !words.every((word) => text.includes(word));
    const shown = items.filter(({ item }) => !item.hidden);
    for (const whole of wholes) whole.hidden = words.length > 0 && !shown.some(({ item }) => whole.contains(item));
    for (const fold of folds) fold.open = words.length > 0;
    count.textContent = words.length ? `${shown.length} of ${items.length} pictures, rows and reasons` : "";
  };
  field.addEventListener("input", show);
  finder.hidden = false;
}
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const zoom of document.querySelectorAll(".zoom[open]")) zoom.open = false;
});
