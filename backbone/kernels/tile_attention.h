// Attention by AMX: one head of one window at a time, from rows of queries, keys and values in bfloat16.
//
// Queries are tiles where they lie. Keys and values are laid out as panels. Scores, softmax and outputs are float32;
// exponentials are rounded to bfloat16 before they weight the values, and their sum divides the outputs.

#pragma once

#include "attention.h"
#include "tiles.h"

#if MULTIPLIES_TILES

// Swaps rows and columns of 16 x 16 words.
INLINE void transpose_words(__m512i (&x)[16]) {
    __m512i y[16];
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            x[i + 2 * j] = _mm512_unpacklo_epi64(y[i + j], y[i + j + 2]);
            x[i + 2 * j + 1] = _mm512_unpackhi_epi64(y[i + j], y[i + j + 2]);
        }
    for (int i = 0; i < 4; i++) {  // each 128 bits now hold four words of one column
        y[i] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88);
        y[i + 4] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xdd);
        y[i + 8] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88);
        y[i + 12] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
        x[i] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0x88);
        x[i + 8] = _mm512_shuffle_i32x4(y[i], y[i + 8], 0xdd);
    }
}

// e^x for x <= 0 within 2e-4, which bfloat16 does not resolve; NaN for NaN. Below e^-69 it is as good as 0.
INLINE __m512 rough_exponential(__m512 x) {
    const __m512 in_twos = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
    const __m512 z = _mm512_max_ps(_mm512_set1_ps(-100.0f), in_twos);  // NaN is passed on as the second argument
    const __m512 whole = _mm512_roundscale_ps(z, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 r = _mm512_sub_ps(z, whole);  // the polynomial: 2^r, by Chebyshev's points
    __m512 p = _mm512_set1_ps(5.587586976939e-2f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.422964968242e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.931272267571e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.999481409301e-1f));
    return _mm512_scalef_ps(p, whole);
}

// One head of one window. Tokens are padded to whole tiles: keys and values of the padding are zeros, and the padding
// of the bias hides them; other rows of the padding are computed and not used.
class TileHead {
   public:
    TileHead(const Map &map)
        : depth(map.depth),
          tokens(map.tokens()),
          padded(map.padded()),
          wide(map.wide()),
          pairs((depth + 31) / 32 * TILE_FACTORS),
          key_pairs((tokens + 31) / 32 * TILE_FACTORS),
          scale(1.0f / std::sqrt(float(depth))),
          keys(pairs * padded),
          values(key_pairs * wide),
          scores(padded * padded),
          weights(padded * key_pairs),
          outputs(padded * wide),
          shares(padded) {}

    // out: rows of all heads; this head's numbers begin at `column`, as they do in qkv.
    template <typename Numbers>
    void attend(const Rows<Bfloat16> &qkv, int64_t first, int64_t column, const Bias &bias, const Rows<Numbers> &out) {
        const int64_t channels = qkv.channels / 3, stride = qkv.stride();
        const auto *queries = reinterpret_cast<const uint16_t *>(qkv[first]) + column;
        read_keys(queries + channels, 2 * stride);
        read_values(queries + 2 * channels, 2 * stride);
        multiply_by_tiles<false>(queries, stride, tokens, pairs, keys.data(), padded, padded, words(scores), padded);
        switch (padded) {  // the compiler unrolls what it knows
            case 16: softmax<16>(bias); break;
            case 64: softmax<64>(bias); break;
            default: softmax<0>(bias);
        }
        multiply_by_tiles<false>(weights.data(), key_pairs, tokens, key_pairs, values.data(), wide, wide, words(outputs),
                                 wide);
        for (int64_t t = 0; t < tokens; t++)
            for (int64_t c = 0; c < wide; c += LANES)
                Numbers::put_some(out[first + t], column + c, load(outputs.data() + t * wide + c) * shares[t],
                                  depth - c);
    }

   private:
    const int64_t depth, tokens, padded, wide, pairs, key_pairs;
    const float scale;
    std::vector<int32_t> keys;     // (pairs of channels, padded)
    std::vector<int32_t> values;   // (pairs of tokens, wide)
    std::vector<float> scores;     // (padded, padded)
    std::vector<int32_t> weights;  // (padded, pairs of tokens)
    std::vector<float> outputs;    // (padded, wide)
    std::vector<float> shares;     // of each token: what its exponentials are multiplied by to sum to one

    static int32_t *words(std::vector<float> &x) { return reinterpret_cast<int32_t *>(x.data()); }

    // x: the head's channels of each token, 2-byte numbers at a stride.
    void read_keys(const uint16_t *x, int64_t stride) {
        for (int64_t t = 0; t < padded; t += TILE_ROWS)
            for (int64_t c = 0; c < depth; c += 32) {
                const __mmask32 mask = depth - c < 32 ? (1u << (depth - c)) - 1 : ~0u;
                __m512i words[16];
                for (int64_t i = 0; i < 16; i++)
                    words[i] = t + i < tokens ? _mm512_maskz_loadu_epi16(mask, x + (t + i) * stride + c) : __m512i{};
                transpose_words(words);
                for (int64_t i = 0; i < 16; i++) _mm512_storeu_si512(keys.data() + (c / 2 + i) * padded + t, words[i]);
            }
    }

    void read_values(const uint16_t *x, int64_t stride) {
        for (int64_t t = 0; t < tokens; t += 2)
            for (int64_t c = 0; c < wide; c += LANES) {
                const __mmask16 mask = depth - c < 16 ? (1u << (depth - c)) - 1 : 0xffffu;
                const auto words = [&](int64_t token) {
                    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, x + token * stride + c));
                };
                const __m512i second = t + 1 < tokens ? _mm512_slli_epi32(words(t + 1), 16) : __m512i{};
                _mm512_storeu_si512(values.data() + t / 2 * wide + c, _mm512_or_si512(words(t), second));
            }
    }

    // Replaces scores by weights, which are exponentials, and shares. `size` is `padded`, or 0 where it may be any.
    template <int64_t size>
    void softmax(const Bias &bias) {
        const int64_t count = size ? size : padded;
        for (int64_t t = 0; t < tokens; t++) {
            float *row = scores.data() + t * count;
            const float *added = bias.rows + t * bias.step;
            vec top = splat(-INFINITY), total{};
            for (int64_t j = 0; j < count; j += LANES) {
                const vec score = load(row + j) * scale + load(added + j);
                store(row + j, score);
                top = greater(top, score);
            }
            const float most = fold(top, greater);
            auto *to = reinterpret_cast<uint16_t *>(weights.data() + t * key_pairs);
            for (int64_t j = 0; j < count; j += LANES) {
                const __m512 e = rough_exponential((__m512)(load(row + j) - most));
                _mm256_storeu_si256(reinterpret_cast<__m256i *>(to + j), (__m256i)_mm512_cvtneps_pbh(e));
                total += (vec)e;
            }
            shares[t] = 1.0f / sum(total);
        }
    }
};

#endif
