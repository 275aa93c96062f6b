// What a browser makes of a report: no complaint, no request, every picture, both schemes, wide and narrow.

#include <set>

#include "catalog/base64.hpp"
#include "catch.hpp"
#include "mcomp/core/file.hpp"
#include "report/browser.hpp"
#include "report/sample.hpp"

using namespace mcomp;

namespace {

/// Faults of the pictures and texts that are shown, as a list of sentences.
const char* const inspect = R"JS((() => {
  const faults = [];
  const shown = e => e.getClientRects().length > 0;
  const luminance = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= 0.03928 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const parse = s => (s.match(/[\d.]+/g) || []).map(Number);
  const contrast = (a, b) => { const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
  const backing = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length && (c.length < 4 || c[3] > 0)) return c.slice(0, 3); } return [255, 255, 255]; };
  const svgs = [...document.querySelectorAll('svg[role=img]')].filter(shown);
  for (const svg of svgs) {
    const [title, desc] = svg.getAttribute('aria-labelledby').split(' ').map(id => document.getElementById(id));
    if (!title || !title.textContent.trim()) faults.push('no title: ' + svg.outerHTML.slice(0, 120));
    if (!desc || !desc.textContent.trim()) faults.push('no description: ' + (title && title.textContent));
    const box = svg.getBoundingClientRect(), name = title ? title.textContent : '?';
    const texts = [...svg.querySelectorAll('text')];
    const boxes = texts.map(t => t.getBoundingClientRect());
    texts.forEach((t, i) => {
      const b = boxes[i];
      if (b.left < box.left - 1.5 || b.right > box.right + 1.5 || b.top < box.top - 1.5 || b.bottom > box.bottom + 1.5)
        faults.push(name + ': outside of the picture: ' + t.textContent);
      const size = b.height && parseFloat(getComputedStyle(t).fontSize) * box.width / svg.viewBox.baseVal.width;
      if (size && size < 8.9) faults.push(name + ': letters of ' + size.toFixed(1) + ' px: ' + t.textContent);
      for (let j = 0; j < i; ++j) {
        const o = boxes[j];
        if (b.left < o.right - 1 && o.left < b.right - 1 && b.top < o.bottom - 3 && o.top < b.bottom - 3)
          faults.push(name + ': "' + t.textContent + '" upon "' + texts[j].textContent + '"');
      }
      const level = (t.getAttribute('class') || '').match(/\bh(\d)i\b/);
      let behind = backing(svg);
      if (level) { const r = svg.querySelector('.h' + level[1] + ',.span' + (1 - Math.min(1, level[1]))); if (r) behind = parse(getComputedStyle(r).fill).slice(0, 3); }
      if ((t.getAttribute('class') || '').includes('flagtext')) behind = parse(getComputedStyle(svg.querySelector('.flag')).fill).slice(0, 3);
      const ratio = contrast(parse(getComputedStyle(t).fill).slice(0, 3), behind);
      if (ratio < 4.5) faults.push(name + ': contrast ' + ratio.toFixed(2) + ': ' + t.textContent);
    });
  }
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const e = node.parentElement;
    if (!node.textContent.trim() || e.closest('svg') || !shown(e)) continue;
    const ratio = contrast(parse(getComputedStyle(e).color).slice(0, 3), backing(e));
    if (ratio < 4.5) faults.push('contrast ' + ratio.toFixed(2) + ': ' + node.textContent.slice(0, 60));
  }
  if (document.documentElement.scrollWidth > innerWidth) faults.push('wider than the window: ' + document.documentElement.scrollWidth);
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  if (new Set(ids).size != ids.length) faults.push('an id stands twice: ' + ids.filter((id, i) => ids.indexOf(id) != i));
  for (const a of document.querySelectorAll('a[href^="#"]'))
    if (!document.getElementById(a.getAttribute('href').slice(1))) faults.push('leads nowhere: ' + a.getAttribute('href'));
  let level = 0;
  for (const h of [...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].filter(shown)) {
    const at = Number(h.tagName[1]);
    if (at > level + 1) faults.push('heading skips a level: ' + h.textContent);
    level = at;
  }
  return {faults, figures: svgs.length, scripts: document.scripts.length, dark: matchMedia('(prefers-color-scheme: dark)').matches,
          page: getComputedStyle(document.body).backgroundColor};
})())JS";

