// Search, filters and the choice of theme. The page is whole without it.
(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);

  const theme = byId("theme");
  const themes = ["auto", "light", "dark"];
  let chosen = 0;
  theme.hidden = false;
  theme.addEventListener("click", () => {
    chosen = (chosen + 1) % themes.length;
    const name = themes[chosen];
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    theme.textContent = "Theme: " + name;
  });

  const form = byId("filters");
  if (!form) return;
  const items = Array.from(byId("example-list").children);
  const texts = items.map((item) => (item.textContent + " " + item.dataset.domain).toLowerCase());
  const selects = Array.from(form.querySelectorAll("select"));
  const search = byId("search");

  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    items.forEach((item, i) => {
      const fits =
        selects.every((s) => !s.value || item.dataset[s.dataset.key] === s.value) &&
        words.every((word) => texts[i].includes(word));
      item.hidden = !fits;
      if (fits) shown += 1;
    });
    byId("shown").textContent = shown + " of " + items.length + " shown";
    byId("none-shown").hidden = shown > 0;
  };

  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply, 0));
  apply();
})();
