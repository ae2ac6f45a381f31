// The number formats in which two matrices are multiplied; sums are float32.

#pragma once

#include <cstdint>

#include "vectors.h"

#if defined(__AVX512BF16__) && LANES == 16
#include <immintrin.h>
#define MULTIPLIES_BFLOAT16 true
#else
#define MULTIPLIES_BFLOAT16 false
#endif

#if defined(__AMX_BF16__) && defined(__linux__) && MULTIPLIES_BFLOAT16
#define MULTIPLIES_TILES true
#else
#define MULTIPLIES_TILES false
#endif

// One channel at a time.
struct Float32 {
    using Factor = float;
    static int64_t factors(int64_t channels) { return channels; }

    static inline __attribute__((always_inline)) vec add(vec sum, Factor x, const Factor *weights) {
        return sum + x * load(weights);
    }
};

// Two channels at a time, side by side in 32 bits: twice as many products a cycle.
struct Bfloat16 {
    using Factor = int32_t;

    // Pairs of channels, in whole tiles where tiles are multiplied.
    static int64_t factors(int64_t channels) {
        const int64_t whole = MULTIPLIES_TILES ? 16 : 1;
        return (channels / 2 + whole - 1) / whole * whole;
    }

#if MULTIPLIES_BFLOAT16
    static inline __attribute__((always_inline)) vec add(vec sum, Factor x, const Factor *weights) {
        const auto pairs = (__m512bh)_mm512_loadu_si512(weights);
        return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(x), pairs);
    }

    // x (count), rounded to the nearest, and zeros up to whole factors; count is a multiple of the lanes.
    static void round(const float *x, int64_t count, Factor *out) {
        for (int64_t i = count / 2; i < factors(count); i++) out[i] = 0;
        for (int64_t i = 0; i < count; i += LANES) {
            const __m256bh rounded = _mm512_cvtneps_pbh((__m512)load(x + i));
            _mm256_storeu_si256(reinterpret_cast<__m256i *>(out + i / 2), (__m256i)rounded);
        }
    }
#else
    static vec add(vec sum, Factor, const Factor *) { return sum; }
    static void round(const float *, int64_t, Factor *) {}
#endif
};
