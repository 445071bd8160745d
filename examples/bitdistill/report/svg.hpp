// Pictures as SVG: curves, points and bars. Each picture follows the light or dark mode of its
// reader.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace bitdistill::svg {

/// A place in a chart, in units of the data.
struct point {
  double x, y;
};

/// Values that are drawn alike.
struct series {
  std::string name;           ///< its label; series of the same name and colour share one
  std::vector<point> points;  ///< places in order
  std::size_t color = 0;      ///< number of its colour
  bool line = true;           ///< whether lines join the points; else each point is a disc
};

/// A chart with two axes.
struct chart {
  std::string title, x_label, y_label;
  std::vector<series> all;
  bool log_x = false,
       log_y = false;         ///< logarithmic axes; values that are not positive are left out
  std::vector<double> marks;  ///< places on the x axis with a vertical line
};

/// A bar of a bar chart.
struct bar {
  std::string name;
  double value = 0, error = 0;  ///< height, and half the length of the error bar; 0: no error bar
};

/// Text in which the characters that SVG and HTML reserve are replaced.
std::string escaped(std::string_view text);

/// The colours and fonts of all pictures, as the text of a style element.
std::string_view style();

/// A chart; empty where no value can be drawn.
std::string draw(const chart& c);

/// Bars side by side. The axis begins at 0.
std::string draw(const std::string& title, const std::vector<bar>& bars);

/// A picture as a file of its own, with its style.
std::string standalone(const std::string& picture);

}  // namespace bitdistill::svg
