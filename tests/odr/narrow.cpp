#define TERN_ODR_SIDE(name) narrow_##name
#include "side.inl"
