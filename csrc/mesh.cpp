// What the geometry of a face's mesh says: its measures, and the small networks that read them. docs/graphs.md has the
// formulas; mdhr_sdk/vision/faces/geometry.py and pipeline/scores/geometry.py are the readable reference.
#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.h"

namespace mdhr {
namespace {

constexpr int kPose = 4;  // the last measures
constexpr int kSweeps = 30;
constexpr double kLeast = 1e-12;

struct Fit {
    double turn[3][3], scale, middle[3];
};

// The eigenvector of the largest eigenvalue of a symmetric matrix, by Jacobi's rotations; returns the eigenvalue.
double largest(double n[4][4], double vector[4]) {
    double v[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
    for (int sweep = 0; sweep < kSweeps; ++sweep) {
        bool turned = false;
        for (int p = 0; p < 3; ++p)
            for (int q = p + 1; q < 4; ++q) {
                const double off = n[p][q];
                if (!(std::fabs(off) > 1e-17 * (std::fabs(n[p][p]) + std::fabs(n[q][q])))) continue;
                turned = true;
                const double theta = (n[q][q] - n[p][p]) / (2 * off);
                const double t = std::copysign(1.0, theta) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
                const double c = 1 / std::sqrt(t * t + 1), s = t * c;
                for (int k = 0; k < 4; ++k) {
                    const double a = n[k][p], b = n[k][q];
                    n[k][p] = c * a - s * b, n[k][q] = s * a + c * b;
                }
                for (int k = 0; k < 4; ++k) {
                    const double a = n[p][k], b = n[q][k], x = v[k][p], y = v[k][q];
                    n[p][k] = c * a - s * b, n[q][k] = s * a + c * b;
                    v[k][p] = c * x - s * y, v[k][q] = s * x + c * y;
                }
                n[p][q] = n[q][p] = 0;
            }
        if (!turned) break;
    }
    int best = 0;
    for (int i = 1; i < 4; ++i)
        if (n[i][i] > n[best][best]) best = i;
    for (int i = 0; i < 4; ++i) vector[i] = v[i][best];
    return n[best][best];
}

// x to the right, y up, z towards the camera.
void upright(const float* mesh, int point, double out[3]) {
    out[0] = mesh[3 * point], out[1] = -static_cast<double>(mesh[3 * point + 1]);
    out[2] = -static_cast<double>(mesh[3 * point + 2]);
}

// The turn of the reference's directions to the mesh's that brings the rigid points closest, as a quaternion (Horn).
Fit fit(const Geometry& g, const float* mesh) {
    Fit found = {};
    double s[3][3] = {}, spread = 0, point[3];
    for (int i = 0; i < g.rigid; ++i) {
        upright(mesh, g.rigid_at[i], point);
        for (int a = 0; a < 3; ++a) found.middle[a] += point[a] / g.rigid;
    }
    for (int i = 0; i < g.rigid; ++i) {
        upright(mesh, g.rigid_at[i], point);
        for (int a = 0; a < 3; ++a) {
            const double apart = point[a] - found.middle[a];
            spread += apart * apart;
            for (int b = 0; b < 3; ++b) s[b][a] += apart * g.target[3 * i + b];
        }
    }
    double n[4][4] = {
        {s[0][0] + s[1][1] + s[2][2], s[1][2] - s[2][1], s[2][0] - s[0][2], s[0][1] - s[1][0]},
        {s[1][2] - s[2][1], s[0][0] - s[1][1] - s[2][2], s[0][1] + s[1][0], s[2][0] + s[0][2]},
        {s[2][0] - s[0][2], s[0][1] + s[1][0], s[1][1] - s[0][0] - s[2][2], s[1][2] + s[2][1]},
        {s[0][1] - s[1][0], s[2][0] + s[0][2], s[1][2] + s[2][1], s[2][2] - s[0][0] - s[1][1]},
    };
    double quaternion[4];
    found.scale = largest(n, quaternion) / std::max(spread, kLeast);
    const double w = quaternion[0], x = quaternion[1], y = quaternion[2], z = quaternion[3];
    const double turn[3][3] = {
        {w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)},
        {2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)},
        {2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z},
    };
    std::copy(&turn[0][0], &turn[0][0] + 9, &found.turn[0][0]);
    return found;
}

double between(const double* a, const double* b) {
    return std::sqrt((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]) + (a[2] - b[2]) * (a[2] - b[2]));
}

