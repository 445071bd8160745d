#include "report/svg.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <set>
#include <utility>

namespace bitdistill::svg {
namespace {

constexpr double width = 440, height = 292, left = 52, right = 428, top = 34, bottom = 214;
constexpr std::size_t colors = 6;

std::string words(double x, double y, std::string_view text, const char* kind,
                  const char* anchor = "start") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\" text-anchor=\"{}\">{}</text>\n",
                     x, y, kind, anchor, escaped(text));
}

std::string line(double x1, double y1, double x2, double y2, const char* kind) {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1, y1, x2,
      y2, kind);
}

/// The class of a filled shape. Where all colours are used, shapes of the same colours are open.
std::string shape_class(std::size_t color) {
  const std::size_t number = color % colors;
  return color / colors % 2 == 0 ? fmt::format("f{}", number) : fmt::format("s{} open", number);
}

/// Where text of so many small characters stands so that it does not leave the picture.
double inside_x(double middle, std::size_t characters) {
  const double half = 3.2 * static_cast<double>(characters);
  return std::clamp(middle, half + 2, width - half - 2);
}

/// A picture of a height that has room for what stands below its chart.
std::string framed(const std::string& title, const std::string& inside, double tall = height) {
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "role=\"img\" "
      "aria-label=\"{2}\">\n<rect width=\"{0}\" height=\"{1}\" rx=\"6\" class=\"paper\"/>\n{3}{4}"
      "</svg>\n",
      width, tall, escaped(title), words(12, 20, title, "title"), inside);
}

/// One axis: the values that it shows and how they are placed.
struct axis {
  double low, high;  ///< ends, in units of the data
  bool log;
  double from, to;  ///< ends in the picture

  [[nodiscard]] double at(double value) const {
    const double share =
        log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
    return from + share * (to - from);
  }

  /// Round values between the ends, about five of them.
  [[nodiscard]] std::vector<double> ticks() const {
    std::vector<double> all;
    if (!log) {
      const double rough = (high - low) / 5, power = std::pow(10, std::floor(std::log10(rough)));
      double step = 10 * power;
      for (const double m : {5.0, 2.0, 1.0})
        if (m * power >= rough * 0.99) step = m * power;
      for (double i = std::ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; ++i)
        all.push_back(i * step + 0.0);  // -0 becomes 0
      return all;
    }
    for (const std::vector<double>& digits :
         {std::vector<double>{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8}, {1, 2, 5}, {1}}) {
      all.clear();
      for (double e = std::floor(std::log10(low)); e <= std::log10(high); ++e)
        for (const double m : digits)
          if (const double v = m * std::pow(10, e); v >= low * 0.999 && v <= high * 1.001)
            all.push_back(v);
      if (all.size() <= 7) break;
    }
    return all;
  }
};

/// Whether a value has a place on an axis.
bool drawable(double value, bool log) { return std::isfinite(value) && (!log || value > 0); }

std::vector<point> drawable_points(const chart& c, const series& s) {
  std::vector<point> points;
  std::ranges::copy_if(s.points, std::back_inserter(points), [&](const point& p) {
    return drawable(p.x, c.log_x) && drawable(p.y, c.log_y);
  });
  return points;
}

/// The axis for values from `low` to `high`, with some room at both ends.
axis spread(double low, double high, bool log, double from, double to, double room) {
  if (log) {
    const double factor = std::max(std::pow(high / low, room), 1.05);
    return {low / factor, high * factor, true, from, to};
  }
  const double more = high > low ? (high - low) * room : std::max(std::abs(high), 1.0) * 0.1;
  return {low - more, high + more, false, from, to};
}

std::string grid(const axis& x, const axis& y) {
  std::string out;
  for (const double tick : y.ticks())
    out += line(left, y.at(tick), right, y.at(tick), "grid") +
           words(left - 6, y.at(tick) + 4, fmt::format("{:.6g}", tick), "tick", "end");
  for (const double tick : x.ticks()) {
    const std::string text = fmt::format("{:.6g}", tick);
    out += words(inside_x(x.at(tick), text.size()), bottom + 15, text, "tick", "middle");
  }
  return out + line(left, bottom, right, bottom, "axis");
}

