// What the kernels take: the structures of the C header, checked, and put together.
#pragma once

#include "mdhr.h"

#ifdef __CUDACC__
#define MDHR_BOTH __host__ __device__
#else
#define MDHR_BOTH
#endif

namespace mdhr {

constexpr int kMaxScales = MDHR_MAX_SCALES;

using Shape = mdhr_shape;
using Maps = mdhr_maps;
using Parameters = mdhr_parameters;
using State = mdhr_state;

MDHR_BOTH inline int64_t elements(const Shape& s) { return static_cast<int64_t>(s.channels) * s.positions; }

inline int64_t size_of(int dtype) { return dtype == MDHR_FLOAT32 ? 4 : 2; }

struct Clip {
    Shape shape;
    Maps maps;
    Parameters parameters;
    char* fused;
};

struct Step {
    Shape shape;
    Maps maps;  // data null: a step without change
    Parameters parameters;
    State* const* states;
    int ring;
    float* fused;
};

struct Shrink {
    const uint8_t* image;
    int64_t row_bytes;
    int width, height;
    uint8_t* out;
    int out_width, out_height;
};

struct Picture {
    const uint8_t* pixels;
    int64_t row_bytes;
    int width, height;
};

struct Warp {
    Picture from;
    const double* matrix;
    uint8_t* out;
    int size;
};

struct Look {
    Warp warp;  // out: the blurred part
    const float* at;
    int points;
    float* cells;
};

struct Planes {
    const uint8_t* crops;
    int64_t count, area;
    const float *factors, *shifts;
    float* out;
};

using Geometry = mdhr_geometry;

void shrink(const Shrink& task);
void warp(const Warp& task);
void look(const Look& task);
void planes(const Planes& task);
void read_mesh(const Geometry& geometry, const float* mesh, const double* neutral, double known, double* measured,
               double* logits);
void fuse_clip(const Clip& clip, int threads);
void fuse_step(const Step& step, int threads);

#ifdef MDHR_WITH_CUDA
// Queued on `stream` (a cudaStream_t); nothing waits. They return a cudaError_t, which cuda_message explains.
int fuse_clip_cuda(const Clip& clip, int device, void* stream);
int fuse_step_cuda(const Step& step, int device, void* stream);
const char* cuda_message(int error);
#endif

}  // namespace mdhr
