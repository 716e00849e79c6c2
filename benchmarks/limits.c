/* What one core of this machine can do: hand-written loops for the work of each benchmark, nothing around them.
 *
 *   cc -Ofast -march=native limits.c -o limits -lmvec -lm            (float32)
 *   cc -Ofast -march=native -DDOUBLE limits.c -o limits64 -lmvec -lm (float64)
 *
 * Prints one JSON object a line: name, unit (1e9 things per second) and the least, median and greatest of several
 * repetitions. native.py compiles and runs it, so that the limits of a table come from the same run as its figures.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef DOUBLE
typedef double real;
#define EXP exp
#else
typedef float real;
#define EXP expf
#endif
#define SEPARATE __attribute__((noinline)) /* a kernel must not be optimised together with its caller */
#define REPETITIONS 7

static volatile double sink; /* results go here, or the compiler would drop the work */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static uint64_t random_state = 88172645463325252ULL;

static uint64_t random_word(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Aligned, zeroed memory that has been touched. The program is short-lived and frees only what is large. */
static void *memory(size_t bytes)
{
    void *const place = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!place) exit(1);
    memset(place, 0, bytes);
    return place;
}

static int by_value(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void print_rate(const char *name, double *rates)
{
    qsort(rates, REPETITIONS, sizeof *rates, by_value);
    printf("{\"name\": \"%s\", \"unit\": \"1e9/s\", \"least\": %.4f, \"median\": %.4f, \"greatest\": %.4f}\n", name, rates[0],
           rates[REPETITIONS / 2], rates[REPETITIONS - 1]);
    fflush(stdout);
}

/* Runs `work`, which does `amount` things, several times and prints how many a second. */
#define MEASURE(name, amount, work)                       \
    do {                                                  \
        double rates_[REPETITIONS];                       \
        for (int turn_ = 0; turn_ < REPETITIONS; turn_++) { \
            const double start_ = now();                  \
            work;                                         \
            rates_[turn_] = 1e-9 * (double)(amount) / (now() - start_); \
        }                                                 \
        print_rate(name, rates_);                         \
    } while (0)

/* ---- neurons ---------------------------------------------------------------------------------------------------- */

/* Leaky integrate-and-fire, exact step, refractory steps counted down in a byte. */
SEPARATE static int lif_step(real *restrict v, const real *restrict drive, uint8_t *restrict refractory,
                             uint8_t *restrict spiked, int n, real decay)
{
    int count = 0;
    for (int i = 0; i < n; i++) {
        const uint8_t left = refractory[i];
        real next = drive[i] + (v[i] - drive[i]) * decay;
        next = left ? v[i] : next;
        const uint8_t spike = next > 20;
        v[i] = spike ? 0 : next;
        refractory[i] = spike ? 20 : (uint8_t)(left - (left != 0));
        spiked[i] = spike;
        count += spike;
    }
    return count;
}

/* The numbers of the neurons that spiked, eight flags at a time. */
SEPARATE static int compact(const uint8_t *spiked, int n, int *list)
{
    int count = 0;
    for (int i = 0; i < n; i += 8) {
        uint64_t flags;
        memcpy(&flags, spiked + i, sizeof flags);
        if (!flags) continue;
        for (int j = i; j < i + 8; j++)
            if (spiked[j]) list[count++] = j;
    }
    return count;
}

/* The neuron of CUBA: a membrane and two exponential currents. */
SEPARATE static int cuba_step(real *restrict v, real *restrict g_e, real *restrict g_i, uint8_t *restrict refractory,
                              uint8_t *restrict spiked, int n, real decay)
{
    int count = 0;
    for (int i = 0; i < n; i++) {
        const uint8_t left = refractory[i];
        const real e = g_e[i], h = g_i[i];
        real next = v[i] * decay + e * (real)0.005 + h * (real)0.005;
        next = left ? v[i] : next;
        g_e[i] = e * (real)0.98;
        g_i[i] = h * (real)0.99;
        const uint8_t spike = next > 11;
        v[i] = spike ? -11 : next;
        refractory[i] = spike ? 50 : (uint8_t)(left - (left != 0));
        spiked[i] = spike;
        count += spike;
    }
    return count;
}

static inline real over_expm1(real x) { return x / (EXP(x) - 1); }

/* Hodgkin-Huxley after Traub and Miles, exponential Euler: ten exponentials. */
SEPARATE static int hodgkin_huxley_step(real *restrict v, real *restrict m, real *restrict h, real *restrict n,
                                        const real *restrict drive, real *restrict refractory, uint8_t *restrict spiked, int cells)
{
    const real dt = (real)0.1;
    int count = 0;
    for (int i = 0; i < cells; i++) {
        const real u = v[i] + 63, m_old = m[i], h_old = h[i], n_old = n[i];
        const real a_m = (real)1.28 * over_expm1(((real)13.001 - u) * (real)0.25);
        const real b_m = (real)1.4 * over_expm1((u - (real)40.001) * (real)0.2);
        const real a_h = (real)0.128 * EXP((17 - u) / 18), b_h = 4 / (1 + EXP((40 - u) * (real)0.2));
        const real a_n = (real)0.16 * over_expm1(((real)15.001 - u) * (real)0.2), b_n = (real)0.5 * EXP((10 - u) / 40);
        const real sodium = 20000 * m_old * m_old * m_old * h_old, potassium = 6000 * (n_old * n_old) * (n_old * n_old);
        const real total = 10 + sodium + potassium, rest = (-600 + sodium * 50 - potassium * 90 + drive[i]) / total;
        const real next = rest + (v[i] - rest) * EXP(-total * dt / 200);
        const real m_rate = a_m + b_m, h_rate = a_h + b_h, n_rate = a_n + b_n;
        m[i] = a_m / m_rate + (m_old - a_m / m_rate) * EXP(-m_rate * dt);
        h[i] = a_h / h_rate + (h_old - a_h / h_rate) * EXP(-h_rate * dt);
        n[i] = a_n / n_rate + (n_old - a_n / n_rate) * EXP(-n_rate * dt);
        const real left = refractory[i] - dt;
        const uint8_t spike = (next > -20) & (left <= 0);
        refractory[i] = spike ? 3 : left;
        v[i] = next;
        spiked[i] = spike;
        count += spike;
    }
    return count;
}

SEPARATE static int izhikevich_step(real *restrict v, real *restrict u, const real *restrict drive, uint8_t *restrict spiked, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++) {
        const real x = v[i], y = u[i];
        const real next = x + (real)0.1 * ((real)0.04 * x * x + 5 * x + 140 - y + drive[i]);
        const real recovery = y + (real)0.002 * ((real)0.2 * x - y);
        const uint8_t spike = next >= 30;
        v[i] = spike ? -65 : next;
        u[i] = spike ? recovery + 8 : recovery;
        spiked[i] = spike;
        count += spike;
    }
    return count;
}

