/* Mathematical functions that vectorise: no branch, no table, no call, so that a loop over neurons runs them in every lane.
 *
 * Largest error against exact values in units in the last place (ulp), as measured by the tests (double / float):
 *   exp 1.1 / 1.1   expm1 2.1 / 1.5   exprel 2.1 / 1.8   log 0.8 / 0.9   log1p 1.3 / 1.4   log10 1.8 / 2.0
 *   tanh 2.1 / 2.1   sigmoid 2.2 / 2.2   softplus 1.7 / 1.7   sinh 2.0 / 2.1   cosh 1.3 / 1.3   erf 2.1 / 2.4
 *   sin, cos 2.4 / 3.5   tan 4.3 / 6.5 (float 4.7 with fused multiply-add)   pow: libm's, one lane at a time / 0.6
 *   sqrt, floor, ceil, rint, fabs are the hardware's; mod, min, max, clip, sign, relu, heaviside are exact.
 * The whole range counts: results below the least normal number are gradual, overflow gives inf, nan gives nan. The sign of a zero result may be
 * lost. sin, cos, tan have that accuracy for |x| < 1e5; farther out they lose it, but sine and cosine stay within [-1, 1] (nan at
 * infinity). mod is exact while |a/b| < 2^48 (float: 2^29) and within [0, b) beyond. exprel gives inf where expm1 does.
 *
 * Methods: range reduction in two or three parts whose products are exact (Cody & Waite 1980), then polynomials from a
 * Remez exchange in 50-digit arithmetic, rounded to the precision. Rounding to whole numbers adds 1.5*2^52, which leaves the number in
 * the low bits: this text must not be compiled with -ffast-math or -fassociative-math. Fused multiply-adds are welcome and not needed.
 *
 * SNN_STRICT_MATH: every function is the C library's in double precision, rounded once for float, in the formulas of the interpreter.
 */
#ifndef SNN_MATHEMATICS_H
#define SNN_MATHEMATICS_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined __FAST_MATH__ && !defined SNN_STRICT_MATH
#error "compile without -ffast-math: rounding by large constants would be simplified away"
#endif

#if defined __GNUC__
#define SNN_INLINE static inline __attribute__((always_inline, unused))
#else
#define SNN_INLINE static inline
#endif

/* --- bits ------------------------------------------------------------------------------------------------------------ */

SNN_INLINE uint64_t snn_bits(double x) { uint64_t bits; memcpy(&bits, &x, sizeof bits); return bits; }
SNN_INLINE uint32_t snn_bitsf(float x) { uint32_t bits; memcpy(&bits, &x, sizeof bits); return bits; }
SNN_INLINE double snn_of_bits(uint64_t bits) { double x; memcpy(&x, &bits, sizeof x); return x; }
SNN_INLINE float snn_of_bitsf(uint32_t bits) { float x; memcpy(&x, &bits, sizeof x); return x; }

/* --- where a comparison is all: nan stays nan ------------------------------------------------------------------------ */

SNN_INLINE double snn_min(double a, double b) { return b == b ? (b < a ? b : a) : b; }
SNN_INLINE float snn_minf(float a, float b) { return b == b ? (b < a ? b : a) : b; }
SNN_INLINE double snn_max(double a, double b) { return b == b ? (b > a ? b : a) : b; }
SNN_INLINE float snn_maxf(float a, float b) { return b == b ? (b > a ? b : a) : b; }
SNN_INLINE double snn_clip(double x, double low, double high) { return snn_min(snn_max(x, low), high); }
SNN_INLINE float snn_clipf(float x, float low, float high) { return snn_minf(snn_maxf(x, low), high); }
SNN_INLINE double snn_relu(double x) { return x < 0.0 ? 0.0 : x; }
SNN_INLINE float snn_reluf(float x) { return x < 0.0f ? 0.0f : x; }
SNN_INLINE double snn_sign(double x) { return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x + 0.0; }
SNN_INLINE float snn_signf(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x + 0.0f; }
SNN_INLINE double snn_heaviside(double x) { return x >= 0.0 ? 1.0 : x < 0.0 ? 0.0 : x; }
SNN_INLINE float snn_heavisidef(float x) { return x >= 0.0f ? 1.0f : x < 0.0f ? 0.0f : x; }

#ifdef SNN_STRICT_MATH

/* --- the C library's ------------------------------------------------------------------------------------------------- */

