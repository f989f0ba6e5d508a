/* The motion of a stream for any language: what lies between the encoder's maps and the relations graph, eq. 1 and 3 to
   5 of the paper, as compiled code. docs/graphs.md has the equations, and the rest of a stream. Beside it what takes
   Python longest of a face: its crop made smaller, and what the geometry of its mesh says. mdhr_sdk itself calls nothing
   else; nothing here knows Python. A library for C is one command, in this folder:

       g++ -std=c++17 -O3 -fopenmp -fno-math-errno -fno-trapping-math -fPIC -shared -Wno-psabi *.cpp -o libmdhr.so

   Arrays of floats are aligned to floats. Maps, and the motion of clips, lie anywhere; on CUDA aligned to elements.
   Every function may be called by several threads at once, of which no two give the same state. OpenMP's threads do not
   outlive a fork: where a process forks after a call of several threads, the child must ask for one thread. */
#ifndef MDHR_H
#define MDHR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MDHR_API __attribute__((visibility("default")))
#else
#define MDHR_API
#endif

/* One more whenever something here takes or means something else. Compare it with mdhr_abi() before any other call. */
#define MDHR_ABI 5
#define MDHR_MAX_SCALES 8
#define MDHR_LAYERS 3 /* of the networks that read a mesh */
#define MDHR_LANES 16 /* their outputs are padded to whole multiples of it */

/* What functions return. mdhr_error() says why; after MDHR_BAD_ARGUMENT and MDHR_NO_MEMORY nothing was written. */
enum { MDHR_OK = 0, MDHR_BAD_ARGUMENT = 1, MDHR_NO_MEMORY = 2, MDHR_CUDA_FAILED = 3 };

/* How numbers are stored; arithmetic is float32 whatever they are. Rounding is to nearest even. */
enum { MDHR_FLOAT32 = 0, MDHR_FLOAT16 = 1, MDHR_BFLOAT16 = 2 };

typedef struct {
    int32_t batch;     /* B: clips, or the states of a step */
    int32_t frames;    /* T: frames of a clip; 1 for a step */
    int32_t scales;    /* L: maps of a frame, at most MDHR_MAX_SCALES */
    int32_t channels;  /* C */
    int32_t positions; /* P = h w */
    int32_t squeezed;  /* O: squeezed channels of a scale */
    int32_t k;         /* frames on each side whose differences are averaged */
} mdhr_shape;          /* batch from 0; positions and squeezed from 1 to 2^20 - 1, the others to 2^28 - 1 */

/* What the model has learned, BatchNorms folded: float32 without gaps, where the maps lie. */
typedef struct {
    const float *scale;        /* (L, C): the normalised difference is difference * scale + shift */
    const float *shift;        /* (L, C) */
    const float *squeeze;      /* (L, O, C): 1x1 convolutions */
    const float *squeeze_bias; /* (L, O) */
    const float *weigh;        /* (L, L * O): from all squeezed channels to one logit a scale */
    const float *weigh_bias;   /* (L) */
} mdhr_parameters;

/* One projected map (C, P) without gaps for each scale, clip and frame. */
typedef struct {
    const void *data[MDHR_MAX_SCALES];
    int64_t batch_stride[MDHR_MAX_SCALES]; /* bytes from a clip, or a state's map, to the next; also 0 or less */
    int64_t frame_stride[MDHR_MAX_SCALES]; /* bytes from a frame to the next; a step has one */
    int32_t dtype;                         /* a step takes MDHR_FLOAT32 only */
    int32_t changes; /* not 0: frame t holds what changed since frame t - 1, and the first one nothing that counts;
                        a step takes 0 only */
} mdhr_maps;

/* Where the work runs: all pointers but those of structures are of this device's memory. */
typedef struct {
    int32_t device;  /* -1: the CPU; else the number of a CUDA device, if the library was built for CUDA */
    int32_t threads; /* of the CPU, at most 1024; 0: as many as OpenMP finds right */
    void *stream;    /* cudaStream_t on which the work is queued; nothing waits for it */
} mdhr_place;

/* A sequence that is scored frame by frame. A state whose count is 0 starts with its next map, whatever the memory
   holds. The 2k differences are summed afresh at every step, so that nothing drifts. */
typedef struct {
    int64_t count;   /* maps, and steps without change, that it has seen */
    float *previous; /* (L, C, P): the last maps */
    void *ring;      /* (2k, L, C, P): differences after BatchNorm and ReLU, difference j in slot j modulo 2k */
    float *products; /* (2k, L, O, P): the same, squeezed */
} mdhr_state;

/* Fused motion of whole clips: (B, T, C, P) without gaps, in the dtype of the maps. */
MDHR_API int mdhr_fuse_clip(const mdhr_shape *shape, const mdhr_parameters *parameters, const mdhr_maps *maps,
                            void *fused, const mdhr_place *place);

/* Brings the sequences one frame further, each from where it is: fused (B, C, P) is the motion of frame count - k of
   each state, where count is what it was before this call; NaN where that is below 0. maps NULL is a step without
   change: k of them after the last frame complete the last k frames. ring: the dtype of all rings. On CUDA a ring of
   halves squeezes the rounded differences, on the CPU the exact ones. */
