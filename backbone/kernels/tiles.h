// Products of bfloat16 and of int8 matrices, and of the bfloat16 parts of floats, by AMX: a processor's unit that
// multiplies tiles of 16 rows of 64 bytes.
//
// A tile of x holds 16 rows of 16 factors. A tile of a panel holds 16 factors for 16 outputs, which is how panels lie in
// memory anyway. Four tiles of sums, two of x and two of the panel are in use at a time: each tile that is loaded is
// multiplied twice.
//
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.

#pragma once

#include <cstdint>

#include "numbers.h"

#if MULTIPLIES_TILES
#include <sys/syscall.h>
#include <unistd.h>

// Asks the kernel of the operating system for the unit's registers, which a process does not have at first.
inline bool tiles_allowed() {
    constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

// While it lives, this thread's eight tiles have 16 rows of 64 bytes. Other libraries may set other shapes before and
// after.
struct TileShapes {
    TileShapes() {
        struct alignas(64) {
            uint8_t palette = 1, start_row = 0, reserved[14] = {};
            uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
        } shapes;
        _tile_loadconfig(&shapes);
    }
    ~TileShapes() { _tile_release(); }
};

// The instruction takes numbers of registers, not values.
#define ADD_PRODUCT(sums, x, panel)                \
    do {                                           \
        if constexpr (integers)                    \
            _tile_dpbusd(sums, x, panel);          \
        else                                       \
            _tile_dpbf16ps(sums, x, panel);        \
    } while (false)

// A block of sums, 16 * down rows by 16 * across outputs: x (rows, factors), panel (factors, outputs), out (rows,
// outputs), each with its number of 32-bit words from one row to the next.
template <bool integers, int down, int across>
INLINE void multiply_tiles(const void *x, int64_t x_stride, int64_t factors, const int32_t *panel, int64_t panel_stride,
                           void *out, int64_t out_stride) {
    const auto *left = static_cast<const char *>(x);
    auto *sums = static_cast<char *>(out);
    const int64_t below = TILE_ROWS * 4;  // bytes of 16 rows, for each word of a stride
    _tile_zero(0);
    if constexpr (across > 1) _tile_zero(1);
    if constexpr (down > 1) _tile_zero(2);
    if constexpr (down > 1 && across > 1) _tile_zero(3);
    for (int64_t k = 0; k < factors; k += TILE_FACTORS) {
        _tile_loadd(4, left + k * 4, x_stride * 4);
        if constexpr (down > 1) _tile_loadd(5, left + below * x_stride + k * 4, x_stride * 4);
        _tile_loadd(6, panel + k * panel_stride, panel_stride * 4);
        ADD_PRODUCT(0, 4, 6);
        if constexpr (down > 1) ADD_PRODUCT(2, 5, 6);
        if constexpr (across > 1) {
            _tile_loadd(7, panel + k * panel_stride + LANES, panel_stride * 4);
            ADD_PRODUCT(1, 4, 7);
            if constexpr (down > 1) ADD_PRODUCT(3, 5, 7);
        }
    }
    _tile_stored(0, sums, out_stride * 4);
    if constexpr (across > 1) _tile_stored(1, sums + 64, out_stride * 4);
    if constexpr (down > 1) _tile_stored(2, sums + below * out_stride, out_stride * 4);
    if constexpr (down > 1 && across > 1) _tile_stored(3, sums + below * out_stride + 64, out_stride * 4);
}

#undef ADD_PRODUCT

// The same for any number of rows and any multiple of 16 outputs; whole tiles of rows are read and written.
template <bool integers>
void multiply_by_tiles(const void *x, int64_t x_stride, int64_t rows, int64_t factors, const int32_t *panel,
                       int64_t panel_stride, int64_t outputs, int32_t *out, int64_t out_stride) {
    for (int64_t r = 0; r < rows; r += 2 * TILE_ROWS) {
        const auto *left = static_cast<const int32_t *>(x) + r * x_stride;
        for (int64_t column = 0; column < outputs; column += 2 * LANES) {
            const int32_t *right = panel + column;
            int32_t *sums = out + r * out_stride + column;
            const bool two = column + LANES < outputs;
            if (rows - r > TILE_ROWS) {
                if (two)
                    multiply_tiles<integers, 2, 2>(left, x_stride, factors, right, panel_stride, sums, out_stride);
                else
                    multiply_tiles<integers, 2, 1>(left, x_stride, factors, right, panel_stride, sums, out_stride);
            } else if (two)
                multiply_tiles<integers, 1, 2>(left, x_stride, factors, right, panel_stride, sums, out_stride);
            else
                multiply_tiles<integers, 1, 1>(left, x_stride, factors, right, panel_stride, sums, out_stride);
        }
    }
}

// Some products of Split: rows of x, and a panel's tiles of parts.
struct PartProducts {
    const int32_t *x, *panel;
    int64_t x_stride, tiles, steps;  // tiles to a step of the panel; steps of 32 inputs
    float *out;                      // (rows, tiles * 16)
    bool more;                       // whether sums are added to those in `out`
    const char *ahead;               // memory that is read soon: `lines` of it are fetched in each step
    int64_t lines;
};

// A block of their sums, 16 * down rows by 16 * across outputs. The smallest products come first. A tile is loaded while
// products of two others keep the unit busy.
template <int down, int across>
INLINE void multiply_parts(const PartProducts &of) {
    constexpr int64_t TILE = TILE_ROWS * TILE_FACTORS, SIZE = 4;  // words of a tile, bytes of a word
    const int32_t *x = of.x, *panel = of.panel, *const last = x + (of.steps - 1) * PARTS * TILE_FACTORS;
    const char *ahead = of.ahead;
    const int64_t x_bytes = of.x_stride * SIZE, out_bytes = of.tiles * LANES * SIZE;
    float *out = of.out, *below = out + TILE_ROWS * of.tiles * LANES;
    const auto x_top = [&](int part) { _tile_loadd(4, x + part * TILE_FACTORS, x_bytes); };
    const auto x_low = [&](int part) {
        if constexpr (down > 1) _tile_loadd(5, x + TILE_ROWS * of.x_stride + part * TILE_FACTORS, x_bytes);
    };
    const auto panel_left = [&](int part) { _tile_loadd(6, panel + part * TILE, TILE_FACTORS * SIZE); };
    const auto panel_right = [&](int part) {
        if constexpr (across > 1) _tile_loadd(7, panel + (PARTS + part) * TILE, TILE_FACTORS * SIZE);
    };
    const auto top_left = [] { _tile_dpbf16ps(0, 4, 6); };
    const auto top_right = [] { if constexpr (across > 1) _tile_dpbf16ps(1, 4, 7); };
    const auto low_left = [] { if constexpr (down > 1) _tile_dpbf16ps(2, 5, 6); };
    const auto low_right = [] { if constexpr (down > 1 && across > 1) _tile_dpbf16ps(3, 5, 7); };
    const auto then_x = [&](int part) { top_left(), top_right(), x_top(part), low_left(), low_right(), x_low(part); };
    const auto then_panel = [&](int part) {
        top_left(), low_left(), panel_left(part), top_right(), low_right(), panel_right(part);
    };

    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (of.more) {
        _tile_loadd(0, out, out_bytes);
        if constexpr (across > 1) _tile_loadd(1, out + LANES, out_bytes);
        if constexpr (down > 1) _tile_loadd(2, below, out_bytes);
        if constexpr (down > 1 && across > 1) _tile_loadd(3, below + LANES, out_bytes);
    }
    x_top(2), x_low(2), panel_left(0), panel_right(0);
    for (;;) {
        then_x(1), then_panel(1), then_x(0);
        for (int64_t line = 0; line < of.lines; line++, ahead += 64) _mm_prefetch(ahead, _MM_HINT_T1);
        then_panel(2), then_panel(0);
        top_left(), top_right();
        if (x == last) break;
        x += PARTS * TILE_FACTORS, panel += of.tiles * PARTS * TILE;
        x_top(2), low_left(), panel_left(0), low_right(), x_low(2), panel_right(0);
    }
    low_left(), low_right();
    _tile_stored(0, out, out_bytes);
    if constexpr (across > 1) _tile_stored(1, out + LANES, out_bytes);
    if constexpr (down > 1) _tile_stored(2, below, out_bytes);
    if constexpr (down > 1 && across > 1) _tile_stored(3, below + LANES, out_bytes);
}

// The same for up to `rows` rows and up to `outputs` outputs, at most 32 of each; whole tiles are read and written.
inline void multiply_parts(const PartProducts &of, int64_t rows, int64_t outputs) {
    const bool two = outputs > LANES;
    if (rows > TILE_ROWS) return two ? multiply_parts<2, 2>(of) : multiply_parts<2, 1>(of);
    return two ? multiply_parts<1, 2>(of) : multiply_parts<1, 1>(of);
}

#else

inline bool tiles_allowed() { return false; }

struct TileShapes {};

template <bool integers>
void multiply_by_tiles(const void *, int64_t, int64_t, int64_t, const int32_t *, int64_t, int64_t, int32_t *, int64_t) {}

#endif
