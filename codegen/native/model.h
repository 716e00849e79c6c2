/* What every generated model is made of: given numbers, memory, event lists, queues, records, connectivity.
 *
 * Neurons are shared out among threads by index, in multiples of 64 of them (a cache line of floats): a thread owns the states of its
 * neurons, the synapses that end on them, and its part of every event list. So no two threads write one number, and the sums that a
 * neuron receives are made in the same order whatever the number of threads. */
#ifndef SNN_MODEL_H
#define SNN_MODEL_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Two compilers may work on one file at the same time: one makes the loop over time (SNN_HALF 1), the other all around it (2). By
 * itself (0) the file is whole. */
#ifndef SNN_HALF
#define SNN_HALF 0
#endif

/* What runs once is compiled with little effort: that halves the time of the compiler. What others declare is compiled like the rest. */
#if !defined(__GNUC__)
#define SNN_COLD
#elif defined(__clang__) || defined(SNN_EXPORTED) || SNN_HALF != 0
#define SNN_COLD __attribute__((cold, noinline, unused))
#else
#define SNN_COLD __attribute__((cold, noinline, unused, optimize("O1")))
#endif

/* --- what a model is given -------------------------------------------------------------------------------------------- */

enum snn_pattern {
    SNN_DENSE,           /* every pair; also as rows, where i -> i is left out or parts are no ranges */
    SNN_ONE_TO_ONE,
    SNN_RANDOM,          /* probability p */
    SNN_FIXED_OUTDEGREE, /* k of the columns for every row */
    SNN_FIXED_INDEGREE,  /* k of the rows for every column */
    SNN_FIXED_TOTAL,     /* k pairs */
    SNN_WINDOW,          /* conv2d, local2d and pools: shape[] below */
    SNN_WHERE,           /* condition(pre, post) */
    SNN_GIVEN            /* row_start, post and shared are given */
};

/* How one connectivity is built. Parts are the connected neurons; *_part is NULL for the range *_first, *_first + 1, ... */
typedef struct snn_wiring {
    int64_t pattern;
    int64_t pre_size, post_size; /* of the full populations */
    int64_t rows, columns;       /* of the connected parts */
    int64_t pre_first, post_first;
    const int64_t *pre_part, *post_part;
    int64_t autapses, multapses; /* 0: left out. autapses is 1 between different populations */
    uint64_t key;                /* of the random stream */
    double p;
    int64_t k;
    int64_t shape[18]; /* depth, height, width; channels, rows, columns of the output; kernel, stride, padding, dilation (two each);
                          groups; 1 when the weights are shared (conv2d) */
    const int64_t *row_start; /* SNN_GIVEN: (pre_size + 1) */
    const int32_t *post;      /* SNN_GIVEN: ascending within a row */
    const int32_t *shared;    /* SNN_GIVEN: index of the shared weight of every synapse, or NULL */
    int (*condition)(int64_t pre, int64_t post); /* SNN_WHERE */
} snn_wiring;

/* Everything that may change without compiling again. `data` holds, by number of the array, its given values or NULL. */
typedef struct snn_given {
    const int64_t *whole;
    const double *number;
    const double *initial; /* by number of the array: what it is filled with where no data are given */
    const uint64_t *key;
    const void *const *data;
    const snn_wiring *wiring;
    const int64_t *const *chosen; /* by number of the recorder: its chosen items, or NULL for all of them */
    const int64_t *chosen_count;
} snn_given;

/* --- memory ----------------------------------------------------------------------------------------------------------- */

#if defined(__linux__) && !defined(SNN_PLAIN_MEMORY)
#include <sys/mman.h>
#define SNN_HUGE_PAGES 1
#endif

/* Zeroed memory at the start of a cache line; larger pieces at that of a page, and large ones on large pages, where the system has them.
 * NULL when there is none. */
