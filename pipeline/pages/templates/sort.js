"use strict";
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  [...body.rows].forEach((row, place) => { row.dataset.place = place; });
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const figures = head.classList.contains("right");
      const first = figures ? "descending" : "ascending";
      const second = figures ? "ascending" : "descending";
      const next = before === first ? second : before === second ? null : first;
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      const key = (row) => row.cells[column].dataset.key;
      const empty = (row) => row.cells[column].textContent.trim() === "–";
      const sign = next === "descending" ? -1 : 1;
      const compare = (a, b) => {
        if (!next) return a.dataset.place - b.dataset.place;
        if (empty(a) !== empty(b)) return empty(a) ? 1 : -1;
        const order = figures ? key(a) - key(b) : key(a).localeCompare(key(b), "en", { numeric: true });
        return sign * order || a.dataset.place - b.dataset.place;
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}
