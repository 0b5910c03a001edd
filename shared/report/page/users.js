(function () {
  "use strict";
  var table = document.getElementById("users");
  var body = table.tBodies[0];
  var heads = Array.prototype.slice.call(table.tHead.rows[0].cells);
  var numbers = Array.prototype.slice.call(document.querySelectorAll(".number"));
  var search = document.getElementById("search");
  var count = document.getElementById("count");
  var order = new Intl.Collator(document.documentElement.lang, { numeric: true });
  var rows = Array.prototype.map.call(body.rows, function (tr, i) {
    return { tr: tr, place: i, keys: " " + tr.getAttribute("data-k") + " ", text: tr.textContent.toLowerCase() };
  });
  var key = "";

  function show() {
    var words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    var n = 0;
    rows.forEach(function (r) {
      var seen = (!key || r.keys.indexOf(" " + key + " ") >= 0) && words.every(function (w) { return r.text.indexOf(w) >= 0; });
      if (seen) { n++; }
      if (r.tr.hidden === seen) { r.tr.hidden = !seen; }
    });
    count.textContent = count.getAttribute("data-words").replace("{n}", n).replace("{m}", rows.length);
    numbers.forEach(function (b) { b.setAttribute("aria-pressed", String(b.getAttribute("data-key") === key)); });
  }

  function value(r, column) {
    var c = r.tr.cells[column];
    return c.getAttribute("data-v") || c.textContent;
  }

  function sort(column) {
    var down = heads[column].getAttribute("aria-sort") === "ascending";
    heads.forEach(function (h) { h.removeAttribute("aria-sort"); });
    heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
    rows.forEach(function (r) { r.value = value(r, column); });
    rows.sort(function (a, b) {
      if ((a.value === "") !== (b.value === "")) { return a.value === "" ? 1 : -1; }
      return (down ? -1 : 1) * order.compare(a.value, b.value) || a.place - b.place;
    });
    var all = document.createDocumentFragment();
    rows.forEach(function (r) { all.appendChild(r.tr); });
    body.appendChild(all);
  }

  heads.forEach(function (h, i) { h.firstElementChild.addEventListener("click", function () { sort(i); }); });
  numbers.forEach(function (b) {
    b.addEventListener("click", function () {
      var k = b.getAttribute("data-key");
      key = key === k ? "" : k;
      show();
    });
  });
  var waiting;
  search.addEventListener("input", function () { clearTimeout(waiting); waiting = setTimeout(show, 120); });
  document.getElementById("all").addEventListener("click", function () { key = ""; search.value = ""; show(); });
  document.getElementById("print").addEventListener("click", function () { window.print(); });
  show();
}());
