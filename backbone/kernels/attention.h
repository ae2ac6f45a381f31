// Attention inside windows or a whole map, one head at a time. A BLAS is too slow for products this small: each has a
// few dozen or a few hundred numbers.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "rows.h"

// Sizes of a block of scores (ROWS tokens, VECTORS vectors of keys) and of a block of outputs (MIXED, WIDE). The sums
// of a block, and the numbers that are added to them, just fill the processor's registers: 32 with AVX-512, else 16.
// A window of few tokens is one vector wide; then ROWS sums are enough to keep the adders busy.
constexpr int ROWS = LANES == 16 ? 4 : 2, VECTORS = LANES == 16 ? 6 : 7;
constexpr int MIXED = LANES == 16 ? 4 : 3, WIDE = 4;

// How maps are cut into windows. Without a window height, one window is the whole map.
struct Windows {
    int64_t heads, depth;
    int64_t window_height, window_width, shift_down, shift_right;

    Windows of(int64_t height, int64_t width) const {
        return window_height ? *this : Windows{heads, depth, height, width, 0, 0};
    }
};

struct Map : Windows {
    int64_t height, width;

    int tokens() const { return window_height * window_width; }
    int padded() const { return (tokens() + LANES - 1) / LANES * LANES; }
    int wide() const { return (depth + LANES - 1) / LANES * LANES; }
    int64_t channels() const { return heads * depth; }
    int64_t windows() const { return height / window_height * (width / window_width); }

    // A row of a bias that only hides the padding.
    std::vector<float> padding() const {
        std::vector<float> row(padded(), -INFINITY);
        std::fill_n(row.begin(), tokens(), 0.0f);
        return row;
    }

    // The row numbers of a window's tokens in the maps of all images; windows are numbered through all images.
    void locate(int64_t window, int64_t *at) const {
        const int64_t image = window / windows(), across = width / window_width;
        window %= windows();
        const int64_t top = window / across * window_height + shift_down;
        const int64_t left = window % across * window_width + shift_right;
        for (int64_t y = 0; y < window_height; y++)
            for (int64_t x = 0; x < window_width; x++)
                *at++ = (image * height + (top + y) % height) * width + (left + x) % width;
    }
};

// What is added to scores: a row for each token, or one row for all tokens if `step` is 0.
struct Bias {
    const float *rows;  // of padded numbers; where there is no key, -inf
    int step;
};

// One head of one window: queries, values, outputs (tokens, wide), keys (depth, padded), scores (tokens, padded), and
// the factors (tokens) by which rows of exponentials are multiplied.
struct Tile {
    std::vector<float> queries, keys, values, outputs, scores, shares;

    explicit Tile(const Map &map)
        : queries(map.tokens() * map.wide()),
          keys(map.depth * map.padded()),
          values(map.tokens() * map.wide()),
          outputs(map.tokens() * map.wide()),
          scores(map.tokens() * map.padded()),
          shares(map.tokens()) {}

    // Reads rows of queries, keys and values of all heads, and adds their bias.
    void read(const Map &map, const float *qkv, const float *bias) {
        const float scale = 1.0f / std::sqrt(float(map.depth));
        const int64_t channels = map.channels();
        const int wide = map.wide();
        for (int t = 0; t < map.tokens(); t++) {
            const float *from = qkv + t * 3 * channels;
            for (int part = 0; part < 3; part++) fetch(from + part * channels + map.depth, map.depth);
            add(from, bias, map.depth, scale, queries.data() + t * wide);
            add(from + channels, bias + channels, map.depth, 1.0f, outputs.data() + t * wide);
            add(from + 2 * channels, bias + 2 * channels, map.depth, 1.0f, values.data() + t * wide);
        }
        transpose(outputs.data(), map.tokens(), map.depth, wide, map.padded(), keys.data());
    }

    void attend(const Map &map, const Bias &bias);

    // Writes the outputs to rows of all heads.
    void write(const Map &map, float *to) const {
        for (int t = 0; t < map.tokens(); t++)
            std::memcpy(to + t * map.channels(), outputs.data() + t * map.wide(), map.depth * sizeof(float));
    }

   private:
    // Prefetches the next head, which lies behind this one; the hardware does not predict rows so far apart.
    static void fetch(const float *from, int depth) {
        for (int d = 0; d < depth; d += 64 / sizeof(float)) __builtin_prefetch(from + d);
    }

    static void add(const float *__restrict x, const float *__restrict bias, int depth, float scale,
                    float *__restrict out) {
        int d = 0;
        for (; d + LANES <= depth; d += LANES) store(out + d, (load(x + d) + load(bias + d)) * scale);
        for (; d < depth; d++) out[d] = (x[d] + bias[d]) * scale;
    }

