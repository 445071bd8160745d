#define TERN_ODR_SIDE(name) wide_##name
#include "side.inl"
