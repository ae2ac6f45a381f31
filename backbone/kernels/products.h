// Matrix products, and how rows are shared out among threads.
//
// Frozen weights are stored in panels, in the order in which they are multiplied. A BLAS would rearrange them in every
// call, which costs more than the products if rows are few. Adapters come and go, so their products use the BLAS that
// PyTorch computes with.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>

#include "numbers.h"
#include "tiles.h"

using Sgemm = void (*)(const char *, const char *, const int *, const int *, const int *, const float *, const float *,
                       const int *, const float *, const int *, const float *, float *, const int *);

inline Sgemm sgemm;

// out (rows, outputs) = x (rows, inputs) times weight (outputs, inputs) transposed, plus `kept` times the old out.
static void multiply_by_blas(const float *weight, int64_t outputs, int64_t inputs, const float *x, int64_t rows,
                             float *out, float kept) {
    const int m = outputs, n = rows, k = inputs;
    const float one = 1.0f;
    sgemm("T", "N", &m, &n, &k, &one, weight, &k, x, &k, &kept, out, &m);  // column-major, as in Fortran
}

// Memory of this thread for `count` floats, one for each of six places. It invalidates the memory that the last call
// for the same place returned. It begins at a cache line, because a row of a tile is as long as one.
template <int place>
float *scratch(int64_t count) {
    struct Free {
        void operator()(float *memory) const { std::free(memory); }
    };
    static thread_local std::unique_ptr<float[], Free> memory;
    static thread_local int64_t size = 0;
    if (count > size) {
        memory.reset();
        const int64_t bytes = (count * int64_t(sizeof(float)) + 63) / 64 * 64;
        memory.reset(static_cast<float *>(std::aligned_alloc(64, bytes)));
        size = count;
    }
    return memory.get();
}

constexpr int SUMS = LANES == 16 ? 24 : 12;       // vectors of a block's sums: with its factors they fill the registers
constexpr int MOST_VECTORS = LANES == 16 ? 4 : 2;  // of a panel; a block is as wide as its panel
constexpr int64_t CHUNK = 48;  // rows whose sums are kept together: whole blocks of any width

constexpr int64_t AHEAD = 256;  // vectors: the distance at which a panel is fetched, because few rows need it soon

// A block of a result that has `wide` columns: from rows of x and from a panel.
template <typename Numbers, int rows, int vectors, typename Factor = typename Numbers::Factor>
void multiply_block(const Factor *x, int64_t stride, const Factor *panel, int64_t factors, typename Numbers::Sum *out) {
    typename Numbers::Sum sum[rows][vectors] = {};
    for (int64_t f = 0; f < factors; f++) {
        for (int v = 0; v < vectors; v++) __builtin_prefetch(panel + (f * vectors + v + AHEAD) * LANES);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++)
                sum[r][v] = Numbers::add(sum[r][v], x[r * stride + f], panel + (f * vectors + v) * LANES);
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) out[r * vectors + v] = sum[r][v];
}

// The same for any number of rows.
template <typename Numbers, int vectors, int block = std::min(8, SUMS / vectors),
          typename Factor = typename Numbers::Factor>
void multiply_rows(const Factor *x, int64_t stride, int64_t rows, const Factor *panel, int64_t factors,
                   typename Numbers::Sum *out) {
    for (; rows >= block; rows -= block, x += block * stride, out += block * vectors)
        multiply_block<Numbers, block, vectors>(x, stride, panel, factors, out);
    if constexpr (block > 1) multiply_rows<Numbers, vectors, block - 1>(x, stride, rows, panel, factors, out);
}

template <typename Numbers, int vectors = MOST_VECTORS, typename... Rest>
void multiply_panel(int64_t wide, Rest... rest) {
    if constexpr (vectors > 1)
        if (wide < vectors * LANES) return multiply_panel<Numbers, vectors - 1>(wide, rest...);
    multiply_rows<Numbers, vectors>(rest...);
}

// Multiplies x (rows, layer.inputs) by the weight transposed, and calls emit(row, column, sums) for each vector of sums,
// while they lie in the nearest cache. The bias is not added. Threads share the outputs.
template <typename Numbers, typename Emit>
void multiply(const Linear &layer, const Rows<Numbers> &x, int64_t rows, int threads, Emit emit) {
    using Sum = typename Numbers::Sum;
    const auto *panels = static_cast<const typename Numbers::Factor *>(layer.panels);
    const int64_t factors = Numbers::factors(layer.inputs), stride = x.stride(), wide = layer.wide;
    constexpr int64_t chunk = Numbers::by_tiles ? 2 * TILE_ROWS : CHUNK;
    const auto compute = [&](int64_t first, int64_t from, int64_t some, Sum *sums) {
        const auto *panel = panels + first * factors;
        if constexpr (Numbers::by_tiles) {
            constexpr bool integers = std::is_same_v<Sum, ints>;
            auto *words = reinterpret_cast<int32_t *>(sums);
            multiply_by_tiles<integers>(x[from], stride, some, factors, panel, wide, wide, words, wide);
        } else
            multiply_panel<Numbers>(wide, x[from], stride, some, panel, factors, sums);
    };
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        std::optional<TileShapes> shapes;
        if (Numbers::by_tiles) shapes.emplace();
        Sum sums[CHUNK * MOST_VECTORS];
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < layer.outputs; first += wide)
            for (int64_t from = 0; from < rows; from += chunk) {
                const int64_t some = std::min(chunk, rows - from);
                compute(first, from, some, sums);
                const Sum *sum = sums;
                for (int64_t row = from; row < from + some; row++)
                    for (int64_t column = first; column < first + wide; column += LANES)
                        emit(row, column, Numbers::value(*sum++, layer, column, x[row]));
            }
    }
}

