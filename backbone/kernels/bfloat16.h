// Matrix products in bfloat16 with sums in float32, by AVX-512 BF16: twice as many a cycle as in float32.
//
// PyTorch's BLAS turns bfloat16 into float32 where a processor is not its maker's, and its other library is not to be
// called from here. Weights are frozen, so that they lie ready in the order in which they are multiplied.

#pragma once

#include <cstdint>

#if defined(__x86_64__) && defined(__AVX512F__)
#include <immintrin.h>

// Above the level that the rest is compiled for: only to be run where `multiplies_bfloat16`.
#define BFLOAT16 __attribute__((target("avx512bf16")))

static bool multiplies_bfloat16() { return __builtin_cpu_supports("avx512bf16"); }

// x (count), rounded; count is a multiple of 16.
BFLOAT16 static void round_all(const float *x, int64_t count, uint16_t *out) {
    for (int64_t i = 0; i < count; i += 16) {
        const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(x + i));
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(out + i), (__m256i)rounded);
    }
}

// A block of the result: `rows` of x, whose `pairs` of channels are numbers of 32 bits, times 16 * vectors outputs.
template <int rows, int vectors>
BFLOAT16 void multiply_block(const int32_t *x, const int32_t *panel, int64_t pairs, float *out, int64_t outputs) {
    __m512 sum[rows][vectors] = {};
    for (int64_t p = 0; p < pairs; p++) {
        __m512bh weight[vectors];
        for (int v = 0; v < vectors; v++) weight[v] = (__m512bh)_mm512_loadu_si512(panel + (p * vectors + v) * 16);
        for (int r = 0; r < rows; r++) {
            const __m512bh pair = (__m512bh)_mm512_set1_epi32(x[r * pairs + p]);
            for (int v = 0; v < vectors; v++) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], pair, weight[v]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) _mm512_storeu_ps(out + r * outputs + v * 16, sum[r][v]);
}

template <int vectors, int block>
BFLOAT16 void multiply_rows(const int32_t *x, int64_t rows, const int32_t *panel, int64_t pairs, float *out,
                            int64_t outputs) {
    for (; rows >= block; rows -= block, x += block * pairs, out += block * outputs)
        multiply_block<block, vectors>(x, panel, pairs, out, outputs);
    if constexpr (block > 1) multiply_rows<vectors, block - 1>(x, rows, panel, pairs, out, outputs);
}

// out (rows, outputs), from its beginning on `wide` columns: x (rows, inputs) times a panel (inputs / 2, wide, 2).
static void multiply_panel(const uint16_t *x, int64_t rows, const uint16_t *panel, int64_t inputs, int64_t wide,
                           float *out, int64_t outputs) {
    const auto *pairs_of_x = reinterpret_cast<const int32_t *>(x), *pairs = reinterpret_cast<const int32_t *>(panel);
    switch (wide / 16) {  // with the rows of a block, the sums fill most of 32 registers
        case 1: return multiply_rows<1, 8>(pairs_of_x, rows, pairs, inputs / 2, out, outputs);
        case 2: return multiply_rows<2, 8>(pairs_of_x, rows, pairs, inputs / 2, out, outputs);
        case 3: return multiply_rows<3, 8>(pairs_of_x, rows, pairs, inputs / 2, out, outputs);
        case 4: return multiply_rows<4, 6>(pairs_of_x, rows, pairs, inputs / 2, out, outputs);
    }
}
#else
static bool multiplies_bfloat16() { return false; }
static void round_all(const float *, int64_t, uint16_t *) {}
static void multiply_panel(const uint16_t *, int64_t, const uint16_t *, int64_t, int64_t, float *, int64_t) {}
#endif
