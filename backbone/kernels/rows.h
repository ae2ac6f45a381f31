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

// The same within 2e-4, for results that are rounded to eight bits or fewer: the normal distribution as a polynomial
// on [-4, 4], fitted to make the largest error least. Without a division it takes a quarter of the time.
INLINE vec rough_gelu(vec x) {
    const vec z = lesser(greater(x, splat(-4.0f)), splat(4.0f));
    const vec y = z * z;
    vec p = splat(2.2588055870187418e-08f);
    p = p * y + -1.5888188045209972e-06f;
    p = p * y + 4.776371133630164e-05f;
    p = p * y + -8.121857536025345e-04f;
    p = p * y + 8.763683959841728e-03f;
    p = p * y + -6.455440074205399e-02f;
    p = p * y + 3.97870272397995e-01f;
    return x * (p * z + 0.5f);
}

// out = x + y
INLINE void add(const float *x, const float *y, int64_t channels, float *out) {
    for (int64_t c = 0; c < channels; c += LANES) store(out + c, load(x + c) + load(y + c));
}
