/* The counter-based generator of generated CUDA kernels: a draw is a pure function of a stream's key, an index and a counter; the formulas
 * are in random.py. Words and uniforms are equal on every target, normals to the rounding of log, sqrt and cos. Indices and counters
 * are signed and wrap. Needs mathematics.cuh.
 */
#ifndef SNN_CUDA_RANDOM
#define SNN_CUDA_RANDOM

/* The finaliser: every bit of the result depends on every bit of x. */
SNN_INLINE uint64_t snn_mix(uint64_t x)
{
    x = (x ^ (x >> 30))*0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27))*0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

SNN_INLINE uint64_t snn_base(uint64_t key, int64_t index) { return snn_mix(key + (uint64_t)index*0x9E3779B97F4A7C15u); }
SNN_INLINE uint64_t snn_word(uint64_t base, int64_t counter) { return snn_mix(base ^ (uint64_t)counter*0xD1B54A32D192ED03u); }

/* [0, 1): the upper 53 bits times 2^-53; of float, the upper 24 bits times 2^-24. */
SNN_INLINE double snn_uniform_of(uint64_t word) { return (double)(int64_t)(word >> 11)*1.1102230246251565e-16; }
SNN_INLINE float snn_uniform_off(uint64_t word) { return (float)(int32_t)(word >> 40)*5.9604644775390625e-08f; }

SNN_INLINE double snn_uniform(uint64_t base, int64_t counter) { return snn_uniform_of(snn_word(base, counter)); }
SNN_INLINE float snn_uniformf(uint64_t base, int64_t counter) { return snn_uniform_off(snn_word(base, counter)); }
SNN_INLINE double snn_uniform_at(uint64_t key, int64_t index, int64_t counter) { return snn_uniform(snn_base(key, index), counter); }
SNN_INLINE float snn_uniform_atf(uint64_t key, int64_t index, int64_t counter) { return snn_uniformf(snn_base(key, index), counter); }

/* Box and Muller (1958): one normal number per word, from two halves of it (float: from 24 bits each, in float). */
SNN_INLINE double snn_normal_of(uint64_t word)
{
    const double first = ((double)(uint32_t)(word >> 32) + 0.5)*2.3283064365386963e-10;
    const double second = (double)(uint32_t)word*2.3283064365386963e-10;
    return sqrt(-2.0*log(first))*cospi(2.0*second);
}

SNN_INLINE float snn_normal_off(uint64_t word)
{
    const float first = ((float)(int32_t)(word >> 40) + 0.5f)*5.9604644775390625e-08f;
    const float second = (float)(int32_t)((word >> 8) & 0xffffff)*5.9604644775390625e-08f;
    return sqrtf(-2.0f*logf(first))*cospif(2.0f*second);
}

SNN_INLINE double snn_normal(uint64_t base, int64_t counter) { return snn_normal_of(snn_word(base, counter)); }
SNN_INLINE float snn_normalf(uint64_t base, int64_t counter) { return snn_normal_off(snn_word(base, counter)); }
SNN_INLINE double snn_normal_at(uint64_t key, int64_t index, int64_t counter) { return snn_normal(snn_base(key, index), counter); }
SNN_INLINE float snn_normal_atf(uint64_t key, int64_t index, int64_t counter) { return snn_normalf(snn_base(key, index), counter); }

#endif
