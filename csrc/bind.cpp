// The Python module mdhr_sdk._kernels. Addresses come as integers; mdhr_sdk.ops has checked what is behind them.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <omp.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "dlpack.h"
#include "kernels.h"

namespace py = pybind11;
using mdhr::Shape;

namespace {

using Addresses = std::vector<uintptr_t>;
using Sizes = std::vector<int64_t>;

template <class T>
T* pointer(uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

void check(bool ok, const char* what) {
    if (!ok) throw std::invalid_argument(what);
}

Shape shape(const Sizes& sizes, bool channels_last) {
    check(sizes.size() == 7, "shape: expected (batch, frames, scales, channels, positions, width, k)");
    check(std::all_of(sizes.begin() + 1, sizes.end(), [](int64_t n) { return n > 0 && n < 1 << 28; }) && sizes[0] >= 0 &&
              sizes[0] < 1 << 28, "shape: sizes must be above 0");
    const auto at = [&](size_t i) { return static_cast<int>(sizes[i]); };
    check(at(2) <= mdhr::kMaxScales, "shape: too many scales");
    return {at(0), at(1), at(2), at(3), at(4), at(5), at(6), channels_last};
}

mdhr::Maps maps(const Addresses& data, const Sizes& batch_strides, const Sizes& frame_strides, int dtype, size_t scales) {
    check(data.size() == scales && batch_strides.size() == scales && frame_strides.size() == scales,
          "maps: expected an address and two strides a scale");
    check(dtype >= 0 && dtype <= 2, "maps: unknown dtype");
    mdhr::Maps result = {};
    for (size_t l = 0; l < scales; ++l) {
        result.data[l] = pointer<const char>(data[l]);
        result.batch_stride[l] = batch_strides[l];
        result.frame_stride[l] = frame_strides[l];
    }
    result.dtype = static_cast<mdhr::DType>(dtype);
    return result;
}

mdhr::Parameters parameters(const Addresses& p) {
    check(p.size() == 6, "parameters: expected six addresses");
    return {pointer<const float>(p[0]), pointer<const float>(p[1]), pointer<const float>(p[2]),
            pointer<const float>(p[3]), pointer<const float>(p[4]), pointer<const float>(p[5])};
}

#ifdef MDHR_WITH_CUDA
void explain(int error) {
    if (error) throw std::runtime_error(std::string("CUDA: ") + mdhr::cuda_message(error));
}
#endif

// device: -1 for the CPU, or a CUDA device's number.
template <class Work, class Cpu, class Cuda>
void run(const Work& work, int device, uintptr_t stream, int threads, Cpu cpu, [[maybe_unused]] Cuda cuda) {
    check(threads > 0, "threads must be above 0");
    py::gil_scoped_release release;
    if (device < 0) return cpu(work, threads);
#ifdef MDHR_WITH_CUDA
    explain(cuda(work, device, pointer<void>(stream)));
#else
    (void)stream;
    throw std::runtime_error("this build has no CUDA");
#endif
}

#ifdef MDHR_WITH_CUDA
#define MDHR_CUDA_VERSION(name) mdhr::name##_cuda
#else
#define MDHR_CUDA_VERSION(name) nullptr
#endif

void fuse_clip(const Sizes& sizes, bool channels_last, int dtype, const Addresses& data, const Sizes& batch_strides,
               const Addresses& params, const Sizes& frame_strides, bool changes, uintptr_t fused,
               const Addresses& means, int device, uintptr_t stream, int threads) {
    mdhr::Clip clip = {};
    clip.shape = shape(sizes, channels_last);
    const auto scales = static_cast<size_t>(clip.shape.scales);
    clip.maps = maps(data, batch_strides, frame_strides, dtype, scales);
    clip.maps.changes = changes;
    clip.parameters = parameters(params);
    clip.fused = pointer<char>(fused);
    check(means.empty() || means.size() == scales, "means: expected none, or an address a scale");
    for (size_t l = 0; l < means.size(); ++l) clip.means[l] = pointer<char>(means[l]);
    run(clip, device, stream, threads, mdhr::fuse_clip, MDHR_CUDA_VERSION(fuse_clip));
}

void fuse_step(const Sizes& sizes, bool channels_last, int dtype, const Addresses& data, const Sizes& batch_strides,
               const Addresses& params, const Addresses& states, int ring, uintptr_t fused, int device,
               uintptr_t stream, int threads) {
    mdhr::Step step = {};
    step.shape = shape(sizes, channels_last);
    const auto scales = static_cast<size_t>(step.shape.scales);
    step.maps = maps(data, batch_strides, Sizes(scales), dtype, scales);
    step.parameters = parameters(params);
    check(states.size() == 4 * static_cast<size_t>(step.shape.batch),
          "states: expected the addresses of count, previous, ring and products, state by state");
    for (size_t i = 0; i < states.size(); i += 4)
        step.states.push_back({pointer<int64_t>(states[i]), pointer<float>(states[i + 1]),
                               pointer<char>(states[i + 2]), pointer<float>(states[i + 3])});
    check(ring >= 0 && ring <= 2, "states: unknown dtype");
    step.ring = static_cast<mdhr::DType>(ring);
    step.fused = pointer<float>(fused);
    run(step, device, stream, threads, mdhr::fuse_step, MDHR_CUDA_VERSION(fuse_step));
}

// What a DLPack capsule describes: address, shape, strides in bytes, dtype, DLPack's device type, device number.
py::tuple dlpack(const py::capsule& capsule) {
    check(std::string(capsule.name()) == "dltensor", "expected an unused DLPack capsule");
    const mdhr::DLTensor& t = capsule.get_pointer<mdhr::DLManagedTensor>()->dl_tensor;
    const std::string kinds[] = {"int", "uint", "float", "handle", "bfloat"};
    check(t.dtype.code < 5 && t.dtype.lanes == 1 && t.dtype.bits % 8 == 0, "a DLPack dtype that is not supported");
    py::list shape, strides;
    int64_t contiguous = t.dtype.bits / 8;
    for (int i = t.ndim - 1; i >= 0; --i) {
        shape.insert(0, py::int_(t.shape[i]));
        strides.insert(0, py::int_(t.strides ? t.strides[i] * (t.dtype.bits / 8) : contiguous));
        contiguous *= t.shape[i];
    }
    return py::make_tuple(reinterpret_cast<uintptr_t>(t.data) + t.byte_offset, py::tuple(shape), py::tuple(strides),
                          kinds[t.dtype.code] + std::to_string(t.dtype.bits), t.device.device_type, t.device.device_id);
}

}  // namespace

// One more whenever a function here takes or means something else; mdhr_sdk/ops/extension.py names the one it calls.
constexpr int kAbi = 2;

PYBIND11_MODULE(_kernels, m) {
    m.doc() = "Compiled kernels of mdhr_sdk; use them through mdhr_sdk.ops.";
    m.attr("abi") = kAbi;
    m.def("fuse_clip", &fuse_clip);
    m.def("fuse_step", &fuse_step);
    m.def("dlpack", &dlpack);
    m.def("scratch_bytes", &mdhr::scratch_bytes);
    m.def("max_threads", &omp_get_max_threads);
    m.def("instruction_set", &mdhr::instruction_set);
    m.def("instruction_sets", &mdhr::instruction_sets);
    m.def("set_instruction_set", &mdhr::set_instruction_set);
#ifdef MDHR_WITH_CUDA
    m.attr("cuda") = true;
    m.def("cuda_devices", [] {
        int count = 0;
        explain(mdhr::cuda_devices(&count));
        return count;
    });
    m.def("cuda_device_of", [](uintptr_t address) {
        int device = 0;
        explain(mdhr::cuda_device_of(pointer<const void>(address), &device));
        return device;
    });
#else
    m.attr("cuda") = false;
#endif
}
