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
#include "tile_attention.h"

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

    // What is added to a head's scores in a window of any image; `padding` where that is nothing.
    Bias bias_of(const Map &map, int64_t window, int64_t head, const std::vector<float> &padding) const {
        if (!bias) return {padding.data(), 0};
        return {bias + (window % groups * map.heads + head) * map.tokens() * map.padded(), map.padded()};
    }
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

// Cuts images into patches and makes a token of each, before the first sub-layer.
struct Stem {
    Linear patch;  // from the pixels of a patch: (planes, side, side)
    Norm norm;
    int64_t side;  // in pixels
};

// A sub-layer or a part of it: patch merging or null, then one of the two branches or none.
struct Step {
    const Merging *merging;  // all three pointers may be null
    const Mlp *mlp;
    const Attention *attention;
    Ending ending;

    bool branches() const { return mlp || attention; }
};

// h += up(GELU(down(h))): h (tokens, channels).
void adapt(const Adapter &adapter, int64_t tokens, int64_t channels, float *h) {
    const int64_t size = tokens * adapter.width;
    float *hidden = scratch<3>(size + LANES);
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

bool may_use_tiles = false;  // the operating system allows AMX

// Tokens of an image from which its float32 products are computed by tiles. This must not depend on what else is in a
// batch, because the last bits of a sum do depend on it.
constexpr int64_t SPLIT_TOKENS = 48;

// Calls `compute` with the numbers in which a layer is multiplied with so many tokens of each image.
template <typename Compute>
void in_numbers_of([[maybe_unused]] const Linear &layer, [[maybe_unused]] int64_t tokens, Compute compute) {
#if MULTIPLIES_TILES
    if (layer.format == FLOAT32 && may_use_tiles && tokens >= SPLIT_TOKENS) return compute(Split{});
#endif
#if MULTIPLIES_BFLOAT16
    if (layer.format == BFLOAT16) return compute(Bfloat16{});
#endif
#if MULTIPLIES_INT8
    if (layer.format == INT8) return compute(Int8{});
#endif
    compute(Float32{});
}

// Whether rows can be written in parts only in other numbers than those of a product.
template <typename Numbers>
constexpr bool in_parts = !std::is_same_v<Numbers, typename Numbers::Partial>;

// Such rows in the numbers of the product.
template <typename Numbers, typename Partial = typename Numbers::Partial>
void complete(const Rows<Partial> &parts, const Rows<Numbers> &whole, int64_t rows, int threads) {
    if constexpr (!std::is_same_v<Numbers, Partial>) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
        for (int64_t i = 0; i < rows; i++) Numbers::round(parts[i], parts.channels, whole[i]);
    }
}

// Writes LayerNorm of some rows: read(i, spare) returns where row i lies, which may be `spare`.
template <typename Numbers, typename Read>
void normalise_rows(const Norm &norm, const Rows<Numbers> &out, int64_t rows, int threads, Read read) {
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        std::vector<float> spare(out.channels);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < rows; i++)
            out.write(i, spare.data(), [&](float *to) { normalise(norm, read(i, to), out.channels, to); });
    }
}

// Computes the last layer of a branch from `inside`, and turns it into the branch's result in `out`. Row i of the piece
// is row at(i) of `out`, and of x, the branch's input. h (rows, channels) is for adapters; it may be a part of `out`.
template <typename Numbers, typename At>
void finish(const Piece &piece, const Ending &ending, const Linear &last, const Rows<Numbers> &inside,
            const float *scale, const float *x, float *h, float *out, At at) {
    const int64_t channels = last.outputs;
    const bool adapted = ending.count > 0, added = ending.added && !adapted;
    multiply(last, inside, piece.rows(), piece.threads, [&](int64_t row, int64_t column, vec sum) {
        vec y = sum + load(last.bias + column);
        if (scale) y *= load(scale + column);
        const int64_t place = at(row) * channels + column;
        if (added) y += load(x + place);
        store(adapted ? h + row * channels + column : out + place, y);
    });
    if (!adapted) return;
    piece.adapt(ending, channels, h);
#pragma omp parallel for schedule(static) num_threads(piece.threads) if (piece.threads > 1)
    for (int64_t i = 0; i < piece.rows(); i++) add(h + i * channels, x + at(i) * channels, channels, out + at(i) * channels);
}