void measure(const Geometry& g, const float* mesh, double* measured) {
    const Fit own = fit(g, mesh);
    std::vector<double> laid(static_cast<size_t>(g.points) * 3);
    for (int i = 0; i < g.points; ++i) {
        double point[3];
        upright(mesh, i, point);
        for (int a = 0; a < 3; ++a) point[a] -= own.middle[a];
        for (int a = 0; a < 3; ++a)
            laid[3 * i + a] = own.scale * (point[0] * own.turn[0][a] + point[1] * own.turn[1][a] +
                                           point[2] * own.turn[2][a]) + g.centre[a];
    }
    for (int i = 0; i < g.sums; ++i) {
        const double sum = laid[g.at[i]] * g.factors[i] + laid[g.at[g.sums + i]] * g.factors[g.sums + i];
        measured[i < g.plain ? i : i + g.distances] = sum;
    }
    for (int i = 0; i < g.distances; ++i) {
        const int32_t *from = g.from + 2 * i, *to = g.to + 2 * i;
        measured[g.plain + i] =
            (between(&laid[3 * from[0]], &laid[3 * to[0]]) + between(&laid[3 * from[1]], &laid[3 * to[1]])) / 2;
    }
    const double yaw = std::atan2(own.turn[0][2], own.turn[2][2]), roll = std::atan2(own.turn[1][0], own.turn[1][1]);
    const double pitch = std::atan2(-own.turn[1][2], std::hypot(own.turn[0][2], own.turn[2][2]));
    const double pose[kPose] = {yaw * yaw, pitch, std::fabs(yaw), roll * roll};
    std::copy(pose, pose + kPose, measured + g.sums + g.distances);
}

// What the networks read: how the face differs from its own at rest as far as that is known, and from the mean one.
std::vector<double> inputs(const Geometry& g, const double* measured, const double* neutral, double known) {
    const int count = g.sums + g.distances + kPose, symmetric = g.plain + g.distances;
    std::vector<double> read(static_cast<size_t>(g.widths[0]));
    for (int i = 0; i < count; ++i) {
        double own = measured[i] - (g.mean[i] + known * (neutral[i] - g.mean[i])), absolute = measured[i] - g.mean[i];
        if (i >= symmetric) own = std::fabs(own), absolute = std::fabs(absolute);
        if (i >= count - kPose) own = absolute = measured[i];
        own = std::min(std::max(own / g.spread[i], -g.most), g.most);
        absolute = std::min(std::max(absolute / g.absolute_spread[i], -g.absolute_most), g.absolute_most);
        read[i] = own, read[count + i] = (1 - known) * absolute, read[2 * count + 1 + i] = known * own;
    }
    read[2 * count] = known;
    return read;
}

struct Layer {
    const double* from;
    const float* weights;  // (inputs, padded outputs)
    double* to;
    int inputs, outputs;  // the latter padded
};

template <int W>
struct Doubles {
    typedef double Value __attribute__((vector_size(W * 8)));
};

template <int W>
MDHR_INLINE void sums_body(const Layer& layer) {
    using Double = typename Doubles<W>::Value;
    for (int o = 0; o < layer.outputs; o += W) {
        Double sum = {};
        for (int i = 0; i < layer.inputs; ++i) {
            const Float<W> weights = read<Float<W>>(layer.weights + static_cast<int64_t>(i) * layer.outputs + o);
            sum += layer.from[i] * __builtin_convertvector(weights, Double);
        }
        write(layer.to + o, sum);
    }
}

MDHR_VERSIONS(sums, Layer)

int padded_to_lanes(int outputs) { return (outputs + MDHR_LANES - 1) / MDHR_LANES * MDHR_LANES; }

}  // namespace

void read_mesh(const Geometry& g, const float* mesh, const double* neutral, double known, double* measured,
               double* logits) {
    const int count = g.sums + g.distances + kPose, outputs = g.widths[MDHR_LAYERS];
    std::vector<double> own(static_cast<size_t>(count)), total(static_cast<size_t>(outputs)), from, to;
    measure(g, mesh, own.data());
    for (int i = 0; g.refinement && i < count; ++i) own[i] += g.refinement[i];
    const std::vector<double> first = inputs(g, own.data(), neutral, known);
    for (int network = 0; network < g.networks; ++network) {
        from = first;
        for (int layer = 0; layer < MDHR_LAYERS; ++layer) {
            const int in = g.widths[layer], out = g.widths[layer + 1], wide = padded_to_lanes(out);
            to.resize(static_cast<size_t>(wide));
            sums({from.data(), g.weights[layer] + static_cast<int64_t>(network) * in * wide, to.data(), in, wide});
            const bool last = layer == MDHR_LAYERS - 1;
            for (int o = 0; o < out; ++o) {
                const double sum = to[o] + g.biases[layer][static_cast<int64_t>(network) * out + o];
                to[o] = last || sum > 0 || std::isnan(sum) ? sum : 0;
            }
            from.swap(to);
        }
        for (int o = 0; o < outputs; ++o) total[o] += from[o];
    }
    std::copy(own.begin(), own.end(), measured);  // only here, where no memory can be missing any more
    for (int o = 0; o < outputs; ++o) logits[o] = std::min(std::max(total[o] / g.networks, -g.sure), g.sure);
}

}  // namespace mdhr
