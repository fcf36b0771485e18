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

}

namespace pushforward {

using Options = pushforward_spline_options;
using Arrays = pushforward_spline_arrays;
using Run = void (*)(const Options&, const Arrays&, int64_t begin, int64_t end);

// [double][inverse]
struct Kernels {
  Run values[2][2], gradients[2][2];
};

namespace portable { extern const Kernels kernels; }
#if defined(__x86_64__)
namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }
#endif

}  // namespace pushforward