/* ---- synapses --------------------------------------------------------------------------------------------------- */

SEPARATE static void scatter_weights(const int *restrict target, const real *restrict weight, int n, real *restrict sum)
{
    for (int i = 0; i < n; i++) sum[target[i]] += weight[i];
}

SEPARATE static void scatter_short(const uint16_t *restrict target, real weight, int n, real *restrict sum)
{
    for (int i = 0; i < n; i++) sum[target[i]] += weight;
}

/* A presynaptic event of pair STDP on a dense row: deliver, depress, clip. */
SEPARATE static void plastic_row(real *restrict weight, const real *restrict trace, real *restrict sum, int n)
{
    for (int j = 0; j < n; j++) {
        sum[j] += weight[j];
        const real next = weight[j] + trace[j];
        weight[j] = next < 0 ? 0 : next > (real)0.01 ? (real)0.01 : next;
    }
}

/* A postsynaptic event: a column of the same matrix, one stride apart. */
SEPARATE static void plastic_column(real *restrict weight, const real *restrict trace, int n, int stride)
{
    for (int i = 0; i < n; i++) {
        const real next = weight[(size_t)i * (size_t)stride] + trace[i];
        weight[(size_t)i * (size_t)stride] = next < 0 ? 0 : next > (real)0.01 ? (real)0.01 : next;
    }
}

/* ---- random numbers --------------------------------------------------------------------------------------------- */

#define STEPS_OF_POISSON 14

/* Poisson numbers of mean 2 by comparing a word with the distribution function; a xorshift state for each lane. */
SEPARATE static void poisson_xorshift(uint32_t *restrict state, real *restrict out, const uint32_t *restrict below, int n)
{
    uint32_t bound[STEPS_OF_POISSON];
    memcpy(bound, below, sizeof bound);
    for (int i = 0; i < n; i++) {
        uint32_t word = state[i];
        word ^= word << 13;
        word ^= word >> 17;
        word ^= word << 5;
        state[i] = word;
        int count = 0;
        for (int j = 0; j < STEPS_OF_POISSON; j++) count += word > bound[j];
        out[i] = (real)count;
    }
}

/* The same from a counter (Philox2x32-10, Salmon et al. 2011): no state, the same numbers for any number of threads. */
SEPARATE static void poisson_philox(real *restrict out, const uint32_t *restrict below, int n, uint32_t step)
{
    uint32_t bound[STEPS_OF_POISSON];
    memcpy(bound, below, sizeof bound);
    for (int i = 0; i < n; i++) {
        uint32_t left = (uint32_t)i, right = step, key = 0x1234567u;
        for (int round = 0; round < 10; round++) {
            const uint64_t product = (uint64_t)left * 0xD256D193u;
            left = (uint32_t)(product >> 32) ^ key ^ right;
            right = (uint32_t)product;
            key += 0x9E3779B9u;
        }
        int count = 0;
        for (int j = 0; j < STEPS_OF_POISSON; j++) count += left > bound[j];
        out[i] = (real)count;
    }
}

