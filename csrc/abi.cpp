// The functions of mdhr.h: every argument is checked before a kernel sees it, and no exception leaves.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <new>
#include <vector>

#include "simd.h"

namespace {

thread_local char reason[200] = "";

constexpr double kMemory = 0x1p46;  // bytes: no machine has more

struct Failure {
    int code;
    const char* what;
};

void check(bool ok, const char* what) {
    if (!ok) throw Failure{MDHR_BAD_ARGUMENT, what};
}

void check_pointer(const void* pointer, size_t unit, const char* what) {
    check(pointer && reinterpret_cast<uintptr_t>(pointer) % unit == 0, what);
}

int fail(int code, const char* what) noexcept {
    std::snprintf(reason, sizeof reason, "%s", what);
    return code;
}

template <class Work>
int guarded(Work work) noexcept {
    try {
        work();
        return MDHR_OK;
    } catch (const Failure& failure) {
        return fail(failure.code, failure.what);
    } catch (const std::bad_alloc&) {
        return fail(MDHR_NO_MEMORY, "out of memory");
    } catch (const std::exception& error) {
        return fail(MDHR_NO_MEMORY, error.what());
    }
}

bool within(int32_t value, int32_t least, int bits) { return value >= least && value < 1 << bits; }

void check_shape(const mdhr_shape* s) {
    check(s, "shape: expected a pointer; got NULL");
    check(within(s->scales, 1, 28) && s->scales <= MDHR_MAX_SCALES, "shape: expected 1 to 8 scales");
    check(within(s->batch, 0, 28) && within(s->frames, 1, 28) && within(s->channels, 1, 28) && within(s->k, 1, 28),
          "shape: expected frames, channels and k from 1 to 2^28 - 1, and batch from 0");
    check(within(s->positions, 1, 20) && within(s->squeezed, 1, 20),
          "shape: expected positions and squeezed from 1 to 2^20 - 1");
    const double maps = 4.0 * s->scales * s->channels * s->positions;
    check(maps * s->frames * std::max(s->batch, 1) < kMemory, "shape: no memory holds maps of that size");
}

void check_parameters(const mdhr_parameters* p) {
    check(p, "parameters: expected a pointer; got NULL");
    for (const float* each : {p->scale, p->shift, p->squeeze, p->squeeze_bias, p->weigh, p->weigh_bias})
        check_pointer(each, sizeof(float), "parameters: expected six arrays, aligned to floats");
}

void check_dtype(int32_t dtype) { check(dtype >= 0 && dtype <= 2, "expected a dtype of the header's"); }

void check_maps(const mdhr_maps* maps, const mdhr_shape& s, const mdhr_place& place) {
    check(maps, "maps: expected a pointer; got NULL");
    check_dtype(maps->dtype);
    const size_t unit = place.device < 0 ? 1 : static_cast<size_t>(mdhr::size_of(maps->dtype));
    const auto whole = [&](int64_t stride) { return stride % static_cast<int64_t>(unit) == 0; };
    for (int l = 0; l < s.scales; ++l) {
        check_pointer(maps->data[l], unit, "maps: expected an array a scale, on CUDA aligned to its elements");
        check(whole(maps->batch_stride[l]) && whole(maps->frame_stride[l]),
              "maps: expected strides of whole elements on CUDA");
        const double reach = std::fabs(static_cast<double>(maps->batch_stride[l])) * (s.batch - 1) +
                             std::fabs(static_cast<double>(maps->frame_stride[l])) * (s.frames - 1);
        check(reach < kMemory, "maps: expected strides in bytes; no memory reaches so far");
    }
}

void check_place(const mdhr_place* place) {
    check(place, "place: expected a pointer; got NULL");
    check(place->device >= -1, "place: expected device -1 or more");
    check(place->threads >= 0 && place->threads <= 1024, "place: expected threads from 0 to 1024");
#ifndef MDHR_WITH_CUDA
    check(place->device < 0, "place: this library was built without CUDA");
#endif
}

void check_states(const mdhr_state* const* states, const mdhr_shape& s, int32_t ring) {
    check(states, "states: expected a pointer; got NULL");
    check(8.0 * s.k * s.scales * s.positions * std::max(s.channels, s.squeezed) < kMemory,
          "states: no memory holds rings of that size");
    for (int i = 0; i < s.batch; ++i) {
        check(states[i], "states: expected pointers; one is NULL");
        const int64_t count = states[i]->count;
        check(count >= 0 && count < INT64_C(1) << 62, "states: expected counts from 0 to 2^62 - 1");
        check_pointer(states[i]->previous, sizeof(float), "states: expected previous, aligned to floats");
        check_pointer(states[i]->products, sizeof(float), "states: expected products, aligned to floats");
        check_pointer(states[i]->ring, static_cast<size_t>(mdhr::size_of(ring)),
                      "states: expected a ring, aligned to its elements");
    }
    if (s.batch < 2) return;
    std::vector<const void*> rings;
    for (int i = 0; i < s.batch; ++i) rings.push_back(states[i]->ring);
    std::sort(rings.begin(), rings.end());
    check(std::adjacent_find(rings.begin(), rings.end()) == rings.end(), "states: expected different ones");
}

void check_places(const int32_t* places, int64_t count, int32_t before, const char* what) {
    check_pointer(places, sizeof(int32_t), what);
    for (int64_t i = 0; i < count; ++i) check(places[i] >= 0 && places[i] < before, what);
}

void check_geometry(const mdhr_geometry* g) {
    check(g, "geometry: expected a pointer; got NULL");
    check(within(g->points, 1, 20) && within(g->rigid, 1, 20) && within(g->networks, 1, 20) && within(g->sums, 0, 20) &&
              within(g->distances, 0, 20) && g->plain >= 0 && g->plain <= g->sums,
          "geometry: expected counts below 2^20, and plain up to sums");
    for (const int32_t width : g->widths) check(within(width, 1, 20), "geometry: expected widths from 1 to 2^20 - 1");
    check(g->widths[0] == 3 * (g->sums + g->distances + 4) + 1, "geometry: expected 3 M + 1 as the first width");
    const double* const arrays[] = {g->target, g->centre, g->factors, g->mean, g->spread, g->absolute_spread};
    for (const double* each : arrays)
        check_pointer(each, sizeof(double), "geometry: expected arrays, aligned to doubles");
    check(reinterpret_cast<uintptr_t>(g->refinement) % sizeof(double) == 0, "geometry: expected an aligned refinement");
    for (int layer = 0; layer < MDHR_LAYERS; ++layer) {
        check_pointer(g->weights[layer], sizeof(float), "geometry: expected weights, aligned to floats");
        check_pointer(g->biases[layer], sizeof(double), "geometry: expected biases, aligned to doubles");
    }
    check_places(g->rigid_at, g->rigid, g->points, "geometry: expected rigid points of the mesh");
    check_places(g->at, INT64_C(2) * g->sums, 3 * g->points, "geometry: expected coordinates of the mesh");
    check_places(g->from, INT64_C(2) * g->distances, g->points, "geometry: expected points of the mesh");
    check_places(g->to, INT64_C(2) * g->distances, g->points, "geometry: expected points of the mesh");
}

constexpr double kFar = 0x1p19;  // pixels; the kernels count 1024ths of them as int

void check_warp(const mdhr::Warp& warp) {
    const mdhr::Picture& from = warp.from;
    check(from.pixels && warp.out, "warp: expected pictures; got NULL");
    check(within(from.width, 1, 15) && within(from.height, 1, 15) && warp.size >= 1 && warp.size <= 4096,
          "warp: expected sizes from 1 to 32767, and a square of at most 4096");
    check(from.row_bytes >= INT64_C(3) * from.width && from.row_bytes < INT64_C(1) << 40,
          "warp: expected rows without overlap");
    check_pointer(warp.matrix, sizeof(double), "warp: expected a matrix, aligned to doubles");
    const double* m = warp.matrix;
    const double whole = std::fabs(m[0] * m[4] - m[1] * m[3]);
    const double across = std::fabs(m[0]) + std::fabs(m[1]) + std::fabs(m[3]) + std::fabs(m[4]);
    const double reach = across * (std::fabs(m[2]) + std::fabs(m[5]) + 2.0 * warp.size);
    check(reach < kFar * whole, "warp: expected a matrix that keeps within 2^19 pixels");  // not so for NaN
}

template <class Work, class Cpu, class Cuda>
void run(const Work& work, const mdhr_place& place, Cpu cpu, [[maybe_unused]] Cuda cuda) {
    if (place.device < 0) return cpu(work, place.threads > 0 ? place.threads : omp_get_max_threads());
#ifdef MDHR_WITH_CUDA
    if (const int error = cuda(work, place.device, place.stream))
        throw Failure{MDHR_CUDA_FAILED, mdhr::cuda_message(error)};
#endif
}

#ifdef MDHR_WITH_CUDA
#define MDHR_CUDA_VERSION(name) mdhr::name##_cuda
#else
#define MDHR_CUDA_VERSION(name) nullptr
#endif

}  // namespace

