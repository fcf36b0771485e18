// Maps that are the logit of a mixture of logistic distribution functions: values, inverses by Newton's method inside a
// bracket, and derivatives.
//
// With P = sum_k w_k s_k and Q = sum_k w_k c_k, where s_k = sigmoid(u_k) and c_k = sigmoid(-u_k), the value is log(P / Q)
// and the slope D (P + Q) / (P Q) with D = sum_k w_k rate_k s_k c_k: sums of positive numbers, in which the scale of w
// does not matter. Where a sum is too small for its dtype, sums relative to the largest term replace it.
#pragma once
#include "mixture_interface.h"
#include "simd.h"
#include "spline.h"

namespace pushforward {

constexpr int kMostComponents = 64;

template <class T> INLINE bool any(I<T> mask) {
  typename Types<T>::Int found = 0;
  for (int i = 0; i < Vector<T>::lanes; ++i) found |= mask[i];
  return found != 0;
}
template <class T> INLINE V<T> magnitude(V<T> v) { return v < T(0) ? -v : v; }
template <class T> INLINE I<T> is_infinite(V<T> v) { return magnitude<T>(v) == T(INFINITY); }
template <class T> static constexpr T precision() { return sizeof(T) == 4 ? T(1.1920929e-7) : T(2.220446049250313e-16); }
template <class T> static constexpr T too_small() { return sizeof(T) == 4 ? T(1e-25) : T(1e-290); }

// raw / (1 + |raw| / limit), and its derivative.
template <class T> INLINE V<T> soft_clamp(V<T> raw, T limit, V<T>* derivative) {
  raw = minimum<T>(maximum<T>(raw, all<T>(T(-1e18))), all<T>(T(1e18)));
  const V<T> part = T(1) / (T(1) + magnitude<T>(raw) / limit);
  if (derivative) *derivative = part * part;
  return raw * part;
}

// The mixture of one vector of elements. u_k is (x - at_k) rate_k, or rate_k x + at_k for units.
template <class T> struct Components {
  int count;
  V<T> log_weight[kMostComponents], weight[kMostComponents];  // less the largest logit
  V<T> rate[kMostComponents], log_rate[kMostComponents], at[kMostComponents];
  V<T> rate_by_raw[kMostComponents];  // of log_rate for means and scales, of the rate for units
  V<T> a, size, b, a_by_raw;          // size = exp(a)
};

template <class T, bool shared> INLINE V<T> parameter(const T* p, int64_t step, int k, int n) {
  return shared ? all<T>(p[k * step]) : get<T>(p + k * step, n);
}

template <class T, bool shared>
static void prepare(const Mixture& m, const T* p, int n, Components<T>& c) {
  const int count = c.count = int(m.components);
  V<T> top = parameter<T, shared>(p, m.step, 0, n);
  for (int k = 0; k < count; ++k) top = maximum<T>(top, c.log_weight[k] = parameter<T, shared>(p, m.step, k, n));
  for (int k = 0; k < count; ++k) {
    c.log_weight[k] -= top;
    c.weight[k] = exponential(c.log_weight[k]);
    const V<T> first = parameter<T, shared>(p, m.step, count + k, n), second = parameter<T, shared>(p, m.step, 2 * count + k, n);
    if (m.units) {
      const V<T> r = first + T(m.shift), e = exponential(-magnitude<T>(r)), u = T(1) + e, d = u - T(1);
      // log1p(e) by the quotient that keeps its digits.
      const V<T> log1p = d == T(0) ? e : logarithm(u) * (e / (d == T(0) ? all<T>(T(1)) : d));
      c.rate[k] = maximum<T>(r, V<T>{}) + log1p + T(m.least);
      c.log_rate[k] = logarithm(c.rate[k]);
      c.rate_by_raw[k] = (r >= T(0) ? all<T>(T(1)) : e) / u;
      c.at[k] = second;
    } else {
      c.at[k] = first;
      c.log_rate[k] = -soft_clamp<T>(second, T(m.limit), &c.rate_by_raw[k]);
      c.rate_by_raw[k] = -c.rate_by_raw[k];
      c.rate[k] = exponential(c.log_rate[k]);
    }
  }
  c.a = c.b = c.a_by_raw = V<T>{};
  c.size = all<T>(T(1));
  if (m.affine) {
    c.a = soft_clamp<T>(parameter<T, shared>(p, m.step, 3 * count, n), T(m.limit), &c.a_by_raw);
    c.size = exponential(c.a);
    c.b = parameter<T, shared>(p, m.step, 3 * count + 1, n);
  }
}

template <class T, bool units> INLINE V<T> argument(const Components<T>& c, int k, V<T> x) {
  return units ? c.rate[k] * x + c.at[k] : (x - c.at[k]) * c.rate[k];
}

// sigmoid(u) and sigmoid(-u).
template <class T> INLINE void sigmoids(V<T> u, V<T>& s, V<T>& c) {
  const V<T> e = exponential(-magnitude<T>(u)), large = T(1) / (T(1) + e), small = e * large;
  s = u >= T(0) ? large : small;
  c = u >= T(0) ? small : large;
}

// bend: the derivative of log_slope.
template <class T> struct Point { V<T> value, slope, log_slope, bend; };

// Of each component its fraction of P, of Q and of D.
template <class T> struct Fractions { V<T> p[kMostComponents], q[kMostComponents], d[kMostComponents]; };

// The same by sums relative to their largest terms, for elements anywhere.
template <class T, bool units>
static void far_point(const Components<T>& c, V<T> x, Point<T>& point, Fractions<T>* f) {
  V<T> most_p = all<T>(T(-INFINITY)), most_q = most_p, most = most_p, p{}, q{}, total{};
  const auto logs = [&](int k, V<T>& below, V<T>& above, V<T>& s, V<T>& o) {
    const V<T> u = argument<T, units>(c, k, x);
    s = minimum<T>(u, V<T>{});
    o = minimum<T>(-u, V<T>{});
    below = c.log_weight[k] + s;
    above = c.log_weight[k] + o;
    return T(1) / (T(1) + exponential(s + o));
  };
  V<T> below, above, s, o;
  for (int k = 0; k < c.count; ++k) {
    logs(k, below, above, s, o);
    most_p = maximum<T>(most_p, below);
    most_q = maximum<T>(most_q, above);
  }
  for (int k = 0; k < c.count; ++k) {
    const V<T> part = logs(k, below, above, s, o);
    below -= most_p;
    above -= most_q;
    p += exponential(below) * part;
    q += exponential(above) * part;
    most = maximum<T>(maximum<T>(most, below + o + c.log_rate[k]), above + s + c.log_rate[k]);
  }
  const V<T> one_p = T(1) / p, one_q = T(1) / q;
  for (int k = 0; k < c.count; ++k) {
    const V<T> part = logs(k, below, above, s, o);
    below -= most_p;
    above -= most_q;
    const V<T> d = part * part * (exponential(below + o + c.log_rate[k] - most) * one_p + exponential(above + s + c.log_rate[k] - most) * one_q);
    total += d;
    if (f) {
      f->p[k] = exponential(below) * part * one_p;
      f->q[k] = exponential(above) * part * one_q;
      f->d[k] = d;
    }
  }
  for (int k = 0; f && k < c.count; ++k) f->d[k] /= total;
  point.value = (most_p - most_q) + logarithm(p * one_q);
  point.value = is_infinite<T>(x) ? x : point.value;
  point.log_slope = most + logarithm(total);
  point.slope = exponential(point.log_slope);
  point.bend = V<T>{};
}

template <class T, bool units>
INLINE void evaluate(const Components<T>& c, V<T> x, Point<T>& point) {
  V<T> p{}, q{}, d{}, d_rate{};
  for (int k = 0; k < c.count; ++k) {
    V<T> s, o;
    sigmoids<T>(argument<T, units>(c, k, x), s, o);
    p += c.weight[k] * s;
    q += c.weight[k] * o;
    const V<T> both = c.weight[k] * c.rate[k] * (s * o);
    d += both;
    d_rate += both * c.rate[k] * (o - s);
  }
  const I<T> near = (p > too_small<T>()) & (q > too_small<T>()) & (d > too_small<T>());
  const V<T> one = all<T>(T(1)), total = p + q, both = near ? p * q : one;
  point.value = logarithm(near ? p / q : one);
  point.slope = near ? d * total / both : one;
  point.log_slope = logarithm(point.slope);
  point.bend = near ? d_rate / d + point.slope * ((p - q) / total) : V<T>{};
  if (any<T>(~near)) {
    Point<T> far;
    far_point<T, units>(c, x, far, nullptr);
    point.value = near ? point.value : far.value;
    point.slope = near ? point.slope : far.slope;
    point.log_slope = near ? point.log_slope : far.log_slope;
  }
}

template <class T, bool shared, bool units>
static void mixture_values(const Mixture& m, int64_t begin, int64_t end) {
  const int lanes = Vector<T>::lanes;
  const T *v = (const T*)m.values, *params = (const T*)m.params + begin / m.group;
  Components<T> c;
  if (shared) prepare<T, true>(m, params, lanes, c);
  for (int64_t e = begin; e < end;) {
    const int n = int(std::min<int64_t>(lanes, end - e));
    if (!shared) prepare<T, false>(m, params + (e - begin), n, c);
    Point<T> at;
    evaluate<T, units>(c, get<T>(v + e, n), at);
    put<T>((T*)m.out + e, at.value * c.size + c.b, n);
    put<T>((T*)m.log_slope + e, at.log_slope + c.a, n);
    e += n;
  }
}

// More than bisection takes from any bracket.
constexpr int kMostSteps = 200;

// The root lies between the arguments at which single components have the value t: a mean of sigmoids is between them.
// Halley's steps inside the bracket, with bisection where they do not shrink, as in the Python of numeric inverses.
template <class T, bool units> static V<T> root(const Components<T>& c, V<T> t, Point<T>& at, I<T>& failed) {
  const T eps = precision<T>(), tiny = sizeof(T) == 4 ? T(7.0e-5) : T(4.0e-10);  // eps to the power of 0.6
  V<T> low = all<T>(T(INFINITY)), high = -low, mean{}, sum{}, extent{};
  I<T> known = t == t;
  for (int k = 0; k < c.count; ++k) {
    const V<T> scaled = units ? (t - c.at[k]) / c.rate[k] : t / c.rate[k], alone = units ? scaled : c.at[k] + scaled;
    low = minimum<T>(low, alone);
    high = maximum<T>(high, alone);
    extent = maximum<T>(extent, magnitude<T>(scaled) + magnitude<T>(c.at[k] / (units ? c.rate[k] : all<T>(T(1)))));
    mean += c.weight[k] * alone;
    sum += c.weight[k];
    known = known & (c.weight[k] == c.weight[k]) & (c.rate[k] == c.rate[k]) & (c.at[k] == c.at[k]);
  }
  low -= T(8) * eps * extent;
  high += T(8) * eps * extent;
  V<T> x = minimum<T>(maximum<T>(mean / sum, low), high), last = high - low;
  I<T> active = t == t;
  for (int i = 0; i < kMostSteps && any<T>(active); ++i) {
    evaluate<T, units>(c, x, at);
    const V<T> residual = at.value - t;
    low = residual <= T(0) ? x : low;
    high = residual >= T(0) ? x : high;
    const V<T> newton = residual / at.slope, curved = T(1) - T(0.5) * newton * at.bend;
    V<T> moved = x - newton / minimum<T>(maximum<T>(curved, all<T>(T(0.5))), all<T>(T(2)));
    const I<T> inside = (moved >= low) & (moved <= high);
    moved = moved < low ? low : (moved > high ? high : moved);
    const V<T> stride = magnitude<T>(moved - x);
    const I<T> near = stride <= tiny * (magnitude<T>(x) + T(0.01)), useful = near | (inside & (T(2) * stride <= last));
    moved = useful ? moved : low + (high - low) * T(0.5);
    moved = residual == T(0) ? x : moved;
    const V<T> length = magnitude<T>(moved - x);
    const I<T> small = near | (length <= T(2) * eps * (magnitude<T>(x) + T(5e-4)));
    x = active ? moved : x;
    last = active ? length : last;
    active = active & ~small & (at.value == at.value);
  }
  evaluate<T, units>(c, x, at);
  const T root_eps = sizeof(T) == 4 ? T(3.4526698e-4) : T(1.4901161e-8);
  const V<T> explained = root_eps * (T(1) + magnitude<T>(t)) + T(16) * eps * magnitude<T>(x) * at.slope;
  // A NaN of the parameters gives NaN; without one it is a root beyond the largest number.
  failed = (active | (at.value != at.value) | (magnitude<T>(at.value - t) > explained)) & known;
  return x;
}

template <class T, bool shared, bool units>
static void mixture_inverse(const Mixture& m, int64_t begin, int64_t end) {
  const int lanes = Vector<T>::lanes;
  const T *v = (const T*)m.values, *params = (const T*)m.params + begin / m.group;
  Components<T> c;
  if (shared) prepare<T, true>(m, params, lanes, c);
  for (int64_t e = begin; e < end;) {
    const int n = int(std::min<int64_t>(lanes, end - e));
    if (!shared) prepare<T, false>(m, params + (e - begin), n, c);
    const V<T> y = get<T>(v + e, n);
    const I<T> infinite = is_infinite<T>(y);
    Point<T> at;
    I<T> failed;
    V<T> x = root<T, units>(c, infinite ? V<T>{} : (y - c.b) * exponential(-c.a), at, failed);
    failed = failed & ~infinite;
    const I<T> broken = failed | (at.value != at.value) | (y != y);
    const V<T> none = all<T>(T(NAN));
    put<T>((T*)m.out + e, infinite ? y : (broken ? none : x), n);
    put<T>((T*)m.log_slope + e, infinite | broken ? none : -(at.log_slope + c.a), n);
    for (int i = 0; i < n; ++i)
      if (failed[i]) __atomic_store_n(m.failed, int64_t(1), __ATOMIC_RELAXED);
    e += n;
  }
}

template <class T, bool units>
INLINE void fractions(const Components<T>& c, V<T> x, Point<T>& at, Fractions<T>& f, V<T>* s, V<T>* o) {
  V<T> p{}, q{}, d{};
  for (int k = 0; k < c.count; ++k) {
    sigmoids<T>(argument<T, units>(c, k, x), s[k], o[k]);
    p += f.p[k] = c.weight[k] * s[k];
    q += f.q[k] = c.weight[k] * o[k];
    d += f.d[k] = f.p[k] * o[k] * c.rate[k];
  }
  const I<T> near = (p > too_small<T>()) & (q > too_small<T>()) & (d > too_small<T>());
  const V<T> one_p = T(1) / p, one_q = T(1) / q, one_d = T(1) / d;
  at.value = logarithm(near ? p * one_q : all<T>(T(1)));
  const bool some_far = any<T>(~near);
  Fractions<T> far;
  if (some_far) {
    Point<T> point;
    far_point<T, units>(c, x, point, &far);
    at.value = near ? at.value : point.value;
  }
  for (int k = 0; k < c.count; ++k) {
    f.p[k] *= one_p;
    f.q[k] *= one_q;
    f.d[k] *= one_d;
    if (some_far) {
      f.p[k] = near ? f.p[k] : far.p[k];
      f.q[k] = near ? f.q[k] : far.q[k];
      f.d[k] = near ? f.d[k] : far.d[k];
    }
  }
}

template <class T, bool shared, bool units>
static void mixture_gradients(const Mixture& m, int64_t begin, int64_t end, T* sums) {
  const int lanes = Vector<T>::lanes, count = int(m.components), all_params = 3 * count + (m.affine ? 2 : 0);
  const T *v = (const T*)m.values, *params = (const T*)m.params + begin / m.group;
  Components<T> c;
  Fractions<T> f;
  V<T> s[kMostComponents], o[kMostComponents], total[3 * kMostComponents + 2] = {};
  if (shared) prepare<T, true>(m, params, lanes, c);
  for (int64_t e = begin; e < end;) {
    const int n = int(std::min<int64_t>(lanes, end - e));
    if (!shared) prepare<T, false>(m, params + (e - begin), n, c);
    const V<T> x = get<T>(v + e, n), grad_y = get<T>((const T*)m.grad_out + e, n), grad_l = get<T>((const T*)m.grad_log_slope + e, n);
    Point<T> at;
    fractions<T, units>(c, x, at, f, s, o);
    const V<T> grad_v = grad_y * c.size;
    V<T> sum{};
    for (int k = 0; k < count; ++k) sum += c.weight[k];
    const V<T> one_sum = T(1) / sum;
    const auto give = [&](int p, V<T> gradient) {
      if (shared)
        total[p] += gradient;
      else
        put<T>((T*)m.grad_params + (e + p * m.step), gradient, n);
    };
    V<T> grad_x{};
    for (int k = 0; k < count; ++k) {
      const V<T> po = f.p[k] * o[k], qs = f.q[k] * s[k], d = f.d[k];
      const V<T> grad_u = grad_v * (po + qs) + grad_l * (d * (o[k] - s[k]) + (qs - po));
      grad_x += c.rate[k] * grad_u;
      give(k, grad_v * (f.p[k] - f.q[k]) + grad_l * (d - f.p[k] - f.q[k] + c.weight[k] * one_sum));
      if (units) {
        give(count + k, (grad_u * x + grad_l * d / c.rate[k]) * c.rate_by_raw[k]);
        give(2 * count + k, grad_u);
      } else {
        give(count + k, -c.rate[k] * grad_u);
        give(2 * count + k, (grad_u * argument<T, false>(c, k, x) + grad_l * d) * c.rate_by_raw[k]);
      }
    }
    if (m.affine) {
      give(3 * count, (grad_v * at.value + grad_l) * c.a_by_raw);
      give(3 * count + 1, grad_y);
    }
    put<T>((T*)m.out + e, grad_x, n);
    e += n;
  }
  for (int p = 0; shared && p < all_params; ++p) {
    T added = 0;
    for (int i = 0; i < lanes; ++i) added += total[p][i];
    sums[p] = added;
  }
}

template <class T, bool shared> static void run_mixture(const Mixture& m, int64_t begin, int64_t end, void*) {
  m.units ? mixture_values<T, shared, true>(m, begin, end) : mixture_values<T, shared, false>(m, begin, end);
}

template <class T, bool shared> static void run_mixture_inverse(const Mixture& m, int64_t begin, int64_t end, void*) {
  m.units ? mixture_inverse<T, shared, true>(m, begin, end) : mixture_inverse<T, shared, false>(m, begin, end);
}

template <class T, bool shared> static void run_mixture_gradients(const Mixture& m, int64_t begin, int64_t end, void* sums) {
  m.units ? mixture_gradients<T, shared, true>(m, begin, end, (T*)sums)
          : mixture_gradients<T, shared, false>(m, begin, end, (T*)sums);
}

constexpr MixtureKernels mixture_kernels = {
    {{run_mixture<float, false>, run_mixture<float, true>}, {run_mixture<double, false>, run_mixture<double, true>}},
    {{run_mixture_inverse<float, false>, run_mixture_inverse<float, true>},
     {run_mixture_inverse<double, false>, run_mixture_inverse<double, true>}},
    {{run_mixture_gradients<float, false>, run_mixture_gradients<float, true>},
     {run_mixture_gradients<double, false>, run_mixture_gradients<double, true>}}};

}  // namespace pushforward
