// The number formats in which two matrices are multiplied, and rows of factors in each of them.
//
// A factor has 32 bits: one float, two bfloat16 numbers, or four bytes, of consecutive channels.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "rows.h"

#if defined(__AVX512BF16__) && LANES == 16
#include <immintrin.h>
#define MULTIPLIES_BFLOAT16 true
#else
#define MULTIPLIES_BFLOAT16 false
#endif

#if defined(__AVX512VNNI__) && LANES == 16
#include <immintrin.h>
#define MULTIPLIES_INT8 true
#else
#define MULTIPLIES_INT8 false
#endif

#if defined(__AMX_BF16__) && defined(__AMX_INT8__) && defined(__linux__) && MULTIPLIES_BFLOAT16 && MULTIPLIES_INT8
#define MULTIPLIES_TILES true
#else
#define MULTIPLIES_TILES false
#endif

constexpr int64_t TILE_ROWS = 16, TILE_FACTORS = 16;  // of a tile, see tiles.h
constexpr int64_t WHOLE = MULTIPLIES_TILES ? TILE_FACTORS : 1;  // rows of 16- and 8-bit factors are padded to this

enum Format { FLOAT32, BFLOAT16, INT8 };

// A layer with frozen weights, cut into panels of `wide` outputs, a multiple of the lanes.
struct Linear {
    const void *panels;      // (outputs / wide, factors, wide): 32 bits each
    const float *bias;       // (outputs), or null
    const float *scales;     // (outputs), of int8 weights; else null
    const int32_t *offsets;  // (outputs), what is added to sums of int8 products; else null
    int64_t inputs, outputs, wide, format;

    double flops() const { return 2.0 * inputs * outputs; }  // of a row
};

// One channel at a time.
struct Float32 {
    using Factor = float;
    using Sum = vec;
    using Partial = Float32;  // the numbers of rows that are written in parts
    static constexpr bool by_tiles = false;

    static int64_t factors(int64_t channels) { return channels; }
    static int64_t stride(int64_t channels) { return channels; }  // from one row to the next
    static void round(const float *x, int64_t channels, float *row) {
        if (row != x) std::memcpy(row, x, channels * sizeof(float));
    }
    static void pad(float *, int64_t) {}

    INLINE Sum add(Sum sum, Factor x, const Factor *weights) { return sum + x * load(weights); }
    INLINE vec value(Sum sum, const Linear &, int64_t, const Factor *) { return sum; }
    INLINE vec activate(vec x) { return gelu(x); }
    INLINE void put(float *row, int64_t column, vec x) { store(row + column, x); }
#if MULTIPLIES_TILES
    // The same for the first `count` numbers of x, or all of them if there are more.
    INLINE void put_some(float *row, int64_t column, vec x, int64_t count) {
        _mm512_mask_storeu_ps(row + column, count < LANES ? (1u << count) - 1 : 0xffffu, (__m512)x);
    }
#endif
};

#if MULTIPLIES_BFLOAT16
// Two channels at a time: twice as many products a cycle by AVX-512, sixteen times as many by AMX.
struct Bfloat16 {
    using Factor = int32_t;
    using Sum = vec;
    using Partial = Bfloat16;
    static constexpr bool by_tiles = MULTIPLIES_TILES;

    static int64_t factors(int64_t channels) { return (channels / 2 + WHOLE - 1) / WHOLE * WHOLE; }
    static int64_t stride(int64_t channels) { return factors(channels); }

    // x (channels), rounded to the nearest; channels are a multiple of the lanes.
    static void round(const float *x, int64_t channels, Factor *row) {
        for (int64_t i = 0; i < channels; i += LANES) put(row, i, load(x + i));
        pad(row, channels);
    }
    static void pad(Factor *row, int64_t channels) {
        std::fill(row + channels / 2, row + factors(channels), 0);
    }