std::string drawn(const std::vector<point>& points, const series& s, const axis& x, const axis& y) {
  std::string out;
  if (s.line && points.size() > 1) {
    out = fmt::format("<polyline class=\"s{}{}\" points=\"", s.color % colors,
                      s.color / colors % 2 == 0 ? "" : " dashed");
    for (const point& p : points) out += fmt::format("{:.1f},{:.1f} ", x.at(p.x), y.at(p.y));
    return out + "\"/>\n";
  }
  for (const point& p : points)
    out += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" class=\"{}\"/>\n", x.at(p.x),
                       y.at(p.y), shape_class(s.color));
  return out;
}

/// Names below a chart, and the height of a picture that has room for them.
struct legend {
  std::string text;
  double tall = height;
};

/// The names with their colours, in lines that the picture is wide enough for.
legend legend_of(const std::vector<std::pair<std::string, std::size_t>>& names) {
  std::set<std::pair<std::string, std::size_t>> shown;
  legend all;
  double x = 12, y = height - 26;
  for (const auto& [name, color] : names) {
    if (name.empty() || !shown.insert({name, color % (2 * colors)}).second) continue;
    const double room = 24 + 6.4 * static_cast<double>(name.size());
    if (x > 12 && x + room > width) x = 12, y += 16;
    all.text +=
        fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"10\" height=\"10\" class=\"{}\"/>\n",
                    x, y - 9, shape_class(color)) +
        words(x + 14, y, name, "name");
    x += room;
  }
  all.tall = std::max(height, y + 12);
  return all;
}

