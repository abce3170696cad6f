(function () {
  "use strict";
  var root = document.documentElement;
  var buttons = document.querySelectorAll("[data-choose]");
  function choose(language) {
    root.lang = language;
    root.dataset.language = language;
    buttons.forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.dataset.choose === language));
    });
  }
  buttons.forEach(function (button) {
    button.addEventListener("click", function () { choose(button.dataset.choose); });
  });
  // A link to the English page can be sent: index.html?lang=en
  if (new URLSearchParams(location.search).get("lang") === "en") { choose("en"); }
  // Paper has nothing to unfold.
  addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (each) { each.open = true; });
  });
})();