#if MULTIPLIES_TILES
constexpr int64_t SPLIT_STEPS = 4;  // of 32 inputs, that are split at a time: two tiles' parts stay in the nearest cache

// Adds the products of all rows of x and a part of a panel, which begins at `step` and was split into `parts`, to `sums`.
// If it is the panel's last part, calls emit(row, column, sums). Memory from `next` on is fetched meanwhile.
template <typename Emit>
void add_parts(const Linear &layer, const Rows<Split> &x, int64_t rows, int64_t step, const int32_t *parts,
               const char *next, float *sums, Emit emit) {
    constexpr int64_t TILE = TILE_ROWS * TILE_FACTORS, DOWN = 2 * TILE_ROWS, ACROSS = 2 * LANES;
    const int64_t all = Split::steps(layer.inputs), steps = std::min(SPLIT_STEPS, all - step), wide = layer.wide;
    const int64_t blocks = (rows + DOWN - 1) / DOWN * ((wide + ACROSS - 1) / ACROSS);
    const int64_t lines = SPLIT_STEPS * 2 * TILE_FACTORS * wide / LANES;
    const int64_t each = (lines + blocks * steps - 1) / (blocks * steps);
    const int32_t *left = x[0] + step * PARTS * TILE_FACTORS;
    PartProducts of{left, parts, x.stride(), wide / LANES, steps, sums, step > 0, next, each};
    for (int64_t column = 0; column < wide; column += ACROSS, of.panel += PARTS * 2 * TILE)
        for (int64_t from = 0; from < rows; from += DOWN, of.ahead += steps * each * 64) {
            of.x = left + from * x.stride();
            of.out = sums + from * wide + column;
            multiply_parts(of, rows - from, wide - column);
            if (step + steps < all) continue;
            for (int64_t row = from; row < std::min(from + DOWN, rows); row++)
                for (int64_t c = column; c < std::min(column + ACROSS, wide); c += LANES)
                    emit(row, c, load(sums + row * wide + c));
        }
}

// `multiply` by parts of floats. A thread splits its panels when it comes to them, which takes less time than to multiply
// 32 rows. Parts of all weights would take half as much memory again.
template <typename Emit>
void multiply(const Linear &layer, const Rows<Split> &x, int64_t rows, int threads, Emit emit) {
    const int64_t steps = Split::steps(layer.inputs), wide = layer.wide, size = layer.inputs * wide;
    const auto *panels = static_cast<const float *>(layer.panels);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        TileShapes shapes;
        auto *parts = reinterpret_cast<int32_t *>(scratch<4>(SPLIT_STEPS * PARTS * TILE_ROWS * wide));
        float *sums = scratch<5>((rows + 2 * TILE_ROWS) * wide);
#pragma omp for schedule(dynamic)
        for (int64_t first = 0; first < layer.outputs; first += wide)
            for (int64_t step = 0; step < steps; step += SPLIT_STEPS) {
                const int64_t input = step * 2 * TILE_FACTORS, some = std::min(SPLIT_STEPS, steps - step);
                const float *panel = panels + first * layer.inputs + input * wide;
                Split::split(panel, layer.inputs - input, wide, some, parts);
                // Next comes the rest of this panel, or another panel: the one after the other threads' ones.
                const int64_t between = step + some < steps ? 0 : (threads - 1) * size;
                const float *next = panel + some * 2 * TILE_FACTORS * wide + between;
                add_parts(layer, x, rows, step, parts, reinterpret_cast<const char *>(next), sums,
                          [&](int64_t row, int64_t column, vec sum) { emit(row, first + column, sum); });
            }
    }
}
#endif

constexpr int64_t MOST = 256;  // tokens of a piece, whose results then fit into a core's own cache
// Tokens for each thread below which reading the weights costs more than the products.
template <typename Numbers>
constexpr int64_t LEAST = std::is_same_v<Numbers, Split> ? 128 : 16;

// Tokens that take as long as fewer ones would, because weights must come from memory.
constexpr int64_t READING = 30;

// FLOPs for each thread below which waking it is not worth it: woken once, or for every part of a branch.
constexpr double WORTH = 5e6, WORTH_SHARING = 6 * WORTH;

// Calls compute(first, count, threads) until all `items`, of so many tokens each, are done.
//
// Each thread takes one piece after the other and computes it from the first norm to the last sum. A thread that other
// work holds up takes fewer pieces. If there are few items, they are one piece, and the threads share each product of
// it if it is large enough.
template <typename Numbers, typename Compute>
void in_pieces(int64_t items, int64_t tokens, double flops, int threads, Compute compute) {
    const double work = std::max(items * tokens, READING) * flops;
    const bool uneven = items < 4 * threads && items % threads;
    if (threads > 1 && (uneven || items * tokens < threads * LEAST<Numbers>))
        return compute(int64_t(0), items, work < threads * WORTH_SHARING ? 1 : threads);
    if (work < threads * WORTH) threads = 1;
    const int64_t most = MOST < tokens ? 1 : MOST / tokens, round = most * threads;
    const int64_t pieces = (items + round - 1) / round * threads;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t piece = 0; piece < pieces; piece++) {
        const int64_t first = items * piece / pieces, last = items * (piece + 1) / pieces;
        if (first < last) compute(first, last - first, 1);
    }
}
