/* Small things that generated kernels call. `real` is the precision of the model. */
#ifndef SNN_SUPPORT_H
#define SNN_SUPPORT_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* A block of neurons whose states fit the first-level cache; a multiple of 64. */
#define SNN_BLOCK 1024
/* A step far beyond any run. */
#define SNN_FOR_EVER 1073741824

static inline double snn_square(double x) { return x*x; }
static inline float snn_squaref(float x) { return x*x; }
static inline double snn_cube(double x) { return x*x*x; }
static inline float snn_cubef(float x) { return x*x*x; }
static inline double snn_fourth(double x) { return (x*x)*(x*x); }
static inline float snn_fourthf(float x) { return (x*x)*(x*x); }

static inline int64_t snn_greater(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t snn_smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* Floor division and the remainder that goes with it; 0 where the divisor is. */
static inline int64_t snn_remainder(int64_t a, int64_t b)
{
    if (b == 0) return 0;
    const int64_t rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}
static inline int64_t snn_floor_divide(int64_t a, int64_t b) { return b == 0 ? 0 : (a - snn_remainder(a, b))/b; }

/* A whole number, truncated, kept within 32 bits; nan gives the least. */
static inline int32_t snn_whole(double x)
{
    const double inside = x > -2147483647.0 ? (x < 2147483647.0 ? x : 2147483647.0) : -2147483647.0;
    return (int32_t)inside;
}

/* The first lane at or after `lane` whose flag is set, or count. Few are: 64 of them are looked at together. */
static inline int64_t snn_next(const uint8_t *flags, int64_t lane, int64_t count)
{
    while (lane < count && (lane & 7) != 0) {
        if (flags[lane]) return lane;
        lane++;
    }
    while (lane + 8 <= count) {
        uint64_t word[8];
        if ((lane & 63) == 0)
            while (lane + 64 <= count) {
                memcpy(word, flags + lane, 64);
                if ((word[0] | word[1] | word[2] | word[3] | word[4] | word[5] | word[6] | word[7]) != 0) break;
                lane += 64;
            }
        if (lane + 8 > count) break;
        memcpy(word, flags + lane, 8);
        if (word[0] != 0) {
            while (!flags[lane]) lane++;
            return lane;
        }
        lane += 8;
    }
    while (lane < count && !flags[lane]) lane++;
    return lane;
}

#endif