static SNN_COLD void *snn_allocate(int64_t bytes)
{
    const size_t line = bytes >= (1 << 21) ? (size_t)1 << 21 : bytes >= (1 << 15) ? 4096 : 64;
    const size_t size = ((size_t)(bytes > 0 ? bytes : 1) + 63) / 64 * 64;
    void *memory = NULL;
#if defined(_POSIX_C_SOURCE) && _POSIX_C_SOURCE >= 200112L
    if (posix_memalign(&memory, line, size) != 0) return NULL;
#else
    memory = aligned_alloc(line, (size + line - 1) / line * line);
    if (memory == NULL) return NULL;
#endif
#if defined(SNN_HUGE_PAGES) && defined(MADV_HUGEPAGE)
    if (size >= ((size_t)4 << 21)) (void)madvise(memory, size, MADV_HUGEPAGE);
#endif
    memset(memory, 0, size);
    return memory;
}

/* The share of n neurons that a thread owns: from snn_share(n, thread, threads) to snn_share(n, thread + 1, threads). Where shares are
 * large they end where a page of floats ends: a processor that fetches ahead of itself stops there, and takes no lines from another's share. */
static inline int64_t snn_share(int64_t n, int thread, int threads)
{
    if (thread <= 0) return 0;
    if (thread >= threads) return n;
    const int64_t unit = n >= 8192 * (int64_t)threads ? 1024 : 64;
    const int64_t start = (n + unit - 1) / unit * thread / threads * unit;
    return start < n ? start : n;
}

/* --- connectivity ----------------------------------------------------------------------------------------------------- */

/* Compressed rows by pre neuron of the full population, ascending post within a row. Indices of post neurons take two bytes where
 * post_size <= 65536, else four. The other members are made only where a kernel needs them. */
typedef struct snn_rows {
    int64_t pre_size, post_size, count;
    int64_t post_bytes;      /* 2 or 4 */
    int64_t *row_start;      /* (pre_size + 1) */
    int64_t pre_first, pre_last; /* all rows before the one and from the other on are empty */
    void *post;              /* (count) */
    int32_t *shared;         /* (count), or NULL */
    int32_t *pre;            /* (count): the pre neuron of every synapse */
    int64_t *column_start;   /* (post_size + 1) */
    int32_t *column_synapse; /* (count): synapses by post neuron, within one by ascending pre */
    int32_t *column_pre;     /* (count): their pre neurons */
    int threads;
    int64_t *split;        /* (pre_size * threads + 1): first synapse of the row that ends on a neuron of thread 0, 1, ...; NULL for one thread */
    const int64_t *bounds; /* split, or row_start for one thread */
} snn_rows;

/* Where a thread's part of a row begins; thread = threads gives its end. */
static inline int64_t snn_row(const snn_rows *rows, int64_t pre, int thread)
{
    return rows->bounds[pre * rows->threads + thread];
}

/* A row comes soon: where the one before it ends no processor guesses, and would not ask for this one's memory until it got there. */
static inline void snn_expect(const void *place)
{
#if defined(__GNUC__)
    for (int line = 0; line < 4; line++) __builtin_prefetch((const char *)place + line * 64);
#else
    (void)place;
#endif
}

static inline int64_t snn_post(const snn_rows *rows, int64_t synapse)
{
    return rows->post_bytes == 2 ? ((const uint16_t *)rows->post)[synapse] : ((const int32_t *)rows->post)[synapse];
}

/* Every pair of two ranges (synapse = row * columns + column), or pair by pair (synapse = row): no index is stored. */
typedef struct snn_grid {
    int64_t pre_first, rows, post_first, columns;
    int64_t autapses; /* 0: i -> i is skipped */
} snn_grid;

/* Numbers of 32 bits in a cache line. */
#define SNN_LINE 16

/* --- event lists ------------------------------------------------------------------------------------------------------ */

/* The items at which an event occurred in a step and in the steps before it: a ring of `depth` lists. The part of a thread begins where
 * its share of the population begins, so parts in order of threads are in ascending order of items. */
typedef struct snn_list {
    int64_t size, depth;
    int threads;
    int32_t *items;  /* (depth, size) */
    int32_t *counts; /* (depth, threads), each on a cache line of its own: threads that write one line wait for each other. Beside it
                        the step that wrote it, and one, where threads run ahead of each other (ahead.h) */
} snn_list;

