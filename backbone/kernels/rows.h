// Operations on rows of channels between the products: norm, activation, sum. Channels are whole vectors.

#pragma once

#include <cmath>
#include <cstddef>

#include "vectors.h"

struct Norm {
    const float *weight, *bias;
    double epsilon;
};

INLINE float sum(vec x) {
    return fold(x, [](vec a, vec b) { return a + b; });
}

// LayerNorm of a row.
INLINE void normalise(const Norm &norm, const float *x, int64_t channels, float *out) {
    vec total{}, squares{};
    for (int64_t c = 0; c < channels; c += LANES) total += load(x + c);
    const float mean = sum(total) / channels;
    for (int64_t c = 0; c < channels; c += LANES) {
        const vec away = load(x + c) - mean;
        squares += away * away;
    }
    const float scale = 1.0f / std::sqrt(sum(squares) / channels + float(norm.epsilon));
    for (int64_t c = 0; c < channels; c += LANES)
        store(out + c, (load(x + c) - mean) * scale * load(norm.weight + c) + load(norm.bias + c));
}

INLINE vec gelu(vec x) { return 0.5f * x * (1.0f + error_function(x * 0.70710678118654752f)); }

// x = GELU(x + bias)
INLINE void activate(float *x, const float *bias, int64_t channels) {
    for (int64_t c = 0; c < channels; c += LANES) store(x + c, gelu(load(x + c) + load(bias + c)));
}

// out = (x + bias) * scale + residual; a scale or a residual that is null is left out.
INLINE void add_bias(const float *x, const float *bias, const float *scale, const float *residual, int64_t channels,
                     float *out) {
    for (int64_t c = 0; c < channels; c += LANES) {
        vec y = load(x + c) + load(bias + c);
        if (scale) y *= load(scale + c);
        if (residual) y += load(residual + c);
        store(out + c, y);
    }
}

// out = x + y
INLINE void add(const float *x, const float *y, int64_t channels, float *out) {
    for (int64_t c = 0; c < channels; c += LANES) store(out + c, load(x + c) + load(y + c));
}