static inline uint64_t mixed(uint64_t word)
{
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9ULL;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBULL;
    return word ^ (word >> 31);
}

/* The same from a counter by two rounds of a 64-bit mixing function, the kind of generator that snnlang prescribes. */
SEPARATE static void poisson_mixed(real *restrict out, const uint32_t *restrict below, int n, uint64_t step)
{
    uint32_t bound[STEPS_OF_POISSON];
    memcpy(bound, below, sizeof bound);
    for (int i = 0; i < n; i++) {
        const uint32_t word = (uint32_t)(mixed(mixed(0x1234567u + (uint64_t)i * 0x9E3779B97F4A7C15ULL) + step * 0x9E3779B97F4A7C15ULL) >> 32);
        int count = 0;
        for (int j = 0; j < STEPS_OF_POISSON; j++) count += word > bound[j];
        out[i] = (real)count;
    }
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

SEPARATE static void triad(double *restrict a, const double *restrict b, const double *restrict c, int n)
{
    for (int i = 0; i < n; i++) a[i] = b[i] + 3 * c[i];
}

/* ---- what is measured ------------------------------------------------------------------------------------------- */

static void measure_memory(void)
{
    const int n = 16 << 20;
    double *const a = memory(8 * (size_t)n), *const b = memory(8 * (size_t)n), *const c = memory(8 * (size_t)n);
    MEASURE("memory triad (1e9 bytes)", 24.0 * n, triad(a, b, c, n));
    sink += a[5];
    free(a), free(b), free(c);
}

static void measure_neurons(void)
{
    long spikes = 0;
    const int sizes[] = {10000, 1000000};
    for (int which = 0; which < 2; which++) {
        const int n = sizes[which], steps = 200000000 / n;
        const size_t bytes = sizeof(real) * (size_t)n;
        real *const v = memory(bytes), *const drive = memory(bytes);
        uint8_t *const refractory = memory((size_t)n), *const spiked = memory((size_t)n + 8);
        int *const list = memory(sizeof(int) * (size_t)n);
        for (int i = 0; i < n; i++) drive[i] = (real)(random_word() % 40000) / 1000;
        MEASURE(which ? "LIF with spike list, 1e6" : "LIF with spike list, 1e4", (double)n * steps, for (int k = 0; k < steps; k++) {
            spikes += lif_step(v, drive, refractory, spiked, n, (real)0.99501);
            spikes += compact(spiked, n, list);
        });
        free(v), free(drive), free(refractory), free(spiked), free(list);
    }
    for (int n = 4000; n <= 20000; n *= 5) {
        const size_t bytes = sizeof(real) * (size_t)n;
        real *const v = memory(bytes), *const g_e = memory(bytes), *const g_i = memory(bytes);
        uint8_t *const refractory = memory((size_t)n), *const spiked = memory((size_t)n);
        for (int i = 0; i < n; i++) v[i] = -(real)(random_word() % 11);
        MEASURE(n == 4000 ? "CUBA neurons, 4000" : "CUBA neurons, 20000", n * 10000.0, for (int k = 0; k < 10000; k++) spikes +=
                cuba_step(v, g_e, g_i, refractory, spiked, n, (real)0.995));
    }
    for (int n = 4000; n <= 100000; n *= 25) {
        const size_t bytes = sizeof(real) * (size_t)n;
        real *const v = memory(bytes), *const m = memory(bytes), *const h = memory(bytes), *const k = memory(bytes);
        real *const drive = memory(bytes), *const refractory = memory(bytes);
        uint8_t *const spiked = memory((size_t)n);
        const int steps = 8000000 / n;
        for (int i = 0; i < n; i++) v[i] = -60, drive[i] = (real)(random_word() % 2000);
        MEASURE(n == 4000 ? "Hodgkin-Huxley, 4000" : "Hodgkin-Huxley, 1e5", (double)n * steps, for (int j = 0; j < steps; j++) spikes +=
                hodgkin_huxley_step(v, m, h, k, drive, refractory, spiked, n));
    }
    const int n = 100000;
    const size_t bytes = sizeof(real) * (size_t)n;
    real *const v = memory(bytes), *const u = memory(bytes), *const drive = memory(bytes);
    uint8_t *const spiked = memory((size_t)n);
    for (int i = 0; i < n; i++) v[i] = -65, u[i] = -13, drive[i] = (real)(random_word() % 20000) / 1000;
    MEASURE("Izhikevich, 1e5", n * 1000.0, for (int k = 0; k < 1000; k++) spikes += izhikevich_step(v, u, drive, spiked, n));
    sink += (double)spikes;
}

/* Rows of sorted targets, evenly spread with a random offset, visited in random order. */
static void measure_rows(const char *with_weights, const char *short_targets, int rows, int length, int posts)
{
    const size_t synapses = (size_t)rows * (size_t)length;
    int *const target = memory(sizeof(int) * synapses), *const order = memory(sizeof(int) * (size_t)rows);
    uint16_t *const narrow = memory(sizeof(uint16_t) * synapses);
    real *const weight = memory(sizeof(real) * synapses), *const sum = memory(sizeof(real) * (size_t)posts);
    for (size_t s = 0; s < synapses; s++) {
        target[s] = (int)(((double)(s % (size_t)length) + (double)(random_word() % 1000) / 1000) * posts / length);
        narrow[s] = (uint16_t)target[s];
        weight[s] = (real)0.001;
    }
    for (int r = 0; r < rows; r++) order[r] = (int)(random_word() % (uint64_t)rows);
    const int turns = synapses > 1000000 ? 1 : 50;
    MEASURE(with_weights, (double)synapses * turns, for (int k = 0; k < turns; k++) for (int r = 0; r < rows; r++)
            scatter_weights(target + (size_t)order[r] * (size_t)length, weight + (size_t)order[r] * (size_t)length, length, sum));
    MEASURE(short_targets, (double)synapses * turns, for (int k = 0; k < turns; k++) for (int r = 0; r < rows; r++)
            scatter_short(narrow + (size_t)order[r] * (size_t)length, (real)0.001, length, sum));
    sink += sum[5];
    free(target), free(order), free(narrow), free(weight), free(sum);
}

static void measure_plasticity(void)
{
    const int n = 1000, events = 20000;
    real *const weight = memory(sizeof(real) * (size_t)(n * n)), *const sum = memory(sizeof(real) * (size_t)n);
    real *const fall = memory(sizeof(real) * (size_t)n), *const rise = memory(sizeof(real) * (size_t)n);
    for (int i = 0; i < n * n; i++) weight[i] = (real)0.005;
    for (int i = 0; i < n; i++) fall[i] = (real)-1e-6, rise[i] = (real)1e-6;
    MEASURE("STDP row, 1000x1000", (double)n * events, for (int k = 0; k < events; k++)
            plastic_row(weight + (size_t)n * (random_word() % (uint64_t)n), fall, sum, n));
    MEASURE("STDP column, 1000x1000", (double)n * events, for (int k = 0; k < events; k++)
            plastic_column(weight + random_word() % (uint64_t)n, rise, n, n));
    sink += weight[7] + sum[3];
}

static void measure_random(void)
{
    const int n = 10000, steps = 2000;
    uint32_t *const state = memory(sizeof(uint32_t) * (size_t)n), below[STEPS_OF_POISSON];
    real *const out = memory(sizeof(real) * (size_t)n);
    double term = exp(-2.0), sum = term, mean = 0;
    for (int j = 0; j < STEPS_OF_POISSON; j++) {
        below[j] = (uint32_t)(fmin(sum, 1) * 4294967295.0);
        term *= 2.0 / (j + 1);
        sum += term;
    }
    for (int i = 0; i < n; i++) state[i] = (uint32_t)random_word() | 1;
    MEASURE("Poisson numbers, xorshift", (double)n * steps,
            for (int k = 0; k < steps; k++) { poisson_xorshift(state, out, below, n); mean += (double)out[k]; });
    MEASURE("Poisson numbers, Philox", (double)n * steps,
            for (int k = 0; k < steps; k++) { poisson_philox(out, below, n, (uint32_t)k); mean += (double)out[k]; });
    MEASURE("Poisson numbers, mixed", (double)n * steps,
            for (int k = 0; k < steps; k++) { poisson_mixed(out, below, n, (uint64_t)k); mean += (double)out[k]; });
    mean /= 3.0 * REPETITIONS * steps;
    if (mean < 1.9 || mean > 2.1) fprintf(stderr, "limits: the Poisson numbers have mean %g instead of 2\n", mean);
    sink += mean;
}

int main(void)
{
    measure_memory();
    measure_neurons();
    measure_rows("scatter with weights, 320k", "scatter short, 320k", 4000, 80, 4000);
    measure_rows("scatter with weights, 8M", "scatter short, 8M", 20000, 400, 20000);
    measure_rows("scatter with weights, 10M", "scatter short, 10M", 10000, 1000, 10000);
    measure_plasticity();
    measure_random();
    return sink == 1.2345;
}