void screenshot(mcomp_test::Browser& browser, const std::filesystem::path& path, int width) {
  const int height = browser.evaluate("document.documentElement.scrollHeight").get<int>();
  const auto shot = browser.call("Page.captureScreenshot",
                                 {{"format", "png"},
                                  {"captureBeyondViewport", true},
                                  {"clip", {{"x", 0}, {"y", 0}, {"width", width}, {"height", height}, {"scale", 1}}}});
  const auto bytes = catalog::detail::from_base64(shot["data"].get<std::string>());
  REQUIRE(bytes);
  CHECK(bytes->starts_with("\x89PNG"));
  REQUIRE(write_file(path, *bytes));
}

} // namespace

TEST_CASE("report: Chromium shows all of it in both schemes and widths, complains about nothing and asks nobody") {
  const auto program = mcomp_test::Browser::find();
  if (!program) return mcomp_test::skip("no Chromium (Debian: chromium)");
  const std::filesystem::path folder = MCOMP_TEST_REPORT_DIR;
  std::filesystem::create_directories(folder);
  const report::Report all = report_sample::whole();
  const std::filesystem::path file = folder / "in-browser.html";
  REQUIRE(write_file(file, to_html(all)));
  REQUIRE(write_file(folder / "playbook-in-browser.html", to_html(all.playbooks[0])));

  mcomp_test::Browser browser(*program);
  browser.open_page();
  std::set<std::string> colours;
  for (const int width : {1280, 400})
    for (const std::string scheme : {"light", "dark"}) {
      browser.call("Emulation.setDeviceMetricsOverride",
                   {{"width", width}, {"height", 900}, {"deviceScaleFactor", 1}, {"mobile", width < 600}});
      browser.call("Emulation.setEmulatedMedia",
                   {{"features", {{{"name", "prefers-color-scheme"}, {"value", scheme}}}}});
      browser.navigate("file://" + file.string());
      INFO("width " << width << ", " << scheme);
      for (int reader = 0; reader < 3; ++reader) {
        browser.evaluate("document.getElementById('reader-" + std::to_string(reader) + "').click()");
        const auto seen = browser.evaluate(inspect);
        for (const auto& fault : seen["faults"]) {
          UNSCOPED_INFO("reader " << reader << ": " << fault.get<std::string>());
        }
        CHECK(seen["faults"].empty());
        // 21 in the parts, and those of the front page.
        const int fronts[] = {3, 5, 3};
        CHECK(seen["figures"] == 21 + fronts[reader]);
        CHECK(seen["scripts"] == 0);
        CHECK(seen["dark"] == (scheme == "dark"));
        colours.insert(seen["page"]);
        const auto visible =
            browser.evaluate("[...document.querySelectorAll('.page')].map(e => getComputedStyle(e).display != 'none')");
        for (int other = 0; other < 3; ++other) CHECK(visible[static_cast<std::size_t>(other)] == (other == reader));
        if (reader > 0)
          browser.evaluate("document.querySelectorAll('main > section:not(.page)').forEach(e => e.remove())");
        screenshot(browser,
                   folder / ("report-" + std::to_string(width) + "-" + scheme + "-" + std::to_string(reader) + ".png"),
                   width);
        if (reader > 0) browser.navigate("file://" + file.string());
      }
    }
  CHECK(colours.size() == 2);

  // The keyboard: the skip link comes first and shows itself; arrows change the front page.
  browser.navigate("file://" + file.string());
  browser.press("Tab", 9);
  CHECK(browser.evaluate("document.activeElement.className") == "skip");
  CHECK(browser.evaluate("document.activeElement.getBoundingClientRect().top >= 0") == true);
  browser.evaluate("document.getElementById('reader-0').focus()");
  browser.press("ArrowRight", 39);
  CHECK(browser.evaluate("document.getElementById('reader-1').checked") == true);
  CHECK(browser.evaluate("getComputedStyle(document.getElementById('page-1')).display") == "block");
  // Boxes that scroll can be reached.
  CHECK(browser.evaluate(
            "[...document.querySelectorAll('.scroll')].every(e => e.tabIndex == 0 && e.getAttribute('aria-label'))") ==
        true);

  browser.navigate("file://" + (folder / "playbook-in-browser.html").string());
  CHECK(browser.evaluate(inspect)["faults"] == mcomp_test::Browser::Json::array());
  screenshot(browser, folder / "playbook-400.png", 400);

  for (const std::string& complaint : browser.complaints) UNSCOPED_INFO(complaint);
  CHECK(browser.complaints.empty());
  for (const std::string& address : browser.requests) {
    INFO(address);
    CHECK((address.starts_with("file://") || address == "about:blank"));
  }
  CHECK_FALSE(browser.requests.empty());
}
