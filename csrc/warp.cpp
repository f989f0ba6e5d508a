// Crops from a uint8 BGR image: bilinear, border repeated, RGB, normalised, in the layout that the encoder reads.
#include <omp.h>

#include "dynamics.h"

namespace mdhr {
namespace {

constexpr int kRun = 32;   // pixels of a row that are worked on together
constexpr int kNear = 16;  // pixels whose positions are told from that of the first of them, in float32

struct Task {
    const Warp* warp;
    int crop, row;
};

// What kRun pixels are blended from: bytes 0-3 and 2-5 of two pixels side by side, in two rows.
struct Samples {
    alignas(64) uint32_t words[4][kRun];  // upper left, upper right, lower left, lower right
    alignas(64) float right[kRun], below[kRun];
};

// A coordinate on one axis of the image: the pixel it lies behind, and how far.
template <int W>
struct Position {
    // `first` is where the run begins, `lanes` the pixels' numbers in it; `last` of the axis' pixels has a neighbour.
    MDHR_INLINE Position(double first, float step, Float<W> lanes, int size, int last) {
        // Sizes are below 2^20: base, and what is told from it, are exact however far away the crop lies.
        const double base = std::min(std::max(std::floor(first), -4194304.0), 4194304.0);
        const Float<W> low = splat<W>(static_cast<float>(-base)), high = splat<W>(static_cast<float>(size - 1 - base));
        Float<W> at = static_cast<float>(first - base) + step * lanes;
        at = at < low ? low : at > high ? high : at;
        Int<W> whole = __builtin_convertvector(at, Int<W>);
        whole += __builtin_convertvector(whole, Float<W>) > at;
        const Int<W> limit = Int<W>{} + static_cast<int>(last - base);
        whole = whole > limit ? limit : whole;
        part = at - __builtin_convertvector(whole, Float<W>);
        pixel = whole + static_cast<int>(base);
    }
    Int<W> pixel;
    Float<W> part;
};

template <int W>
MDHR_INLINE void gather(const Warp& w, const double* matrix, double x, double y, Samples& samples) {
    alignas(64) int32_t upper[kRun], lower[kRun];
    Float<W> count;
    for (int i = 0; i < W; ++i) count[i] = static_cast<float>(i);
    const int stride = static_cast<int>(w.row_stride);
    for (int run = 0; run < kRun; run += kNear) {
        const double at_x = matrix[0] * (x + run) + matrix[1] * y + matrix[2];
        const double at_y = matrix[3] * (x + run) + matrix[4] * y + matrix[5];
        for (int i = 0; i < kNear; i += W) {
            const Float<W> lanes = count + static_cast<float>(i);
            const Position<W> column(at_x, static_cast<float>(matrix[0]), lanes, w.width, w.width - 2);
            const Position<W> line(at_y, static_cast<float>(matrix[3]), lanes, w.height, w.height - 1);
            const Int<W> next = line.pixel < w.height - 1 ? line.pixel + 1 : line.pixel;
            write(samples.right + run + i, column.part);
            write(samples.below + run + i, line.part);
            write(upper + run + i, line.pixel * stride + column.pixel * 3);
            write(lower + run + i, next * stride + column.pixel * 3);
        }
    }
    for (int i = 0; i < kRun; ++i) {
        uint32_t words[4];
        std::memcpy(&words[0], w.image + upper[i], 4);
        std::memcpy(&words[1], w.image + upper[i] + 2, 4);
        std::memcpy(&words[2], w.image + lower[i], 4);
        std::memcpy(&words[3], w.image + lower[i] + 2, 4);
        for (int k = 0; k < 4; ++k) {
            __asm__("" : "+r"(words[k]));  // one by one through a register is faster than vectors put together
            samples.words[k][i] = words[k];
        }
    }
}

// Adds the bilinear samples, BGR.
template <int W>
MDHR_INLINE void blend(const Samples& samples, float (*sums)[kRun]) {
    for (int i = 0; i < kRun; i += W) {
        const Float<W> right = read<Float<W>>(samples.right + i), below = read<Float<W>>(samples.below + i);
        Int<W> words[4];
        for (int k = 0; k < 4; ++k) words[k] = read<Int<W>>(samples.words[k] + i);
        const auto byte = [](Int<W> word, int shift) __attribute__((always_inline)) {
            return __builtin_convertvector((word >> shift) & 255, Float<W>);
        };
        // Byte 3 c of the left words is channel c of the left pixel; the right words start at the left pixel's red.
        const Float<W> corners[3][4] = {
            {byte(words[0], 0), byte(words[0], 24), byte(words[2], 0), byte(words[2], 24)},
            {byte(words[0], 8), byte(words[1], 16), byte(words[2], 8), byte(words[3], 16)},
            {byte(words[0], 16), byte(words[1], 24), byte(words[2], 16), byte(words[3], 24)},
        };
        for (int c = 0; c < 3; ++c) {
            const Float<W> above = corners[c][0] + right * (corners[c][1] - corners[c][0]);
            const Float<W> under = corners[c][2] + right * (corners[c][3] - corners[c][2]);
            write(sums[c] + i, read<Float<W>>(sums[c] + i) + above + below * (under - above));
        }
    }
}

template <int W, class S>
MDHR_INLINE void put(const Warp& w, const float (*sums)[kRun], int crop, int row, int x, int count, float share) {
    const int64_t plane = static_cast<int64_t>(w.size) * w.size, pixel = static_cast<int64_t>(row) * w.size + x;
    char* out = w.out + crop * 3 * plane * S::kSize;
    if (w.channels_last) {
        float pixels[3 * kRun + W] = {};
        for (int i = 0; i < count; ++i)
            for (int c = 0; c < 3; ++c) pixels[3 * i + c] = sums[2 - c][i] * share * w.gain[c] + w.offset[c];
        for (int i = 0; i < 3 * count; i += W)
            store<W, S>(out + (pixel * 3 + i) * S::kSize, read<Float<W>>(pixels + i), 3 * count - i);
        return;
    }
    for (int c = 0; c < 3; ++c)
        for (int i = 0; i < count; i += W)
            store<W, S>(out + (c * plane + pixel + i) * S::kSize,
                        read<Float<W>>(sums[2 - c] + i) * (share * w.gain[c]) + w.offset[c], count - i);
}

template <int W>
MDHR_INLINE void row_body(const Task& task) {
    const Warp& w = *task.warp;
    const double* matrix = w.to_image + 6 * task.crop;
    const int taps = w.taps[task.crop];
    Samples samples;
    for (int x = 0; x < w.size; x += kRun) {
        alignas(64) float sums[3][kRun] = {};
        for (int j = 0; j < taps; ++j)
            for (int i = 0; i < taps; ++i) {
                gather<W>(w, matrix, x + (i + 0.5) / taps - 0.5, task.row + (j + 0.5) / taps - 0.5, samples);
                blend<W>(samples, sums);
            }
        const int count = std::min(kRun, w.size - x);
        const float share = 1.0f / static_cast<float>(taps * taps);
        with_storage(w.dtype, [&](auto type) __attribute__((always_inline)) {
            put<W, decltype(type)>(w, sums, task.crop, task.row, x, count, share);
        });
    }
}

MDHR_VERSIONS(row, Task)

}  // namespace

void warp(const Warp& w, int threads) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 8)
    for (int i = 0; i < w.crops * w.size; ++i) {
        const Task task = {&w, i / w.size, i % w.size};
        row(task);
    }
}

}  // namespace mdhr
