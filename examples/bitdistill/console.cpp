#include "console.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>

#include "format.hpp"
#include "signals.hpp"
#include "standard_output.hpp"

namespace bitdistill {
namespace {

bool environment_has(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

std::string health_text(const tern::ternary_health& h) {
  return fmt::format(" | zeros {:4.1f}% flips {:6.3f}% drift {:+6.2f}%", 100 * h.zeros,
                     100 * h.flips, 100 * h.scale_drift);
}

/// The terms of a loss such as "ce 0.512 ld 1.204".
std::string terms_text(const tern::loss_values& loss) {
  std::string text;
  for (const tern::loss_value& term : loss.list())
    text += fmt::format("{}{} {}", text.empty() ? "" : " ", term.label, five(term.value));
  return text;
}

}  // namespace

std::string choice_text(const tern::layer_agreement& term) {
  std::string cosines;
  for (const tern::sample_statistics& s : term.layers)
    cosines += fmt::format("{}{:.3f}", cosines.empty() ? "" : " ", s.mean);
  return fmt::format("{}: layer {} of 0..{} agrees best with the other losses (cosines {})",
                     term.term, term.chosen, term.layers.size() - 1, cosines);
}

console::console() : bar_(stdout), colour_(bar_.possible() && !environment_has("NO_COLOR")) {}

bool silent_observer::stop_requested() { return bitdistill::stop_requested(); }
bool console::stop_requested() { return bitdistill::stop_requested(); }

void console::line(const std::string& text) {
  bar_.clear();
  put(text + "\n");  // a run goes on where its output is lost, and says so at its end
}

void console::on_begin(const tern::stage& s, const tern::model_config& model,
                       std::size_t first_step) {
  std::string text = s.name + ": " + (model.ternary ? "ternary" : "full precision");
  if (s.from != "new") text += ", from " + s.from;
  if (!s.teacher.empty()) text += ", teacher " + s.teacher;
  text += s.steps > 0 ? fmt::format(", {} steps", s.steps) : ", calibration";
  if (first_step > 0) text += fmt::format(", continued at step {}", first_step);
  line(colour_ ? "\x1b[1m" + text + "\x1b[0m" : text);
  stage_start_ = last_log_ = clock::now();
  first_step_ = last_log_step_ = first_step;
  tokens_ = 0;
}

void console::on_layer(const tern::stage& s, const tern::layer_calibration& r, std::size_t layers) {
  if (r.layer + 1 == layers)
    line(fmt::format("{}: {} layers calibrated | squared error of hidden states {:.4f}", s.name,
                     layers, r.hidden));
  else
    bar_.show(s.name + ": calibration", r.layer + 1, layers);
}

void console::on_choice(const tern::stage& s, const std::vector<tern::layer_agreement>& choice) {
  for (const tern::layer_agreement& term : choice) line(s.name + ": " + choice_text(term));
}

void console::on_step(const tern::stage& s, const tern::step_report& r) {
  tokens_ += r.tokens;
  if (r.logged) log(s, r);
  bar_.show(s.name, r.step, r.steps, [&] { return " eta " + duration(seconds_left(r)); });
}

double console::seconds_left(const tern::step_report& r) const {
  const std::chrono::duration<double> spent = clock::now() - stage_start_;
  return spent.count() / static_cast<double>(r.step - first_step_) *
         static_cast<double>(r.steps - r.step);
}

/// Shows a line about a step. Time and speed are means since the last line.
void console::log(const tern::stage& s, const tern::step_report& r) {
  const auto now = clock::now();
  const double seconds = std::chrono::duration<double>(now - last_log_).count();
  const double steps = static_cast<double>(r.step - last_log_step_);
  const auto width = std::to_string(r.steps).size();
  std::string text = fmt::format(
      "{:<15} step {:>{}}/{} | loss {} ({}) | gnorm {} | lr {} | {:>5.0f} ms | {} tok/s | "
      "eta {:>4}",
      s.name, r.step, width, r.steps, five(r.loss.total), terms_text(r.loss), five(r.gradient_norm),
      scientific(r.learning_rate), 1e3 * seconds / steps,
      multiple(static_cast<double>(tokens_) / seconds), duration(seconds_left(r)));
  if (r.health.measured) text += health_text(r.health);
  line(text);
  last_log_ = now;
  last_log_step_ = r.step;
  tokens_ = 0;
}

void console::on_end(const tern::stage& s) {
  const std::chrono::duration<double> spent = clock::now() - stage_start_;
  line(fmt::format("{}: done in {}", s.name, duration(spent.count())));
}

void console::on_skip(const tern::stage& s) { line(s.name + ": done before"); }

void console::on_change(const tern::stage& s, const std::string& difference) {
  line(fmt::format("{}: '{}' has changed since the stage was trained, so it is trained anew",
                   s.name, difference));
}

void console::on_result(const tern::stage& s, const tern::result_row& row) {
  std::string text = s.name + ":";
  for (const auto& [name, value] : row.metrics) text += fmt::format(" {} {:.2f} %", name, value);
  line(text);
}

void console::on_evaluation(const tern::stage& s, std::size_t finished, std::size_t examples) {
  bar_.show(s.name + ": evaluation", finished, examples);
}

}  // namespace bitdistill
