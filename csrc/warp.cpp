// Crops from a uint8 BGR image: bilinear, border repeated, RGB, normalised, in the layout that the encoder reads.
#include <omp.h>

#include "dynamics.h"

namespace mdhr {
namespace {

constexpr int kRun = 16;  // pixels of a row that are worked on together

struct Task {
    const Warp* warp;
    int crop, row;
};

// Samples of kRun pixels, before they are weighed: bytes 0-3 and 2-5 of the two pixels side by side, in two rows.
struct Samples {
    alignas(64) uint32_t words[4][kRun];  // upper left, upper right, lower left, lower right
    alignas(64) float right[kRun], below[kRun];
};

MDHR_INLINE void gather(const Warp& w, const double* matrix, double x, double y, double step, Samples& samples) {
    const double right = w.width - 1, bottom = w.height - 1;
    alignas(64) int64_t upper[kRun], lower[kRun];
    for (int i = 0; i < kRun; ++i) {
        double at_x = matrix[0] * (x + i * step) + matrix[1] * y + matrix[2];
        double at_y = matrix[3] * (x + i * step) + matrix[4] * y + matrix[5];
        at_x = at_x < 0 ? 0 : at_x > right ? right : at_x;
        at_y = at_y < 0 ? 0 : at_y > bottom ? bottom : at_y;
        const int column = static_cast<int>(at_x), line = static_cast<int>(at_y);
        const int first = column < w.width - 1 ? column : w.width - 2;  // there is a pixel to its right
        const int next = line < w.height - 1 ? line + 1 : line;
        samples.right[i] = static_cast<float>(at_x - first);
        samples.below[i] = static_cast<float>(at_y - line);
        upper[i] = line * w.row_stride + first * 3;
        lower[i] = next * w.row_stride + first * 3;
    }
    for (int i = 0; i < kRun; ++i) {
        const uint8_t *top = w.image + upper[i], *bottom_row = w.image + lower[i];
        std::memcpy(&samples.words[0][i], top, 4);
        std::memcpy(&samples.words[1][i], top + 2, 4);
        std::memcpy(&samples.words[2][i], bottom_row, 4);
        std::memcpy(&samples.words[3][i], bottom_row + 2, 4);
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
                gather(w, matrix, x + (i + 0.5) / taps - 0.5, task.row + (j + 0.5) / taps - 0.5, 1.0, samples);
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
