// Products of bfloat16 matrices by AMX: a processor's unit that multiplies tiles of 16 rows of 64 bytes.
//
// A tile of x holds 16 rows of 32 factors. A tile of a panel holds 16 pairs of factors for 16 outputs, which is how
// panels lie in memory anyway. Four tiles of sums, two of x and two of the panel are in use at a time: each tile that
// is loaded is multiplied twice.
//
// Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.

#pragma once

#include <cstdint>
#include <cstring>

#include "numbers.h"

#if MULTIPLIES_TILES
#include <sys/syscall.h>
#include <unistd.h>
#endif

constexpr int64_t TILE_ROWS = 16, TILE_PAIRS = 16;  // of a tile of x; a pair of bfloat16 numbers has 32 bits

#if MULTIPLIES_TILES

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

// A block of sums, 16 * down rows by 16 * across outputs: x (rows, pairs), panel (pairs, wide), out of any stride.
template <int down, int across>
void multiply_tiles(const int32_t *x, int64_t pairs, const int32_t *panel, int64_t wide, float *out, int64_t stride) {
    _tile_zero(0);
    if constexpr (across > 1) _tile_zero(1);
    if constexpr (down > 1) _tile_zero(2);
    if constexpr (down > 1 && across > 1) _tile_zero(3);
    for (int64_t k = 0; k < pairs; k += TILE_PAIRS) {
        _tile_loadd(4, x + k, pairs * 4);
        if constexpr (down > 1) _tile_loadd(5, x + TILE_ROWS * pairs + k, pairs * 4);
        _tile_loadd(6, panel + k * wide, wide * 4);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (down > 1) _tile_dpbf16ps(2, 5, 6);
        if constexpr (across > 1) {
            _tile_loadd(7, panel + k * wide + LANES, wide * 4);
            _tile_dpbf16ps(1, 4, 7);
            if constexpr (down > 1) _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, out, stride * 4);
    if constexpr (across > 1) _tile_stored(1, out + LANES, stride * 4);
    if constexpr (down > 1) _tile_stored(2, out + TILE_ROWS * stride, stride * 4);
    if constexpr (down > 1 && across > 1) _tile_stored(3, out + TILE_ROWS * stride + LANES, stride * 4);
}

// The same for up to 32 rows, of which a tile may hold only some: those are computed beside, and copied.
template <int across>
void multiply_some_tiles(const int32_t *x, int64_t rows, int64_t pairs, const int32_t *panel, int64_t wide, float *out,
                         int64_t stride) {
    if (rows == 2 * TILE_ROWS) return multiply_tiles<2, across>(x, pairs, panel, wide, out, stride);
    alignas(64) float sums[2 * TILE_ROWS * across * LANES];
    if (rows > TILE_ROWS)
        multiply_tiles<2, across>(x, pairs, panel, wide, sums, across * LANES);
    else
        multiply_tiles<1, across>(x, pairs, panel, wide, sums, across * LANES);
    for (int64_t r = 0; r < rows; r++)
        std::memcpy(out + r * stride, sums + r * across * LANES, across * LANES * sizeof(float));
}

// out (rows, wide), of any stride: x (rows, pairs), with memory for whole tiles of rows; panel (pairs, wide).
inline void multiply_panel_by_tiles(const int32_t *x, int64_t rows, int64_t pairs, const int32_t *panel, int64_t wide,
                                    float *out, int64_t stride) {
    for (int64_t r = 0; r < rows; r += 2 * TILE_ROWS) {
        const int64_t some = rows - r < 2 * TILE_ROWS ? rows - r : 2 * TILE_ROWS;
        int64_t column = 0;
        for (; column + 2 * LANES <= wide; column += 2 * LANES)
            multiply_some_tiles<2>(x + r * pairs, some, pairs, panel + column, wide, out + r * stride + column, stride);
        if (column < wide)
            multiply_some_tiles<1>(x + r * pairs, some, pairs, panel + column, wide, out + r * stride + column, stride);
    }
}

#else

inline bool tiles_allowed() { return false; }

#endif