int mdhr_fuse_clip(const mdhr_shape* shape, const mdhr_parameters* parameters, const mdhr_maps* maps, void* fused,
                   const mdhr_place* place) {
    return guarded([&] {
        check_shape(shape);
        check_parameters(parameters);
        check_place(place);
        if (shape->batch == 0) return;
        check_maps(maps, *shape, *place);
        const size_t unit = place->device < 0 ? 1 : static_cast<size_t>(mdhr::size_of(maps->dtype));
        check_pointer(fused, unit, "fused: expected an array, on CUDA aligned to its elements");
        const mdhr::Clip clip = {*shape, *maps, *parameters, static_cast<char*>(fused)};
        run(clip, *place, mdhr::fuse_clip, MDHR_CUDA_VERSION(fuse_clip));
    });
}

int mdhr_fuse_step(const mdhr_shape* shape, const mdhr_parameters* parameters, const mdhr_maps* maps,
                   mdhr_state* const* states, int32_t ring, float* fused, const mdhr_place* place) {
    return guarded([&] {
        check_shape(shape);
        check(shape->frames == 1, "shape: expected one frame for a step");
        check_parameters(parameters);
        check_place(place);
        check_dtype(ring);
        if (shape->batch == 0) return;
        if (maps) check_maps(maps, *shape, *place);
        check(!maps || (maps->dtype == MDHR_FLOAT32 && !maps->changes), "maps: expected float32 frames for a step");
        check_states(states, *shape, ring);
        check_pointer(fused, sizeof(float), "fused: expected an array, aligned to floats");
        const mdhr::Step step = {*shape, maps ? *maps : mdhr_maps{}, *parameters, states, ring, fused};
        run(step, *place, mdhr::fuse_step, MDHR_CUDA_VERSION(fuse_step));
    });
}