// out = the finished branch(x): x, out (images, tokens, channels), not the same memory.
template <typename Numbers>
void forward(const Mlp &branch, const Ending &ending, const float *x, int64_t images, int64_t tokens, float *out,
             int threads) {
    using Partial = typename Numbers::Partial;
    const int64_t channels = branch.up.inputs, wide = branch.up.outputs;
    const double flops = branch.up.flops() + branch.down.flops();
    in_pieces<Numbers>(images * tokens, 1, flops, threads, [=, &branch, &ending](int64_t first, int64_t rows, int threads) {
        const Rows<Numbers> normed(scratch<0>(Rows<Numbers>::size(rows, channels)), channels);
        float *memory = scratch<1>(Rows<Numbers>::size(rows, wide));
        const Rows<Numbers> hidden(memory, wide);
        const Rows<Partial> parts(in_parts<Numbers> ? scratch<2>(Rows<Partial>::size(rows, wide)) : memory, wide);
        normalise_rows(branch.norm, normed, rows, threads, [=](int64_t i, float *) { return x + (first + i) * channels; });
        for (int64_t i = 0; i < rows; i++) Partial::pad(parts[i], wide);
        multiply(branch.up, normed, rows, threads, [&](int64_t row, int64_t column, vec sum) {
            Partial::put(parts[row], column, Numbers::activate(sum + load(branch.up.bias + column)));
        });
        complete<Numbers>(parts, hidden, rows, threads);
        const Piece piece{first, rows, tokens, 1, threads};
        finish(piece, ending, branch.down, hidden, branch.scale, x, out + first * channels, out,
               [=](int64_t i) { return first + i; });
    });
}

// Some windows of a map, numbered through all images from `first`.
struct Attended {
    const Attention &branch;
    const Map &map;
    int64_t first, windows;
    int threads;

    int64_t rows() const { return windows * map.tokens(); }
    int64_t channels() const { return map.channels(); }

    // Turns rows that enter the branch into what its heads give; x (rows, channels).
    template <typename Numbers>
    void attend(const Rows<Numbers> &x) const {
        float *memory = reinterpret_cast<float *>(x.memory);
        if constexpr (Numbers::attends_by_tiles)
            by_tiles(x, memory);
        else {
            float *heads = std::is_same_v<Numbers, Float32> ? memory : scratch<2>(rows() * channels());
            by_vectors(x, heads);
            complete<Numbers, Float32>(Rows<Float32>(heads, channels()), x, rows(), threads);
        }
    }

   private:
    template <typename Numbers>
    void by_vectors(const Rows<Numbers> &x, float *out) const {
        const int64_t tokens = map.tokens(), all = 3 * channels();
        float *qkv = scratch<1>(rows() * all);
        multiply(branch.qkv, x, rows(), threads,
                 [&](int64_t row, int64_t column, vec sum) { store(qkv + row * all + column, sum); });
        const std::vector<float> padding = map.padding();
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            Tile tile(map);
#pragma omp for collapse(2) schedule(static)
            for (int64_t window = 0; window < windows; window++)
                for (int64_t head = 0; head < map.heads; head++) {
                    const int64_t row = window * tokens, column = head * map.depth;
                    tile.read(map, qkv + row * all + column, branch.qkv.bias + column);
                    tile.attend(map, branch.bias_of(map, first + window, head, padding));
                    tile.write(map, out + row * channels() + column);
                }
        }
    }