SNN_INLINE double snn_exp(double x) { return exp(x); }
SNN_INLINE double snn_expm1(double x) { return expm1(x); }
SNN_INLINE double snn_exprel(double x) { return x == 0.0 ? 1.0 : expm1(x)/x; }
SNN_INLINE double snn_log(double x) { return log(x); }
SNN_INLINE double snn_log1p(double x) { return log1p(x); }
SNN_INLINE double snn_log10(double x) { return log10(x); }
SNN_INLINE double snn_sin(double x) { return sin(x); }
SNN_INLINE double snn_cos(double x) { return cos(x); }
SNN_INLINE double snn_tan(double x) { return tan(x); }
SNN_INLINE double snn_sinh(double x) { return sinh(x); }
SNN_INLINE double snn_cosh(double x) { return cosh(x); }
SNN_INLINE double snn_tanh(double x) { return tanh(x); }
SNN_INLINE double snn_sigmoid(double x) { return x <= -700.0 ? exp(x) : 1.0/(1.0 + exp(-x)); }
SNN_INLINE double snn_softplus(double x) { return snn_relu(x) + log1p(exp(-fabs(x))); }
SNN_INLINE double snn_erf(double x) { return erf(x); }
SNN_INLINE double snn_pow(double x, double y) { return pow(x, y); }
SNN_INLINE double snn_mod(double a, double b)
{
    const double rest = fmod(a, b);
    return rest == 0.0 ? copysign(0.0, b) : (rest < 0.0) != (b < 0.0) ? rest + b : rest;
}
SNN_INLINE float snn_expf(float x) { return (float)snn_exp(x); }
SNN_INLINE float snn_expm1f(float x) { return (float)snn_expm1(x); }
SNN_INLINE float snn_exprelf(float x) { return (float)snn_exprel(x); }
SNN_INLINE double snn_inverse_exprel(double x) { return 1.0/snn_exprel(x); }
SNN_INLINE float snn_inverse_exprelf(float x) { return (float)(1.0/snn_exprel(x)); }
SNN_INLINE float snn_logf(float x) { return (float)snn_log(x); }
SNN_INLINE float snn_log1pf(float x) { return (float)snn_log1p(x); }
SNN_INLINE float snn_log10f(float x) { return (float)snn_log10(x); }
SNN_INLINE float snn_sinf(float x) { return (float)snn_sin(x); }
SNN_INLINE float snn_cosf(float x) { return (float)snn_cos(x); }
SNN_INLINE float snn_tanf(float x) { return (float)snn_tan(x); }
SNN_INLINE float snn_sinhf(float x) { return (float)snn_sinh(x); }
SNN_INLINE float snn_coshf(float x) { return (float)snn_cosh(x); }
SNN_INLINE float snn_tanhf(float x) { return (float)snn_tanh(x); }
SNN_INLINE float snn_sigmoidf(float x) { return (float)snn_sigmoid(x); }
SNN_INLINE float snn_softplusf(float x) { return (float)snn_softplus(x); }
SNN_INLINE float snn_erff(float x) { return (float)snn_erf(x); }
SNN_INLINE float snn_powf(float x, float y) { return (float)snn_pow(x, y); }
SNN_INLINE float snn_modf(float a, float b) { return (float)snn_mod(a, b); }

#else

/* --- exponentials: x = n*log(2) + r, exp(x) = 2^n*(1 + p) with p = exp(r) - 1 ---------------------------------------- */

/* a*b + c, rounded once where the processor does so at no cost. Double precision is compiled without contraction, so that equations round
 * as they are written; polynomials need not and gain a third. */
SNN_INLINE double snn_fused(double a, double b, double c)
{
#if defined __FMA__ || defined __FP_FAST_FMA
    return __builtin_fma(a, b, c);
#else
    return a*b + c;
#endif
}

/* x within reach: x - n*log(2), rounded once where products and sums are fused. Far outside it is as large as x, with its sign, or nan. */
SNN_INLINE double snn_remain(double x, double n)
{
    return snn_fused(n, -0x1.9ef35793c7673p-41, snn_fused(n, -0x1.62e42fefa2p-1, x));
}

SNN_INLINE float snn_remainf(float x, float n) { return (x - n*0x1.62e4p-1f) - n*0x1.7f7d1cp-20f; }

/* The lower of a sum and a bound, both near 1.5*2^23: their bits are in order, and comparing whole numbers takes one operation. */
SNN_INLINE float snn_boundf(float sum, int32_t bound)
{
    const int32_t bits = (int32_t)snn_bitsf(sum);
    return snn_of_bitsf((uint32_t)(bits < bound ? bits : bound));
}

/* exp(x) where sum carries n + 2046 (float: n + 254) in its low bits: the biased exponents of two powers of two whose product is 2^n. Each of
 * them is a normal number, so that overflow and gradual underflow come by themselves. Above the range r grows and the result is inf. */
