// Vectors of floats as GCC and Clang know them, on any processor, and two functions of them.

#pragma once

#include <cstdint>
#include <utility>

#ifndef LANES
#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#endif

#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
typedef float loose_vec __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));
typedef int32_t ints __attribute__((vector_size(LANES * sizeof(int32_t))));

INLINE vec load(const float *from) { return *reinterpret_cast<const loose_vec *>(from); }
INLINE void store(float *to, vec x) { *reinterpret_cast<loose_vec *>(to) = x; }
INLINE vec splat(float x) { return vec{} + x; }

// Comparisons with NaN are false, so NaN stays NaN where it is the first argument.
INLINE vec lesser(vec x, vec limit) { return x > limit ? limit : x; }
INLINE vec greater(vec x, vec limit) { return x < limit ? limit : x; }

// Halves of groups of 2 * half lanes, swapped.
template <int half, int... lane>
INLINE vec swapped(vec x, std::integer_sequence<int, lane...>) {
#ifdef __clang__
    return __builtin_shufflevector(x, x, (lane ^ half)...);
#else
    return __builtin_shuffle(x, ints{(lane ^ half)...});
#endif
}

// Joins all lanes into one number, half with half.
template <int half = LANES / 2, typename Join>
INLINE float fold(vec x, Join join) {
    if constexpr (half == 0)
        return x[0];
    else
        return fold<half / 2>(join(x, swapped<half>(x, std::make_integer_sequence<int, LANES>{})), join);
}

// e^x for x <= 0, as in Cephes' expf: within 2 ulp, NaN for NaN, and 0 below -80. There e^x is 2e-35 at most, and its
// products with small numbers would be denormal, which processors multiply a hundred times as slowly.
INLINE vec exponential(vec from) {
    const vec x = greater(from, splat(-80.0f));
    const float round = 12582912.0f;  // 1.5 * 2^23: adding it leaves no bits for a fraction
    const vec n = (x * 1.44269504088896341f + round) - round;
    const vec r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    vec p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const ints power = (__builtin_convertvector(n, ints) + 127) << 23;
    return from < splat(-80.0f) ? vec{} : p * (vec)power;
}

// erf(x) as a ratio of polynomials on [-4, 4], outside of which it is ±1 in single precision; the coefficients are
// those of Eigen (generic_fast_erf): within 2e-7.
INLINE vec error_function(vec x) {
    x = lesser(greater(x, splat(-4.0f)), splat(4.0f));
    const vec y = x * x;
    vec p = splat(-2.72614225801306e-10f);
    p = p * y + 2.77068142495902e-08f;
    p = p * y + -2.10102402082508e-06f;
    p = p * y + -5.69250639462346e-05f;
    p = p * y + -7.34990630326855e-04f;
    p = p * y + -2.95459980854025e-03f;
    p = p * y + -1.60960333262415e-02f;
    vec q = splat(-1.45660718464996e-05f);
    q = q * y + -2.13374055278905e-04f;
    q = q * y + -1.68282697438203e-03f;
    q = q * y + -7.37332916720468e-03f;
    q = q * y + -1.42647390514189e-02f;
    return p * x / q;
}
