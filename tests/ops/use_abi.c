/* Calls csrc/mdhr.h from C: a clip, and the same clip step by step, from a file of float32 that test_abi.py writes; then
   every argument made bad. Prints the larger of both errors; exits with 1 and a line where something is not as it says. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mdhr.h"

#define EXPECT(condition)                                                            \
    do {                                                                             \
        if (!(condition)) {                                                          \
            printf("line %d: %s; %s\n", __LINE__, #condition, mdhr_error());         \
            return 1;                                                                \
        }                                                                            \
    } while (0)

static float *take(FILE *file, size_t count) {
    float *memory = malloc(count * sizeof(float) + 1);
    if (file && fread(memory, sizeof(float), count, file) != count) exit(2);
    return memory;
}

static double error(const float *got, const float *wanted, size_t count) {
    double most = 0;
    for (size_t i = 0; i < count; ++i) most = fmax(most, isfinite(got[i]) ? fabs(got[i] - wanted[i]) : INFINITY);
    return most;
}

int main(int argc, char **argv) {
    int32_t sizes[7];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!file || fread(sizes, sizeof(int32_t), 7, file) != 7) return 2;
    EXPECT(mdhr_abi() == MDHR_ABI);
    EXPECT(mdhr_set_instruction_set("none of these") == MDHR_BAD_ARGUMENT && strstr(mdhr_error(), "processor"));
    EXPECT(mdhr_set_instruction_set(mdhr_instruction_set()) == MDHR_OK);

    const mdhr_shape clip = {sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6]};
    mdhr_shape step = clip;
    step.frames = 1;
    const size_t B = clip.batch, T = clip.frames, L = clip.scales, C = clip.channels, P = clip.positions,
                 O = clip.squeezed, k = clip.k, map = C * P;
    mdhr_parameters parameters;
    parameters.scale = take(file, L * C), parameters.shift = take(file, L * C);
    parameters.squeeze = take(file, L * O * C), parameters.squeeze_bias = take(file, L * O);
    parameters.weigh = take(file, L * L * O), parameters.weigh_bias = take(file, L);
    mdhr_maps maps = {.dtype = MDHR_FLOAT32};
    for (size_t l = 0; l < L; ++l) {
        maps.data[l] = take(file, B * T * map);
        maps.batch_stride[l] = T * map * sizeof(float), maps.frame_stride[l] = map * sizeof(float);
    }
    const float *wanted = take(file, B * T * map);
    float *fused = take(NULL, B * T * map);
    const mdhr_place place = {.device = -1, .threads = 2};
    EXPECT(mdhr_fuse_clip(&clip, &parameters, &maps, fused, &place) == MDHR_OK);
    double most = error(fused, wanted, B * T * map);

    mdhr_state *memory = calloc(B, sizeof *memory), **states = calloc(B, sizeof *states);
    for (size_t b = 0; b < B; ++b) {
        states[b] = &memory[b];
        memory[b].previous = take(NULL, L * map), memory[b].ring = take(NULL, 2 * k * L * map);
        memory[b].products = take(NULL, 2 * k * L * O * P);
    }
    float *motion = take(NULL, B * map);
    for (size_t t = 0; t < T + k; ++t) {
        mdhr_maps now = maps;
        for (size_t l = 0; l < L; ++l) now.data[l] = (const char *)maps.data[l] + t * maps.frame_stride[l];
        const mdhr_maps *given = t < T ? &now : NULL;
        EXPECT(mdhr_fuse_step(&step, &parameters, given, states, MDHR_FLOAT32, motion, &place) == MDHR_OK);
        for (size_t b = 0; b < B; ++b) {
            EXPECT(memory[b].count == (int64_t)t + 1);
            if (t >= k) most = fmax(most, error(motion + b * map, wanted + (b * T + t - k) * map, map));
            else EXPECT(isnan(motion[b * map]));
        }
    }

    /* Whatever is wrong is told, and nothing is written. */
    float *before = take(NULL, B * T * map);
    memcpy(before, fused, B * T * map * sizeof(float));