SNN_INLINE double snn_exp_from(double x, double sum)
{
    const uint64_t bits = snn_bits(sum), half = bits >> 1;
    const double r = snn_remain(x, sum - (0x1.8p52 + 2046.0)), z = r*r;
    const double even = snn_fused(z, snn_fused(z, snn_fused(z, snn_fused(z, 0x1.289186d6aea07p-22, 0x1.a019b90bc3fbdp-16),
        0x1.6c16c1788c44dp-10), 0x1.5555555553d62p-5), 0x1.0000000000001p-1);
    const double odd = snn_fused(z, snn_fused(z, snn_fused(z, snn_fused(z, 0x1.af632ad6abee8p-26, 0x1.71ddf6b3f10d1p-19),
        0x1.a01a01b00c2c6p-13), 0x1.111111110f803p-7), 0x1.5555555555558p-3);
    const double y = (1.0 + snn_fused(z, snn_fused(r, odd, even), r))*snn_of_bits(half << 52)*snn_of_bits((bits - half) << 52);
    return x < -750.0 ? 0.0 : y;
}

SNN_INLINE float snn_exp_fromf(float x, float sum)
{
    const uint32_t bits = snn_bitsf(sum), half = bits >> 1;
    const float r = snn_remainf(x, sum - (0x1.8p23f + 254.0f)), z = r*r;
    const float p = (0x1.0p-1f + r*0x1.5554dcp-3f) + z*((0x1.5554b8p-5f + r*0x1.120b78p-7f) + z*0x1.6d7548p-10f);
    const float y = (1.0f + (r + z*p))*snn_of_bitsf(half << 23)*snn_of_bitsf((bits - half) << 23);
    return x < -105.0f ? 0.0f : y;
}

SNN_INLINE double snn_exp(double x)
{
    const double sum = snn_fused(x, 0x1.71547652b82fep+0, 0x1.8p52 + 2046.0);
    return snn_exp_from(x, sum > 0x1.8p52 + 3086.0 ? 0x1.8p52 + 3086.0 : sum);
}

SNN_INLINE float snn_expf(float x)
{
    return snn_exp_fromf(x, snn_boundf(x*0x1.715476p+0f + (0x1.8p23f + 254.0f), 0x4b400000 + 384)); /* n <= 130 */
}

/* exp(-|x|) */
SNN_INLINE double snn_exp_falling(double x)
{
    const double below = -fabs(x);
    return snn_exp_from(below, snn_fused(below, 0x1.71547652b82fep+0, 0x1.8p52 + 2046.0));
}

SNN_INLINE float snn_exp_fallingf(float x)
{
    const float below = -fabsf(x);
    return snn_exp_fromf(below, below*0x1.715476p+0f + (0x1.8p23f + 254.0f));
}

/* (exp(r) - 1 - r)/r^2 with z = r^2, so exactly that exp(r) - 1 keeps its relative accuracy near zero. */
SNN_INLINE double snn_curve(double r, double z)
{
    const double even = snn_fused(z, snn_fused(z, snn_fused(z, snn_fused(z, snn_fused(z, 0x1.1f8b4c6b3c913p-29, 0x1.27e4cccdeb2f7p-22),
        0x1.a01a01acfacc0p-16), 0x1.6c16c16c151fcp-10), 0x1.5555555555558p-5), 0x1.0p-1);
    const double odd = snn_fused(z, snn_fused(z, snn_fused(z, snn_fused(z, 0x1.af4deb0af45a9p-26, 0x1.71de0230beb99p-19),
        0x1.a01a01abe84bap-13), 0x1.11111111100dbp-7), 0x1.5555555555557p-3);
    return snn_fused(r, odd, even);
}

SNN_INLINE float snn_curvef(float r, float z)
{
    return (0x1.0p-1f + r*0x1.555556p-3f) + z*((0x1.5554e8p-5f + r*0x1.1110acp-7f) + z*(0x1.6d432cp-10f + r*0x1.a17e08p-13f));
}

/* With t = 2^(n-1), which is finite for every n that counts: exp(x) - 1 = 2*(p*t + (t - 1/2)). */
SNN_INLINE double snn_expm1(double x)
{
    const double wide = snn_fused(x, 0x1.71547652b82fep+0, 0x1.8p52 + 1022.0), sum = wide > 0x1.8p52 + 2046.0 ? 0x1.8p52 + 2046.0 : wide;
    const double r = snn_remain(x, sum - (0x1.8p52 + 1022.0)), z = r*r, t = snn_of_bits(snn_bits(sum) << 52);
    const double half = snn_fused(snn_fused(z, snn_curve(r, z), r), t, t - 0.5);
    return x < -50.0 ? -1.0 : half + half;
}

