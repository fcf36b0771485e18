// The rational-quadratic spline on the unit square: values, log-slopes, and their derivatives by input and parameters.
#pragma once
#include <algorithm>
#include "interface.h"
#include "simd.h"

namespace pushforward {

constexpr int kMostBins = 64;

template <class T> struct Spline {
  int64_t bins, slopes;           // slopes: K - 1, K or K + 1 raw slopes at knots
  T low, high;                    // the interval in x and in y
  T min_width, min_height, min_slope, offset;  // offset: log(exp(1 - min_slope) - 1)
  int tails;                      // 0 linear, 1 box, 2 none: the caller has wrapped the input
};

template <class T> INLINE Spline<T> spline_of(const Options& o) {
  return {o.bins, o.slopes, T(o.low), T(o.high), T(o.min_width), T(o.min_height), T(o.min_slope), T(o.offset), int(o.tails)};
}

template <class T> INLINE V<T> get(const T* p, int n) { return n == Vector<T>::lanes ? load<T>(p) : load_some<T>(p, n); }
template <class T> INLINE void put(T* p, V<T> v, int n) { if (n == Vector<T>::lanes) store<T>(p, v); else store_some<T>(p, v, n); }

template <class T> INLINE void softmax(const T* p, int64_t step, int bins, int n, V<T>* part) {
  V<T> top = part[0] = get<T>(p, n);
  for (int k = 1; k < bins; ++k) { part[k] = get<T>(p + k * step, n); top = maximum<T>(top, part[k]); }
  V<T> sum{};
  for (int k = 0; k < bins; ++k) { part[k] = exponential(part[k] - top); sum += part[k]; }
  const V<T> scale = T(1) / sum;
  for (int k = 0; k < bins; ++k) part[k] *= scale;
}

// log(1 + exp(r)), and its derivative where that is wanted.
template <class T> INLINE V<T> softplus(V<T> r, V<T>* derivative) {
  const V<T> e = exponential(r < T(0) ? r : -r);  // in (0, 1]
  // max(r, 0) + log1p(e), and log1p by the quotient that keeps its digits.
  const V<T> u = T(1) + e;
  const V<T> d = u - T(1);
  const V<T> l = d == T(0) ? e : logarithm(u) * (e / (d == T(0) ? all<T>(T(1)) : d));
  if (derivative) *derivative = (r >= T(0) ? all<T>(T(1)) : e) / u;
  return maximum<T>(r, V<T>{}) + l;
}

template <class T> INLINE V<T> slope_of(V<T> raw, T offset, T least, V<T>* derivative) {
  const V<T> r = minimum<T>(raw, all<T>(T(1000))) + offset;
  const V<T> y = softplus<T>(r, derivative);
  if (derivative) *derivative = raw > T(1000) ? V<T>{} : *derivative;
  return y + least;
}

template <class T> struct Bin {
  V<T> index, before_x, before_y, part_x, part_y;  // sums before the bin, and its own part, of the two softmaxes
  V<T> left, width, bottom, height, first, last, slope_first, slope_last;  // slopes: derivatives of softplus
  V<T> xi, rest, both, above, total, steep;
};

template <class T>
INLINE void find(const Spline<T>& s, const T* p, int64_t step, int n, V<T> t, bool back, const V<T>* px, const V<T>* py, Bin<T>& b,
                 bool derivative) {
  const int bins = s.bins;
  const V<T>* own = back ? py : px;
  const T least = back ? s.min_height : s.min_width;
  const T share = T(1) - T(bins) * least;
  const V<T> key = t >= T(1) ? all<T>(T(INFINITY)) : t;
  V<T> sum{}, bx{}, by{}, qx = px[0], qy = py[0], index{};
  // The raw slopes at the two ends of the bin. Outer knots without a parameter have 0, which is a slope of 1.
  const T* knots = p + 2 * bins * step;
  const auto knot = [&](int k) {
    if (s.slopes == bins - 1) return k == 0 || k == bins ? V<T>{} : get<T>(knots + (k - 1) * step, n);
    return get<T>(knots + (s.slopes == bins && k == bins ? 0 : k) * step, n);
  };
  V<T> raw_first = knot(0), raw_last = knot(1), after = raw_last;
  for (int k = 1; k < bins; ++k) {
    sum += own[k - 1];
    const I<T> ended = key >= T(k) * least + share * sum;
    bx = ended ? bx + px[k - 1] : bx;
    by = ended ? by + py[k - 1] : by;
    qx = ended ? px[k] : qx;
    qy = ended ? py[k] : qy;
    index = ended ? all<T>(T(k)) : index;
    const V<T> begin = after;
    after = knot(k + 1);
    raw_first = ended ? begin : raw_first;
    raw_last = ended ? after : raw_last;
  }
  b.index = index; b.before_x = bx; b.before_y = by; b.part_x = qx; b.part_y = qy;
  const I<T> end = index == T(bins - 1);
  const T eps = sizeof(T) == 4 ? T(1.1920929e-7) : T(2.220446049250313e-16);
  const T sx = T(1) - T(bins) * s.min_width, sy = T(1) - T(bins) * s.min_height;
  b.left = minimum<T>(s.min_width * index + sx * bx, all<T>(T(1) - eps));
  b.width = end ? T(1) - b.left : s.min_width + sx * qx;
  b.bottom = minimum<T>(s.min_height * index + sy * by, all<T>(T(1) - eps));
  b.height = end ? T(1) - b.bottom : s.min_height + sy * qy;
  const V<T> ratio = b.width / b.height;
  b.first = slope_of<T>(raw_first, s.offset, s.min_slope, derivative ? &b.slope_first : nullptr) * ratio;
  b.last = slope_of<T>(raw_last, s.offset, s.min_slope, derivative ? &b.slope_last : nullptr) * ratio;
}

template <class T> INLINE V<T> unit(V<T> v) { return minimum<T>(maximum<T>(v, V<T>{}), all<T>(T(1))); }

template <class T> INLINE void place(Bin<T>& b, V<T> xi) {
  b.xi = xi; b.rest = T(1) - xi; b.both = xi * b.rest;
  b.above = xi * xi + b.first * b.both;
  b.total = b.above + b.rest * b.rest + b.last * b.both;
  b.steep = b.last * (xi * xi) + T(2) * b.both + b.first * (b.rest * b.rest);
}

template <class T> INLINE V<T> along(V<T> t, V<T> left, V<T> width) {
  const I<T> end = t >= T(1);
  return unit<T>((t - (end ? all<T>(T(1)) : left)) / width + (end ? all<T>(T(1)) : V<T>{}));
}

template <class T> INLINE V<T> solve(const Bin<T>& b, V<T> u) {
  const V<T> eta = along<T>(u, b.bottom, b.height), rest = T(1) - eta;
  const V<T> gap = b.first * rest - b.last * eta;
  const V<T> size = gap < T(0) ? -gap : gap;
  const V<T> root = size + square_root<T>(gap * gap + T(4) * eta * rest);
  const I<T> low = gap >= T(0);
  const V<T> xi = T(2) * (low ? eta : rest);
  return (low ? xi : root) / (xi + root);
}

template <class T, bool back>
static void values(const Spline<T>& s, const T* v, const T* params, int64_t step, int64_t begin, int64_t end, T* out,
                   T* log_slope) {
  V<T> px[kMostBins], py[kMostBins];
  const int lanes = Vector<T>::lanes;
  const T length = s.high - s.low;
  for (int64_t e = begin; e < end;) {
    const int n = int(std::min<int64_t>(lanes, end - e));
    const T* p = params + e;
    softmax<T>(p, step, s.bins, n, px);
    softmax<T>(p + s.bins * step, step, s.bins, n, py);
    const V<T> x = get<T>(v + e, n);
    V<T> t = unit<T>((x - s.low) / length);
    if (s.tails == 1) t = x >= s.high ? all<T>(T(1)) : t;
    Bin<T> b;
    find<T>(s, p, step, n, t, back, px, py, b, false);
    V<T> u, l;
    place<T>(b, back ? solve<T>(b, t) : along<T>(t, b.left, b.width));
    u = back ? b.left + b.width * b.xi : b.bottom + b.height * (b.above / b.total);
    l = logarithm(b.steep / (b.total * b.total) * (b.height / b.width));
    l = back ? -l : l;
    V<T> y = s.low + length * u;
    if (s.tails == 0) {
      const I<T> inside = (x < s.high) & (x > -s.high);
      y = inside ? y : x;
      l = inside ? l : V<T>{};
    } else if (s.tails == 1) {
      y = x >= s.high ? all<T>(s.high) : minimum<T>(maximum<T>(y, all<T>(s.low)), all<T>(s.high));
      l = (x < s.low) | (x > s.high) ? all<T>(-T(INFINITY)) : l;
    }
    y = x == x ? y : x;
    put<T>(out + e, y, n);
    put<T>(log_slope + e, l, n);
    e += n;
  }
}

// Gradients of `values`, recomputed from the inputs. In the inverse direction ``v`` is the input and ``out`` the value,
// whose derivatives are those of the implicit function.
template <class T, bool back>
static void gradients(const Spline<T>& s, const T* v, const T* params, int64_t step, const T* grad_out, const T* grad_log,
                      int64_t begin, int64_t end, T* grad_v, T* grad_params) {
  V<T> px[kMostBins], py[kMostBins];
  const int lanes = Vector<T>::lanes, bins = s.bins;
  const T length = s.high - s.low;
  const T sx = T(1) - T(bins) * s.min_width, sy = T(1) - T(bins) * s.min_height;
  const bool inner_knots = s.slopes == bins - 1, closed = s.slopes == bins;
  for (int64_t e = begin; e < end;) {
    const int n = int(std::min<int64_t>(lanes, end - e));
    const T* p = params + e;
    softmax<T>(p, step, bins, n, px);
    softmax<T>(p + bins * step, step, bins, n, py);
    const V<T> x = get<T>(v + e, n);
    const V<T> scaled = (x - s.low) / length;
    V<T> t = unit<T>(scaled);
    I<T> active = (scaled >= T(0)) & (scaled <= T(1));
    if (s.tails == 1) t = x >= s.high ? all<T>(T(1)) : t;
    const I<T> inside = s.tails == 0 ? (x < s.high) & (x > -s.high) : (x == x) | (x != x);
    Bin<T> b;
    find<T>(s, p, step, n, t, back, px, py, b, true);
    place<T>(b, back ? solve<T>(b, t) : along<T>(t, b.left, b.width));
    V<T> gu = get<T>(grad_out + e, n) * length, gl = get<T>(grad_log + e, n);
    const V<T> outside_gradient = get<T>(grad_out + e, n);
    if (s.tails == 0) { gu = inside ? gu : V<T>{}; gl = inside ? gl : V<T>{}; }
    if (s.tails == 1) gl = (x < s.low) | (x > s.high) ? V<T>{} : gl;
    const V<T> xi = b.xi, r = b.rest, both = b.both, A = b.above, Q = b.total, S = b.steep;
    const V<T> turn = T(1) - T(2) * xi;
    const V<T> A1 = T(2) * xi + b.first * turn, Q1 = A1 - T(2) * r + b.last * turn;
    const V<T> S1 = T(2) * (b.last * xi + turn - b.first * r);
    const V<T> one_Q = T(1) / Q, one_S = T(1) / S;
    const V<T> slope_xi = b.height * S * one_Q * one_Q;  // du / dxi
    const V<T> log_xi = S1 * one_S - T(2) * Q1 * one_Q;  // of the log-slope
    V<T> gy = gu, gL = gl, implicit{};
    if (back) {
      gL = -gl;
      implicit = (gu * b.width + gL * log_xi) / slope_xi;  // the gradient by the input of the inverse
      gy = -implicit;
    }
    const V<T> gxi = back ? V<T>{} : gy * slope_xi + gL * log_xi;
    const V<T> q = A * one_Q;
    const V<T> hy = gy * b.height * both * one_Q;
    V<T> gf = hy * (T(1) - q) + gL * (r * r * one_S - T(2) * both * one_Q);
    V<T> gg = -hy * q + gL * (xi * xi * one_S - T(2) * both * one_Q);
    V<T> gbottom = gy, gh = gy * q + gL / b.height, gw = -gL / b.width, gleft{};
    // What the value in x depends on: xi at a fixed t, or t = left + width xi at a fixed u.
    if (back) {
      // gxi vanishes: the implicit gradient holds u; left and width enter the result directly.
      gleft = gu;
      gw += gu * xi;
      // As in the forward direction, the end of the interval is where it is, whatever the rounding of the sums.
      const I<T> top = t >= T(1);
      gbottom = top ? V<T>{} : gbottom;
      gh = top ? gL / b.height : gh;
    } else {
      const I<T> top = t >= T(1);
      const V<T> by_width = gxi / b.width;
      gleft = top ? V<T>{} : -by_width;
      gw += top ? V<T>{} : -by_width * xi;
    }
    const V<T> scaling = gf * b.first + gg * b.last;
    gw += scaling / b.width;
    gh -= scaling / b.height;
    const V<T> ratio = b.width / b.height;
    gf *= ratio * b.slope_first;
    gg *= ratio * b.slope_last;
    V<T> gx = back ? implicit / length : gxi / b.width / length;
    gx = active ? gx : V<T>{};
    if (s.tails == 0) gx = inside ? gx : outside_gradient;
    put<T>(grad_v + e, gx, n);
    // Softmax: the gradient less its mean, times the softmax.
    const V<T> bx = sx * gleft, qx = sx * gw, by = sy * gbottom, qy = sy * gh;
    const V<T> mx = bx * b.before_x + qx * b.part_x, my = by * b.before_y + qy * b.part_y;
    T* g = grad_params + e;
    for (int k = 0; k < bins; ++k) {
      const I<T> is = b.index == T(k), ended = b.index > T(k);
      put<T>(g + k * step, px[k] * ((is ? qx : (ended ? bx : V<T>{})) - mx), n);
      put<T>(g + (bins + k) * step, py[k] * ((is ? qy : (ended ? by : V<T>{})) - my), n);
    }
    T* knots = g + 2 * bins * step;
    for (int k = 0; k < s.slopes; ++k) {
      const int knot = inner_knots ? k + 1 : k;
      const I<T> begins = b.index == T(knot);
      const I<T> ends = closed && knot == 0 ? b.index == T(bins - 1) : b.index == T(knot - 1);
      put<T>(knots + k * step, (begins ? gf : V<T>{}) + (ends ? gg : V<T>{}), n);
    }
    e += n;
  }
}

}  // namespace pushforward