    INLINE Sum add(Sum sum, Factor x, const Factor *weights) {
        const auto pairs = (__m512bh)_mm512_loadu_si512(weights);
        return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(x), pairs);
    }
    INLINE vec value(Sum sum, const Linear &, int64_t, const Factor *) { return sum; }
    INLINE vec activate(vec x) { return rough_gelu(x); }
    INLINE void put(Factor *row, int64_t column, vec x) {
        const auto rounded = (__m256i)_mm512_cvtneps_pbh((__m512)x);
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(reinterpret_cast<uint16_t *>(row) + column), rounded);
    }
    INLINE void put_some(Factor *row, int64_t column, vec x, int64_t count) {
        const auto rounded = (__m256i)_mm512_cvtneps_pbh((__m512)x);
        const __mmask16 mask = count < LANES ? (1u << count) - 1 : 0xffffu;
        _mm256_mask_storeu_epi16(reinterpret_cast<uint16_t *>(row) + column, mask, rounded);
    }
};
#endif

#if MULTIPLIES_INT8
// Four channels at a time. Weights are signed, with a scale for each output. A row of x is unsigned, with 128 for zero
// and a scale of its own, which stands behind its factors: the largest number of the row becomes 1 or 255. What the
// zero of 128 adds to a sum depends on the weights alone, and `offsets` takes it away.
struct Int8 {
    using Factor = int32_t;
    using Sum = ints;
    using Partial = Float32;  // a row's scale is known when all of it is
    static constexpr bool by_tiles = MULTIPLIES_TILES;

    static int64_t factors(int64_t channels) { return (channels / 4 + WHOLE - 1) / WHOLE * WHOLE; }
    static int64_t stride(int64_t channels) { return factors(channels) + TILE_FACTORS; }

    static void round(const float *x, int64_t channels, Factor *row) {
        // As integers, magnitudes are in the same order, and NaN is the largest.
        const auto larger = [](vec a, vec b) { return (vec)_mm512_max_epi32((__m512i)a, (__m512i)b); };
        vec most{};
        for (int64_t i = 0; i < channels; i += LANES) most = larger(most, (vec)_mm512_abs_ps((__m512)load(x + i)));
        const float top = fold(most, larger);
        const vec scale = splat(top > 0 ? 127.0f / top : 0.0f);
        for (int64_t i = 0; i < channels; i += LANES) {
            const __m512i whole = _mm512_cvtps_epi32((__m512)(load(x + i) * scale));
            const __m128i bytes = _mm512_cvtsepi32_epi8(whole);
            const __m128i from_128 = _mm_xor_si128(bytes, _mm_set1_epi8(-128));
            _mm_storeu_si128(reinterpret_cast<__m128i *>(reinterpret_cast<char *>(row) + i), from_128);
        }
        pad(row, channels);
        const float step = top / 127.0f;
        std::memcpy(row + factors(channels), &step, sizeof step);
    }
    static void pad(Factor *row, int64_t channels) {
        std::fill(row + channels / 4, row + factors(channels), 0);
    }

    INLINE Sum add(Sum sum, Factor x, const Factor *weights) {
        return (ints)_mm512_dpbusd_epi32((__m512i)sum, _mm512_set1_epi32(x), _mm512_loadu_si512(weights));
    }
    INLINE vec value(Sum sum, const Linear &layer, int64_t column, const Factor *row) {
        float step;
        std::memcpy(&step, row + factors(layer.inputs), sizeof step);
        ints offsets;
        std::memcpy(&offsets, layer.offsets + column, sizeof offsets);
        return __builtin_convertvector(sum + offsets, vec) * (step * load(layer.scales + column));
    }
    INLINE vec activate(vec x) { return rough_gelu(x); }
};
#endif

// Rows of factors of `channels` numbers each, in memory that somebody else owns.
template <typename Numbers>
struct Rows {
    using Factor = typename Numbers::Factor;
    Factor *memory;
    int64_t channels;

    // Rows are read in whole tiles, so there is memory for some more of them.
    static int64_t size(int64_t rows, int64_t channels) { return (rows + 2 * TILE_ROWS) * Numbers::stride(channels); }

    Rows(float *memory, int64_t channels) : memory(reinterpret_cast<Factor *>(memory)), channels(channels) {}

    int64_t stride() const { return Numbers::stride(channels); }
    Factor *operator[](int64_t row) const { return memory + row * stride(); }

    // Writes a row: fill(to) computes its numbers.
    template <typename Fill>
    void write(int64_t row, float *spare, Fill fill) const {
        float *to = std::is_same_v<Numbers, Float32> ? reinterpret_cast<float *>((*this)[row]) : spare;
        fill(to);
        Numbers::round(to, channels, (*this)[row]);
    }
};