SNN_INLINE float snn_expm1f(float x)
{
    const float sum = snn_boundf(x*0x1.715476p+0f + (0x1.8p23f + 126.0f), 0x4b400000 + 254);
    const float r = snn_remainf(x, sum - (0x1.8p23f + 126.0f)), z = r*r, t = snn_of_bitsf(snn_bitsf(sum) << 23);
    const float half = (r + z*snn_curvef(r, z))*t + (t - 0.5f);
    return x < -25.0f ? -1.0f : half + half;
}

/* Where x is so small that its half may not be exact, the result is 1. */
SNN_INLINE double snn_exprel(double x) { return fabs(x) < 0x1p-60 ? 1.0 : snn_expm1(x)/x; }
SNN_INLINE float snn_exprelf(float x) { return fabsf(x) < 0x1p-30f ? 1.0f : snn_expm1f(x)/x; }

/* x/(exp(x) - 1), which rates of channels are made of: one division. */
SNN_INLINE double snn_inverse_exprel(double x) { return fabs(x) < 0x1p-60 ? 1.0 : x/snn_expm1(x); }
SNN_INLINE float snn_inverse_exprelf(float x) { return fabsf(x) < 0x1p-30f ? 1.0f : x/snn_expm1f(x); }

/* x/(e - 1) where e = exp(x) is known to some roundings; near zero by Bernoulli's numbers, since e - 1 says too little there. */
SNN_INLINE double snn_rate_series(double x)
{
    const double z = x*x;
    return snn_fused(z, snn_fused(z, snn_fused(z, snn_fused(z, snn_fused(z, 1.0/47900160.0, -1.0/1209600.0), 1.0/30240.0), -1.0/720.0),
        1.0/12.0), snn_fused(-0.5, x, 1.0));
}

SNN_INLINE float snn_rate_seriesf(float x)
{
    const float z = x*x;
    return (1.0f - 0.5f*x) + z*(1.0f/12.0f + z*(-1.0f/720.0f + z*(1.0f/30240.0f)));
}

SNN_INLINE double snn_rate(double x, double e) { return fabs(x) < 0.25 ? snn_rate_series(x) : x/(e - 1.0); }
SNN_INLINE float snn_ratef(float x, float e) { return fabsf(x) < 0.5f ? snn_rate_seriesf(x) : x/(e - 1.0f); }

/* The same where e = a/b, and b may be infinite. */
SNN_INLINE double snn_falling_rate(double x, double a, double b)
{
    const double bounded = b > 0x1p900 ? 0x1p900 : b;
    return fabs(x) < 0.25 ? snn_rate_series(x) : x/(a - bounded)*bounded;
}

SNN_INLINE float snn_falling_ratef(float x, float a, float b)
{
    const float bounded = b > 0x1p100f ? 0x1p100f : b;
    return fabsf(x) < 0.5f ? snn_rate_seriesf(x) : x/(a - bounded)*bounded;
}

/* The hyperbolic functions need exp(x) and exp(x) - 1 at once, and no error in r: x = n*log(2) + r + rest, p = exp(r + rest) - 1, and 2^n as the
 * product of two powers as above. x within [-750, 720] or nan (float: [-105, 90]). */
typedef struct { double p, n, first, second; } snn_power;
typedef struct { float p, n, first, second; } snn_powerf;

SNN_INLINE snn_power snn_split_exp(double x)
{
    const double sum = snn_fused(x, 0x1.71547652b82fep+0, 0x1.8p52 + 2046.0);
    const uint64_t bits = snn_bits(sum), half = bits >> 1;
    const double n = sum - (0x1.8p52 + 2046.0), high = snn_fused(n, -0x1.62e42fefa2p-1, x), low = n*0x1.9ef35793c7673p-41;
    const double r = high - low, rest = (high - r) - low, z = r*r;
    return (snn_power){r + snn_fused(z, snn_curve(r, z), rest), n, snn_of_bits(half << 52), snn_of_bits((bits - half) << 52)};
}

SNN_INLINE snn_powerf snn_split_expf(float x)
{
    const float sum = x*0x1.715476p+0f + (0x1.8p23f + 254.0f);
    const uint32_t bits = snn_bitsf(sum), half = bits >> 1;
    const float n = sum - (0x1.8p23f + 254.0f), high = x - n*0x1.62e4p-1f, low = n*0x1.7f7d1cp-20f;
    const float r = high - low, rest = (high - r) - low, z = r*r;
    return (snn_powerf){r + (rest + z*snn_curvef(r, z)), n, snn_of_bitsf(half << 23), snn_of_bitsf((bits - half) << 23)};
}

