// What the kernels take: plain pointers and sizes, on the CPU or on a CUDA device. Nothing here knows Python or torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#ifdef __CUDACC__
#define MDHR_BOTH __host__ __device__
#else
#define MDHR_BOTH
#endif

namespace mdhr {

enum class DType : int { kFloat32 = 0, kFloat16 = 1, kBFloat16 = 2 };

inline int64_t size_of(DType dtype) { return dtype == DType::kFloat32 ? 4 : 2; }

constexpr int kMaxScales = 8;

// One projected map a scale, batch and frame. The channels x positions of a frame lie without gaps: position by
// position inside a channel (NCHW), or channel by channel inside a position (NHWC, channels_last).
struct Maps {
    const char* data[kMaxScales];
    int64_t batch_stride[kMaxScales];  // bytes
    int64_t frame_stride[kMaxScales];  // bytes
    DType dtype;
    bool changes;  // frame t holds what changed since frame t - 1, and the first one nothing
};

// float32, contiguous. L scales, C channels, O squeezed channels a scale.
struct Parameters {
    const float* scale;         // (L, C): the differences' BatchNorm, folded
    const float* shift;         // (L, C)
    const float* squeeze;       // (L, O, C): 1x1 convolution and its BatchNorm, folded
    const float* squeeze_bias;  // (L, O)
    const float* weigh;         // (L, L * O)
    const float* weigh_bias;    // (L)
};

struct Shape {
    int batch, frames, scales, channels, positions, width, k;  // width: O
    bool channels_last;

    MDHR_BOTH int64_t elements() const { return static_cast<int64_t>(channels) * positions; }  // of one frame's map
};

struct Clip {
    Shape shape;
    Maps maps;
    Parameters parameters;
    char* fused;               // (B, T, C x P) in the maps' dtype and layout
    char* means[kMaxScales];   // the same for every scale, or null
};

// What a sequence has seen, in memory of the caller's.
struct State {
    int64_t* count;            // maps seen, on the CPU; 0 for a state that starts
    float* previous;           // (L, C x P)
    char* ring;                // (2k, L, C x P) normalised differences after ReLU
    float* products;           // (2k, L, O x P) their squeezed channels
};

// One step of many states.
struct Step {
    Shape shape;               // batch: states in this call; frames: 1
    Maps maps;                 // data null: a step without change, which ends a sequence
    Parameters parameters;
    std::vector<State> states; // (M)
    DType ring;                // how the rings are stored
    float* fused;              // (M, C x P)
};

void fuse_clip(const Clip& clip, int threads);
void fuse_step(const Step& step, int threads);

// Bytes of scratch memory that this thread keeps for its next call: 32 MiB at most.
size_t scratch_bytes();

// The instruction sets of this build that this processor has, the widest last.
std::vector<const char*> instruction_sets();
const char* instruction_set();
bool set_instruction_set(const char* name);

#ifdef MDHR_WITH_CUDA
// Queued on `stream` (a cudaStream_t); nothing waits. They return a cudaError_t, which cuda_message explains.
int fuse_clip_cuda(const Clip& clip, int device, void* stream);
int fuse_step_cuda(const Step& step, int device, void* stream);
const char* cuda_message(int error);
int cuda_devices(int* count);
int cuda_device_of(const void* address, int* device);
#endif

}  // namespace mdhr
