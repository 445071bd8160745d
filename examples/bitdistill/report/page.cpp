#include "report/page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "format.hpp"
#include "report/means.hpp"

namespace bitdistill {
namespace {

using svg::escaped;

constexpr std::string_view page_style = R"(
:root { color-scheme: light dark; --paper: #fafafa; --text: #1d1f21; --faint: #667; --line: #dcdfe3; --differs: #fff1c9 }
@media (prefers-color-scheme: dark) { :root { --paper: #121416; --text: #e8e8e8; --faint: #a0a6ad; --line: #33373c; --differs: #4a3f16 } }
body { margin: 0 auto; max-width: 960px; padding: 16px; background: var(--paper); color: var(--text); font: 16px/1.45 system-ui, sans-serif }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .6rem }
.faint { color: var(--faint) } .wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
th button { all: unset; cursor: pointer; font-weight: 600 } th button:focus-visible { outline: 2px solid #56b4e9 }
tr.differs td { background: var(--differs) } td.text, th.text { text-align: left; white-space: normal; overflow-wrap: anywhere }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(440px, 100%), 1fr)); gap: 14px }
pre { overflow-x: auto; padding: .7rem; border: 1px solid var(--line); border-radius: 6px; font-size: .85rem }
@media print { body { max-width: none } .pictures { grid-template-columns: 1fr 1fr } svg { break-inside: avoid } details { display: block } }
)";

// A click on a heading sorts by the numbers in its column, or by its words.
constexpr std::string_view page_script = R"(
for (const button of document.querySelectorAll("th button"))
  button.onclick = () => {
    const head = button.closest("th"), body = head.closest("table").tBodies[0];
    const column = [...head.parentNode.children].indexOf(head);
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.children[column].dataset.value ?? row.children[column].textContent;
    const order = (a, b) => (isNaN(key(a)) || isNaN(key(b)) ? key(b).localeCompare(key(a)) : key(b) - key(a));
    body.append(...[...body.rows].sort((a, b) => (down ? order(a, b) : order(b, a))));
  };
)";

std::string sort_heading(const std::string& text) {
  return fmt::format("<th scope=\"col\"><button>{}</button></th>", escaped(text));
}

std::string cell(double value, const std::string& text) {
  return fmt::format("<td data-value=\"{}\">{}</td>", value, text);
}

std::string difference_cell(const std::optional<tern::paired_difference>& d) {
  return d ? cell(d->difference.mean, difference_text(*d, "±")) : "<td></td>";
}

/// The results: a row for each method of each group.
std::string results_section(const std::vector<run_group>& groups) {
  const std::vector<mean_row> rows = means_of(groups);
  if (rows.empty() || rows.front().metrics.empty()) return "<p>No run has a table yet.</p>\n";
  const run_group& first = *rows.front().group;
  const bool grid = !first.variants.empty();
  std::string head = sort_heading("Method"), body;
  for (const metric_mean& m : rows.front().metrics) head += sort_heading(m.name);
  head += sort_heading(first_heading(rows));
  if (grid) head += sort_heading("to " + first.name);
  head += sort_heading("Seeds") + sort_heading("Size, MB") + sort_heading("Tokens/s");
  for (const mean_row& row : rows) {
    body += "<tr><td>" + escaped(label_of(*row.group, row.method)) + "</td>";
    for (const metric_mean& m : row.metrics)
      body += m.value ? cell(m.value->mean, mean_text(*m.value, "±")) : "<td></td>";
    body += difference_cell(row.metrics[0].to_first);
    if (grid) body += difference_cell(row.metrics[0].to_first_variant);
    body += cell(static_cast<double>(row.seeds), std::to_string(row.seeds)) +
            cell(row.megabytes, fmt::format("{:.3f}", row.megabytes)) +
            cell(row.tokens_per_second, multiple(row.tokens_per_second)) + "</tr>\n";
  }
  return "<div class=\"wide\"><table><thead><tr>" + head + "</tr></thead><tbody>\n" + body +
         "</tbody></table></div>\n<p class=\"faint\">Behind ± stands the standard error of the "
         "mean over "
         "the seeds. Differences are paired by seed; one is not distinguishable where 0 lies in "
         "its "
         "confidence interval of 95 %. A click on a heading sorts.</p>\n";
}