#if MULTIPLIES_TILES
    template <typename Numbers>
    void by_tiles(const Rows<Numbers> &x, float *memory) const {
        using Partial = typename Numbers::Partial;
        const Rows<Bfloat16> qkv(scratch<1>(Rows<Bfloat16>::size(rows(), 3 * channels())), 3 * channels());
        multiply(branch.qkv, x, rows(), threads, [&](int64_t row, int64_t column, vec sum) {
            Bfloat16::put(qkv[row], column, sum + load(branch.qkv.bias + column));
        });
        const Rows<Partial> out(in_parts<Numbers> ? scratch<2>(Rows<Partial>::size(rows(), channels())) : memory, channels());
        const std::vector<float> padding = map.padding();
#pragma omp parallel num_threads(threads) if (threads > 1)
        {
            TileShapes shapes;
            TileHead head(map);
#pragma omp for collapse(2) schedule(static)
            for (int64_t window = 0; window < windows; window++)
                for (int64_t i = 0; i < map.heads; i++)
                    head.attend(qkv, window * map.tokens(), i * map.depth,
                                branch.bias_of(map, first + window, i, padding), out);
        }
        complete<Numbers>(out, x, rows(), threads);
    }
#endif
};

// out = the finished branch(x): x, out (images, height, width, channels), not the same memory.
template <typename Numbers>
void forward(const Attention &branch, const Ending &ending, const float *x, int64_t images, int64_t height,
             int64_t width, float *out, int threads) {
    const Map map{branch.windows.of(height, width), height, width};
    const int64_t channels = map.channels(), tokens = map.tokens();
    const int64_t all = images * map.windows();
    const double flops = branch.qkv.flops() + branch.proj.flops();
    in_pieces<Numbers>(all, tokens, flops, threads, [=, &branch, &ending, &map](int64_t first, int64_t windows, int threads) {
        const Piece piece{first, windows, map.windows(), tokens, threads};
        const int64_t rows = piece.rows();
        const Rows<Numbers> inside(scratch<0>(Rows<Numbers>::size(rows, channels)), channels);
        std::vector<int64_t> at(rows);
        for (int64_t window = 0; window < windows; window++) map.locate(first + window, at.data() + window * tokens);
        normalise_rows(branch.norm, inside, rows, threads, [&](int64_t i, float *) { return x + at[i] * channels; });
        Attended{branch, map, first, windows, threads}.attend(inside);
        finish(piece, ending, branch.proj, inside, branch.scale, x, scratch<1>(rows * channels), out,
               [&](int64_t i) { return at[i]; });
    });
}

// From x (images, height, width, channels) to out (images, height / 2, width / 2, 2 * channels).
template <typename Numbers>
void merge(const Merging &merging, const float *x, int64_t images, int64_t height, int64_t width, float *out,
           int threads) {
    const int64_t four = merging.reduction.inputs, channels = four / 4, across = width / 2;
    const int64_t outputs = merging.reduction.outputs;
    const double flops = merging.reduction.flops();
    in_pieces<Numbers>(images * (height / 2) * across, 1, flops, threads, [=, &merging](int64_t first, int64_t rows, int threads) {
        const Rows<Numbers> normed(scratch<0>(Rows<Numbers>::size(rows, four)), four);
        normalise_rows(merging.norm, normed, rows, threads, [=](int64_t i, float *to) {
            // Heights are even, so rows of tokens can be numbered through all images.
            const int64_t top = (first + i) / across * 2, left = (first + i) % across * 2;
            for (int64_t corner = 0; corner < 4; corner++)  // the left column first, as in Swin
                std::memcpy(to + corner * channels,
                            x + ((top + corner % 2) * width + left + corner / 2) * channels, channels * sizeof(float));
            return to;
        });
        multiply(merging.reduction, normed, rows, threads, [&](int64_t row, int64_t column, vec sum) {
            store(out + (first + row) * outputs + column, sum);
        });
    });
}

