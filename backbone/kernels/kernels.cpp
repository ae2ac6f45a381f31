// Sub-layers of a frozen network in a row, and the adapters behind them. Float32, and if asked for, factors of products
// with frozen weights in bfloat16; threads by OpenMP.
//
// PyTorch's operators read and write all tokens once for every norm, bias, activation and copy. Here a piece of them
// goes through a whole branch while it lies in a core's own cache.

#include <algorithm>
#include <cstring>
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

struct Attention {
    Norm norm;
    Linear qkv, proj;
    const float *scale;  // of each channel of the result, or null
    const float *bias;   // (groups, heads, tokens, padded): position bias and mask; or null
    int64_t groups;      // 1, or the windows of a map
    Windows windows;
};

// An adapter and the images that it acts on.
struct Adapter {
    const float *down, *up;  // (width, channels), (channels, width)
    int64_t width, first, images;
};

// What becomes of a branch's output: nothing, or else adapters act on it and what entered the branch is added.
struct Ending {
    const Adapter *adapters;
    int64_t count;
    bool added;
};

// Of four tokens one, at the start of a stage.
struct Merging {
    Norm norm;
    Linear reduction;  // without bias
};

// A sub-layer, or a part of it: what enters is merged or not, and goes through one of the branches or none.
struct Step {
    const Merging *merging;  // or null, as the two others
    const Mlp *mlp;
    const Attention *attention;
    Ending ending;

    bool branches() const { return mlp || attention; }
};

// x (windows * tokens, channels) becomes attention inside each window; qkv (windows * tokens, 3 * channels).
void attend(const Attention &branch, const Map &map, const float *qkv, int64_t first, int64_t windows, float *x,
            int threads) {
    const int64_t channels = map.channels(), tokens = map.tokens();
    const std::vector<float> padding = branch.bias ? std::vector<float>{} : map.padding();
#pragma omp parallel num_threads(threads)
    {
        Tile tile(map);
#pragma omp for collapse(2) schedule(static)
        for (int64_t window = 0; window < windows; window++)
            for (int64_t head = 0; head < map.heads; head++) {
                const int64_t group = (first + window) % branch.groups * map.heads + head;
                const Bias bias = branch.bias ? Bias{branch.bias + group * tokens * map.padded(), map.padded()}
                                              : Bias{padding.data(), 0};
                tile.read(map, qkv + window * tokens * 3 * channels + head * map.depth,
                          branch.qkv.bias + head * map.depth);
                tile.attend(map, bias);
                tile.write(map, x + window * tokens * channels + head * map.depth);
            }
    }
}

// h += up(GELU(down(h))): h (tokens, channels).
void adapt(const Adapter &adapter, int64_t tokens, int64_t channels, float *h) {
    const int64_t size = tokens * adapter.width;
    float *hidden = scratch<1>(size + LANES);
    multiply_by_blas(adapter.down, adapter.width, channels, h, tokens, hidden, 0.0f);
    std::fill_n(hidden + size, LANES, 0.0f);
    for (int64_t i = 0; i < size; i += LANES) store(hidden + i, gelu(load(hidden + i)));
    multiply_by_blas(adapter.up, channels, adapter.width, hidden, tokens, h, 1.0f);
}

// Some of the items for which a branch is computed: every image has `each` of them, of so many tokens.
struct Piece {
    int64_t first, items, each, tokens;
    int threads;

    int64_t rows() const { return items * tokens; }

    // Lets adapters act on h (rows, channels).
    void adapt(const Ending &ending, int64_t channels, float *h) const {
        const auto act = [&](const Adapter &adapter) {
            const int64_t from = std::max(first, adapter.first * each);
            const int64_t to = std::min(first + items, (adapter.first + adapter.images) * each);
            if (from < to) ::adapt(adapter, (to - from) * tokens, channels, h + (from - first) * tokens * channels);
        };
        if (threads == 1 || ending.count < threads) {  // by no region of one thread: the BLAS would start its own there
            std::for_each_n(ending.adapters, ending.count, act);
            return;
        }
#pragma omp parallel for schedule(dynamic) num_threads(threads)
        for (int64_t i = 0; i < ending.count; i++) act(ending.adapters[i]);
    }
};

// From h (rows, channels), the last product of a branch without its bias, to the result. Row i of it belongs at row
// at(i) of x, which entered the branch, and of out, of which h may be a part.
template <typename At>
void end(const Piece &piece, const Ending &ending, const Linear &last, const float *scale, const float *x, float *h,
         float *out, At at) {
    const int64_t channels = last.out;
    const bool adapted = ending.count > 0;
#pragma omp parallel for schedule(static) num_threads(piece.threads)
    for (int64_t i = 0; i < piece.rows(); i++) {
        float *row = h + i * channels;
        const float *residual = ending.added && !adapted ? x + at(i) * channels : nullptr;
        finish(row, last.bias, scale, residual, channels, adapted ? row : out + at(i) * channels);
    }
    if (!adapted) return;
    piece.adapt(ending, channels, h);
#pragma omp parallel for schedule(static) num_threads(piece.threads)
    for (int64_t i = 0; i < piece.rows(); i++) add(h + i * channels, x + at(i) * channels, channels, out + at(i) * channels);
}