    // Rows to columns. Columns of the padding repeat one; the padding of the bias hides them.
    static void transpose(const float *__restrict rows, int tokens, int depth, int wide, int padded,
                          float *__restrict out) {
        for (int t = 0; t < tokens; t += LANES)
            for (int d = 0; d < depth; d++) {
                vec column;
                for (int lane = 0; lane < LANES; lane++)
                    column[lane] = rows[(t + lane < tokens ? t + lane : t) * wide + d];
                store(out + d * padded + t, column);
            }
    }
};

// Calls compute(t, rows) for blocks of `rows` tokens, and then one by one for the tokens that are left.
template <int rows, typename Compute>
void in_blocks(int tokens, Compute compute) {
    int t = 0;
    for (; t + rows <= tokens; t += rows) compute(t, std::integral_constant<int, rows>{});
    for (; t < tokens; t++) compute(t, std::integral_constant<int, 1>{});
}

template <int rows, int vectors>
void score_block(int depth, int wide, int padded, const float *q, const float *k, const Bias &bias, float *s) {
    vec sum[rows][vectors] = {};
    for (int d = 0; d < depth; d++)
        for (int v = 0; v < vectors; v++)
            for (int r = 0; r < rows; r++) sum[r][v] += q[r * wide + d] * load(k + d * padded + v * LANES);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {  // the bias last: sums added to a large mask would be rounded
            store(s + r * padded + v * LANES, sum[r][v] + load(bias.rows + r * bias.step + v * LANES));
        }
}

template <int rows, int vectors = VECTORS, typename... Rest>
void score_columns(int left, Rest... rest) {
    if constexpr (vectors > 1)
        if (left < vectors) return score_columns<rows, vectors - 1>(left, rest...);
    score_block<rows, vectors>(rest...);
}

// Scores: scaled queries times keys, plus the bias.
static void score(const Map &map, Tile &tile, const Bias &bias) {
    const int tokens = map.tokens(), padded = map.padded(), wide = map.wide(), depth = map.depth;
    for (int j = 0; j < padded; j += VECTORS * LANES) {
        const int left = (padded - j) / LANES;
        in_blocks<ROWS>(tokens, [&](int t, auto rows) {
            const float *q = tile.queries.data() + t * wide, *k = tile.keys.data() + j;
            const Bias b{bias.rows + t * bias.step + j, bias.step};
            float *s = tile.scores.data() + t * padded + j;
            score_columns<rows>(left, depth, wide, padded, q, k, b, s);
        });
    }
}

// Replaces scores by their exponentials; returns the factor by which these sum to one.
static float softmax(float *row, int padded) {
    vec top = load(row);
    for (int j = LANES; j < padded; j += LANES) top = greater(top, load(row + j));
    const float most = fold(top, greater);
    vec total{};
    for (int j = 0; j < padded; j += LANES) {
        const vec e = exponential(load(row + j) - most);
        store(row + j, e);
        total += e;
    }
    return 1.0f / sum(total);
}

template <int rows, int vectors>
void mix_block(int tokens, int wide, int padded, const float *s, const float *shares, const float *values,
               float *out) {
    vec sum[rows][vectors] = {};
    for (int j = 0; j < tokens; j++)
        for (int v = 0; v < vectors; v++)
            for (int r = 0; r < rows; r++) sum[r][v] += s[r * padded + j] * load(values + j * wide + v * LANES);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) store(out + r * wide + v * LANES, sum[r][v] * shares[r]);
}

template <int rows, int vectors = WIDE, typename... Rest>
void mix_columns(int left, Rest... rest) {
    if constexpr (vectors > 1)
        if (left < vectors) return mix_columns<rows, vectors - 1>(left, rest...);
    mix_block<rows, vectors>(rest...);
}

// Outputs: values weighted by the exponentials; the factors are applied to the outputs, which are fewer.
static void mix(const Map &map, Tile &tile) {
    const int tokens = map.tokens(), padded = map.padded(), wide = map.wide();
    for (int c = 0; c < wide; c += WIDE * LANES) {
        const int left = (wide - c) / LANES;
        in_blocks<MIXED>(tokens, [&](int t, auto rows) {
            const float *s = tile.scores.data() + t * padded, *v = tile.values.data() + c, *p = tile.shares.data() + t;
            float *out = tile.outputs.data() + t * wide + c;
            mix_columns<rows>(left, tokens, wide, padded, s, p, v, out);
        });
    }
}

inline void Tile::attend(const Map &map, const Bias &bias) {
    score(map, *this, bias);
    for (int t = 0; t < map.tokens(); t++) shares[t] = softmax(scores.data() + t * map.padded(), map.padded());
    mix(map, *this);
}
