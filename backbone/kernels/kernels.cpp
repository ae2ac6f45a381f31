// Consecutive sub-layers of a frozen network, and their adapters. Computes in float32; on request the factors of
// products with frozen weights are bfloat16. Threads by OpenMP.
//
// PyTorch's operators read and write all tokens once for every norm, bias, activation and copy. Here a piece of the
// tokens goes through a whole branch while it lies in a core's own cache.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
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

// What is done to a branch's output: adapters act on it; then, if `added`, the branch's input is added.
struct Ending {
    const Adapter *adapters;
    int64_t count;
    bool added;
};

// Merges four tokens into one, at the start of a stage.
struct Merging {
    Norm norm;
    Linear reduction;  // without bias
};

// A sub-layer or a part of it: patch merging or null, then one of the two branches or none.
struct Step {
    const Merging *merging;  // all three pointers may be null
    const Mlp *mlp;
    const Attention *attention;
    Ending ending;

    bool branches() const { return mlp || attention; }
};

// Writes attention inside each window to x (windows * tokens, channels); qkv (windows * tokens, 3 * channels).
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

// Some of the items that a branch is computed for, numbered from `first`. An item is a token or a window; each image
// has `each` items, and an item has `tokens` tokens.
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
        if (threads == 1 || ending.count < threads) {  // no parallel region of one: the BLAS would start threads in it
            std::for_each_n(ending.adapters, ending.count, act);
            return;
        }
#pragma omp parallel for schedule(dynamic) num_threads(threads)
        for (int64_t i = 0; i < ending.count; i++) act(ending.adapters[i]);
    }
};

// Turns h (rows, channels), the last product of a branch without its bias, into the branch's result in `out`. Row i of
// h belongs to row at(i) of `out`, and of x, the branch's input. h may be a part of `out`.
template <typename At>
void finish(const Piece &piece, const Ending &ending, const Linear &last, const float *scale, const float *x, float *h,
            float *out, At at) {
    const int64_t channels = last.outputs;
    const bool adapted = ending.count > 0;
#pragma omp parallel for schedule(static) num_threads(piece.threads)
    for (int64_t i = 0; i < piece.rows(); i++) {
        float *row = h + i * channels;
        const float *residual = ending.added && !adapted ? x + at(i) * channels : nullptr;
        add_bias(row, last.bias, scale, residual, channels, adapted ? row : out + at(i) * channels);
    }
    if (!adapted) return;
    piece.adapt(ending, channels, h);
#pragma omp parallel for schedule(static) num_threads(piece.threads)
    for (int64_t i = 0; i < piece.rows(); i++) add(h + i * channels, x + at(i) * channels, channels, out + at(i) * channels);
}

// out = the finished branch(x): x, out (images, tokens, channels), not the same memory.
void forward(const Mlp &branch, const Ending &ending, const float *x, int64_t images, int64_t tokens, float *out,
             int threads) {
    const int64_t channels = branch.up.inputs, wide = branch.up.outputs;
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
        finish(piece, ending, branch.down, branch.scale, x, to, out, [=](int64_t i) { return first + i; });
    });
}

// out = the finished branch(x): x, out (images, height, width, channels), not the same memory.
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
        multiply(branch.proj, inside, piece.rows(), qkv, threads);  // overwrites queries, keys and values
        finish(piece, ending, branch.proj, branch.scale, x, qkv, out, [&](int64_t i) { return at[i]; });
    });
}

// From x (images, height, width, channels) to out (images, height / 2, width / 2, 2 * channels).
void merge(const Merging &merging, const float *x, int64_t images, int64_t height, int64_t width, float *out,
           int threads) {
    const int64_t four = merging.reduction.inputs, channels = four / 4, across = width / 2;
    const double flops = merging.reduction.flops();
    in_pieces(images * (height / 2) * across, 1, flops, threads, [=, &merging](int64_t first, int64_t rows, int threads) {
        float *normed = scratch<0>(rows * four);
#pragma omp parallel for schedule(static) num_threads(threads)
        for (int64_t i = 0; i < rows; i++) {
            // Heights are even, so rows of tokens can be numbered through all images.
            const int64_t top = (first + i) / across * 2, left = (first + i) % across * 2;
            float *to = normed + i * four;
            for (int64_t corner = 0; corner < 4; corner++)  // the left column first, as in Swin
                std::memcpy(to + corner * channels,
                            x + ((top + corner % 2) * width + left + corner / 2) * channels, channels * sizeof(float));
            normalise(merging.norm, to, four, to);
        }
        multiply(merging.reduction, normed, rows, out + first * merging.reduction.outputs, threads);
    });
}