// From images (count, planes, height, width) to out (count, height / side, width / side, channels).
template <typename Numbers>
void embed(const Stem &stem, const float *images, int64_t count, int64_t height, int64_t width, float *out,
           int threads) {
    const int64_t side = stem.side, pixels = stem.patch.inputs, channels = stem.patch.outputs;
    const int64_t down = height / side, across = width / side, planes = pixels / (side * side);
    in_pieces<Numbers>(count * down * across, 1, stem.patch.flops(), threads, [=, &stem](int64_t first, int64_t rows, int threads) {
        const Rows<Numbers> patches(scratch<0>(Rows<Numbers>::size(rows, pixels)), pixels);
        std::vector<float> spare(pixels);
        for (int64_t i = 0; i < rows; i++)
            patches.write(i, spare.data(), [&](float *to) {
                const int64_t line = (first + i) / across, image = line / down;
                const float *from = images + (image * planes * height + line % down * side) * width;
                from += (first + i) % across * side;
                for (int64_t plane = 0; plane < planes; plane++, from += height * width)
                    for (int64_t y = 0; y < side; y++, to += side) std::copy_n(from + y * width, side, to);
            });
        float *to = out + first * channels;
        multiply(stem.patch, patches, rows, threads, [&](int64_t row, int64_t column, vec sum) {
            store(to + row * channels + column, sum + load(stem.patch.bias + column));
        });
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
        for (int64_t i = 0; i < rows; i++)
            normalise(stem.norm, to + i * channels, channels, to + i * channels);
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
        STRUCTURE(Linear) FIELD(Linear, panels) FIELD(Linear, bias) FIELD(Linear, scales)
            FIELD(Linear, offsets) FIELD(Linear, inputs) FIELD(Linear, outputs)
            FIELD(Linear, wide) FIELD(Linear, format),
        STRUCTURE(Stem) FIELD(Stem, patch) FIELD(Stem, norm) FIELD(Stem, side),
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
    may_use_tiles = MULTIPLIES_TILES && tiles_allowed();
}

extern "C" int mimi_lanes() { return LANES; }

// The most vectors of a panel.
extern "C" int mimi_vectors() { return MOST_VECTORS; }

// Whether panels may be in a format. To be called after `mimi_open`.
extern "C" bool mimi_multiplies(int format) {
    if (format == FLOAT32) return true;
    if (MULTIPLIES_TILES && !may_use_tiles) return false;
    return (format == BFLOAT16 && MULTIPLIES_BFLOAT16) || (format == INT8 && MULTIPLIES_INT8);
}

// Rows of a panel are padded to a multiple of so many factors of 32 bits, except in float32.
extern "C" int mimi_factors() { return WHOLE; }

// Whether products of 16- and 8-bit numbers are computed by AMX. To be called after `mimi_open`.
extern "C" bool mimi_tiles() { return may_use_tiles; }

// Computes tokens (count, height / side, width / side, channels) of images (count, planes, height, width).
extern "C" void mimi_embed(const Stem *stem, const float *images, int64_t count, int64_t height, int64_t width,
                           float *out, int threads) {
    in_numbers_of(stem->patch, height / stem->side * (width / stem->side), [&](auto numbers) {
        embed<decltype(numbers)>(*stem, images, count, height, width, out, threads);
    });
}

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
            in_numbers_of(step.merging->reduction, height * width / 4, [&](auto numbers) {
                merge<decltype(numbers)>(*step.merging, x, images, height, width, merged, threads);
            });
            x = merged, height /= 2, width /= 2;
        }
        if (!step.branches()) continue;
        float *to = next();
        if (step.mlp)
            in_numbers_of(step.mlp->up, height * width, [&](auto numbers) {
                forward<decltype(numbers)>(*step.mlp, step.ending, x, images, height * width, to, threads);
            });
        else
            in_numbers_of(step.attention->qkv, height * width, [&](auto numbers) {
                forward<decltype(numbers)>(*step.attention, step.ending, x, images, height, width, to, threads);
            });
        x = to;
    }
}
