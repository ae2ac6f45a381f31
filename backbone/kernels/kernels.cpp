// Whole residual branches of a frozen network, and the adapters behind them. Float32; threads by OpenMP.
//
// PyTorch's operators read and write all tokens once for every norm, bias, activation and copy. Here a piece of them
// goes through a whole branch while it lies in a core's own cache. The products are PyTorch's BLAS.

#include <algorithm>
#include <vector>

#include "attention.h"
#include "products.h"
#include "rows.h"

namespace {

struct Mlp {
    Norm norm;
    Linear up, down;
    const float *scale;  // of each channel of the result, or null
};

struct WindowAttention {
    Norm norm;
    Linear qkv, proj;
    const float *bias;  // (groups, heads, tokens, padded): position bias and mask
    int64_t groups;     // 1, or the windows of a map
    Windows windows;
};

// An adapter and the tokens that it acts on. One of no width leaves them as they are.
struct Adapter {
    const float *down, *up;  // (width, channels), (channels, width)
    int64_t width, first, tokens;
};

// x (windows * tokens, channels) becomes attention inside each window; qkv (windows * tokens, 3 * channels).
void attend(const WindowAttention &branch, const Map &map, const float *qkv, int64_t first, int64_t windows, float *x,
            int threads) {
    const int64_t channels = map.channels(), tokens = map.tokens();
#pragma omp parallel num_threads(threads)
    {
        Tile tile(map);
#pragma omp for collapse(2) schedule(static)
        for (int64_t window = 0; window < windows; window++)
            for (int64_t head = 0; head < map.heads; head++) {
                const int64_t bias = (first + window) % branch.groups * map.heads + head;
                tile.read(map, qkv + window * tokens * 3 * channels + head * map.depth,
                          branch.qkv.bias + head * map.depth);
                tile.attend(map, branch.bias + bias * tokens * map.padded());
                tile.write(map, x + window * tokens * channels + head * map.depth);
            }
    }
}

// h += up(GELU(down(h))) of one adapter, for `tokens` of its tokens.
void adapt(const Adapter &adapter, int64_t tokens, int64_t channels, float *h) {
    const int64_t size = tokens * adapter.width;
    float *hidden = scratch(size + LANES);
    multiply({adapter.down, nullptr, channels, adapter.width}, h, tokens, hidden);
    std::fill_n(hidden + size, LANES, 0.0f);
    for (int64_t i = 0; i < size; i += LANES) store(hidden + i, gelu(load(hidden + i)));
    multiply({adapter.up, nullptr, adapter.width, channels}, hidden, tokens, h, 1.0f);
}

// Pieces of the adapters' tokens, and of the tokens between them.
std::vector<Adapter> pieces_of(const Adapter *adapters, int64_t count, int64_t tokens) {
    std::vector<Adapter> pieces;
    const auto cut = [&](Adapter whole) {
        for (int64_t done = 0; done < whole.tokens; done += MOST)
            pieces.push_back({whole.down, whole.up, whole.width, whole.first + done, std::min(MOST, whole.tokens - done)});
    };
    int64_t end = 0;
    for (const Adapter *adapter = adapters; adapter < adapters + count; adapter++) {
        cut({nullptr, nullptr, 0, end, adapter->first - end});
        cut(*adapter);
        end = adapter->first + adapter->tokens;
    }
    cut({nullptr, nullptr, 0, end, tokens - end});
    return pieces;
}

}  // namespace

// What multiplies matrices: `sgemm_` of a BLAS. To be called once, before all others.
extern "C" void mimi_open(Sgemm blas) { sgemm = blas; }

extern "C" int mimi_lanes() { return LANES; }

// out = branch(x), plus x if `added`: x, out (tokens, channels), not the same memory.
extern "C" void mimi_mlp(const Mlp *branch, const float *x, int64_t tokens, bool added, float *out, int threads) {
    const int64_t channels = branch->up.in, wide = branch->up.out;
    in_pieces(tokens, 1, threads, [=](int64_t first, int64_t rows, int threads) {
        float *normed = scratch(rows * (channels + wide)), *hidden = normed + rows * channels;
        const float *from = x + first * channels;
        float *to = out + first * channels;
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int64_t i = 0; i < rows; i++) normalise(branch->norm, from + i * channels, channels, normed + i * channels);
        multiply(branch->up, normed, rows, hidden);
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int64_t i = 0; i < rows; i++) activate(hidden + i * wide, branch->up.bias, wide);
        multiply(branch->down, hidden, rows, to);
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int64_t i = 0; i < rows; i++) {
            const float *residual = added ? from + i * channels : nullptr;
            finish(to + i * channels, branch->down.bias, branch->scale, residual, channels, to + i * channels);
        }
    });
}

// out = branch(x), plus x if `added`: x, out (images, height, width, channels), not the same memory.
extern "C" void mimi_window_attention(const WindowAttention *branch, const float *x, int64_t images, int64_t height,
                                      int64_t width, bool added, float *out, int threads) {
    const Map map{branch->windows, height, width};
    const int64_t channels = map.channels(), tokens = map.tokens();
    in_pieces(images * map.windows(), tokens, threads, [=, &map](int64_t first, int64_t windows, int threads) {
        const int64_t rows = windows * tokens;
        float *inside = scratch(rows * 4 * channels), *qkv = inside + rows * channels;
        std::vector<int64_t> at(rows);
        for (int64_t window = 0; window < windows; window++) map.locate(first + window, at.data() + window * tokens);
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int64_t i = 0; i < rows; i++)
            normalise(branch->norm, x + at[i] * channels, channels, inside + i * channels);
        multiply(branch->qkv, inside, rows, qkv);
        attend(*branch, map, qkv, first, windows, inside, threads);
        multiply(branch->proj, inside, rows, qkv);  // queries, keys and values are spent
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int64_t i = 0; i < rows; i++) {
            const float *residual = added ? x + at[i] * channels : nullptr;
            finish(qkv + i * channels, branch->proj.bias, nullptr, residual, channels, out + at[i] * channels);
        }
    });
}

// h += x + what the adapters give for h: h, x (tokens, channels), the adapters in the order of their tokens.
extern "C" void mimi_adapt(const Adapter *adapters, int64_t count, const float *x, int64_t tokens, int64_t channels,
                           float *h, int threads) {
    const std::vector<Adapter> pieces = pieces_of(adapters, count, tokens);
    const int64_t many = pieces.size();
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (many >= threads)
    for (int64_t i = 0; i < many; i++) {
        const Adapter &piece = pieces[i];
        float *to = h + piece.first * channels;
        if (piece.width) adapt(piece, piece.tokens, channels, to);
        const float *residual = x + piece.first * channels;
        for (int64_t c = 0; c < piece.tokens * channels; c += LANES) store(to + c, load(to + c) + load(residual + c));
    }
}