MDHR_API int mdhr_fuse_step(const mdhr_shape *shape, const mdhr_parameters *parameters, const mdhr_maps *maps,
                            mdhr_state *const *states, int32_t ring, float *fused, const mdhr_place *place);

/* A picture made smaller: out (out_height, out_width, 3) bytes without gaps, each the average of its area of image
   (height, width, 3), whose rows are row_bytes apart. The same as OpenCV's resize with INTER_AREA, unless both sides
   shrink by whole factors: that is another function there. Sizes from 1 to 32767, those of out not above the others. */
MDHR_API int mdhr_shrink(const uint8_t *image, int64_t row_bytes, int32_t width, int32_t height, uint8_t *out,
                         int32_t out_width, int32_t out_height);

/* The part of image (height, width, 3) that a matrix (2, 3) brings into a square: out (size, size, 3) bytes without
   gaps. The same as OpenCV's warpAffine with INTER_LINEAR and BORDER_REPLICATE. Sizes as of mdhr_shrink, size from 1 to
   4096; no pixel of out may come from beyond 2^19 pixels of the image's corner. */
MDHR_API int mdhr_warp(const uint8_t *image, int64_t row_bytes, int32_t width, int32_t height, const double *matrix,
                       uint8_t *out, int32_t size);

/* How a face looks: as mdhr_warp, but out is softened as by OpenCV's blur of 3 x 3 pixels, size from 2; and cells
   (points, 3) are the colours of out at at (points, 2), x and y, as by its remap with INTER_LINEAR and BORDER_REPLICATE.
   These are finite, and within 2^19 pixels. */
MDHR_API int mdhr_look(const uint8_t *image, int64_t row_bytes, int32_t width, int32_t height, const double *matrix,
                       uint8_t *out, int32_t size, const float *at, int32_t points, float *cells);

/* Crops (count, area, 3), blue, green, red, as planes of floats (count, 3, area), red, green, blue: each byte times a
   factor (3), less a shift (3), both rounded to float32. */
MDHR_API int mdhr_planes(const uint8_t *crops, int32_t count, int32_t area, const float *factors, const float *shifts,
                         float *out);

/* How the mesh of a face is measured, and the networks that read it; float64 but for the weights, none with gaps. There
   are M = sums + distances + 4 measures: of the sums those before plain, the distances, the other sums, the pose. */
typedef struct {
    int32_t points;    /* of a mesh that count: 468 */
    int32_t rigid;     /* points that the mesh is laid on the mean face by */
    int32_t sums;      /* measures that are sums of two coordinates */
    int32_t plain;     /* those of them that are the same in a mirror; the sign of the others does not count */
    int32_t distances; /* measures that are the mean of two distances */
    int32_t networks;  /* whose logits are averaged */
    int32_t widths[MDHR_LAYERS + 1];   /* of the networks' layers: 3 M + 1 first, logits last */
    const int32_t *rigid_at;           /* (rigid) points */
    const double *target;              /* (rigid, 3) where they are on the mean face, about their middle */
    const double *centre;              /* (3) this middle */
    const int32_t *at;                 /* (2, sums) coordinates of a mesh, flat */
    const double *factors;             /* (2, sums) of these */
    const int32_t *from;               /* (distances, 2) points */
    const int32_t *to;                 /* (distances, 2) points */
    const double *refinement;          /* (M) what is added to the measures; NULL for nothing */
    const double *mean;                /* (M) measures of the mean face */
    const double *spread;              /* (M) by which differences to the own face at rest are divided */
    const double *absolute_spread;     /* (M) the same, to the mean face */
    const float *weights[MDHR_LAYERS]; /* (networks, inputs, outputs padded by zeros to whole MDHR_LANES) */
    const double *biases[MDHR_LAYERS]; /* (networks, outputs) */
    double most, absolute_most, sure;  /* beyond which differences so divided, and logits, are cut off */
} mdhr_geometry;

/* What geometry says of a face: measured (M), and logits (widths[MDHR_LAYERS]). mesh: (points, 3) or more, x, y and z in
   pixels. neutral: (M) measures of the person at rest. known: from 0 to 1, how far these are known. */
MDHR_API int mdhr_read_mesh(const mdhr_geometry *geometry, const float *mesh, const double *neutral, double known,
                            double *measured, double *logits);

/* Why this thread's last call that failed did; never NULL, and valid until its next one. */
MDHR_API const char *mdhr_error(void);

MDHR_API int32_t mdhr_abi(void);      /* of the library: its MDHR_ABI */
MDHR_API int32_t mdhr_has_cuda(void); /* whether it was built for CUDA */

/* The instructions that kernels run with ("sse2", "avx2", "avx512", "neon" or "portable"): the widest that this
   processor has, or a narrower set that was asked for; BAD_ARGUMENT for one that it has not. */
MDHR_API const char *mdhr_instruction_set(void);
MDHR_API int mdhr_set_instruction_set(const char *name);

#ifdef __cplusplus
}
#endif

#endif
