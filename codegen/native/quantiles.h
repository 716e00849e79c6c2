/* Quantiles of the Poisson and the gamma distribution: what turns a uniform number into a count or a waiting time.
 *
 * snn_poisson_quantile and snn_gamma_quantile serve one number at a time, in double precision whatever the model's. Where one mean serves many
 * neurons, a table of its cumulative probabilities gives the same counts many times faster: snn_poisson_prepare whenever the mean may have
 * changed, then snn_poisson_block. Needs mathematics.h.
 */
#ifndef SNN_QUANTILES_H
#define SNN_QUANTILES_H

/* How a function is declared: cuda/mathematics.cuh says otherwise beforehand. */
#ifndef SNN_FUNCTION
#define SNN_FUNCTION static inline
#endif

/* The last count that the search tries. */
SNN_FUNCTION double snn_poisson_limit(double mean) { return mean + 40.0*sqrt(mean) + 100.0; }

/* Counts of a greater mean come from the normal distribution: the search takes as many steps as the count is large. */
#define SNN_POISSON_MANY 1e5

/* Where the normal distribution function reaches u: formula 26.2.23 of Abramowitz and Stegun (1964), then two steps of Halley's method. */
SNN_FUNCTION double snn_normal_quantile(double u)
{
    const double part = u < 0.5 ? u : 1.0 - u, p = part > 5.551115123125783e-17 ? part : 5.551115123125783e-17, t = sqrt(-2.0*log(p));
    double z = (2.515517 + t*(0.802853 + t*0.010328))/(1.0 + t*(1.432788 + t*(0.189269 + t*0.001308))) - t;
    for (int turn = 0; turn < 2; turn++) {
        const double step = (0.5*erfc(-0.70710678118654752*z) - p)*2.5066282746310005*exp(0.5*z*z);
        z -= step/(1.0 + 0.5*z*step);
    }
    return u < 0.5 ? z : -z;
}

/* The first two terms of Cornish and Fisher (1938): right to a hundredth of a count. */
SNN_FUNCTION double snn_poisson_many(double u, double mean)
{
    const double z = snn_normal_quantile(u);
    return mean < INFINITY ? floor(mean + sqrt(mean)*z + (z*z - 1.0)/6.0 + 0.5) : mean;
}

/* The smallest count whose cumulative probability exceeds u. Terms by their logarithm: a large mean does not underflow. */
SNN_FUNCTION double snn_poisson_quantile(double u, double mean)
{
    if (u != u || mean != mean) return NAN;
    if (!(mean > 0.0)) return 0.0;
    if (mean > SNN_POISSON_MANY) return snn_poisson_many(u, mean);
    const double limit = snn_poisson_limit(mean);
    double logarithm = -mean, total = exp(logarithm), count = 0.0;
    while (total <= u && count < limit) {
        count += 1.0;
        logarithm += log(mean/count);
        total += exp(logarithm);
    }
    return count;
}

SNN_FUNCTION float snn_poisson_quantilef(float u, float mean) { return (float)snn_poisson_quantile(u, mean); }

#ifndef SNN_CUDA

/* Probabilities below this place in the table are told apart; a mean that needs more is searched one draw at a time. */
#define SNN_POISSON_ROOM 1024
/* Up to so many probabilities, comparing with all of them in every lane is quicker than searching. */
#define SNN_POISSON_FEW 40
/* So many numbers are compared with eight probabilities at a time. */
#define SNN_POISSON_LANES 256
#define SNN_POISSON_GUIDES 256

/* cumulative[j], j < size: probability of at most j; above all of them the count is `most`. `single` holds the same rounded up, which a float
 * reaches exactly where it reaches the number itself. guide[g]: the count at u = g/256. size < 0: no table for this mean. */
typedef struct {
    double mean, most;
    int32_t size, single_size;
    double cumulative[SNN_POISSON_ROOM];
    float single[SNN_POISSON_ROOM];
    int16_t guide[SNN_POISSON_GUIDES];
} snn_poisson_table;