static inline int64_t snn_slot(int64_t step, int64_t lag, int64_t depth)
{
    const int64_t slot = (step - lag) % depth;
    return slot < 0 ? slot + depth : slot;
}

static inline int32_t *snn_part(const snn_list *list, int64_t slot, int thread)
{
    return list->items + slot * list->size + snn_share(list->size, thread, list->threads);
}

static inline int32_t *snn_count(const snn_list *list, int64_t slot, int thread)
{
    return list->counts + (slot * list->threads + thread) * SNN_LINE;
}

static SNN_COLD int snn_make_list(snn_list *list, int64_t size, int64_t depth, int threads)
{
    list->size = size, list->depth = depth, list->threads = threads;
    list->items = snn_allocate(size * depth * (int64_t)sizeof(int32_t));
    list->counts = snn_allocate(depth * threads * SNN_LINE * (int64_t)sizeof(int32_t));
    return list->items != NULL && list->counts != NULL;
}

/* Put an item where it belongs in ascending order, unless it is there already. */
static inline void snn_insert(const snn_list *list, int64_t slot, int thread, int64_t item)
{
    int32_t *const items = snn_part(list, slot, thread), *const count = snn_count(list, slot, thread);
    int32_t place = *count;
    while (place > 0 && items[place - 1] > item) place--;
    if (place > 0 && items[place - 1] == item) return;
    memmove(items + place + 1, items + place, (size_t)(*count - place) * sizeof *items);
    items[place] = (int32_t)item;
    ++*count;
}

static inline int64_t snn_total(const snn_list *list, int64_t slot)
{
    int64_t total = 0;
    for (int thread = 0; thread < list->threads; thread++) total += *snn_count(list, slot, thread);
    return total;
}

/* --- growing tables: queues and records ------------------------------------------------------------------------------- */

typedef struct snn_table {
    int64_t count, room;
    int32_t *items;
} snn_table;

/* Room for `more` numbers; 0 when there is no memory, and the table stays as it was. */
static inline int snn_reserve(snn_table *table, int64_t more)
{
    if (table->count + more <= table->room) return 1;
    int64_t room = table->room > 0 ? table->room : 256;
    while (room < table->count + more) room *= 2;
    int32_t *const items = realloc(table->items, (size_t)room * sizeof *items);
    if (items == NULL) return 0;
    table->items = items, table->room = room;
    return 1;
}

/* A ring of lists of synapses that will be reached: delays of their own. One table for every slot and thread. */
typedef struct snn_queue {
    int64_t depth;
    int threads;
    snn_table *slots; /* (depth, threads) */
} snn_queue;

static SNN_COLD int snn_make_queue(snn_queue *queue, int64_t depth, int threads)
{
    queue->depth = depth, queue->threads = threads;
    queue->slots = snn_allocate(depth * threads * (int64_t)sizeof(snn_table));
    return queue->slots != NULL;
}

/* What a recorder saw since it was last emptied: events as (step, index), values as rows of `width` numbers of `bytes` each. */
typedef struct snn_record {
    int64_t count, room;      /* events or rows */
    int64_t width, bytes;     /* of a row; events: 1, 4 */
    int64_t *steps;           /* (room) */
    unsigned char *values;    /* (room * width * bytes) */
    int64_t chosen;           /* number of chosen items; -1: all */
    int64_t *indices;         /* chosen items (values), or 1 for every chosen neuron (events) */
} snn_record;

static SNN_COLD int snn_record_room(snn_record *record, int64_t more)
{
    if (record->count + more <= record->room) return 1;
    int64_t room = record->room > 0 ? record->room : 64;
    while (room < record->count + more) room *= 2;
    int64_t *const steps = realloc(record->steps, (size_t)room * sizeof *steps);
    if (steps == NULL) return 0;
    record->steps = steps;
    unsigned char *const values = realloc(record->values, (size_t)(room * record->width * record->bytes) + 1);
    if (values == NULL) return 0;
    record->values = values, record->room = room;
    return 1;
}

#endif