/* (exp(x) - 1)/2^n; 2^-n no longer counts where n > 60 and would leave the range where n > 1022. */
SNN_INLINE double snn_scaled_expm1(snn_power power)
{
    const double inverse = snn_of_bits((1023 - snn_bits(power.n + 0x1.8p52)) << 52);
    return power.p + (power.n > 60.0 ? 1.0 : 1.0 - inverse);
}

SNN_INLINE float snn_scaled_expm1f(snn_powerf power)
{
    const float inverse = snn_of_bitsf((127 - snn_bitsf(power.n + 0x1.8p23f)) << 23);
    return power.p + (power.n > 30.0f ? 1.0f : 1.0f - inverse);
}

/* With e = exp(-2|x|): (1 - e)/(1 + e) near zero, 1 - 2e/(1 + e) farther out, where rounding 1 + e would cost more. */
SNN_INLINE double snn_tanh(double x)
{
    const double size = fabs(x);
    const snn_power power = snn_split_exp(size > 25.0 ? -50.0 : -2.0*size);
    const double scale = power.first*power.second, e = (1.0 + power.p)*scale, t = snn_scaled_expm1(power)*scale;
    const double part = (size > 0.55 ? 2.0*e : -t)/(1.0 + e);
    return copysign(size > 0.55 ? 1.0 - part : part, x);
}

SNN_INLINE float snn_tanhf(float x)
{
    const float size = fabsf(x);
    const snn_powerf power = snn_split_expf(size > 12.0f ? -24.0f : -2.0f*size);
    const float scale = power.first*power.second, e = (1.0f + power.p)*scale, t = snn_scaled_expm1f(power)*scale;
    const float part = (size > 0.55f ? 2.0f*e : -t)/(1.0f + e);
    return copysignf(size > 0.55f ? 1.0f - part : part, x);
}

/* With e = (exp(|x|) - 1)/2^n: sinh |x| = 2^(n-1) (e + e/exp(|x|)). */
SNN_INLINE double snn_sinh(double x)
{
    const double size = fabs(x);
    const snn_power power = snn_split_exp(size > 720.0 ? 720.0 : size);
    const double e = snn_scaled_expm1(power), all = e*power.first*power.second + 1.0;
    return copysign((e + e/all)*(0.5*power.first)*power.second, x);
}

SNN_INLINE float snn_sinhf(float x)
{
    const float size = fabsf(x);
    const snn_powerf power = snn_split_expf(size > 95.0f ? 95.0f : size);
    const float e = snn_scaled_expm1f(power), all = e*power.first*power.second + 1.0f;
    return copysignf((e + e/all)*(0.5f*power.first)*power.second, x);
}

SNN_INLINE double snn_cosh(double x)
{
    const double size = fabs(x);
    const snn_power power = snn_split_exp(size > 720.0 ? 720.0 : size);
    const double half = (1.0 + power.p)*(0.5*power.first)*power.second;
    return half + 0.25/half;
}

SNN_INLINE float snn_coshf(float x)
{
    const float size = fabsf(x);
    const snn_powerf power = snn_split_expf(size > 95.0f ? 95.0f : size);
    const float half = (1.0f + power.p)*(0.5f*power.first)*power.second;
    return half + 0.25f/half;
}

SNN_INLINE double snn_sigmoid(double x)
{
    const double e = snn_exp_falling(x);
    return (x < 0.0 ? e : 1.0)/(1.0 + e);
}

SNN_INLINE float snn_sigmoidf(float x)
{
    const float e = snn_exp_fallingf(x);
    return (x < 0.0f ? e : 1.0f)/(1.0f + e);
}

/* --- logarithms: x = 2^k*(1 + f) with 1 + f in [sqrt(1/2), sqrt(2)) -------------------------------------------------- */

/* log(1 + f) = 2 atanh(s) with s = f/(2 + f), written so that its largest term, f, is exact; and k*log(2), whose first part is exact too. */
SNN_INLINE double snn_log_sum(double f, double k)
{
    const double s = f/(2.0 + f), z = s*s, w = z*z, half = 0.5*f*f;
    const double even = 0x1.5555555555558p-1 + w*(0x1.2492492e08d4cp-2 + w*(0x1.7462bbf18373cp-3 + w*0x1.2b629afe7e4ebp-3));
    const double odd = 0x1.99999999951f7p-2 + w*(0x1.c71c62c9f3f15p-3 + w*0x1.39fd7df70c0c7p-3);
    return k*0x1.62e42fefa2p-1 - ((half - (s*(half + z*(even + z*odd)) + k*0x1.9ef35793c7673p-41)) - f);
}