// One structure's name, size, and its fields in order: name, offset and size of each.
struct Description {
    std::string text;

    Description(const char *name, size_t size) : text(std::string(name) + ' ' + std::to_string(size)) {}

    Description &field(const char *name, size_t offset, size_t size) {
        text += std::string(", ") + name + ' ' + std::to_string(offset) + ' ' + std::to_string(size);
        return *this;
    }
};

#define STRUCTURE(type) Description(#type, sizeof(type))
#define FIELD(type, name) .field(#name, offsetof(type, name), sizeof(type::name))

std::string described() {
    const Description all[] = {
        STRUCTURE(Norm) FIELD(Norm, weight) FIELD(Norm, bias) FIELD(Norm, epsilon),
        STRUCTURE(Linear) FIELD(Linear, panels) FIELD(Linear, bias) FIELD(Linear, inputs) FIELD(Linear, outputs)
            FIELD(Linear, wide) FIELD(Linear, rounded),
        STRUCTURE(Mlp) FIELD(Mlp, norm) FIELD(Mlp, up) FIELD(Mlp, down) FIELD(Mlp, scale),
        STRUCTURE(Windows) FIELD(Windows, heads) FIELD(Windows, depth) FIELD(Windows, window_height)
            FIELD(Windows, window_width) FIELD(Windows, shift_down) FIELD(Windows, shift_right),
        STRUCTURE(Attention) FIELD(Attention, norm) FIELD(Attention, qkv) FIELD(Attention, proj)
            FIELD(Attention, scale) FIELD(Attention, bias) FIELD(Attention, groups) FIELD(Attention, windows),
        STRUCTURE(Merging) FIELD(Merging, norm) FIELD(Merging, reduction),
        STRUCTURE(Adapter) FIELD(Adapter, down) FIELD(Adapter, up) FIELD(Adapter, width) FIELD(Adapter, first)
            FIELD(Adapter, images),
        STRUCTURE(Ending) FIELD(Ending, adapters) FIELD(Ending, count) FIELD(Ending, added),
        STRUCTURE(Step) FIELD(Step, merging) FIELD(Step, mlp) FIELD(Step, attention) FIELD(Step, ending),
    };
    std::string text;
    for (const Description &each : all) text += each.text + '\n';
    return text;
}

}  // namespace

// How this compiler lays out the structures that the caller fills in: the caller compares this with its own.
extern "C" const char *mimi_structures() {
    static const std::string text = described();
    return text.c_str();
}

// Sets the function that multiplies matrices: `sgemm_` of a BLAS. To be called once, before `mimi_run`.
extern "C" void mimi_open(Sgemm blas) {
    sgemm = blas;
    use_tiles = tiles_allowed();
}

extern "C" int mimi_lanes() { return LANES; }

// The most vectors of a panel.
extern "C" int mimi_vectors() { return MOST_VECTORS; }

// Whether panels may be in bfloat16.
extern "C" bool mimi_bfloat16() { return MULTIPLIES_BFLOAT16; }

// The channels of bfloat16 panels are padded to a multiple of this.
extern "C" int mimi_bfloat16_channels() { return 2 * Bfloat16::factors(2); }

// Whether bfloat16 products are computed by AMX. To be called after `mimi_open`.
extern "C" bool mimi_tiles() { return use_tiles; }

// Computes all steps from x (images, height, width, channels) to `out`. `out` and `spare` are as large as x, or as x
// after merging if the first step merges. Tokens that are no map are passed as maps of width 1, for MLP steps only.
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
