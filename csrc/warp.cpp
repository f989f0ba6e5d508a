// A picture turned, scaled and shifted, a look at a face in it, and crops as planes of floats. Pictures are the same as
// OpenCV's warpAffine, blur and remap make them, to the bit: coordinates in 32nds of a pixel, weights in whole numbers.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.h"

namespace mdhr {
namespace {

constexpr int kColours = 3, kPart = 32, kPartBits = 5, kFixed = 1024;  // parts of a pixel; parts while rows are walked
constexpr uint32_t kBlueRed = 0x00ff00ff;
constexpr int kPadded = 16;  // columns beyond the last, so that vectors are whole

template <int W>
struct Words {
    typedef uint32_t Word __attribute__((vector_size(W * 4)));
};
template <int W>
using Word = typename Words<W>::Word;

// A pixel, blue | green << 8 | red << 16, and the next one of its row from bit 24 on.
using Pair = uint64_t;
template <int W>
struct Pairs {
    typedef Pair Vector __attribute__((vector_size(W * 8)));
};

// Beyond the edge the picture's border is repeated.
MDHR_INLINE Pair edge_pair(const Picture& from, int x, int y) {
    const uint8_t* row = from.pixels + std::min(std::max(y, 0), from.height - 1) * from.row_bytes;
    const auto pixel = [&](int at) {
        const uint8_t* here = row + std::min(std::max(at, 0), from.width - 1) * kColours;
        return static_cast<Pair>(here[0] | here[1] << 8 | here[2] << 16);
    };
    return pixel(x) | pixel(x + 1) << 24;
}

// Whether the eight bytes at a pixel, and at the one below, are all of the picture.
MDHR_INLINE bool inside(const Picture& from, int x, int y) {
    return x >= 0 && x < from.width - 2 && y >= 0 && y < from.height - 1;
}

MDHR_INLINE void corners(const Picture& from, int x, int y, Pair& above, Pair& below) {
    if (inside(from, x, y)) {
        const uint8_t* at = from.pixels + y * from.row_bytes + x * kColours;
        above = read<Pair>(at), below = read<Pair>(at + from.row_bytes);
    } else {
        above = edge_pair(from, x, y), below = edge_pair(from, x, y + 1);
    }
}

// Bilinear at W points: blue | green << 8 | red << 16. Blue and red share a word; sums of 32nds fit into its halves.
template <int W>
MDHR_INLINE Word<W> bilinear(const Pair* above, const Pair* below, Word<W> right, Word<W> down) {
    typedef typename Pairs<W>::Vector Vector;
    const Vector upper = read<Vector>(above), lower = read<Vector>(below);
    const Word<W> a = __builtin_convertvector(upper, Word<W>), b = __builtin_convertvector(upper >> 24, Word<W>);
    const Word<W> c = __builtin_convertvector(lower, Word<W>), d = __builtin_convertvector(lower >> 24, Word<W>);
    const Word<W> left = kPart - right, up = kPart - down;
    const Word<W> br0 = (a & kBlueRed) * left + (b & kBlueRed) * right, g0 = (a >> 8 & 255) * left + (b >> 8 & 255) * right;
    const Word<W> br1 = (c & kBlueRed) * left + (d & kBlueRed) * right, g1 = (c >> 8 & 255) * left + (d >> 8 & 255) * right;
    const auto between = [&](Word<W> above, Word<W> below) { return (above * up + below * down + 512) >> 10; };
    return between(br0 & 0xffff, br1 & 0xffff) | between(g0, g1) << 8 | between(br0 >> 16, br1 >> 16) << 16;
}

struct WarpTask {
    const Warp* warp;
    const int *across_x, *across_y;  // (size, padded) of the columns; a row's own come on top
    const int *down_x, *down_y;      // (size) of the rows
    int* row;                        // (2, size, padded) for the points of a row
    Pair* pairs;                     // (2, size, padded) for the pixels around them
};

// Row by row in passes, so that no vector waits for words that were only just written.
template <int W>
MDHR_INLINE void warp_rows_body(const WarpTask& task) {
    const Picture& from = task.warp->from;
    const int size = task.warp->size, room = size + kPadded;
    int *xs = task.row, *ys = xs + room;
    Pair *above = task.pairs, *below = above + room;
    uint8_t* out = task.warp->out;
    for (int y = 0; y < size; ++y) {
        for (int x = 0; x < size; x += W) {
            write(xs + x, (read<Int<W>>(task.across_x + x) + task.down_x[y]) >> kPartBits);
            write(ys + x, (read<Int<W>>(task.across_y + x) + task.down_y[y]) >> kPartBits);
        }
        const int last = size - 1;  // between the ends of a row nothing lies further out
        if (inside(from, xs[0] >> kPartBits, ys[0] >> kPartBits) &&
            inside(from, xs[last] >> kPartBits, ys[last] >> kPartBits)) {
            for (int x = 0; x < size; ++x) {
                const uint8_t* at = from.pixels + (ys[x] >> kPartBits) * from.row_bytes + (xs[x] >> kPartBits) * kColours;
                above[x] = read<Pair>(at), below[x] = read<Pair>(at + from.row_bytes);
            }
        } else {
            for (int x = 0; x < size; ++x)
                corners(from, xs[x] >> kPartBits, ys[x] >> kPartBits, above[x], below[x]);
        }
        for (int x = 0; x < size; x += W) {
            const Word<W> right = read<Word<W>>(xs + x) & (kPart - 1), down = read<Word<W>>(ys + x) & (kPart - 1);
            write(xs + x, bilinear<W>(above + x, below + x, right, down));
        }
        for (int x = 0; x < last; ++x) std::memcpy(out + x * kColours, xs + x, sizeof *xs);  // a byte is written twice
        std::memcpy(out + last * kColours, xs + last, kColours);
        out += size * kColours;
    }
}

MDHR_VERSIONS(warp_rows, WarpTask)

int rounded(double value) { return static_cast<int>(std::lrint(value)); }

struct PlanesTask {
    const Planes* planes;
};

template <int W>
MDHR_INLINE void make_planes_body(const PlanesTask& task) {
    const Planes& given = *task.planes;
    const int64_t area = given.area;
    for (int64_t crop = 0; crop < given.count; ++crop)
        for (int colour = 0; colour < kColours; ++colour) {
            const uint8_t* __restrict from = given.crops + crop * area * kColours + (kColours - 1 - colour);
            float* __restrict to = given.out + (crop * kColours + colour) * area;
            const float factor = given.factors[colour], shift = given.shifts[colour];
            for (int64_t i = 0; i < area; ++i) to[i] = static_cast<float>(from[i * kColours]) * factor - shift;
        }
}

MDHR_VERSIONS(make_planes, PlanesTask)

// The mean of 3 x 3 pixels; beyond the edge the picture is mirrored about its last pixel.
void soften(const uint8_t* from, int size, uint8_t* to) {
    const int wide = size * kColours;
    std::vector<uint16_t> sums(static_cast<size_t>(size) * wide);
    const auto mirrored = [size](int at) { return at < 0 ? 1 : at == size ? size - 2 : at; };
    for (int y = 0; y < size; ++y) {
        const uint8_t* row = from + y * wide;
        uint16_t* sum = sums.data() + y * wide;
        for (int i = kColours; i < wide - kColours; ++i)
            sum[i] = static_cast<uint16_t>(row[i - kColours] + row[i] + row[i + kColours]);
        for (int i = 0; i < kColours; ++i) {
            sum[i] = static_cast<uint16_t>(row[i] + 2 * row[i + kColours]);
            sum[wide - kColours + i] = static_cast<uint16_t>(row[wide - kColours + i] + 2 * row[wide - 2 * kColours + i]);
        }
    }
    for (int y = 0; y < size; ++y) {
        const uint16_t *above = sums.data() + mirrored(y - 1) * wide, *row = sums.data() + y * wide;
        const uint16_t* below = sums.data() + mirrored(y + 1) * wide;
        for (int i = 0; i < wide; ++i)
            to[y * wide + i] = static_cast<uint8_t>((2 * (above[i] + row[i] + below[i]) + 9) / 18);
    }
}

}  // namespace

void warp(const Warp& given) {
    const double* m = given.matrix;
    const double whole = m[0] * m[4] - m[1] * m[3], by = whole != 0 ? 1 / whole : 0;
    const double a = m[4] * by, b = m[1] * -by, c = m[3] * -by, d = m[0] * by;
    const double x0 = -a * m[2] - b * m[5], y0 = -c * m[2] - d * m[5];
    const size_t room = static_cast<size_t>(given.size) + kPadded;
    std::vector<int> places(6 * room);
    std::vector<Pair> pairs(2 * room);
    int *across_x = places.data(), *across_y = across_x + room, *down_x = across_y + room, *down_y = down_x + room;
    constexpr int half = kFixed / kPart / 2;
    for (int i = 0; i < given.size; ++i) {
        across_x[i] = rounded(a * i * kFixed);
        across_y[i] = rounded(c * i * kFixed);
        down_x[i] = rounded((b * i + x0) * kFixed) + half;
        down_y[i] = rounded((d * i + y0) * kFixed) + half;
    }
    warp_rows({&given, across_x, across_y, down_x, down_y, down_y + room, pairs.data()});
}

void look(const Look& given) {
    const int size = given.warp.size;
    std::vector<uint8_t> part(static_cast<size_t>(size) * size * kColours);
    Warp sharp = given.warp;
    sharp.out = part.data();
    warp(sharp);
    soften(part.data(), size, given.warp.out);
    const Picture soft{given.warp.out, static_cast<int64_t>(size) * kColours, size, size};
    Pair above[4] = {}, below[4] = {};
    for (int i = 0; i < given.points; ++i) {
        const int x = rounded(given.at[2 * i] * kPart), y = rounded(given.at[2 * i + 1] * kPart);
        corners(soft, x >> kPartBits, y >> kPartBits, above[0], below[0]);
        const Word<4> right = {static_cast<uint32_t>(x & (kPart - 1))}, down = {static_cast<uint32_t>(y & (kPart - 1))};
        const uint32_t mixed = bilinear<4>(above, below, right, down)[0];
        for (int colour = 0; colour < kColours; ++colour)
            given.cells[kColours * i + colour] = static_cast<float>(mixed >> 8 * colour & 255);
    }
}

void planes(const Planes& given) { make_planes({&given}); }

}  // namespace mdhr