int mdhr_shrink(const uint8_t* image, int64_t row_bytes, int32_t width, int32_t height, uint8_t* out, int32_t out_width,
                int32_t out_height) {
    return guarded([&] {
        check(image && out, "shrink: expected pictures; got NULL");
        check(within(width, 1, 15) && within(height, 1, 15) && out_width >= 1 && out_width <= width && out_height >= 1 &&
                  out_height <= height,
              "shrink: expected sizes from 1 to 32767, and none that grows");
        check(row_bytes >= INT64_C(3) * width && row_bytes < INT64_C(1) << 40, "shrink: expected rows without overlap");
        mdhr::shrink({image, row_bytes, width, height, out, out_width, out_height});
    });
}

int mdhr_warp(const uint8_t* image, int64_t row_bytes, int32_t width, int32_t height, const double* matrix, uint8_t* out,
              int32_t size) {
    return guarded([&] {
        const mdhr::Warp warp{{image, row_bytes, width, height}, matrix, out, size};
        check_warp(warp);
        mdhr::warp(warp);
    });
}

int mdhr_look(const uint8_t* image, int64_t row_bytes, int32_t width, int32_t height, const double* matrix, uint8_t* out,
              int32_t size, const float* at, int32_t points, float* cells) {
    return guarded([&] {
        const mdhr::Look look{{{image, row_bytes, width, height}, matrix, out, size}, at, points, cells};
        check_warp(look.warp);
        check(size >= 2 && within(points, 0, 20), "look: expected a size from 2, and fewer than 2^20 points");
        check_pointer(at, sizeof(float), "look: expected points, aligned to floats");
        check_pointer(cells, sizeof(float), "look: expected cells, aligned to floats");
        for (int i = 0; i < 2 * points; ++i) check(std::fabs(at[i]) < kFar, "look: expected points within 2^19 pixels");
        mdhr::look(look);
    });
}

int mdhr_planes(const uint8_t* crops, int32_t count, int32_t area, const float* factors, const float* shifts,
                float* out) {
    return guarded([&] {
        check(crops, "planes: expected crops; got NULL");
        check(within(count, 0, 20) && within(area, 1, 28), "planes: expected count from 0, and area from 1");
        for (const float* each : {factors, shifts, static_cast<const float*>(out)})
            check_pointer(each, sizeof(float), "planes: expected arrays, aligned to floats");
        mdhr::planes({crops, count, area, factors, shifts, out});
    });
}

int mdhr_read_mesh(const mdhr_geometry* geometry, const float* mesh, const double* neutral, double known,
                   double* measured, double* logits) {
    return guarded([&] {
        check_geometry(geometry);
        check_pointer(mesh, sizeof(float), "mesh: expected an array, aligned to floats");
        for (const void* each : {static_cast<const void*>(neutral), static_cast<const void*>(measured),
                                 static_cast<const void*>(logits)})
            check_pointer(each, sizeof(double), "neutral, measured, logits: expected arrays, aligned to doubles");
        mdhr::read_mesh(*geometry, mesh, neutral, known, measured, logits);
    });
}

const char* mdhr_error() { return reason; }

int32_t mdhr_abi() { return MDHR_ABI; }

int32_t mdhr_has_cuda() {
#ifdef MDHR_WITH_CUDA
    return 1;
#else
    return 0;
#endif
}

int mdhr_set_instruction_set(const char* name) {
    return guarded([&] {
        check(name && mdhr::choose_instructions(name), "expected the name of instructions that this processor has");
    });
}
