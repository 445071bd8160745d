// The floors test must report an include that is not written from the root.
#include "regex.hpp"