legend legend_of(const std::vector<series>& all) {
  std::vector<std::pair<std::string, std::size_t>> names;
  for (const series& s : all) names.emplace_back(s.name, s.color);
  return legend_of(names);
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string_view style() {
  // The colours are told apart by people with any kind of colour vision (Okabe and Ito, 2008).
  return R"(svg { font: 12px system-ui, sans-serif; max-width: 100%; height: auto }
.paper { fill: #fff } .title { font-weight: 600; font-size: 13px; fill: #222 }
.tick { font-size: 11px; fill: #666 } .name, .value { fill: #333 } .value { font-weight: 600 }
.grid { stroke: #e4e4e4 } .axis { stroke: #777 } .mark { stroke: #888; stroke-dasharray: 4 3 }
.error { stroke: #222; stroke-width: 1.5 }
polyline { fill: none; stroke-width: 1.7; stroke-linejoin: round }
.dashed { stroke-dasharray: 5 3 } .open { fill: none; stroke-width: 2 }
.s0 { stroke: #0072b2 } .s1 { stroke: #d55e00 } .s2 { stroke: #009e73 } .s3 { stroke: #b8609a }
.s4 { stroke: #c08400 } .s5 { stroke: #56b4e9 }
.f0 { fill: #0072b2 } .f1 { fill: #d55e00 } .f2 { fill: #009e73 } .f3 { fill: #b8609a }
.f4 { fill: #c08400 } .f5 { fill: #56b4e9 }
@media (prefers-color-scheme: dark) {
.paper { fill: #1b1e22 } .title { fill: #eee } .tick { fill: #a5a5a5 } .name, .value { fill: #ddd }
.grid { stroke: #33373c } .axis { stroke: #999 } .mark { stroke: #999 } .error { stroke: #eee }
.s0 { stroke: #4aa3df } .f0 { fill: #4aa3df } .s1 { stroke: #f07f3c } .f1 { fill: #f07f3c }
.s2 { stroke: #2fc79b } .f2 { fill: #2fc79b } .s3 { stroke: #e29cc4 } .f3 { fill: #e29cc4 }
.s4 { stroke: #e9b44c } .f4 { fill: #e9b44c } .s5 { stroke: #a6d8f5 } .f5 { fill: #a6d8f5 }
}
)";
}

std::string draw(const chart& c) {
  constexpr double none = std::numeric_limits<double>::infinity();
  double low_x = none, high_x = -none, low_y = none, high_y = -none;
  for (const series& s : c.all)
    for (const point& p : drawable_points(c, s)) {
      low_x = std::min(low_x, p.x), high_x = std::max(high_x, p.x);
      low_y = std::min(low_y, p.y), high_y = std::max(high_y, p.y);
    }
  if (low_x > high_x) return "";
  const bool discs = std::ranges::none_of(c.all, &series::line);
  const axis x = spread(low_x, high_x, c.log_x, left, right, discs ? 0.08 : 0);
  const axis y = spread(low_y, high_y, c.log_y, bottom, top, 0.06);
  std::string out = grid(x, y);
  for (const double mark : c.marks)
    if (mark > x.low && mark < x.high) out += line(x.at(mark), top, x.at(mark), bottom, "mark");
  for (const series& s : c.all) out += drawn(drawable_points(c, s), s, x, y);
  const legend names = legend_of(c.all);
  out += words((left + right) / 2, bottom + 30, c.x_label, "tick", "middle") + names.text;
  return framed(c.y_label.empty() ? c.title : c.title + ": " + c.y_label, out, names.tall);
}

std::string draw(const std::string& title, const std::vector<bar>& bars) {
  double highest = 0;
  for (const bar& b : bars)
    if (std::isfinite(b.value)) highest = std::max(highest, b.value + b.error);
  if (!(highest > 0)) return "";
  const axis y{0, highest * 1.12, false, bottom, top};
  const double step = (right - left) / static_cast<double>(bars.size());
  // Names stand below their bars, in two lines in turn, or where they are too long in a legend.
  const auto fit = static_cast<std::size_t>(step * 1.9 / 6.4);
  const bool below = std::ranges::all_of(bars, [&](const bar& b) { return b.name.size() <= fit; });
  const int digits = step < 28 ? 0 : step < 44 ? 1 : 2;  // as narrow bars have room for
  std::vector<std::pair<std::string, std::size_t>> names;
  std::string out;
  for (const double tick : y.ticks())
    out += line(left, y.at(tick), right, y.at(tick), "grid") +
           words(left - 6, y.at(tick) + 4, fmt::format("{:.6g}", tick), "tick", "end");
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const bar& b = bars[i];
    if (!std::isfinite(b.value)) continue;
    const double middle = left + step * (static_cast<double>(i) + 0.5);
    out += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" class=\"{}\"/>\n",
        middle - step * 0.3, y.at(b.value), step * 0.6, bottom - y.at(b.value), shape_class(i));
    if (b.error > 0) {
      const double from = y.at(b.value - b.error), to = y.at(b.value + b.error);
      out += line(middle, from, middle, to, "error") +
             line(middle - 5, from, middle + 5, from, "error") +
             line(middle - 5, to, middle + 5, to, "error");
    }
    out += words(middle, y.at(b.value + b.error) - 5, fmt::format("{:.{}f}", b.value, digits),
                 "value", "middle");
    if (below)
      out += words(inside_x(middle, b.name.size()), bottom + (i % 2 == 0 ? 16 : 32), b.name, "name",
                   "middle");
    else
      names.emplace_back(b.name, i);
  }
  const legend long_names = legend_of(names);
  return framed(title, out + line(left, bottom, right, bottom, "axis") + long_names.text,
                long_names.tall);
}

std::string standalone(const std::string& picture) {
  const std::size_t end = picture.find('>') + 1;
  return picture.substr(0, end) + "\n<style>" + std::string(style()) + "</style>" +
         picture.substr(end);
}

}  // namespace bitdistill::svg
