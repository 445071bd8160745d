// flags: -fno-rtti
// The core needs only Eigen and xsimd.
#include "tern/tern.hpp"

#if defined(NLOHMANN_JSON_VERSION_MAJOR) || defined(ZLIB_VERSION) || defined(PCRE2_MAJOR) || \
    defined(UTF8PROC_VERSION_MAJOR)
#  error "the core includes a package of the optional targets"
#endif