SNN_INLINE float snn_log_sumf(float f, float k)
{
    const float s = f/(2.0f + f), z = s*s, half = 0.5f*f*f;
    const float p = 0x1.55555cp-1f + z*(0x1.997cp-2f + z*0x1.2eececp-2f);
    return k*0x1.62e4p-1f - ((half - (s*(half + z*p) + k*0x1.7f7d1cp-20f)) - f);
}

/* Parts of a positive normal number: 1 + f, and k + 1023 in the low bits of a number near 2^52. */
SNN_INLINE double snn_split_log(double x, double *k)
{
    const uint64_t bits = snn_bits(x) + (0x3ff0000000000000 - 0x3fe6a09e667f3bcd);
    *k = snn_of_bits((bits >> 52) | 0x4330000000000000) - (0x1p52 + 1023.0);
    return snn_of_bits((bits & 0x000fffffffffffff) + 0x3fe6a09e667f3bcd);
}

SNN_INLINE float snn_split_logf(float x, float *k)
{
    const uint32_t bits = snn_bitsf(x) + (0x3f800000 - 0x3f3504f3);
    *k = snn_of_bitsf((bits >> 23) | 0x4b000000) - (0x1p23f + 127.0f);
    return snn_of_bitsf((bits & 0x007fffff) + 0x3f3504f3);
}

/* What a logarithm of x is where x is no positive finite number. */
SNN_INLINE double snn_log_edges(double x, double result)
{
    const double upper = x < INFINITY ? result : x;
    return x > 0.0 ? upper : x == 0.0 ? -INFINITY : NAN;
}

SNN_INLINE float snn_log_edgesf(float x, float result)
{
    const float upper = x < INFINITY ? result : x;
    return x > 0.0f ? upper : x == 0.0f ? -INFINITY : NAN;
}

SNN_INLINE double snn_log(double x)
{
    double k;
    const double m = snn_split_log(x < DBL_MIN ? x*0x1p54 : x, &k);
    return snn_log_edges(x, snn_log_sum(m - 1.0, x < DBL_MIN ? k - 54.0 : k));
}

SNN_INLINE float snn_logf(float x)
{
    float k;
    const float m = snn_split_logf(x < FLT_MIN ? x*0x1p25f : x, &k);
    return snn_log_edgesf(x, snn_log_sumf(m - 1.0f, x < FLT_MIN ? k - 25.0f : k));
}

/* log2(10) in two parts as above; the part of the mantissa is scaled by log10(e). */
SNN_INLINE double snn_log10(double x)
{
    double k;
    const double m = snn_split_log(x < DBL_MIN ? x*0x1p54 : x, &k), power = x < DBL_MIN ? k - 54.0 : k;
    const double part = snn_log_sum(m - 1.0, 0.0);
    return snn_log_edges(x, power*0x1.34413509f6p-2 + (part*0x1.bcb7b1526e50ep-2 + power*0x1.9fef311f12b36p-42));
}

SNN_INLINE float snn_log10f(float x)
{
    float k;
    const float m = snn_split_logf(x < FLT_MIN ? x*0x1p25f : x, &k), power = x < FLT_MIN ? k - 25.0f : k;
    const float part = snn_log_sumf(m - 1.0f, 0.0f);
    return snn_log_edgesf(x, power*0x1.344p-2f + (part*0x1.bcb7b2p-2f + power*0x1.3509f8p-18f));
}

/* u = 1 + x as rounded; what the rounding took is put back into f (for k = 0 that makes f = x). */
SNN_INLINE double snn_log1p(double x)
{
    double k;
    const double u = 1.0 + x, one = u - x, lost = (x - (u - one)) + (1.0 - one), m = snn_split_log(u, &k);
    const double scale = k > 60.0 ? 0.0 : snn_of_bits((1023 - snn_bits(k + 0x1.8p52)) << 52);
    return snn_log_edges(u, snn_log_sum((m - 1.0) + lost*scale, k));
}

SNN_INLINE float snn_log1pf(float x)
{
    float k;
    const float u = 1.0f + x, one = u - x, lost = (x - (u - one)) + (1.0f - one), m = snn_split_logf(u, &k);
    const float scale = k > 30.0f ? 0.0f : snn_of_bitsf((127 - snn_bitsf(k + 0x1.8p23f)) << 23);
    return snn_log_edgesf(u, snn_log_sumf((m - 1.0f) + lost*scale, k));
}

SNN_INLINE double snn_softplus(double x) { return snn_relu(x) + snn_log1p(snn_exp_falling(x)); }
SNN_INLINE float snn_softplusf(float x) { return snn_reluf(x) + snn_log1pf(snn_exp_fallingf(x)); }

/* --- circles: x = n*pi/2 + r, and the last two bits of n say which of sin r, cos r and with which sign --------------- */