#define REFUSED(call, word) EXPECT((call) == MDHR_BAD_ARGUMENT && strstr(mdhr_error(), word))
#define BAD_CLIP(type, name, change, word)                                             \
    do {                                                                               \
        type bad = name;                                                               \
        change;                                                                        \
        const type *name##_ = &bad;                                                    \
        REFUSED(mdhr_fuse_clip(CLIP_##name), word);                                    \
    } while (0)
#define CLIP_clip clip_, &parameters, &maps, fused, &place
#define CLIP_parameters &clip, parameters_, &maps, fused, &place
#define CLIP_maps &clip, &parameters, maps_, fused, &place
#define CLIP_place &clip, &parameters, &maps, fused, place_
    REFUSED(mdhr_fuse_clip(NULL, &parameters, &maps, fused, &place), "shape");
    REFUSED(mdhr_fuse_clip(&clip, NULL, &maps, fused, &place), "parameters");
    REFUSED(mdhr_fuse_clip(&clip, &parameters, NULL, fused, &place), "maps");
    REFUSED(mdhr_fuse_clip(&clip, &parameters, &maps, NULL, &place), "fused");
    REFUSED(mdhr_fuse_clip(&clip, &parameters, &maps, fused, NULL), "place");
    BAD_CLIP(mdhr_shape, clip, bad.batch = -1, "batch");
    BAD_CLIP(mdhr_shape, clip, bad.frames = 0, "frames");
    BAD_CLIP(mdhr_shape, clip, bad.scales = 9, "1 to 8");
    BAD_CLIP(mdhr_shape, clip, bad.channels = -5, "channels");
    BAD_CLIP(mdhr_shape, clip, bad.channels = INT32_MAX, "channels");
    BAD_CLIP(mdhr_shape, clip, bad.positions = 1 << 20, "positions");
    BAD_CLIP(mdhr_shape, clip, bad.squeezed = 0, "squeezed");
    BAD_CLIP(mdhr_shape, clip, bad.k = INT32_MIN, "k");
    BAD_CLIP(mdhr_shape, clip, (bad.frames = bad.channels = 1 << 27), "no memory");
    BAD_CLIP(mdhr_parameters, parameters, bad.weigh = NULL, "six arrays");
    BAD_CLIP(mdhr_parameters, parameters, bad.scale = (const float *)((const char *)bad.scale + 1), "aligned");
    BAD_CLIP(mdhr_maps, maps, bad.data[L - 1] = NULL, "a scale");
    BAD_CLIP(mdhr_maps, maps, bad.dtype = 3, "dtype");
    if (B > 1) BAD_CLIP(mdhr_maps, maps, bad.batch_stride[0] = INT64_MIN, "so far");
    if (T > 1) BAD_CLIP(mdhr_maps, maps, bad.frame_stride[0] = INT64_MAX - 7, "so far");
    BAD_CLIP(mdhr_place, place, bad.threads = -1, "threads");
    BAD_CLIP(mdhr_place, place, bad.threads = 1025, "threads");
    BAD_CLIP(mdhr_place, place, bad.device = -2, "-1 or more");
    if (!mdhr_has_cuda()) BAD_CLIP(mdhr_place, place, bad.device = 0, "without CUDA");
    else {
        const mdhr_place nowhere = {.device = 999};
        EXPECT(mdhr_fuse_clip(&clip, &parameters, &maps, fused, &nowhere) == MDHR_CUDA_FAILED);
    }
    EXPECT(memcmp(before, fused, B * T * map * sizeof(float)) == 0);

#define STEP(shape, maps, states, ring, fused) mdhr_fuse_step(shape, &parameters, maps, states, ring, fused, &place)
    REFUSED(STEP(&clip, &maps, states, MDHR_FLOAT32, motion), "one frame");
    REFUSED(STEP(&step, &maps, NULL, MDHR_FLOAT32, motion), "states");
    REFUSED(STEP(&step, &maps, states, 7, motion), "dtype");
    REFUSED(STEP(&step, &maps, states, MDHR_FLOAT32, NULL), "fused");
    mdhr_maps halves = maps;
    halves.dtype = MDHR_FLOAT16;
    REFUSED(STEP(&step, &halves, states, MDHR_FLOAT32, motion), "float32 frames");
    mdhr_state kept = memory[0];
    memory[0].count = -1;
    REFUSED(STEP(&step, &maps, states, MDHR_FLOAT32, motion), "counts");
    memory[0].count = INT64_MAX - 1;
    REFUSED(STEP(&step, &maps, states, MDHR_FLOAT32, motion), "counts");
    memory[0] = kept, memory[0].ring = NULL;
    REFUSED(STEP(&step, &maps, states, MDHR_FLOAT32, motion), "ring");
    memory[0] = kept, memory[0].products = (float *)((char *)kept.products + 1);
    REFUSED(STEP(&step, &maps, states, MDHR_FLOAT32, motion), "products");
    memory[0] = kept, states[B - 1] = states[0];
    REFUSED(STEP(&step, &maps, states, MDHR_FLOAT32, motion), "different");
    states[B - 1] = NULL;
    REFUSED(STEP(&step, &maps, states, MDHR_FLOAT32, motion), "NULL");
    EXPECT(memory[0].count == kept.count);

    uint8_t picture[5 * 7 * 3], small[3 * 4 * 3];
    memset(picture, 7, sizeof picture);
    EXPECT(mdhr_shrink(picture, 21, 7, 5, small, 4, 3) == MDHR_OK && small[0] == 7 && small[35] == 7);
    REFUSED(mdhr_shrink(NULL, 21, 7, 5, small, 4, 3), "NULL");
    REFUSED(mdhr_shrink(picture, 20, 7, 5, small, 4, 3), "overlap");
    REFUSED(mdhr_shrink(picture, 21, 7, 5, small, 8, 3), "grows");
    REFUSED(mdhr_shrink(picture, 21, INT32_MAX, 5, small, 4, 3), "sizes");
    mdhr_geometry geometry = {.points = 1, .rigid = 1, .networks = 1, .widths = {13, 1, 1, 1}};
    double values[16] = {0};
    REFUSED(mdhr_read_mesh(NULL, motion, values, 0, values, values), "geometry");
    REFUSED(mdhr_read_mesh(&geometry, motion, values, 0, values, values), "arrays");
    geometry.widths[0] = 12;
    REFUSED(mdhr_read_mesh(&geometry, motion, values, 0, values, values), "first width");
    printf("%g\n", most);
    return 0;
}
