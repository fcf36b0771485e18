// The plain C interface of the library, and what the kernels of one set of instructions offer.
#pragma once
#include <cstdint>

extern "C" {

// A rational-quadratic spline. slopes: number of raw slopes at knots, K - 1 (the outer ones are 1), K (a circle) or
// K + 1. offset: log(exp(1 - min_slope) - 1). tails: 0 the identity outside [-high, high]; 1 none, and outside the
// interval the log-slope is -inf; 2 none, the input lies in the interval.
struct pushforward_spline_options {
  int64_t bins, slopes, tails;
  double low, high, min_width, min_height, min_slope, offset;
};

// Arrays of `count` elements; parameter p of element i lies at p * step + i.
struct pushforward_spline_arrays {
  const void *values, *params, *grad_out, *grad_log_slope;
  void *out, *log_slope, *grad_params;
  int64_t count, step;
};

// One dense layer. weight: (outputs, inputs), and bias: (outputs), contiguous. skip: the layer before is as wide and is
// added to the result. inputs_kept: (inputs, kept_rows), the inputs of the layer after their activation; null where no
// gradient is wanted. grad_weight and grad_bias: null where only that by x is wanted. reach: for each output the number of
// its inputs, all further weights are 0; it does not decrease. order: the outputs in the order of reach, of the last layer
// alone. Both may be null: all inputs, and the order as it is. Kernels get the weight and the bias in this order already.
struct pushforward_layer {
  const void *weight, *bias;
  const int64_t *order, *reach;
  void *inputs_kept, *grad_weight, *grad_bias;
  int64_t outputs, inputs, skip;
};

// A net of dense layers with a ReLU between them. Input u of row r lies at u * unit_step + r * row_step, and is clamped
// to [-limit, limit]; so does the gradient by output u of row r, with steps of its own. out: (outputs of the last layer,
// rows). grad_x: (inputs, rows), or null. by_weights: whether gradients by weights and biases are wanted. kept_rows: the
// rows, rounded up to a multiple of 16.
struct pushforward_net {
  const void *x, *grad_out;
  void *out, *grad_x;
  int64_t unit_step, row_step, grad_unit_step, grad_row_step, rows, kept_rows, layers, by_weights;
  double limit;
};

}

namespace pushforward {

using Options = pushforward_spline_options;
using Arrays = pushforward_spline_arrays;
using Run = void (*)(const Options&, const Arrays&, int64_t begin, int64_t end);
using Layer = pushforward_layer;
using Net = pushforward_net;
using RunNet = void (*)(const Net&, const Layer*, int64_t begin, int64_t end);

// The first index is 1 for double precision.
struct Kernels {
  Run values[2][2], gradients[2][2];  // [..][inverse]
  RunNet net[2];
  // For rows begin to end; gradients by weights are those of these rows alone.
  RunNet net_gradients[2];
  int64_t rows_at_once[2];
};

namespace portable { extern const Kernels kernels; }
#if defined(__x86_64__)
namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }
#endif

}  // namespace pushforward