typedef struct { double sine, cosine; uint64_t quarter; } snn_circle;
typedef struct { float sine, cosine; uint32_t quarter; } snn_circlef;

SNN_INLINE snn_circle snn_turn(double x)
{
    const double sum = x*0x1.45f306dc9c883p-1 + 0x1.8p52, n = sum - 0x1.8p52;
    const double left = ((x - n*0x1.921fb544p+0) - n*0x1.0b4611a6p-34) - n*0x1.3198a2e037073p-69;
    const double r = fabs(left) > 1.0 ? 0.0 : left, z = r*r; /* lost far out: kept bounded */
    const double sine = r + r*z*(-0x1.5555555555555p-3 + z*(0x1.1111111110ba6p-7 + z*(-0x1.a01a019e80a1ep-13
        + z*(0x1.71de379292381p-19 + z*(-0x1.ae6006d9b1e01p-26 + z*0x1.5e09988c5b3dfp-33)))));
    const double cosine = (1.0 - 0.5*z) + z*z*(0x1.5555555555555p-5 + z*(-0x1.6c16c16c16960p-10 + z*(0x1.a01a019f4d280p-16
        + z*(-0x1.27e4fa15da111p-22 + z*(0x1.1eeb66d0ea81cp-29 + z*-0x1.907c1f79fb1b5p-37)))));
    return (snn_circle){sine, cosine, snn_bits(sum)};
}

SNN_INLINE snn_circlef snn_turnf(float x)
{
    const float sum = x*0x1.45f306p-1f + 0x1.8p23f, n = sum - 0x1.8p23f;
    const float left = ((((x - n*0x1.92p+0f) - n*0x1.fap-12f) - n*0x1.54p-20f) - n*0x1.1p-30f) - n*0x1.68c234p-39f;
    const float r = fabsf(left) > 1.0f ? 0.0f : left, z = r*r;
    const float sine = r + r*z*(-0x1.555552p-3f + z*(0x1.110c26p-7f + z*-0x1.9ac79ep-13f));
    const float cosine = (1.0f - 0.5f*z) + z*z*(0x1.555554p-5f + z*(-0x1.6c12dp-10f + z*0x1.9bd6dep-16f));
    return (snn_circlef){sine, cosine, snn_bitsf(sum)};
}

SNN_INLINE double snn_sin(double x)
{
    const snn_circle circle = snn_turn(x);
    const double value = (circle.quarter & 1) != 0 ? circle.cosine : circle.sine;
    return snn_of_bits(snn_bits(value) ^ (circle.quarter >> 1 << 63));
}

SNN_INLINE float snn_sinf(float x)
{
    const snn_circlef circle = snn_turnf(x);
    const float value = (circle.quarter & 1) != 0 ? circle.cosine : circle.sine;
    return snn_of_bitsf(snn_bitsf(value) ^ (circle.quarter >> 1 << 31));
}

SNN_INLINE double snn_cos(double x)
{
    const snn_circle circle = snn_turn(x);
    const double value = (circle.quarter & 1) != 0 ? circle.sine : circle.cosine;
    return snn_of_bits(snn_bits(value) ^ ((circle.quarter + 1) >> 1 << 63));
}

SNN_INLINE float snn_cosf(float x)
{
    const snn_circlef circle = snn_turnf(x);
    const float value = (circle.quarter & 1) != 0 ? circle.sine : circle.cosine;
    return snn_of_bitsf(snn_bitsf(value) ^ ((circle.quarter + 1) >> 1 << 31));
}

SNN_INLINE double snn_tan(double x)
{
    const snn_circle circle = snn_turn(x);
    const int odd = (circle.quarter & 1) != 0;
    return (odd ? -circle.cosine : circle.sine)/(odd ? circle.sine : circle.cosine);
}

SNN_INLINE float snn_tanf(float x)
{
    const snn_circlef circle = snn_turnf(x);
    const int odd = (circle.quarter & 1) != 0;
    return (odd ? -circle.cosine : circle.sine)/(odd ? circle.sine : circle.cosine);
}

/* --- the rest -------------------------------------------------------------------------------------------------------- */

/* The rest of |a|/|b| for a whole quotient below 2^24, exact: b goes in two halves so that both products are exact. */
SNN_INLINE double snn_rest(double a, double b)
{
    const double q = floor(a/b), high = snn_of_bits(snn_bits(b) & 0xfffffffff8000000), low = b - high;
    const double rest = (a - q*high) - q*low;
    return a < b ? a : rest < 0.0 ? rest + b : rest;
}