/* Makes a table for a mean, if it is not there yet. A table begins as {0}. */
static inline void snn_poisson_prepare(snn_poisson_table *table, double mean)
{
    if (mean == table->mean && table->most != 0.0) return;
    table->mean = mean;
    table->most = 1.0;
    table->size = table->single_size = -1;
    if (!(mean > 0.0) || !(mean < SNN_POISSON_ROOM)) return;
    const double limit = snn_poisson_limit(mean);
    double logarithm = -mean, total = exp(logarithm), count = 0.0, distinct = 0.0, last = -1.0;
    while (count < limit) { /* what repeats at the end needs one place only */
        if (total != last) {
            if (distinct < count) return; /* cannot be: terms grow, then shrink; but then a table would be wrong */
            if (distinct == SNN_POISSON_ROOM) return;
            table->cumulative[(int32_t)distinct] = total;
            distinct += 1.0;
        }
        last = total;
        count += 1.0;
        logarithm += log(mean/count);
        total += exp(logarithm);
    }
    table->size = (int32_t)distinct;
    table->most = count;
    for (int32_t j = table->size; j < table->size + 7 && j < SNN_POISSON_ROOM; j++) { /* the last eight may be fewer: nothing reaches these */
        table->cumulative[j] = 2.0;
        table->single[j] = 2.0f;
    }
    int32_t place = 0;
    for (int32_t j = 0; j < table->size; j++) {
        float up = (float)table->cumulative[j];
        if ((double)up < table->cumulative[j]) up = nextafterf(up, INFINITY);
        table->single[j] = up;
        if (up < 1.0f) table->single_size = j + 1;
    }
    for (int32_t g = 0; g < SNN_POISSON_GUIDES; g++) {
        while (place < table->size && table->cumulative[place] <= g/(double)SNN_POISSON_GUIDES) place++;
        table->guide[g] = (int16_t)place;
    }
}

/* The count for one number, u in [0, 1). */
static inline double snn_poisson_of(const snn_poisson_table *table, double u)
{
    if (table->size < 0) return snn_poisson_quantile(u, table->mean);
    int32_t place = table->guide[u >= 0.0 && u < 1.0 ? (int32_t)(u*SNN_POISSON_GUIDES) : 0];
    while (place < table->size && table->cumulative[place] <= u) place++;
    return place < table->size ? (double)place : table->most;
}

/* Counts for n numbers in [0, 1): what snn_poisson_quantile gives for each, perhaps in place. With few probabilities, every number is compared
 * with all of them, and how many it reaches is the count; eight at a time, so that few partial counts go through memory. The loops over
 * lanes have a fixed length, which lets -O2 vectorise them; a short rest is searched. */
static inline void snn_poisson_block(const snn_poisson_table *table, const double *u, double *count, int32_t n)
{
    const int32_t size = table->size;
    const double most = (double)table->most;
    int32_t at = 0;
    for (; at + SNN_POISSON_LANES/8 <= n && size >= 0 && size <= SNN_POISSON_FEW; at += SNN_POISSON_LANES) {
        const int32_t lanes = n - at < SNN_POISSON_LANES ? n - at : SNN_POISSON_LANES;
        double x[SNN_POISSON_LANES];
        int64_t reached[SNN_POISSON_LANES] = {0};
        memcpy(x, u + at, (size_t)lanes*sizeof *x);
        for (int32_t lane = lanes; lane < SNN_POISSON_LANES; lane++) x[lane] = 0;
        for (int32_t j = 0; j < size; j += 8) {
            const double *const bound = table->cumulative + j;
            const double a = bound[0], b = bound[1], c = bound[2], d = bound[3], e = bound[4], f = bound[5], g = bound[6], h = bound[7];
            for (int32_t lane = 0; lane < SNN_POISSON_LANES; lane++) {
                const int64_t low = (int64_t)(x[lane] >= a) + (int64_t)(x[lane] >= b) + (int64_t)(x[lane] >= c) + (int64_t)(x[lane] >= d);
                reached[lane] += low + (int64_t)(x[lane] >= e) + (int64_t)(x[lane] >= f) + (int64_t)(x[lane] >= g) + (int64_t)(x[lane] >= h);
            }
        }
        for (int32_t lane = 0; lane < SNN_POISSON_LANES; lane++) /* a small whole number becomes real in the fraction of 2^52 */
            x[lane] = reached[lane] < size ? snn_of_bits((uint64_t)reached[lane] | 0x4330000000000000) - 0x1p52 : most;
        memcpy(count + at, x, (size_t)lanes*sizeof *x);
    }
    for (; at < n; at++) count[at] = (double)snn_poisson_of(table, u[at]);
}

