/* Mathematical functions of generated CUDA kernels, under the names of native/mathematics.h: here they are CUDA's own, in the precision of
 * the call. Only what CUDA has no function for is a formula. Compiled by nvcc, by NVRTC (which sees no header at all) and, for tests
 * on a processor, by a C++ compiler with the names of CUDA defined beforehand. Nothing here needs -use_fast_math or suffers from -fmad.
 */
#ifndef SNN_CUDA_MATHEMATICS
#define SNN_CUDA_MATHEMATICS

#define SNN_CUDA 1

#if defined __CUDACC_RTC__
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long long int64_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
#else
#include <math.h>
#include <stdint.h>
#include <string.h>
#endif

#if !defined INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif
#if !defined NAN
#define NAN __int_as_float(0x7fffffff)
#endif

/* A model uses some of these functions, and the compiler need not name the others. */
#if defined __CUDACC__
#pragma nv_diag_suppress 177
#endif

/* Small ones are always inlined; those with loops (quantiles) are left to the compiler. */
#define SNN_INLINE static __device__ __forceinline__
#define SNN_FUNCTION static __device__ inline

/* --- bits -------------------------------------------------------------------------------------------------------------- */

#if defined __CUDACC__
SNN_INLINE uint64_t snn_bits(double x) { return (uint64_t)__double_as_longlong(x); }
SNN_INLINE uint32_t snn_bitsf(float x) { return __float_as_uint(x); }
SNN_INLINE double snn_of_bits(uint64_t bits) { return __longlong_as_double((long long)bits); }
SNN_INLINE float snn_of_bitsf(uint32_t bits) { return __uint_as_float(bits); }
#else
SNN_INLINE uint64_t snn_bits(double x) { uint64_t bits; memcpy(&bits, &x, sizeof bits); return bits; }
SNN_INLINE uint32_t snn_bitsf(float x) { uint32_t bits; memcpy(&bits, &x, sizeof bits); return bits; }
SNN_INLINE double snn_of_bits(uint64_t bits) { double x; memcpy(&x, &bits, sizeof x); return x; }
SNN_INLINE float snn_of_bitsf(uint32_t bits) { float x; memcpy(&x, &bits, sizeof x); return x; }
#endif

/* --- where a comparison is all: nan stays nan -------------------------------------------------------------------------- */

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

/* --- powers and whole numbers: native/support.h ------------------------------------------------------------------------ */

SNN_INLINE double snn_square(double x) { return x*x; }
SNN_INLINE float snn_squaref(float x) { return x*x; }
SNN_INLINE double snn_cube(double x) { return x*x*x; }
SNN_INLINE float snn_cubef(float x) { return x*x*x; }
SNN_INLINE double snn_fourth(double x) { return (x*x)*(x*x); }
SNN_INLINE float snn_fourthf(float x) { return (x*x)*(x*x); }

SNN_INLINE int64_t snn_greater(int64_t a, int64_t b) { return a > b ? a : b; }
SNN_INLINE int64_t snn_smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Floor division and the remainder that goes with it; 0 where the divisor is. */
SNN_INLINE int64_t snn_remainder(int64_t a, int64_t b)
{
    if (b == 0) return 0;
    const int64_t rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}
SNN_INLINE int64_t snn_floor_divide(int64_t a, int64_t b) { return b == 0 ? 0 : (a - snn_remainder(a, b))/b; }

/* A whole number, truncated, kept within 32 bits; nan gives the least. */
SNN_INLINE int32_t snn_whole(double x)
{
    const double inside = x > -2147483647.0 ? (x < 2147483647.0 ? x : 2147483647.0) : -2147483647.0;
    return (int32_t)inside;
}

/* The slot of a ring of `depth` lists or rows that belongs to the step `lag` before this one. */
SNN_INLINE int64_t snn_slot(int64_t step, int64_t lag, int64_t depth)
{
    const int64_t slot = (step - lag) % depth;
    return slot < 0 ? slot + depth : slot;
}

/* --- CUDA's own -------------------------------------------------------------------------------------------------------- */

SNN_INLINE double snn_exp(double x) { return exp(x); }
SNN_INLINE float snn_expf(float x) { return expf(x); }
SNN_INLINE double snn_expm1(double x) { return expm1(x); }
SNN_INLINE float snn_expm1f(float x) { return expm1f(x); }
SNN_INLINE double snn_log(double x) { return log(x); }
SNN_INLINE float snn_logf(float x) { return logf(x); }
SNN_INLINE double snn_log1p(double x) { return log1p(x); }
SNN_INLINE float snn_log1pf(float x) { return log1pf(x); }
SNN_INLINE double snn_log10(double x) { return log10(x); }
SNN_INLINE float snn_log10f(float x) { return log10f(x); }
SNN_INLINE double snn_sin(double x) { return sin(x); }
SNN_INLINE float snn_sinf(float x) { return sinf(x); }
SNN_INLINE double snn_cos(double x) { return cos(x); }
SNN_INLINE float snn_cosf(float x) { return cosf(x); }
SNN_INLINE double snn_tan(double x) { return tan(x); }
SNN_INLINE float snn_tanf(float x) { return tanf(x); }
SNN_INLINE double snn_sinh(double x) { return sinh(x); }
SNN_INLINE float snn_sinhf(float x) { return sinhf(x); }
SNN_INLINE double snn_cosh(double x) { return cosh(x); }
SNN_INLINE float snn_coshf(float x) { return coshf(x); }
SNN_INLINE double snn_tanh(double x) { return tanh(x); }
SNN_INLINE float snn_tanhf(float x) { return tanhf(x); }
SNN_INLINE double snn_erf(double x) { return erf(x); }
SNN_INLINE float snn_erff(float x) { return erff(x); }
SNN_INLINE double snn_pow(double x, double y) { return pow(x, y); }
SNN_INLINE float snn_powf(float x, float y) { return powf(x, y); }

/* --- formulas ---------------------------------------------------------------------------------------------------------- */

SNN_INLINE double snn_exprel(double x) { return x == 0.0 ? 1.0 : expm1(x)/x; }
SNN_INLINE float snn_exprelf(float x) { return x == 0.0f ? 1.0f : expm1f(x)/x; }

/* x/(exp(x) - 1): one division. */
SNN_INLINE double snn_inverse_exprel(double x) { return x == 0.0 ? 1.0 : x/expm1(x); }
SNN_INLINE float snn_inverse_exprelf(float x) { return x == 0.0f ? 1.0f : x/expm1f(x); }

SNN_INLINE double snn_sigmoid(double x)
{
    const double e = exp(-fabs(x));
    return (x < 0.0 ? e : 1.0)/(1.0 + e);
}
SNN_INLINE float snn_sigmoidf(float x)
{
    const float e = expf(-fabsf(x));
    return (x < 0.0f ? e : 1.0f)/(1.0f + e);
}

SNN_INLINE double snn_softplus(double x) { return snn_relu(x) + log1p(exp(-fabs(x))); }
SNN_INLINE float snn_softplusf(float x) { return snn_reluf(x) + log1pf(expf(-fabsf(x))); }

/* a - b*floor(a/b), exact: the rest has the sign of b. */
SNN_INLINE double snn_mod(double a, double b)
{
    const double rest = fmod(a, b);
    return rest == 0.0 ? copysign(0.0, b) : (rest < 0.0) != (b < 0.0) ? rest + b : rest;
}
SNN_INLINE float snn_modf(float a, float b)
{
    const float rest = fmodf(a, b);
    return rest == 0.0f ? copysignf(0.0f, b) : (rest < 0.0f) != (b < 0.0f) ? rest + b : rest;
}

#endif
