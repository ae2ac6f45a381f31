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

constexpr int PARTS = 3;  // numbers of 16 bits that hold all bits of a float, see Split

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
    static constexpr bool by_tiles = false, attends_by_tiles = false;

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
    static constexpr bool by_tiles = MULTIPLIES_TILES, attends_by_tiles = MULTIPLIES_TILES;

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
    static constexpr bool by_tiles = MULTIPLIES_TILES, attends_by_tiles = MULTIPLIES_TILES;

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

struct Split;

#if MULTIPLIES_TILES
// Float32 by AMX: a float is the exact sum of three bfloat16 numbers, and six of the nine products of two such sums are
// added up in float32. The other three are below 2^-23 of the product, as is the rounding of a product in float32.
// Infinite numbers become NaN.
//
// Source: G. Henry, P. T. P. Tang, A. Heinecke. "Leveraging the bfloat16 Artificial Intelligence Datatype For
// Higher-Precision Computations", ARITH 2019.
struct Split {
    using Factor = int32_t;
    using Sum = vec;
    using Partial = Split;
    static constexpr bool attends_by_tiles = false;

    static int64_t steps(int64_t channels) { return (channels + 2 * TILE_FACTORS - 1) / (2 * TILE_FACTORS); }
    // Of each 32 channels a row has the three parts one after the other. One more line, so that a tile's rows do not
    // lie in the same few sets of the nearest cache.
    static int64_t stride(int64_t channels) { return steps(channels) * PARTS * TILE_FACTORS + TILE_FACTORS; }

    static void round(const float *x, int64_t channels, Factor *row) {
        pad(row, channels);
        for (int64_t i = 0; i < channels; i += LANES) put(row, i, load(x + i));
    }
    static void pad(Factor *row, int64_t channels) {
        if (channels % (2 * TILE_FACTORS)) put(row, channels, vec{});
    }

    // The numbers of 16 bits that stand in the upper halves of two vectors, in pairs: 1, 33, 3, 35 and so on.
    INLINE __m512i upper_halves() {
        const __m512i places = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        const __m512i twice = _mm512_mullo_epi32(places, _mm512_set1_epi32(0x00020002));
        return _mm512_add_epi32(twice, _mm512_set1_epi32(0x00210001));
    }

    // The parts of x, in the upper halves of 32 bits each: two are rounded to the nearest, the last has what is left.
    INLINE void parts_of(vec x, __m512i (&parts)[PARTS]) {
        for (int part = 0; part + 1 < PARTS; part++) {
            const __m512i nearest = _mm512_add_epi32((__m512i)x, _mm512_set1_epi32(0x8000));
            parts[part] = _mm512_and_si512(nearest, _mm512_set1_epi32(0xffff0000));
            x -= (vec)parts[part];
        }
        parts[PARTS - 1] = (__m512i)x;
    }

    INLINE vec activate(vec x) { return gelu(x); }
    INLINE void put(Factor *row, int64_t column, vec x) {
        __m512i parts[PARTS];
        parts_of(x, parts);
        Factor *to = row + column / (2 * TILE_FACTORS) * PARTS * TILE_FACTORS + column % (2 * TILE_FACTORS) / 2;
        for (int part = 0; part < PARTS; part++, to += TILE_FACTORS) {
            const __m256i numbers = _mm512_cvtepi32_epi16(_mm512_srli_epi32(parts[part], 16));
            _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), numbers);
        }
    }

    // Writes `steps` times 32 inputs of a panel of floats as tiles of pairs: (steps, wide / 16, parts). Inputs from
    // `inputs` on are zeros.
    static void split(const float *panel, int64_t inputs, int64_t wide, int64_t steps, Factor *to) {
        const __m512i halves = upper_halves();
        for (int64_t step = 0; step < steps; step++)
            for (int64_t column = 0; column < wide; column += LANES, to += PARTS * TILE_ROWS * TILE_FACTORS)
                for (int64_t i = 0; i < TILE_ROWS; i++) {
                    const int64_t input = 2 * (step * TILE_ROWS + i);
                    const float *from = panel + input * wide + column;
                    __m512i first[PARTS] = {}, second[PARTS] = {};
                    if (input < inputs) parts_of(load(from), first), parts_of(load(from + wide), second);
                    for (int part = 0; part < PARTS; part++) {
                        const __m512i pair = _mm512_permutex2var_epi16(first[part], halves, second[part]);
                        _mm512_store_si512(to + (part * TILE_ROWS + i) * TILE_FACTORS, pair);
                    }
                }
    }
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
