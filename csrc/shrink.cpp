// A picture made smaller by averages of areas whose edges lie inside of pixels. The same numbers as OpenCV's INTER_AREA,
// to the bit, in a fifth of its time: sums are made in its order, and products are not fused with them.
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

constexpr int kColours = 3, kLanes = 4;  // a pixel in a vector, beside the first colour of the next one
constexpr float kRound = 0x1.8p23f;      // what is added to it is rounded to nearest even
constexpr int kBeyond = 16;               // floats that vectors touch beyond the last one
constexpr double kNothing = 1e-3;        // of a pixel: a smaller part of an area does not count

// Which pixels make one of the result, and by which shares: `taps` from first[i] on, some of them 0.
struct Areas {
    Areas(int before, int after) : taps(0) {
        const double scale = 1.0 / (static_cast<double>(after) / before);
        std::vector<std::vector<float>> each;
        for (int i = 0; i < after; ++i) {
            const double begin = i * scale, end = begin + scale, size = std::min(scale, before - begin);
            const int last = std::min(static_cast<int>(std::floor(end)), before - 1);
            const int whole = std::min(static_cast<int>(std::ceil(begin)), last);
            const bool cut = whole - begin > kNothing;
            std::vector<float> own(static_cast<size_t>(last - whole + cut), static_cast<float>(1.0 / size));
            if (cut) own[0] = static_cast<float>((whole - begin) / size);
            if (end - last > kNothing) own.push_back(static_cast<float>(std::min(std::min(end - last, 1.0), size) / size));
            first.push_back(whole - cut);
            taps = std::max(taps, static_cast<int>(own.size()));
            each.push_back(own);
        }
        for (std::vector<float>& own : each) {
            own.resize(static_cast<size_t>(taps));
            shares.insert(shares.end(), own.begin(), own.end());
        }
    }
    int taps;
    std::vector<int> first;
    std::vector<float> shares;  // (after, taps)
};

struct Task {
    const Shrink* shrink;
    const Areas *columns, *rows;
    float *floats, *row, *sums;  // a row of the picture, its areas, and those of the rows so far; with room beyond
};

// Plain loops: compilers turn them into better vectors than conversions of vectors.
MDHR_INLINE void widen(const uint8_t* __restrict row, int count, float* __restrict floats) {
    for (int i = 0; i < count; ++i) floats[i] = row[i];
}

MDHR_INLINE void narrow(const float* __restrict floats, int count, uint8_t* __restrict row) {
    for (int i = 0; i < count; ++i) {
        const int level = static_cast<int>(floats[i] + kRound - kRound);
        row[i] = static_cast<uint8_t>(level < 255 ? level : 255);
    }
}

// The areas of a row, TAPS shares each or as many as there are: (out_width, 3), and one float beyond.
template <int TAPS>
MDHR_INLINE void across(const Task& task) {
    const int taps = TAPS ? TAPS : task.columns->taps, out_width = task.shrink->out_width;
    const int* first = task.columns->first.data();
    const float *shares = task.columns->shares.data(), *floats = task.floats;
    float* row = task.row;
    for (int x = 0; x < out_width; ++x, shares += taps, row += kColours) {
        const float* from = floats + first[x] * kColours;
        Float<kLanes> sum = read<Float<kLanes>>(from) * shares[0];
        for (int i = 1; i < taps; ++i) sum = sum + read<Float<kLanes>>(from + i * kColours) * shares[i];
        write(row, sum);
    }
}

template <int W>
MDHR_INLINE void shrink_rows_body(const Task& task) {
    const Shrink& given = *task.shrink;
    const int wide = given.out_width * kColours, taps = task.rows->taps;
    int at = -1;  // the row of the picture that `row` was made from: areas share those at their edges
    for (int y = 0; y < given.out_height; ++y) {
        const float* shares = task.rows->shares.data() + static_cast<int64_t>(y) * taps;
        for (int i = 0; i < taps && (i == 0 || shares[i] != 0); ++i) {
            const int from = task.rows->first[y] + i;
            if (from != at) {
                widen(given.image + from * given.row_bytes, given.width * kColours, task.floats);
                task.columns->taps == 3 ? across<3>(task) : task.columns->taps == 4 ? across<4>(task) : across<0>(task);
                at = from;
            }
            const float* row = task.row;
            float* sums = task.sums;
            for (int x = 0; x < wide; x += W) {
                const Float<W> part = read<Float<W>>(row + x) * shares[i];
                write(sums + x, i == 0 ? part : read<Float<W>>(sums + x) + part);
            }
        }
        narrow(task.sums, wide, given.out + static_cast<int64_t>(y) * wide);
    }
}

MDHR_VERSIONS(shrink_rows, Task)

}  // namespace

void shrink(const Shrink& given) {
    const Areas columns(given.width, given.out_width), rows(given.height, given.out_height);
    const size_t room = kBeyond + kColours * static_cast<size_t>(columns.taps);
    std::vector<float> floats(static_cast<size_t>(given.width) * kColours + room);
    std::vector<float> row(static_cast<size_t>(given.out_width) * kColours + room), sums(row.size());
    shrink_rows({&given, &columns, &rows, floats.data(), row.data(), sums.data()});
}

}  // namespace mdhr
