(function () {
  "use strict";
  // Laying out 10,000 rows takes seconds, so only the first ones that match stand in the table; a button and the printer get them all.
  var most = 300;
  var table = document.getElementById("rows");
  var body = table.tBodies[0];
  var heads = Array.prototype.slice.call(table.tHead.rows[0].cells);
  var numbers = Array.prototype.slice.call(document.querySelectorAll(".number"));
  var search = document.getElementById("search");
  var count = document.getElementById("count");
  var more = document.getElementById("more");
  var order = new Intl.Collator(document.documentElement.lang, { numeric: true });
  var rows = Array.prototype.map.call(body.rows, function (tr, i) {
    return { tr: tr, place: i, keys: " " + tr.getAttribute("data-k") + " ", text: tr.textContent.toLowerCase() };
  });
  var key = "";
  var limit = most;

  function words(element, n) {
    return element.getAttribute("data-words").replace("{n}", n).replace("{m}", rows.length);
  }

  function show() {
    var wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    var found = rows.filter(function (r) {
      return (!key || r.keys.indexOf(" " + key + " ") >= 0) && wanted.every(function (w) { return r.text.indexOf(w) >= 0; });
    });
    var shown = document.createDocumentFragment();
    found.slice(0, limit).forEach(function (r) { shown.appendChild(r.tr); });
    body.textContent = "";
    body.appendChild(shown);
    count.textContent = words(count, found.length);
    more.textContent = words(more, found.length);
    more.hidden = found.length <= limit;
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
    show();
  }

  function all() { limit = Infinity; show(); }
  function some() { limit = most; show(); }

  heads.forEach(function (h, i) { h.firstElementChild.addEventListener("click", function () { sort(i); }); });
  numbers.forEach(function (b) {
    b.addEventListener("click", function () {
      var k = b.getAttribute("data-key");
      key = key === k ? "" : k;
      some();
    });
  });
  var waiting;
  search.addEventListener("input", function () { clearTimeout(waiting); waiting = setTimeout(some, 120); });
  document.getElementById("all").addEventListener("click", function () { key = ""; search.value = ""; some(); });
  document.getElementById("print").addEventListener("click", function () { window.print(); });
  more.addEventListener("click", all);
  window.addEventListener("beforeprint", all);
  window.addEventListener("afterprint", some);
  show();
}());