static inline void snn_poisson_blockf(const snn_poisson_table *table, const float *u, float *count, int32_t n)
{
    const int32_t size = table->size;
    const float most = (float)table->most;
    int32_t at = 0;
    for (; at + SNN_POISSON_LANES/8 <= n && size >= 0 && table->single_size <= SNN_POISSON_FEW; at += SNN_POISSON_LANES) {
        const int32_t lanes = n - at < SNN_POISSON_LANES ? n - at : SNN_POISSON_LANES;
        float x[SNN_POISSON_LANES];
        int32_t reached[SNN_POISSON_LANES] = {0};
        memcpy(x, u + at, (size_t)lanes*sizeof *x);
        for (int32_t lane = lanes; lane < SNN_POISSON_LANES; lane++) x[lane] = 0;
        for (int32_t j = 0; j < table->single_size; j += 8) {
            const float *const bound = table->single + j;
            const float a = bound[0], b = bound[1], c = bound[2], d = bound[3], e = bound[4], f = bound[5], g = bound[6], h = bound[7];
            for (int32_t lane = 0; lane < SNN_POISSON_LANES; lane++) {
                const int32_t low = (x[lane] >= a) + (x[lane] >= b) + (x[lane] >= c) + (x[lane] >= d);
                reached[lane] += low + (x[lane] >= e) + (x[lane] >= f) + (x[lane] >= g) + (x[lane] >= h);
            }
        }
        for (int32_t lane = 0; lane < SNN_POISSON_LANES; lane++)
            x[lane] = reached[lane] < size ? (float)reached[lane] : most;
        memcpy(count + at, x, (size_t)lanes*sizeof *x);
    }
    for (; at < n; at++) count[at] = (float)snn_poisson_of(table, u[at]);
}

#endif

/* The regularised lower incomplete gamma function less u: its series below shape + 1; above it the upper one's continued fraction by the
 * method of Lentz (1976), which loses nothing where u is nearly 1. `front` is x^shape exp(-x)/gamma(shape). */
SNN_FUNCTION double snn_gamma_beyond(double shape, double x, double front, double u)
{
    if (x < shape + 1.0) {
        double term = 1.0/shape, total = term;
        for (double n = 1.0; term > 1e-17*total; n += 1.0) {
            term *= x/(shape + n);
            total += term;
        }
        return front*total - u;
    }
    double b = x + 1.0 - shape, c = 1e300, d = 1.0/b, fraction = d;
    for (int i = 1; i < 500; i++) {
        const double factor = -i*(i - shape);
        b += 2.0;
        d = 1.0/(factor*d + b);
        c = b + factor/c;
        fraction *= c*d;
        if (fabs(c*d - 1.0) < 1e-16) break;
    }
    return (1.0 - u) - front*fraction;
}

/* Where the distribution function of a gamma distribution of this shape and scale 1 reaches u: Newton's steps kept inside a bracket. */
SNN_FUNCTION double snn_gamma_quantile(double u, double shape)
{
    if (u != u || !(shape > 0.0)) return NAN;
    if (u <= 0.0) return 0.0;
    const double constant = lgamma(shape);
    double low = 0.0, high = INFINITY, x = shape;
    for (int i = 0; i < 200; i++) {
        const double front = exp(shape*log(x) - x - constant);
        const double error = snn_gamma_beyond(shape, x, front, u), density = front/x;
        if (error < 0.0) low = x;
        else high = x;
        double newer = density > 0.0 ? x - error/density : INFINITY;
        if (!(low < newer && newer < high)) newer = high < INFINITY ? 0.5*(low + high) : 2.0*x;
        if (fabs(newer - x) <= 1e-15*x) break;
        x = newer;
    }
    return x;
}

SNN_FUNCTION float snn_gamma_quantilef(float u, float shape) { return (float)snn_gamma_quantile(u, shape); }

#endif
