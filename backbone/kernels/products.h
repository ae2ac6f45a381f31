// Matrix products, and how rows are shared out among threads.
//
// Frozen weights are stored in panels, in the order in which they are multiplied. A BLAS would rearrange them in every
// call, which costs more than the products if rows are few. Adapters come and go, so their products use the BLAS that
// PyTorch computes with.

#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "numbers.h"
#include "tiles.h"

using Sgemm = void (*)(const char *, const char *, const int *, const int *, const int *, const float *, const float *,
                       const int *, const float *, const int *, const float *, float *, const int *);

inline Sgemm sgemm;
inline bool use_tiles = false;  // bfloat16 products by AMX

// out (rows, outputs) = x (rows, inputs) times weight (outputs, inputs) transposed, plus `kept` times the old out.
static void multiply_by_blas(const float *weight, int64_t outputs, int64_t inputs, const float *x, int64_t rows,
                             float *out, float kept) {
    const int m = outputs, n = rows, k = inputs;
    const float one = 1.0f;
    sgemm("T", "N", &m, &n, &k, &one, weight, &k, x, &k, &kept, out, &m);  // column-major, as in Fortran
}

// Memory of this thread for `count` floats, one for each of three places. It invalidates the memory that the last call
// for the same place returned.
template <int place>
float *scratch(int64_t count) {
    static thread_local std::unique_ptr<float[]> memory;
    static thread_local int64_t size = 0;
    if (count > size) {
        memory.reset();
        memory.reset(new float[count]);
        size = count;
    }
    return memory.get();
}

constexpr int SUMS = LANES == 16 ? 24 : 12;       // vectors of a block's sums: with its factors they fill the registers
constexpr int MOST_VECTORS = LANES == 16 ? 4 : 2;  // of a panel; a block is as wide as its panel

// A layer with frozen weights, cut into panels of `wide` outputs, a multiple of the lanes.
struct Linear {
    const void *panels;  // (outputs / wide, factors, wide, channels): inputs = factors * channels, but for padding
    const float *bias;   // (outputs), or null
    int64_t inputs, outputs, wide;
    bool rounded;  // the panels are in bfloat16

    double flops() const { return 2.0 * inputs * outputs; }  // of a row
};

// A block of a result that has `outputs` columns: from rows of x, of so many factors each, and from a panel.
template <typename Numbers, int rows, int vectors>
void multiply_block(const typename Numbers::Factor *x, const typename Numbers::Factor *panel, int64_t factors,
                    float *out, int64_t outputs) {
    vec sum[rows][vectors] = {};
    for (int64_t f = 0; f < factors; f++)
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < vectors; v++)
                sum[r][v] = Numbers::add(sum[r][v], x[r * factors + f], panel + (f * vectors + v) * LANES);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) store(out + r * outputs + v * LANES, sum[r][v]);
}

// The same for any number of rows.
template <typename Numbers, int vectors, int block = std::min(8, SUMS / vectors)>
void multiply_rows(const typename Numbers::Factor *x, int64_t rows, const typename Numbers::Factor *panel,
                   int64_t factors, float *out, int64_t outputs) {
    for (; rows >= block; rows -= block, x += block * factors, out += block * outputs)
        multiply_block<Numbers, block, vectors>(x, panel, factors, out, outputs);
    if constexpr (block > 1) multiply_rows<Numbers, vectors, block - 1>(x, rows, panel, factors, out, outputs);
}

template <typename Numbers, int vectors = MOST_VECTORS, typename... Rest>
void multiply_panel(int64_t wide, Rest... rest) {
    if constexpr (vectors > 1)
        if (wide < vectors * LANES) return multiply_panel<Numbers, vectors - 1>(wide, rest...);
    multiply_rows<Numbers, vectors>(rest...);
}

template <typename Numbers>
void multiply_panels(const Linear &layer, const typename Numbers::Factor *x, int64_t rows, float *out, int threads) {
    const auto *panels = static_cast<const typename Numbers::Factor *>(layer.panels);
    const int64_t factors = Numbers::factors(layer.inputs);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t first = 0; first < layer.outputs; first += layer.wide)
        multiply_panel<Numbers>(layer.wide, x, rows, panels + first * factors, factors, out + first, layer.outputs);
}

#if MULTIPLIES_TILES
// The same by AMX; x has memory for whole tiles of rows.
static void multiply_panels_by_tiles(const Linear &layer, const int32_t *x, int64_t rows, float *out, int threads) {
    const auto *panels = static_cast<const int32_t *>(layer.panels);
    const int64_t pairs = Bfloat16::factors(layer.inputs), count = layer.outputs / layer.wide;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        TileShapes shapes;
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < count; i++)
            multiply_panel_by_tiles(x, rows, pairs, panels + i * pairs * layer.wide, layer.wide, out + i * layer.wide,
                                    layer.outputs);
    }
}
#endif

// out (rows, layer.outputs) = x (rows, layer.inputs) times the weight transposed; the bias is not added.
static void multiply(const Linear &layer, const float *x, int64_t rows, float *out, int threads) {
    if (!layer.rounded) return multiply_panels<Float32>(layer, x, rows, out, threads);
    const int64_t pairs = Bfloat16::factors(layer.inputs);
    const int64_t whole = (rows + 2 * TILE_ROWS - 1) / (2 * TILE_ROWS) * (2 * TILE_ROWS);
    auto *rounded = reinterpret_cast<int32_t *>(scratch<2>(whole * pairs));
    for (int64_t r = 0; r < rows; r++) Bfloat16::round(x + r * layer.inputs, layer.inputs, rounded + r * pairs);
#if MULTIPLIES_TILES
    if (use_tiles) return multiply_panels_by_tiles(layer, rounded, rows, out, threads);
#endif
    multiply_panels<Bfloat16>(layer, rounded, rows, out, threads);
}

constexpr int64_t MOST = 256;  // tokens of a piece, whose results then fit into a core's own cache
constexpr int64_t LEAST = 16;  // tokens for each thread below which reading the weights costs more than the products

// FLOPs for each thread below which waking it is not worth it: woken once, or for every part of a branch.
constexpr double WORTH = 5e6, WORTH_SHARING = 6 * WORTH;

// Calls compute(first, count, threads) until all `items`, of so many tokens each, are done.
//
// Each thread takes one piece after the other and computes it from the first norm to the last sum. A thread that other
// work holds up takes fewer pieces. If there are few items, they are one piece, and the threads share each product of
// it if it is large enough.
template <typename Compute>
void in_pieces(int64_t items, int64_t tokens, double flops, int threads, Compute compute) {
    const double work = items * tokens * flops;
    const bool uneven = items < 4 * threads && items % threads;
    if (threads > 1 && (uneven || items * tokens < threads * LEAST))
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
