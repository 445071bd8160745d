// Default settings: of the demo, and of tasks on real text for a model that a CPU trains.
#pragma once

#include "settings.hpp"

namespace bitdistill {

settings demo_settings(bool quick);
settings text_settings(const std::string& task);

}  // namespace bitdistill
