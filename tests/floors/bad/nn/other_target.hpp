// The floors test must report that a folder of tern::tern includes a lower folder of tern::io.
#include "tern/json/read_json.hpp"
