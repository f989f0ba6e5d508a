// One step of many states for CUDA; see csrc/step.cpp.
//
// With rings of halves the squeezed products, and so the scales' weights, are made here from the differences as the ring
// rounded them; on the CPU from the exact ones. A difference d is off by at most u d, u = 2^-11 for float16 and 2^-8 for
// bfloat16 (but for float16 below 6e-5, whose steps are 6e-8), and so a squeezed channel by at most u sum |squeeze| d.
// The sums that the weights multiply are those of the rounded differences on both.
#include "dynamics_cuda.h"

namespace mdhr {
namespace {

__device__ inline int64_t newest(const Shape& s, const Rows& rows, int b) {
    return (rows.count[b] - 1 + 2 * s.k) % (2 * s.k);
}

template <class R>
__device__ inline R* slot(const Shape& s, const Rows& rows, int b, int64_t of, int l) {
    return reinterpret_cast<R*>(rows.ring[b]) + (of * s.scales + l) * elements(s);
}

// Normalised differences in the newest slots of states' rings.
template <class R>
struct RingDifferences {
    Rows rows;
    __device__ float operator()(const Shape& s, int b, int l, int, int, int64_t e) const {
        return to_float(slot<R>(s, rows, b, newest(s, rows, b), l)[e]);
    }
};

// One element of every state a thread: blocks y: scales, z: states.
template <class R>
__global__ void advance_kernel(Shape s, Maps maps, Parameters parameters, Rows rows, int first) {
    const int64_t e = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (e >= elements(s)) return;
    const int l = blockIdx.y, state = blockIdx.z, c = channel_of(s, e);
    float* previous = rows.previous[state] + l * elements(s) + e;
    float value = 0;
    if (maps.data[l]) {
        const float now = frame<float>(maps, l, first + state, 0)[e];
        value = relu(fmaf(now - *previous, parameters.scale[l * s.channels + c], parameters.shift[l * s.channels + c]));
        *previous = now;
    }
    if (rows.count[state] > 0) put(slot<R>(s, rows, state, newest(s, rows, state), l) + e, value);
}

template <class R>
__global__ void fuse_step_kernel(Shape s, Rows rows, const float* weights, float* fused) {
    const int64_t e = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (e >= elements(s)) return;
    const int state = blockIdx.y, slots = 2 * s.k, p = position_of(s, e);
    float total = 0;
    for (int l = 0; l < s.scales; ++l) {
        float sum = 0;
        for (int i = 0; i < slots; ++i) sum += to_float(slot<R>(s, rows, state, i, l)[e]);
        total = fmaf(weights[(static_cast<int64_t>(state) * s.scales + l) * s.positions + p], sum, total);
    }
    fused[state * elements(s) + e] = rows.count[state] < s.k ? NAN : total;
}

template <class R>
cudaError_t advance(const Step& step, int first, cudaStream_t stream) {
    const Shape& s = step.shape;
    const int states = std::min(kStates, s.batch - first), slots = 2 * s.k;
    const int64_t slot_products = static_cast<int64_t>(s.scales) * s.squeezed * s.positions;
    const Pool weights(static_cast<int64_t>(states) * s.scales * s.positions, stream);
    if (weights.error != cudaSuccess) return weights.error;
    Rows rows = {};
    for (int i = 0; i < states; ++i) {
        const State& state = *step.states[first + i];
        rows.previous[i] = state.previous, rows.products[i] = state.products, rows.ring[i] = state.ring;
        rows.count[i] = state.count;
        if (rows.count[i] > 0) continue;
        cudaMemsetAsync(state.ring, 0, sizeof(R) * slots * s.scales * elements(s), stream);
        cudaMemsetAsync(state.products, 0, sizeof(float) * slots * slot_products, stream);
    }
    const dim3 all(blocks(elements(s), 256), s.scales, states);
    advance_kernel<R><<<all, 256, 0, stream>>>(s, step.maps, step.parameters, rows, first);
    const Table table = {nullptr, rows, true, slots, 1};
    launch_products(s, states, 1, RingDifferences<R>{rows}, step.parameters.squeeze, table, stream);
    const dim3 grid(blocks(s.positions, 64), 1, states);
    weights_kernel<<<grid, 64, 0, stream>>>(s, step.parameters, table, 1, weights.data);
    fuse_step_kernel<R><<<dim3(blocks(elements(s), 256), states), 256, 0, stream>>>(
        s, rows, weights.data, step.fused + first * elements(s));
    const cudaError_t error = cudaGetLastError();
    for (int i = 0; error == cudaSuccess && i < states; ++i)
        if (step.maps.data[0] || rows.count[i] > 0) ++step.states[first + i]->count;
    return error;
}

}  // namespace

int fuse_step_cuda(const Step& step, int device, void* stream) {
    const OnDevice on(device);
    cudaError_t error = on.error;
    const auto queue = static_cast<cudaStream_t>(stream);
    for (int first = 0; error == cudaSuccess && first < step.shape.batch; first += kStates)
        error = step.ring == MDHR_FLOAT32   ? advance<float>(step, first, queue)
                : step.ring == MDHR_FLOAT16 ? advance<__half>(step, first, queue)
                                            : advance<__nv_bfloat16>(step, first, queue);
    return error;
}

}  // namespace mdhr
