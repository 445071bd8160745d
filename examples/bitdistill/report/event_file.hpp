// Curves as the event files that TensorBoard reads.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace bitdistill {

/// Numbers that belong to one step, under their names.
struct scalar_event {
  double wall_time = 0;  ///< seconds
  std::int64_t step = 0;
  std::vector<std::pair<std::string, float>> values;
};

/// The bytes of an event file: records of a length, the event as a protobuf message of the type
/// tensorflow.Event, and masked CRC-32C sums of both (the format TFRecord).
std::string event_file(const std::vector<scalar_event>& events);

}  // namespace bitdistill
