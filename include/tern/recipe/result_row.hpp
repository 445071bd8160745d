// One row of the table of a run.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tern/core/error.hpp"
#include "tern/json/json_fields.hpp"
#include "tern/json/read_json.hpp"
#include "tern/recipe/evaluate.hpp"
#include "tern/recipe/stage.hpp"

namespace tern::inline TERN_ABI {

/// What a run found out about the model of one stage.
struct result_row {
  std::string method;             ///< as the table prints it
  std::vector<table_mark> marks;  ///< further columns: check marks
  metric_values metrics;          ///< percent, on the test part, or on dev where there is no test
  double megabytes = 0;           ///< size of the deployed weights file in 10^6 bytes
  double tokens_per_second = 0;   ///< speed of the deployed model in the evaluation
};

/// The row as JSON: "method", "marks" where there are any, each metric by its name, "megabytes" and
/// "tokens_per_second".
inline nlohmann::ordered_json row_to_json(const result_row& row) {
  nlohmann::ordered_json json = {{"method", row.method}};
  for (const table_mark& mark : row.marks) json["marks"][mark.column] = mark.has;
  for (const auto& [name, value] : row.metrics) json[name] = value;
  json["megabytes"] = row.megabytes;
  json["tokens_per_second"] = row.tokens_per_second;
  return json;
}

/// Reads what row_to_json wrote. Numbers with other keys are metrics. Throws config_error naming
/// `file`.
inline result_row row_from_json(const nlohmann::ordered_json& json, const std::string& file) {
  const nlohmann::json plain = json;
  const json_fields f(plain, file);
  result_row row;
  row.method = f.get<std::string>("method");
  row.megabytes = f.get<double>("megabytes");
  row.tokens_per_second = f.get<double>("tokens_per_second");
  for (const auto& [key, value] : json.items()) {
    if (key == "marks" && value.is_object())
      for (const auto& [column, has] : value.items())
        row.marks.push_back({column, has.is_boolean() && has.get<bool>()});
    else if (value.is_number() && key != "megabytes" && key != "tokens_per_second")
      row.metrics.emplace_back(key, value.get<double>());
  }
  return row;
}

/// The rows of a run's table.json. Throws io_error, format_error or config_error.
inline std::vector<result_row> read_table(const std::filesystem::path& run) {
  const auto path = run / "table.json";
  const auto list = read_json<nlohmann::ordered_json>(path);
  if (!list.is_array()) throw format_error(path.string() + ": expected a list of rows");
  std::vector<result_row> rows;
  for (const auto& item : list) rows.push_back(row_from_json(item, path.string()));
  return rows;
}

}  // namespace tern::inline TERN_ABI
