// The floors test must report that an adapter includes more than core/.
#include "tern/quant/absmax.hpp"
