// Shifts and scales, and the bounded log-scales of them.
#pragma once
#include "interface.h"
#include "simd.h"
#include "spline.h"

namespace pushforward {
namespace {

INLINE V<float> hyperbolic_near_zero(V<float> x) {  // |x| < 0.625
  const V<float> z = x * x;
  V<float> p = all<float>(-5.70498872745e-3f);
  p = p * z + 2.06390887954e-2f;
  p = p * z - 5.37397155531e-2f;
  p = p * z + 1.33314422036e-1f;
  p = p * z - 3.33332819422e-1f;
  return p * z * x + x;
}
INLINE V<double> hyperbolic_near_zero(V<double> x) {
  const V<double> z = x * x;
  V<double> p = all<double>(-9.64399179425052238628e-1);
  p = p * z - 9.92877231001918586564e1;
  p = p * z - 1.61468768441708447952e3;
  V<double> q = z + 1.12811678491632931402e2;
  q = q * z + 2.23548839060100448583e3;
  q = q * z + 4.84406305325125486048e3;
  return x + x * z * (p / q);
}

// tanh: by exp(-2 |x|), and near 0, where that would cancel, by the approximations of Cephes.
template <class T> INLINE V<T> hyperbolic_tangent(V<T> x) {
  const V<T> size = x < T(0) ? -x : x;
  const V<T> e = exponential(T(-2) * size);
  const V<T> far = (T(1) - e) / (T(1) + e);
  const V<T> near = hyperbolic_near_zero(size < T(0.625) ? x : V<T>{});
  const V<T> y = size < T(0.625) ? near : (x < T(0) ? -far : far);
  return x == x ? y : x;
}

// The log-scale of a raw one, and its derivative.
template <class T> INLINE V<T> log_scale(int64_t scale, T limit, V<T> raw, V<T>* derivative) {
  if (scale == 0) {
    const T most = T(1e18);
    const V<T> r = minimum<T>(maximum<T>(raw, all<T>(-most)), all<T>(most));
    const V<T> share = T(1) / (T(1) + (r < T(0) ? -r : r) / limit);
    if (derivative) *derivative = (raw > -most) & (raw < most) ? share * share : V<T>{};
    return r * share;
  }
  if (scale == 1) {
    const V<T> t = hyperbolic_tangent<T>(raw);
    if (derivative) *derivative = limit * (T(1) - t * t);
    return limit * t;
  }
  const V<T> s = -softplus<T>(-(raw + T(2)), derivative);
  return raw == raw ? s : raw;
}

template <class T>
INLINE void affine_values(const Map& map, bool inverse, const T* in, const T* params, int64_t count, T* out,
                          T* log_slope) {
  for (int64_t i = 0; i < count; i += Vector<T>::lanes) {
    const V<T> x = load<T>(in + i), shift = load<T>(params + i);
    V<T> s = log_scale<T>(map.scale, T(map.limit), load<T>(params + count + i), nullptr);
    if (inverse) s = -s;
    const V<T> factor = exponential(s);
    const V<T> y = map.kind == 0 ? (inverse ? (x - shift) * factor : x * factor + shift)
                                 : (inverse ? x * factor - shift : (x + shift) * factor);
    store<T>(out + i, y);
    store<T>(log_slope + i, s);
  }
}

// Gradients by the inputs and the params of `n` elements, with `step` from param to param, given those by the values and
// the log-slopes; returns that by the limit of a log-scale limit * tanh.
template <class T>
INLINE T affine_gradients(const Map& map, bool inverse, const T* in, const T* params, int64_t step, const T* grad_out,
                          const T* grad_log, int64_t count, T* grad_in, T* grad_params) {
  V<T> by_limit{};
  for (int64_t i = 0; i < count; i += Vector<T>::lanes) {
    const int n = int(std::min<int64_t>(Vector<T>::lanes, count - i));
    const V<T> x = get<T>(in + i, n), shift = get<T>(params + i, n), raw = get<T>(params + step + i, n);
    const V<T> by_y = get<T>(grad_out + i, n), by_log = get<T>(grad_log + i, n);
    V<T> derivative;
    const V<T> s = log_scale<T>(map.scale, T(map.limit), raw, &derivative);
    const V<T> by_x = by_y * exponential(inverse ? -s : s);
    // The value is (x -+ shift) * factor or x * factor +- shift.
    const bool inside = (map.kind == 0) == inverse;
    const V<T> moved = inside ? (inverse ? x - shift : x + shift) : x;
    const V<T> by_shift = inside ? by_x : by_y;
    const V<T> by_s = by_x * moved + by_log;
    put<T>(grad_in + i, by_x, n);
    put<T>(grad_params + i, inverse ? -by_shift : by_shift, n);
    put<T>(grad_params + step + i, (inverse ? -by_s : by_s) * derivative, n);
    if (map.scale == 1) by_limit += (inverse ? -by_s : by_s) * hyperbolic_tangent<T>(raw);
  }
  T sum = 0;
  alignas(WIDTH) T lanes[Vector<T>::lanes];
  store<T>(lanes, by_limit);
  for (int j = 0; j < Vector<T>::lanes; ++j) sum += lanes[j];
  return sum;
}

}  // namespace
}  // namespace pushforward
