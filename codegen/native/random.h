/* The counter-based generator: a draw is a pure function of a stream's key, an index and a counter; the formulas are in random.py.
 *
 * Words and uniforms are equal on every target, normals to the rounding of log, sqrt and cos. Indices and counters are
 * signed and wrap. In a loop the base of (key, index) may be kept; the factor of a counter that is common to all lanes is hoisted by
 * the compiler. Conversions avoid the slow way from unsigned 64-bit numbers to reals: bits are laid into the fraction of 0.5
 * or 2^52 and the constant is subtracted again, which is exact. Needs mathematics.h.
 */
#ifndef SNN_RANDOM_H
#define SNN_RANDOM_H

/* The finaliser: every bit of the result depends on every bit of x. */
SNN_INLINE uint64_t snn_mix(uint64_t x)
{
    x = (x ^ (x >> 30))*0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27))*0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

SNN_INLINE uint64_t snn_base(uint64_t key, int64_t index) { return snn_mix(key + (uint64_t)index*0x9E3779B97F4A7C15u); }
SNN_INLINE uint64_t snn_word(uint64_t base, int64_t counter) { return snn_mix(base ^ (uint64_t)counter*0xD1B54A32D192ED03u); }

/* [0, 1): the upper 53 bits. 52 of them become the fraction of a number in [0.5, 1); the topmost says whether 0.5 belongs to it. */
SNN_INLINE double snn_uniform_of(uint64_t word)
{
#if defined __AVX512DQ__
    return (double)(int64_t)(word >> 11)*0x1p-53;
#else
    const double laid = snn_of_bits(((word >> 11) & 0x000fffffffffffff) | 0x3fe0000000000000);
    return laid - snn_of_bits(((word >> 63) - 1) & 0x3fe0000000000000);
#endif
}

/* [0, 1): the upper 24 bits. */
SNN_INLINE float snn_uniform_off(uint64_t word) { return (float)(int32_t)(word >> 40)*0x1p-24f; }

SNN_INLINE double snn_uniform(uint64_t base, int64_t counter) { return snn_uniform_of(snn_word(base, counter)); }
SNN_INLINE float snn_uniformf(uint64_t base, int64_t counter) { return snn_uniform_off(snn_word(base, counter)); }
SNN_INLINE double snn_uniform_at(uint64_t key, int64_t index, int64_t counter) { return snn_uniform(snn_base(key, index), counter); }
SNN_INLINE float snn_uniform_atf(uint64_t key, int64_t index, int64_t counter) { return snn_uniformf(snn_base(key, index), counter); }

#ifdef SNN_STRICT_MATH

/* Box and Muller (1958) as the interpreter computes it: in double precision, rounded once for float. */
SNN_INLINE double snn_normal_of(uint64_t word)
{
    const double first = ((double)(word >> 32) + 0.5)*0x1p-32, second = (double)(word & 0xffffffff)*0x1p-32;
    return sqrt(-2.0*log(first))*cos(0x1.921fb54442d18p+2*second);
}

SNN_INLINE float snn_normal_off(uint64_t word)
{
    const double first = ((double)(word >> 40) + 0.5)*0x1p-24, second = (double)((word >> 8) & 0xffffff)*0x1p-24;
    return (float)(sqrt(-2.0*log(first))*cos(0x1.921fb54442d18p+2*second));
}

#else

/* Box and Muller (1958). The logarithm needs no care for zero or infinity; the cosine is that of a quarter turn times f, |f| <= 1/2,
 * after n whole quarters: its reduction is exact. Remez polynomials of cos(pi/2 f) and sin(pi/2 f). */
SNN_INLINE double snn_normal_of(uint64_t word)
{
    double k;
    const double first = (snn_of_bits((word >> 32) | 0x4330000000000000) - 0x1p52 + 0.5)*0x1p-32;
    const double turns = (snn_of_bits((word & 0xffffffff) | 0x4330000000000000) - 0x1p52)*0x1p-30;
    const double m = snn_split_log(first, &k), radius = sqrt(-2.0*snn_log_sum(m - 1.0, k));
    const double sum = turns + 0x1.8p52, f = turns - (sum - 0x1.8p52), z = f*f;
    const double sine = f*(0x1.921fb54442d18p+0 + z*(-0x1.4abbce625be52p-1 + z*(0x1.466bc6775a478p-4 + z*(-0x1.32d2cce50061ep-8
        + z*(0x1.50783208be332p-13 + z*(-0x1.e3027e2cbda36p-19 + z*0x1.e4a9f39416472p-25))))));
    const double cosine = 1.0 + z*(-0x1.3bd3cc9be45dep+0 + z*(0x1.03c1f081b5ac0p-2 + z*(-0x1.55d3c7e3cb243p-6
        + z*(0x1.e1f5068689166p-11 + z*(-0x1.a6d1eef4b828bp-16 + z*(0x1.f9ce249428490p-22 + z*-0x1.b2f3fd835a175p-28))))));
    const uint64_t quarter = snn_bits(sum);
    const double turned = (quarter & 1) != 0 ? sine : cosine;
    return radius*snn_of_bits(snn_bits(turned) ^ ((quarter + 1) >> 1 << 63));
}

SNN_INLINE float snn_normal_off(uint64_t word)
{
    float k;
    const float first = ((float)(int32_t)(word >> 40) + 0.5f)*0x1p-24f;
    const float turns = (float)(int32_t)((word >> 8) & 0xffffff)*0x1p-22f;
    const float m = snn_split_logf(first, &k), radius = sqrtf(-2.0f*snn_log_sumf(m - 1.0f, k));
    const float sum = turns + 0x1.8p23f, f = turns - (sum - 0x1.8p23f), z = f*f;
    const float sine = f*(0x1.921fb6p+0f + z*(-0x1.4abbccp-1f + z*(0x1.4665eap-4f + z*-0x1.2ee834p-8f)));
    const float cosine = 1.0f + z*(-0x1.3bd3ccp+0f + z*(0x1.03c1eap-2f + z*(-0x1.55cb98p-6f + z*0x1.db650ep-11f)));
    const uint32_t quarter = snn_bitsf(sum);
    const float turned = (quarter & 1) != 0 ? sine : cosine;
    return radius*snn_of_bitsf(snn_bitsf(turned) ^ ((quarter + 1) >> 1 << 31));
}

#endif

SNN_INLINE double snn_normal(uint64_t base, int64_t counter) { return snn_normal_of(snn_word(base, counter)); }
SNN_INLINE float snn_normalf(uint64_t base, int64_t counter) { return snn_normal_off(snn_word(base, counter)); }
SNN_INLINE double snn_normal_at(uint64_t key, int64_t index, int64_t counter) { return snn_normal(snn_base(key, index), counter); }
SNN_INLINE float snn_normal_atf(uint64_t key, int64_t index, int64_t counter) { return snn_normalf(snn_base(key, index), counter); }

#endif
