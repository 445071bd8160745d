// exp of registers of floats, included once for each level inside its region. ops has the
// operations of isa/registers/ on floats; others are written with operators of vectors.

/// 32-bit numbers in the places of the floats of a register.
using bits_of_reg [[gnu::vector_size(sizeof(ops::reg))]] = std::int32_t;

/// exp(x) for x of at most 0, with a relative error below 2e-7; 0 below -87, and NaN of NaN. With
/// n the integer next to x / ln 2 and r = x - n ln 2, exp(x) = 2^n exp(r), and exp(r) is
/// 1 + r + r^2 q(r), where q is the polynomial of degree 4 with the least largest error.
TERN_INLINE ops::reg exponential(ops::reg x) {
  const ops::reg shift = ops::fill(0x1.8p23f);  // a float of this size has no fraction bits
  const ops::reg shifted = ops::multiply_add(x, ops::fill(0x1.715476p0f), shift);
  const ops::reg n = shifted - shift;
  ops::reg r = ops::multiply_add(n, ops::fill(-0x1.62e4p-1f), x);  // ln 2 in two parts
  r = ops::multiply_add(n, ops::fill(-0x1.7f7d1cp-20f), r);
  ops::reg q = ops::fill(0x1.6a1080p-10f);
  q = ops::multiply_add(q, r, ops::fill(0x1.1245c8p-7f));
  q = ops::multiply_add(q, r, ops::fill(0x1.55593cp-5f));
  q = ops::multiply_add(q, r, ops::fill(0x1.555482p-3f));
  q = ops::multiply_add(q, r, ops::fill(0x1.fffffcp-2f));
  const ops::reg one = ops::fill(1), near_one = ops::multiply_add(q * r, r, r) + one;
  const bits_of_reg power =
      (reinterpret_cast<bits_of_reg>(shifted) << 23) + reinterpret_cast<bits_of_reg>(one);
  const ops::reg result = near_one * reinterpret_cast<ops::reg>(power);
  const bits_of_reg tiny = x < ops::fill(-87);
  return reinterpret_cast<ops::reg>(reinterpret_cast<bits_of_reg>(result) & ~tiny);
}
