// Matrix products by the BLAS that PyTorch itself computes with, or in bfloat16 by our own; and how rows are shared out
// among threads.

#pragma once

#include <cstdint>
#include <memory>

#include "bfloat16.h"

using Sgemm = void (*)(const char *, const char *, const int *, const int *, const int *, const float *, const float *,
                       const int *, const float *, const int *, const float *, float *, const int *);

inline Sgemm sgemm;

struct Linear {
    const float *weight, *bias;  // (out, in), (out)
    int64_t in, out;
    const uint16_t *panels = nullptr;  // (out / wide, in / 2, wide, 2) in bfloat16, or null: products are in float32
    int64_t wide = 0;
};

// Memory of this thread for `count` floats, in two places; what the last call for a place gave is lost.
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

// out (rows, layer.out) = x (rows, layer.in) times the weight turned around, plus `kept` times what is there.
static void multiply_floats(const Linear &layer, const float *x, int64_t rows, float *out, float kept) {
    const int m = layer.out, n = rows, k = layer.in;
    const float one = 1.0f;
    sgemm("T", "N", &m, &n, &k, &one, layer.weight, &k, x, &k, &kept, out, &m);  // columns first, as Fortran has them
}

// out (rows, layer.out) = x (rows, layer.in) times the weight turned around, in the numbers that the layer asks for.
static void multiply(const Linear &layer, const float *x, int64_t rows, float *out, int threads) {
    if (!layer.panels) return multiply_floats(layer, x, rows, out, 0.0f);
    auto *rounded = reinterpret_cast<uint16_t *>(scratch<2>((rows * layer.in + 1) / 2));
    round_all(x, rows * layer.in, rounded);
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (threads > 1)
    for (int64_t first = 0; first < layer.out; first += layer.wide)
        multiply_panel(rounded, rows, layer.panels + first * layer.in, layer.in, layer.wide, out + first, layer.out);
}

constexpr int64_t MOST = 256;  // tokens of a piece: what is computed from them stays in a core's own cache
constexpr int64_t LEAST = 64;  // tokens for each thread below which reading the weights costs more than the products

// Calls compute(first, count, threads) until all `items`, of so many tokens each, are done.
//
// A thread takes one piece after the other, each from the first norm to the last sum; one that other work of the
// machine holds up takes fewer. Few items are one piece, over which the threads are left to share every product.
template <typename Compute>
void in_pieces(int64_t items, int64_t tokens, int threads, Compute compute) {
    const bool uneven = items < 4 * threads && items % threads;
    if (threads > 1 && (uneven || items * tokens < threads * LEAST)) return compute(int64_t(0), items, threads);
    const int64_t most = MOST < tokens ? 1 : MOST / tokens, round = most * threads;
    const int64_t pieces = (items + round - 1) / round * threads;
#pragma omp parallel for schedule(dynamic) num_threads(threads)
    for (int64_t piece = 0; piece < pieces; piece++) {
        const int64_t first = items * piece / pieces, last = items * (piece + 1) / pieces;
        if (first < last) compute(first, last - first, 1);
    }
}