// out = what becomes of branch(x): x, out (images, tokens, channels), not the same memory.
void forward(const Mlp &branch, const Ending &ending, const float *x, int64_t images, int64_t tokens, float *out,
             int threads) {
    const int64_t channels = branch.up.in, wide = branch.up.out;
    const double flops = branch.up.flops() + branch.down.flops();
    in_pieces(images * tokens, 1, flops, threads, [=, &branch, &ending](int64_t first, int64_t rows, int threads) {
        float *normed = scratch<0>(rows * (channels + wide)), *hidden = normed + rows * channels;
        const float *from = x + first * channels;
        float *to = out + first * channels;
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int64_t i = 0; i < rows; i++) normalise(branch.norm, from + i * channels, channels, normed + i * channels);
        multiply(branch.up, normed, rows, hidden, threads);
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int64_t i = 0; i < rows; i++) activate(hidden + i * wide, branch.up.bias, wide);
        multiply(branch.down, hidden, rows, to, threads);
        const Piece piece{first, rows, tokens, 1, threads};
        end(piece, ending, branch.down, branch.scale, x, to, out, [=](int64_t i) { return first + i; });
    });
}

// out = what becomes of branch(x): x, out (images, height, width, channels), not the same memory.
void forward(const Attention &branch, const Ending &ending, const float *x, int64_t images, int64_t height,
             int64_t width, float *out, int threads) {
    const Map map{branch.windows.of(height, width), height, width};
    const int64_t channels = map.channels(), tokens = map.tokens();
    const int64_t all = images * map.windows();
    const double flops = branch.qkv.flops() + branch.proj.flops();
    in_pieces(all, tokens, flops, threads, [=, &branch, &ending, &map](int64_t first, int64_t windows, int threads) {
        const Piece piece{first, windows, map.windows(), tokens, threads};
        float *inside = scratch<0>(piece.rows() * 4 * channels), *qkv = inside + piece.rows() * channels;
        std::vector<int64_t> at(piece.rows());
        for (int64_t window = 0; window < windows; window++) map.locate(first + window, at.data() + window * tokens);
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int64_t i = 0; i < piece.rows(); i++)
            normalise(branch.norm, x + at[i] * channels, channels, inside + i * channels);
        multiply(branch.qkv, inside, piece.rows(), qkv, threads);
        attend(branch, map, qkv, first, windows, inside, threads);
        multiply(branch.proj, inside, piece.rows(), qkv, threads);  // queries, keys and values are spent
        end(piece, ending, branch.proj, branch.scale, x, qkv, out, [&](int64_t i) { return at[i]; });
    });
}

// From x (images, height, width, channels) to out (images, height / 2, width / 2, 2 * channels).
void merge(const Merging &merging, const float *x, int64_t images, int64_t height, int64_t width, float *out,
           int threads) {
    const int64_t four = merging.reduction.in, channels = four / 4, across = width / 2;
    const double flops = merging.reduction.flops();
    in_pieces(images * (height / 2) * across, 1, flops, threads, [=, &merging](int64_t first, int64_t rows, int threads) {
        float *normed = scratch<0>(rows * four);
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int64_t i = 0; i < rows; i++) {
            // Heights are even, so that rows of tokens can be counted through all images.
            const int64_t top = (first + i) / across * 2, left = (first + i) % across * 2;
            float *to = normed + i * four;
            for (int64_t corner = 0; corner < 4; corner++)  // down the left column first, as Swin has them
                std::memcpy(to + corner * channels,
                            x + ((top + corner % 2) * width + left + corner / 2) * channels, channels * sizeof(float));
            normalise(merging.norm, to, four, to);
        }
        multiply(merging.reduction, normed, rows, out + first * merging.reduction.out, threads);
    });
}

}  // namespace

// What multiplies matrices: `sgemm_` of a BLAS. To be called once, before all others.
extern "C" void mimi_open(Sgemm blas) { sgemm = blas; }

extern "C" int mimi_lanes() { return LANES; }

// The most vectors of a panel.
extern "C" int mimi_vectors() { return MOST_VECTORS; }

// Whether panels may be in bfloat16.
extern "C" bool mimi_bfloat16() { return MULTIPLIES_BFLOAT16; }

// out = x (images, height, width, channels) behind all steps. `out` and `spare` are as large as x, or as x merged where
// the first step does that; tokens in another order than that of a map are MLPs' alone, as maps of width 1.
extern "C" void mimi_run(const Step *steps, int64_t count, const float *x, int64_t images, int64_t height, int64_t width,
                         float *out, float *spare, int threads) {
    int64_t left = 0;
    for (int64_t i = 0; i < count; i++) left += (steps[i].merging != nullptr) + steps[i].branches();
    const auto next = [&] { return left-- % 2 ? out : spare; };  // the last of them is `out`
    for (int64_t i = 0; i < count; i++) {
        const Step &step = steps[i];
        if (step.merging) {
            float *merged = next();
            merge(*step.merging, x, images, height, width, merged, threads);
            x = merged, height /= 2, width /= 2;
        }
        if (!step.branches()) continue;
        float *to = next();
        if (step.mlp)
            forward(*step.mlp, step.ending, x, images, height * width, to, threads);
        else
            forward(*step.attention, step.ending, x, images, height, width, to, threads);
        x = to;
    }
}
