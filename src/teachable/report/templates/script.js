// Search, filters, the choice of theme, and details that open for print. The page is whole without it.
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

  let opened = [];
  addEventListener("beforeprint", () => {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    opened.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));

  document.querySelectorAll("form.filters").forEach((form) => {
    const prefix = form.dataset.prefix;
    const items = Array.from(byId(prefix + "-list").children);
    const texts = items.map((item) => (item.textContent + " " + Object.values(item.dataset).join(" ")).toLowerCase());
    const selects = Array.from(form.querySelectorAll("select"));
    const search = byId(prefix + "-search");

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
      byId(prefix + "-shown").textContent = shown + " of " + items.length + " shown";
      byId(prefix + "-none").hidden = shown > 0;
    };

    form.hidden = false;
    form.addEventListener("input", apply);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(apply, 0));
    apply();
  });
})();