/// The layers that were chosen before stages, and how well each layer agreed with the other losses.
/// Points of a grid share stages, which are shown once.
std::string layers_section(const std::vector<run_group>& groups) {
  std::string rows;
  std::set<std::string> shown;
  for (const run_group& group : groups)
    for (const run_record& run : group.runs)
      for (const stage_log& log : run.logs)
        for (const layer_log& term : log.layers) {
          std::string cosines;
          for (std::size_t l = 0; l < std::min(term.agreement.size(), term.error.size()); ++l)
            cosines += fmt::format("{}{:.3f} ± {:.3f}", l == 0 ? "" : ", ", term.agreement[l],
                                   term.error[l]);
          std::string row =
              fmt::format("<td>{}, seed {}</td><td>{}</td><td>{}</td>", escaped(log.stage),
                          run.seed, escaped(term.term), term.chosen);
          row = "<tr>" + row + "<td class=\"text\">" + cosines + "</td></tr>\n";
          if (shown.insert(row).second) rows += row;
        }
  if (rows.empty()) return "";
  return "<h2>Chosen layers</h2>\n<div class=\"wide\"><table><thead><tr><th>Stage</th><th>Loss</th>"
         "<th>Layer</th><th class=\"text\">Cosine with the other losses, from layer 0 "
         "on</th></tr></thead><tbody>\n" +
         rows + "</tbody></table></div>\n";
}

std::string runs_section(const std::vector<run_group>& groups) {
  std::string out = "<ul>\n";
  std::size_t runs = 0;
  for (const run_group& group : groups)
    for (const run_record& run : group.runs) {
      ++runs;
      out += fmt::format("<li>{}<code>{}</code>: {}, task {}, seed {}{}</li>\n",
                         group.name.empty() ? "" : group.name + ": ",
                         escaped(run.directory.string()), escaped(run.title), escaped(run.task),
                         run.seed, run.rows.empty() ? ", under way" : "");
    }
  out += "</ul>\n";
  return runs <= 8 ? out
                   : fmt::format("<details><summary>{} runs</summary>\n{}</details>\n", runs, out);
}

/// The settings, those that differ between groups first and marked.
std::string settings_section(const std::vector<run_group>& groups) {
  std::set<std::string> names;
  for (const run_group& group : groups)
    for (const auto& [name, value] : group.settings) names.insert(name);
  std::string head = "<th scope=\"col\">Setting</th>", different, equal;
  for (const run_group& group : groups)
    head += "<th scope=\"col\">" + (group.name.empty() ? "Value" : group.name) + "</th>";
  for (const auto& name : names) {
    std::set<std::string> values;
    std::string row = "<td>" + escaped(name) + "</td>";
    for (const run_group& group : groups) {
      const auto at = group.settings.find(name);
      const std::string value = at == group.settings.end() ? "" : at->second;
      values.insert(value);
      row += "<td class=\"text\">" + escaped(value) + "</td>";
    }
    if (values.size() > 1)
      different += "<tr class=\"differs\">" + row + "</tr>\n";
    else
      equal += "<tr>" + row + "</tr>\n";
  }
  const auto table = [&](const std::string& rows) {
    return "<div class=\"wide\"><table><thead><tr>" + head + "</tr></thead><tbody>\n" + rows +
           "</tbody></table></div>\n";
  };
  std::string out;
  if (!different.empty()) out += "<p>These settings differ:</p>\n" + table(different);
  return out + "<details><summary>" +
         (different.empty() ? "All settings" : "Settings that are equal") + "</summary>\n" +
         table(equal) + "</details>\n";
}

std::string commands_section(const std::vector<run_group>& groups) {
  std::string out = "<pre>";
  for (const run_group& group : groups)
    for (const run_record& run : group.runs)
      out += escaped(fmt::format("bitdistill run --recipe '{}' --out NEW\n",
                                 (run.directory / "config.json").string()));
  return out +
         "</pre>\n<p class=\"faint\">The file holds all settings and the seed. Paths in it are "
         "those of the machine that ran it.</p>\n";
}

}  // namespace

std::string report_page(const std::vector<run_group>& groups,
                        const std::vector<picture>& pictures) {
  const std::string title = groups.empty() ? "Calibration" : groups.front().runs.front().title;
  std::string body = "<h1>" + escaped(title) + "</h1>\n";
  if (!groups.empty())
    body += runs_section(groups) + "<h2>Results</h2>\n" + results_section(groups) +
            layers_section(groups);
  body += "<h2>Pictures</h2>\n<div class=\"pictures\">\n";
  for (const picture& p : pictures) body += p.svg;
  body += "</div>\n";
  if (!groups.empty())
    body += "<h2>Settings</h2>\n" + settings_section(groups) + "<h2>Commands</h2>\n" +
            commands_section(groups);
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n<title>{}</title>\n"
      "<link rel=\"icon\" "
      "href=\"data:,\">\n<style>{}{}</style>\n</head>\n<body>\n{}<script>{}</script>\n"
      "</body>\n</html>\n",
      escaped(title), page_style, svg::style(), body, page_script);
}

}  // namespace bitdistill