/* a - b*floor(a/b): the rest has the sign of b. Large quotients go in two steps. */
SNN_INLINE double snn_mod(double a, double b)
{
    const double size = fabs(b), wide = size*0x1p24, bounded = wide < INFINITY ? wide : size;
    const double rest = snn_rest(snn_rest(fabs(a), bounded), size);
    const double kept = rest < size && rest >= 0.0 ? rest : rest == rest ? 0.0 : rest, sized = copysign(kept, a);
    const double result = (sized < 0.0) != (b < 0.0) ? sized + b : sized;
    return kept == 0.0 ? copysign(0.0, b) : result;
}

/* In double precision every product is exact. */
SNN_INLINE float snn_modf(float a, float b)
{
    const double top = fabs((double)a), size = fabs((double)b), rest = top - floor(top/size)*size;
    const double whole = top < size ? top : rest < 0.0 ? rest + size : rest;
    const double kept = whole < size && whole >= 0.0 ? whole : whole == whole ? 0.0 : whole, sized = copysign(kept, (double)a);
    const double result = (sized < 0.0) != (b < 0.0f) ? sized + (double)b : sized;
    return (float)(kept == 0.0 ? copysign(0.0, (double)b) : result);
}

/* x times a polynomial of x^2 below 1; above, 1 - exp(-x^2) times a polynomial of 1/(1 + c*x). */
SNN_INLINE double snn_erf(double x)
{
    const double all = fabs(x), size = all > 6.0 ? 6.0 : all, z = size*size, t = 1.0/(1.0 + 0.3*size);
    const double small = size*(0x1.20dd750429b6dp+0 + z*(-0x1.812746b0379c2p-2 + z*(0x1.ce2f21a041018p-4 + z*(-0x1.b82ce312062bcp-6 +
        z*(0x1.565bccfa9a825p-8 + z*(-0x1.c02db072f3fep-11 + z*(0x1.f9a2bf73f0c68p-14 + z*(-0x1.f4ca94990cb86p-17 +
        z*(0x1.b9827b1885f9bp-20 + z*(-0x1.5c16e30fb0d45p-23 + z*(0x1.d784936618cc2p-27 + z*-0x1.acdff90b8ebd8p-31)))))))))));
    const double tail = 0x1.1a1f454d491e2p-20 + t*(0x1.5a93fe775d3cp-3 + t*(0x1.5b6894f583b9p-3 + t*(0x1.44fffed2584d5p-3 +
        t*(0x1.4c0f031285a96p-3 + t*(0x1.0792cec8261b1p-4 + t*(0x1.12a24b0294f4p-2 + t*(-0x1.24da8676f08f1p-2 + t*(0x1.2f8c1424d4befp-1
        + t*(-0x1.292c3346bc2c7p-1 + t*(0x1.bd4b05c20929fp-2 + t*(-0x1.2dad043356d7cp-3 + t*(-0x1.5ec738681239ep-5 +
        t*(0x1.7c134bc1f5068p-5 + t*-0x1.420a6c6180ba5p-7)))))))))))));
    return copysign(size < 1.0 ? small : 1.0 - tail*snn_exp_falling(z), x);
}

SNN_INLINE float snn_erff(float x)
{
    const float all = fabsf(x), size = all > 4.0f ? 4.0f : all, z = size*size, t = 1.0f/(1.0f + 0.7f*size);
    const float small = size*(0x1.20dd74p+0f + z*(-0x1.81273ep-2f + z*(0x1.ce2d2p-4f + z*(-0x1.b7fbb6p-6f + z*(0x1.5419fap-8f +
        z*(-0x1.a485f8p-11f + z*0x1.4ae4c6p-14f))))));
    const float tail = -0x1.50ab14p-18f + t*(0x1.940018p-2f + t*(0x1.9c8e58p-2f + t*(0x1.e76bbp-3f + t*(0x1.5c191ep-2f +
        t*(-0x1.36a2aep-1f + t*0x1.df0beep-3f)))));
    return copysignf(size < 1.0f ? small : 1.0f - tail*snn_exp_fallingf(z), x);
}

SNN_INLINE double snn_pow(double x, double y) { return pow(x, y); }

/* In double precision; the special cases are those of C. */
SNN_INLINE float snn_powf(float x, float y)
{
    const double size = fabs((double)x), wide = (double)y, half = 0.5*wide;
    const double plain = snn_exp(wide*snn_log(size));
    const double power = wide == 0.0 || x == 1.0f || (size == 1.0 && wide == wide) ? 1.0 : plain;
    const double whole = floor(wide), turned = whole == wide && floor(half) != half ? -power : power;
    const double negative = whole == wide || size == INFINITY || size == 0.0 ? turned : NAN;
    return (float)(signbit(x) && x == x ? negative : power);
}

#endif

#endif
