// Coupling and autoregressive layers: a net and the map whose params it gives, for a few rows that are in the cache.
#pragma once
#include "affine.h"
#include "net.h"
#include "spline.h"

namespace pushforward {
namespace {

// The map of `count` elements, a multiple of the lanes of a vector; parameter p of element i lies at p * count + i.
template <class T>
INLINE void map_values(const Map& map, bool inverse, const T* values_in, const T* params, int64_t count, T* out,
                       T* log_slope) {
  if (map.kind != 2) {
    affine_values<T>(map, inverse, values_in, params, count, out, log_slope);
  } else if (inverse) {
    values<T, true>(spline_of<T>(*map.spline), values_in, params, count, 0, count, out, log_slope);
  } else {
    values<T, false>(spline_of<T>(*map.spline), values_in, params, count, 0, count, out, log_slope);
  }
}

// `n` rows of a coordinate at `place` among whole vectors.
template <class T, int vectors>
INLINE void take_coordinate(const Conditioned& rows, int64_t coordinate, int64_t first, int64_t n, T* to) {
  V<T> values[vectors];
  const T* from = (const T*)rows.values + coordinate * rows.unit_step + first * rows.row_step;
  gather_rows<T, vectors>(from, rows.row_step, n, values);
  store_rows<T, vectors>(to, values);
}

template <class T, int vectors> INLINE void add_rows(V<T> (&sums)[vectors], const T* from) {
#pragma GCC unroll 4
  for (int j = 0; j < vectors; ++j) sums[j] += load<T>(from + j * Vector<T>::lanes);
}

template <class T, int vectors>
static void conditioned_rows(const Net& net, const Layer* layers, const Map& map, const Conditioned& rows,
                             int64_t widest, T* memory, int64_t first, int64_t n) {
  constexpr int64_t width = vectors * Vector<T>::lanes;
  const int64_t count = rows.changed_count * width;
  T *params = memory + 3 * widest * width, *in = params + layers[net.layers - 1].outputs * width, *out = in + count,
    *log_slope = out + count;
  T* kept = rows.params ? (T*)rows.params + first : nullptr;
  const int64_t kept_rows = net.kept_rows;
  forward_rows<T, vectors>(net, layers, widest, memory, first, n, [=](int64_t output, V<T> (&values)[vectors])
                                                                      __attribute__((always_inline)) {
    store_rows<T, vectors>(params + output * width, values);
    if (kept) store_rows<T, vectors>(kept + output * kept_rows, values);
  });
  for (int64_t k = 0; k < rows.changed_count; ++k)
    take_coordinate<T, vectors>(rows, rows.changed[k], first, n, in + k * width);
  map_values<T>(map, rows.inverse, in, params, count, out, log_slope);
  V<T> sums[vectors] = {};
  for (int64_t k = 0; k < rows.changed_count; ++k) add_rows<T, vectors>(sums, log_slope + k * width);
  put_rows<T, vectors>((T*)rows.log_term + first, sums, n);
  for (int64_t r = 0; r < n; ++r) {
    const T* from = (const T*)rows.values + (first + r) * rows.row_step;
    T* to = (T*)rows.out + (first + r) * rows.features;
    if (rows.changed_count < rows.features)
      for (int64_t i = 0; i < rows.features; ++i) to[i] = from[i * rows.unit_step];
    for (int64_t k = 0; k < rows.changed_count; ++k) to[rows.changed[k]] = out[k * width + r];
  }
}

template <class T>
static void conditioned(const Net& net, const Layer* layers, const Map& map, const Conditioned& rows, int64_t begin,
                        int64_t end) {
  const int64_t most = widest(net, layers);
  T* memory = scratch<T>((3 * most + layers[net.layers - 1].outputs + 3 * rows.changed_count) * rows_at_once<T>());
  in_rows<T>(begin, end, [&](auto vectors, int64_t r, int64_t n) {
    conditioned_rows<T, vectors>(net, layers, map, rows, most, memory, r, n);
  });
}

// Gradients by values and params, given those by the values and the log terms of `conditioned`.
template <class T>
static void map_gradients(const Net& net, const Map& map, const Conditioned& rows, int64_t begin, int64_t end,
                          void* grad_limit) {
  const int64_t n = end - begin, features = rows.features, step = rows.changed_count * net.kept_rows;
  T *in = scratch<T>(3 * n), *grad_out = in + n, *grad_in = grad_out + n;
  const T *by_rows = (const T*)rows.grad_out + begin * features, *grad_log = (const T*)rows.grad_log_term + begin;
  T *to = (T*)rows.grad_values + begin * features, by_limit = 0;
  if (rows.changed_count < features) std::copy(by_rows, by_rows + n * features, to);
  for (int64_t k = 0; k < rows.changed_count; ++k) {
    const int64_t coordinate = rows.changed[k], place = k * net.kept_rows + begin;
    const T* params = (const T*)rows.params + place;
    T* grad_params = (T*)rows.grad_params + place;
    for (int64_t r = 0; r < n; ++r) {
      in[r] = ((const T*)rows.values)[coordinate * rows.unit_step + (begin + r) * rows.row_step];
      grad_out[r] = by_rows[r * features + coordinate];
    }
    if (map.kind != 2) {
      by_limit += affine_gradients<T>(map, rows.inverse, in, params, step, grad_out, grad_log, n, grad_in, grad_params);
    } else if (rows.inverse) {
      gradients<T, true>(spline_of<T>(*map.spline), in, params, step, grad_out, grad_log, 0, n, grad_in, grad_params);
    } else {
      gradients<T, false>(spline_of<T>(*map.spline), in, params, step, grad_out, grad_log, 0, n, grad_in, grad_params);
    }
    for (int64_t r = 0; r < n; ++r) to[r * features + coordinate] = grad_in[r];
  }
  *(T*)grad_limit = by_limit;
}

// The params of one coordinate, (params, rows at once), from the units of the last hidden layer that are known.
template <class T, int units, int vectors>
INLINE void coordinate_tiles(const Layer& last, int64_t features, int64_t coordinate, const T* in, int64_t known,
                             int64_t& p, T* to) {
  constexpr int64_t width = vectors * Vector<T>::lanes;
  const T* bias = (const T*)last.bias;
  for (; (p + units) * features <= last.outputs; p += units) {
    const int64_t place = p * features + coordinate;
    V<T> sums[units][vectors];
#pragma GCC unroll 16
    for (int m = 0; m < units; ++m)
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) sums[m][j] = all<T>(bias[place + m * features]);
    product<T, units, vectors>((const T*)last.weight + place * last.inputs, features * last.inputs, 1, in, known, sums);
#pragma GCC unroll 16
    for (int m = 0; m < units; ++m) store_rows<T, vectors>(to + (p + m) * width, sums[m]);
  }
}

// The inverse of an autoregressive layer, stage by stage: each unit is computed once, when all that it needs is known.
template <class T, int vectors>
static void staged_rows(const Net& net, const Layer* layers, const Map& map, const Conditioned& rows,
                        const Stages& stages, T* memory, int64_t first, int64_t n) {
  constexpr int lanes = Vector<T>::lanes;
  constexpr int64_t width = vectors * lanes;
  const int64_t hidden = net.layers - 1;
  const Layer& last = layers[hidden];
  T *coordinates = memory, *units = coordinates + rows.features * width, *params = units;
  for (int64_t i = 0; i < hidden; ++i) params += 2 * layers[i].outputs * width;
  T *in = params + last.outputs / rows.features * width, *out = in + width, *log_slope = out + width;
  // Weights of coordinates that are not known yet are 0, so that any number may stand for these.
  std::fill(coordinates, units, T(0));
  V<T> log_term[vectors] = {};
  for (int64_t d = 0; d < stages.count; ++d) {
    T *active = coordinates, *sums = nullptr, *next = units;
    for (int64_t i = 0; i < hidden; ++i) {
      const Layer& layer = layers[i];
      const int64_t* known = stages.known + i * stages.count;
      T *own_sums = next, *own_active = next + layer.outputs * width;
      results_of<T, vectors>(layer, active, d ? known[d - 1] : 0, known[d], [=](int64_t u, V<T> (&values)[vectors])
                                                                             __attribute__((always_inline)) {
        if (layer.skip) add_rows<T, vectors>(values, sums + u * width);
        store_rows<T, vectors>(own_sums + u * width, values);
#pragma GCC unroll 4
        for (int j = 0; j < vectors; ++j) values[j] = maximum<T>(values[j], V<T>{});
        store_rows<T, vectors>(own_active + u * width, values);
      });
      sums = own_sums;
      active = own_active;
      next += 2 * layer.outputs * width;
    }
    const int64_t known = stages.known[(hidden - 1) * stages.count + d];
    for (int64_t at = stages.sizes[d]; at < stages.sizes[d + 1]; ++at) {
      const int64_t coordinate = stages.order[at];
      int64_t p = 0;
      coordinate_tiles<T, kUnits, vectors>(last, rows.features, coordinate, active, known, p, params);
      coordinate_tiles<T, 2, vectors>(last, rows.features, coordinate, active, known, p, params);
      coordinate_tiles<T, 1, vectors>(last, rows.features, coordinate, active, known, p, params);
      take_coordinate<T, vectors>(rows, coordinate, first, n, in);
      map_values<T>(map, true, in, params, width, out, log_slope);
      add_rows<T, vectors>(log_term, log_slope);
      for (int64_t r = 0; r < n; ++r) ((T*)rows.out)[(first + r) * rows.features + coordinate] = out[r];
      V<T> values[vectors];
      load_rows<T, vectors>(out, values);
      clamp<T, vectors>(values, T(net.limit));
      store_rows<T, vectors>(coordinates + coordinate * width, values);
    }
  }
  put_rows<T, vectors>((T*)rows.log_term + first, log_term, n);
}

template <class T>
static void staged(const Net& net, const Layer* layers, const Map& map, const Conditioned& rows, const Stages& stages,
                   int64_t begin, int64_t end) {
  int64_t units = rows.features + layers[net.layers - 1].outputs / rows.features + 3;
  for (int64_t i = 0; i + 1 < net.layers; ++i) units += 2 * layers[i].outputs;
  T* memory = scratch<T>(units * rows_at_once<T>());
  in_rows<T>(begin, end, [&](auto vectors, int64_t r, int64_t n) {
    staged_rows<T, vectors>(net, layers, map, rows, stages, memory, r, n);
  });
}

}  // namespace
}  // namespace pushforward
