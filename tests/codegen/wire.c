/* Builds the connectivities that it reads as numbers, with every number of threads, and prints what came out. See test_native_connectivity.py. */
#define _GNU_SOURCE 1
#define SNN_SINGLE 0
#include <inttypes.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
typedef double real;

/* Every allocation of the headers is counted: bytes held now, and the most that were held at once. */
static int64_t held, most;
static void *noted(void *memory)
{
    if (memory != NULL) held += (int64_t)malloc_usable_size(memory);
    if (held > most) most = held;
    return memory;
}
static void *my_malloc(size_t size) { return noted(malloc(size)); }
static void *my_calloc(size_t count, size_t size) { return noted(calloc(count, size)); }
static void *my_realloc(void *old, size_t size)
{
    if (old != NULL) held -= (int64_t)malloc_usable_size(old);
    return noted(realloc(old, size));
}
static int my_memalign(void **memory, size_t line, size_t size)
{
    const int refused = posix_memalign(memory, line, size);
    if (!refused) noted(*memory);
    return refused;
}
static void my_free(void *memory)
{
    if (memory != NULL) held -= (int64_t)malloc_usable_size(memory);
    free(memory);
}
#define malloc my_malloc
#define calloc my_calloc
#define realloc my_realloc
#define posix_memalign my_memalign
#define free my_free

#include "model.h"
#include "threads.h"
#include "support.h"
#include "mathematics.h"
#include "random.h"
#include "connectivity.h"
#include "conditions.h"

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int64_t number(void)
{
    int64_t value;
    if (scanf("%" SCNd64, &value) != 1) exit(3);
    return value;
}

static void *numbers(int64_t count, int64_t bytes)
{
    if (count < 0) return NULL;
    void *const made = my_malloc((size_t)(count * bytes) + 1);
    for (int64_t i = 0; i < count; i++) {
        const int64_t value = number();
        if (bytes == 8) ((int64_t *)made)[i] = value;
        else ((int32_t *)made)[i] = (int32_t)value;
    }
    return made;
}

static void print_all(const char *name, const void *from, int64_t count, int64_t bytes)
{
    printf("%s", name);
    for (int64_t i = 0; i < count; i++)
        printf(" %" PRId64, bytes == 8 ? ((const int64_t *)from)[i] : bytes == 2 ? ((const uint16_t *)from)[i] : ((const int32_t *)from)[i]);
    printf("\n");
}

int main(void)
{
    for (int64_t cases = number(); cases > 0; cases--) {
        snn_wiring how = {0};
        const int64_t quiet = number(), condition = number(), first_threads = number(), last_threads = number();
        how.pattern = number(), how.pre_size = number(), how.post_size = number(), how.rows = number(), how.columns = number();
        how.pre_first = number(), how.post_first = number(), how.autapses = number(), how.multapses = number();
        if (scanf("%" SCNu64 "%la", &how.key, &how.p) != 2) return 3;
        how.k = number();
        for (int i = 0; i < 18; i++) how.shape[i] = number();
        int64_t *const pre_part = numbers(number(), 8), *const post_part = numbers(number(), 8), *const row_start = numbers(number(), 8);
        int32_t *const post = numbers(number(), 4);
        how.pre_part = pre_part, how.post_part = post_part, how.row_start = row_start, how.post = post;
        if (condition >= 0) how.condition = conditions[condition];
        for (int threads = (int)first_threads; threads <= last_threads; threads++) {
            snn_rows rows;
            const int64_t before = most = held;
            const double start = now();
            const int made = snn_wire(&rows, &how, threads);
            const double end = now();
            const int64_t peak = most - before, kept = held - before;
            if (!made) return 4;
            printf("made %" PRId64 " %" PRId64 " %" PRId64 " %.6f\n", rows.count, peak, kept, end - start);
            if (!quiet) {
                if (!snn_wire_splits(&rows, threads) || !snn_wire_columns(&rows) || !snn_wire_pre(&rows)) return 5;
                print_all("row_start", rows.row_start, rows.pre_size + 1, 8);
                print_all("post", rows.post, rows.count, rows.post_bytes);
                print_all("shared", rows.shared, rows.shared != NULL ? rows.count : 0, 4);
                print_all("pre", rows.pre, rows.count, 4);
                print_all("column_start", rows.column_start, rows.post_size + 1, 8);
                print_all("column_synapse", rows.column_synapse, rows.count, 4);
                print_all("column_pre", rows.column_pre, rows.count, 4);
                int64_t astray = 0;
                for (int64_t pre = 0; pre < rows.pre_size; pre++)
                    for (int thread = 0; thread < threads; thread++)
                        for (int64_t s = snn_row(&rows, pre, thread); s < snn_row(&rows, pre, thread + 1); s++)
                            astray += snn_post(&rows, s) < snn_share(rows.post_size, thread, threads) ||
                                      snn_post(&rows, s) >= snn_share(rows.post_size, thread + 1, threads);
                printf("astray %" PRId64 "\n", astray);
            }
            snn_unwire(&rows);
            if (held != before) return 6;
        }
        my_free(pre_part), my_free(post_part), my_free(row_start), my_free(post);
    }
    return 0;
}
