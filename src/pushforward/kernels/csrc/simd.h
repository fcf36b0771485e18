// Vectors of a fixed width, by the vector extensions of GCC and clang: one source for SSE, AVX2, AVX-512 and NEON.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace pushforward {

template <class T> struct Types;
template <> struct Types<float> {
  using Int = int32_t;
  static constexpr int lanes = WIDTH / 4;
};
template <> struct Types<double> {
  using Int = int64_t;
  static constexpr int lanes = WIDTH / 8;
};

template <class T> struct Vector {
  static constexpr int lanes = Types<T>::lanes;
  typedef T Value __attribute__((vector_size(WIDTH)));
  typedef typename Types<T>::Int Int __attribute__((vector_size(WIDTH)));
};
template <class T> using V = typename Vector<T>::Value;
template <class T> using I = typename Vector<T>::Int;

#define INLINE static inline __attribute__((always_inline))

template <class T> INLINE V<T> load(const T* p) { V<T> v; std::memcpy(&v, p, sizeof v); return v; }
template <class T> INLINE void store(T* p, V<T> v) { std::memcpy(p, &v, sizeof v); }
template <class T> INLINE V<T> load_some(const T* p, int n) { V<T> v{}; std::memcpy(&v, p, n * sizeof(T)); return v; }
template <class T> INLINE void store_some(T* p, V<T> v, int n) { std::memcpy(p, &v, n * sizeof(T)); }
template <class T> INLINE V<T> all(T x) { V<T> v{}; return v + x; }
template <class T> INLINE V<T> select(I<T> mask, V<T> a, V<T> b) { return mask ? a : b; }
// A NaN in the first argument stays.
template <class T> INLINE V<T> maximum(V<T> a, V<T> b) { return a < b ? b : a; }
template <class T> INLINE V<T> minimum(V<T> a, V<T> b) { return a > b ? b : a; }
template <class T> INLINE V<T> square_root(V<T> v) {
  alignas(WIDTH) T a[Vector<T>::lanes];
  store<T>(a, v);
  for (int i = 0; i < Vector<T>::lanes; ++i) a[i] = std::sqrt(a[i]);
  return load<T>(a);
}

// exp by 2^k exp(r), |r| <= ln 2 / 2: relative error of about 1 unit in the last place. Below the range it is 0.
INLINE V<float> exponential(V<float> x) {
  const I<float> under = x < -87.0f;
  x = minimum<float>(maximum<float>(x, all<float>(-87.0f)), all<float>(88.0f));
  V<float> k = x * 1.44269504088896341f + 12582912.0f;
  const I<float> bits = (I<float>)k;
  k -= 12582912.0f;
  V<float> r = x - k * 0.693145751953125f;
  r -= k * 1.428606765330187e-06f;
  V<float> p = all<float>(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const I<float> scale = (bits - 0x4B400000 + 127) << 23;
  return under ? V<float>{} : p * (V<float>)scale;
}
INLINE V<double> exponential(V<double> x) {
  const I<double> under = x < -708.0;
  x = minimum<double>(maximum<double>(x, all<double>(-708.0)), all<double>(709.0));
  V<double> k = x * 1.4426950408889634 + 6755399441055744.0;
  const I<double> bits = (I<double>)k;
  k -= 6755399441055744.0;
  V<double> r = x - k * 6.93145751953125e-1;
  r -= k * 1.42860682030941723212e-6;
  V<double> p = all<double>(1.0 / 6227020800.0);
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r * r + r + 1.0;
  const I<double> scale = (bits - 0x4338000000000000LL + 1023) << 52;
  return under ? V<double>{} : p * (V<double>)scale;
}

// log of positive normal numbers: m 2^e with m in [sqrt 1/2, sqrt 2), and log m = 2 atanh((m - 1) / (m + 1)).
INLINE V<float> logarithm(V<float> x) {
  I<float> bits = (I<float>)x;
  const I<float> e = (bits - 0x3f3504f3) >> 23;
  const V<float> m = (V<float>)(bits - (e << 23));
  const V<float> k = __builtin_convertvector(e, V<float>);
  const V<float> f = m - 1.0f, s = f / (2.0f + f), z = s * s;
  V<float> p = all<float>(0.24279078841f);
  p = p * z + 0.28498786688f;
  p = p * z + 0.40000972152f;
  p = p * z + 0.66666662693f;
  const V<float> half = 0.5f * f * f;
  const V<float> y = k * 0.69313812256f + (f - (half - (s * (half + p * z) + k * 9.0580006145e-6f)));
  return x == x ? y : x;
}
INLINE V<double> logarithm(V<double> x) {
  I<double> bits = (I<double>)x;
  const I<double> e = (bits - 0x3fe6a09e667f3bcdLL) >> 52;
  const V<double> m = (V<double>)(bits - (e << 52));
  const V<double> k = __builtin_convertvector(e, V<double>);
  const V<double> f = m - 1.0, s = f / (2.0 + f), z = s * s;
  V<double> p = all<double>(1.479819860511658591e-01);
  p = p * z + 1.531383769920937332e-01;
  p = p * z + 1.818357216161805012e-01;
  p = p * z + 2.222219843214978396e-01;
  p = p * z + 2.857142874366239149e-01;
  p = p * z + 3.999999999940941908e-01;
  p = p * z + 6.666666666666735130e-01;
  const V<double> half = 0.5 * f * f;
  const V<double> y = k * 6.93147180369123816490e-01 + (f - (half - (s * (half + p * z) + k * 1.90821492927058770002e-10)));
  return x == x ? y : x;
}

}  // namespace pushforward
