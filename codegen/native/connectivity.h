/* Builds connectivity straight into compressed rows: the recipes of codegen/patterns.py, draw for draw.
 *
 * Threads share the rows (or, where columns draw, the columns) and redraw rather than remember, so memory stays near that of the
 * result, and the result does not depend on the number of threads. Nothing is ever as large as all pairs. */
#ifndef SNN_CONNECTIVITY_H
#define SNN_CONNECTIVITY_H
#if SNN_HALF != 1 /* the loop over time makes no synapses */

/* needs model.h, threads.h, random.h */

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Synapses of a row are found in blocks of this many. */
#define SNN_FOUND 256

/* Which generators a model needs: the others are not compiled. The generated file says; what it does not say is needed. */
#ifndef SNN_WITH_RANDOM
#define SNN_WITH_DENSE 1
#define SNN_WITH_ONE_TO_ONE 1
#define SNN_WITH_RANDOM 1
#define SNN_WITH_FIXED_OUTDEGREE 1
#define SNN_WITH_FIXED_INDEGREE 1
#define SNN_WITH_FIXED_TOTAL 1
#define SNN_WITH_WINDOW 1
#define SNN_WITH_WHERE 1
#define SNN_WITH_GIVEN 1
#define SNN_WITH_PARTS 1 /* parts of populations that are no ranges */
#endif

typedef struct snn_builder {
    const snn_wiring *how;
    snn_rows *rows;
    int threads;
    int32_t *row_at;         /* by pre neuron: its row in the part, or -1; NULL where the part is a range */
    int32_t *column_at;      /* by post neuron: its column; NULL where the part is a range or i -> i is allowed */
    int sorted;              /* the post part ascends */
    int exact;               /* row_start is final, and rows are written where they belong */
    int64_t *room;           /* (threads + 1): where the threads begin to write */
    int64_t *made;           /* (threads): what they found, whether there was room or not */
    const uint64_t *bitmap;  /* fixed_total: one bit for every pair */
    int left_out;            /* the bits that are not set are the synapses */
    int32_t *cursor;         /* (threads, pre_size): fixed_indegree */
    int32_t *chosen;         /* (threads, k): fixed_indegree */
    uint64_t *taken;         /* (threads, taken_words): what was chosen before */
    int64_t taken_words;
    void *scratch; /* (threads, longest): to sort a row */
    int64_t longest;
    int phase;
} snn_builder;

/* Side by side where the system gives the threads, else one after the other: for work without barriers. */
static SNN_COLD void snn_side_by_side(snn_work work, void *context, int threads)
{
    if (threads > 1 && snn_together(work, context, threads)) return;
    for (int thread = 0; thread < threads; thread++) work(context, thread, threads);
}

/* --- places in the parts ------------------------------------------------------------------------------------------------ */

/* Rows are shared out in order of their pre neurons, so that every thread writes one piece of the result. */
static inline int64_t snn_first_pre(const snn_builder *b, int thread, int threads)
{
    const snn_wiring *const how = b->how;
    if (how->pre_part == NULL) return how->pre_first + how->rows * thread / threads;
    return how->pre_size * thread / threads;
}

static inline int64_t snn_row_at(const snn_builder *b, int64_t pre)
{
    return b->row_at != NULL ? b->row_at[pre] : pre - b->how->pre_first;
}

static inline int64_t snn_pre_of_row(const snn_wiring *how, int64_t row)
{
    return how->pre_part != NULL ? how->pre_part[row] : how->pre_first + row;
}

static inline int64_t snn_post_of_column(const snn_wiring *how, int64_t column)
{
    return how->post_part != NULL ? how->post_part[column] : how->post_first + column;
}

/* The column at which a row would meet its own neuron, or -1. */
static inline int64_t snn_own_column(const snn_builder *b, int64_t pre)
{
    const snn_wiring *const how = b->how;
    if (how->autapses) return -1;
    if (b->column_at != NULL) return pre < how->post_size ? b->column_at[pre] : -1;
    const int64_t column = pre - how->post_first;
    return column >= 0 && column < how->columns ? column : -1;
}

/* The row at which a column would meet its own neuron, or -1. */
static inline int64_t snn_own_row(const snn_builder *b, int64_t post)
{
    const snn_wiring *const how = b->how;
    if (how->autapses) return -1;
    if (b->row_at != NULL) return post < how->pre_size ? b->row_at[post] : -1;
    const int64_t row = post - how->pre_first;
    return row >= 0 && row < how->rows ? row : -1;
}

static inline int32_t snn_get(const void *post, int64_t bytes, int64_t at)
{
    return bytes == 2 ? ((const uint16_t *)post)[at] : ((const int32_t *)post)[at];
}

static inline void snn_set(void *post, int64_t bytes, int64_t at, int64_t value)
{
    if (bytes == 2) ((uint16_t *)post)[at] = (uint16_t)value;
    else ((int32_t *)post)[at] = (int32_t)value;
}

/* For every neuron of a population its place in a part, or -1. */
static SNN_COLD int32_t *snn_places(const int64_t *part, int64_t count, int64_t size)
{
    int32_t *const place = malloc((size_t)(size > 0 ? size : 1) * sizeof *place);
    if (place == NULL) return NULL;
    for (int64_t i = 0; i < size; i++) place[i] = -1;
    for (int64_t i = 0; i < count; i++) place[part[i]] = (int32_t)i;
    return place;
}

/* --- one row at a time -------------------------------------------------------------------------------------------------- */

/* Where a thread writes. It goes on counting when there is no room. */
typedef struct snn_pen {
    const snn_builder *b;
    int64_t at, end;
    int64_t own;
} snn_pen;

/* Called from many places, and much of it: one copy is compiled. */
#if defined(__GNUC__)
#define SNN_APART __attribute__((noinline, unused))
#else
#define SNN_APART
#endif

/* Add columns of the row, ascending, with the weights that they share or NULL; the row's own column is left out. */
static SNN_APART void snn_put(snn_pen *pen, int32_t *columns, int32_t *shared, int64_t count)
{
    const snn_builder *const b = pen->b;
    const snn_wiring *const how = b->how;
    if (count == 0) return;
    if (pen->own >= columns[0] && pen->own <= columns[count - 1]) {
        int64_t kept = 0;
        for (int64_t i = 0; i < count; i++) {
            if (columns[i] == pen->own) continue;
            columns[kept] = columns[i];
            if (shared != NULL) shared[kept] = shared[i];
            kept++;
        }
        count = kept;
    }
    if (pen->at + count <= pen->end) {
        if (how->post_part != NULL)
            for (int64_t i = 0; i < count; i++) columns[i] = (int32_t)how->post_part[columns[i]];
        const int32_t first = how->post_part != NULL ? 0 : (int32_t)how->post_first;
        if (b->rows->post_bytes == 2) {
            uint16_t *const post = (uint16_t *)b->rows->post + pen->at;
            #pragma omp simd
            for (int64_t i = 0; i < count; i++) post[i] = (uint16_t)(columns[i] + first);
        } else {
            int32_t *const post = (int32_t *)b->rows->post + pen->at;
            #pragma omp simd
            for (int64_t i = 0; i < count; i++) post[i] = columns[i] + first;
        }
        if (shared != NULL && b->rows->shared != NULL)
            memcpy(b->rows->shared + pen->at, shared, (size_t)count * sizeof *shared);
    }
    pen->at += count;
}

/* log(x) of 0 < x <= 1 to a relative error below 1e-14, in a form that compilers vectorise: x = 2^e m, log m = 2 artanh((m-1)/(m+1)). */
static inline double snn_quick_log(double x)
{
    uint64_t bits;
    double mantissa, exponent;
    memcpy(&bits, &x, sizeof bits);
    bits += UINT64_C(0x3ff0000000000000) - UINT64_C(0x3fe6a09e667f3bcd);
    const uint64_t high = (bits >> 52) | UINT64_C(0x4330000000000000);
    const uint64_t low = (bits & UINT64_C(0x000fffffffffffff)) + UINT64_C(0x3fe6a09e667f3bcd);
    memcpy(&exponent, &high, sizeof exponent);
    memcpy(&mantissa, &low, sizeof mantissa);
    exponent -= 0x1p52 + 1023.0;
    const double s = (mantissa - 1.0) / (mantissa + 1.0), z = s * s;
    double sum = 2.0 / 21.0;
    sum = sum * z + 2.0 / 19.0;
    sum = sum * z + 2.0 / 17.0;
    sum = sum * z + 2.0 / 15.0;
    sum = sum * z + 2.0 / 13.0;
    sum = sum * z + 2.0 / 11.0;
    sum = sum * z + 2.0 / 9.0;
    sum = sum * z + 2.0 / 7.0;
    sum = sum * z + 2.0 / 5.0;
    sum = sum * z + 2.0 / 3.0;
    sum = sum * z + 2.0;
    return exponent * 0.6931471805599453 + s * sum;
}

/* Geometric gaps. The logarithm is approximate; where the quotient lies so near a whole number that this might matter, libm decides. */
static void snn_random_row(snn_pen *pen, int64_t row, double scale, double each)
{
    const snn_wiring *const how = pen->b->how;
    const int64_t columns = how->columns;
    const double limit = (double)columns + 0.5, p = how->p;
    const uint64_t base = snn_base(how->key, row);
    int64_t column = 0, counter = 0;
    double quotient[SNN_FOUND];
    int32_t gap[SNN_FOUND], found[SNN_FOUND];
    while (column < columns) {
        const double expected = (double)(columns - column) * p;
        int64_t draws = (int64_t)(expected + sqrt(expected)) / 8 * 8 + 8;
        if (draws > SNN_FOUND) draws = SNN_FOUND;
        #pragma omp simd
        for (int64_t i = 0; i < draws; i++) quotient[i] = 1.0 - snn_uniform(base, counter + i);
        int unsure = 0;
        #pragma omp simd reduction(| : unsure)
        for (int64_t i = 0; i < draws; i++) {
            const double exact = snn_quick_log(quotient[i]) * each;
            const double q = exact < limit ? exact : limit;
            gap[i] = (int32_t)q;
            unsure |= fabs(q - (double)gap[i] - 0.5) > 0.5 - 1e-13 * q;
        }
        if (unsure)
            for (int64_t i = 0; i < draws; i++) {
                const double exact = log1p(-snn_uniform(base, counter + i)) / scale;
                gap[i] = exact < limit ? (int32_t)exact : (int32_t)limit;
            }
        int64_t count = 0;
        for (int64_t i = 0; i < draws; i++) {
            column += gap[i];
            if (column >= columns) break;
            found[count++] = (int32_t)column++;
        }
        counter += draws;
        snn_put(pen, found, NULL, count);
    }
}

static void snn_every_column(snn_pen *pen)
{
    int32_t found[SNN_FOUND];
    for (int64_t start = 0; start < pen->b->how->columns; start += SNN_FOUND) {
        int64_t count = 0;
        for (int64_t c = start; c < pen->b->how->columns && count < SNN_FOUND; c++) found[count++] = (int32_t)c;
        snn_put(pen, found, NULL, count);
    }
}

/* A product in the condition of `where` that no compiler fuses with a sum: a fused one may decide otherwise at a boundary. */
static inline double snn_product(double a, double b)
{
    volatile double product = a * b;
    return product;
}

static void snn_where_row(snn_pen *pen, int64_t pre)
{
    const snn_wiring *const how = pen->b->how;
    int32_t found[SNN_FOUND];
    int64_t count = 0;
    for (int64_t c = 0; c < how->columns; c++) {
        if (!how->condition(pre, snn_post_of_column(how, c))) continue;
        found[count++] = (int32_t)c;
        if (count < SNN_FOUND) continue;
        snn_put(pen, found, NULL, count);
        count = 0;
    }
    snn_put(pen, found, NULL, count);
}

/* Convolution-like windows: input (c, y, x) reaches, in every output channel of its group, the outputs that see it. */
static void snn_window_row(snn_pen *pen, int64_t row)
{
    const int64_t *const s = pen->b->how->shape;
    const int64_t depth = s[0], height = s[1], width = s[2], channels = s[3], out_height = s[4], out_width = s[5];
    const int64_t groups = s[14], per_group = channels / groups, inputs = depth / groups;
    const int64_t c = row / (height * width), y = row / width % height, x = row % width;
    int32_t found[SNN_FOUND], shared[SNN_FOUND];
    int64_t count = 0;
    for (int64_t channel = c / inputs * per_group; channel < (c / inputs + 1) * per_group; channel++)
        for (int64_t ky = s[6] - 1; ky >= 0; ky--) {
            const int64_t down = y + s[10] - ky * s[12], oy = down / s[8];
            if (down < 0 || down % s[8] != 0 || oy >= out_height) continue;
            for (int64_t kx = s[7] - 1; kx >= 0; kx--) {
                const int64_t across = x + s[11] - kx * s[13], ox = across / s[9];
                if (across < 0 || across % s[9] != 0 || ox >= out_width) continue;
                found[count] = (int32_t)((channel * out_height + oy) * out_width + ox);
                shared[count++] = (int32_t)(((channel * inputs + c % inputs) * s[6] + ky) * s[7] + kx);
                if (count < SNN_FOUND) continue;
                snn_put(pen, found, shared, count);
                count = 0;
            }
        }
    snn_put(pen, found, shared, count);
}

static void snn_bitmap_row(snn_pen *pen, int64_t row)
{
    const snn_builder *const b = pen->b;
    const int64_t columns = b->how->columns, first = row * columns;
    int32_t found[SNN_FOUND];
    int64_t count = 0;
    for (int64_t at = first; at < first + columns;) {
        const uint64_t word = (b->left_out ? ~b->bitmap[at >> 6] : b->bitmap[at >> 6]) >> (at & 63);
        if (word == 0) {
            at = (at | 63) + 1;
            continue;
        }
        if (word & 1) {
            found[count++] = (int32_t)(at - first);
            if (count == SNN_FOUND) {
                snn_put(pen, found, NULL, count);
                count = 0;
            }
        }
        at++;
    }
    snn_put(pen, found, NULL, count);
}

/* k of `size` numbers, in order of the draws, to to[at], to[at + 1], ...: with repetition, or without (Floyd 1987). `own` is the one
 * that may not be chosen, or -1; `taken` has a bit for every number, none of them set. */
static inline void snn_choose(const snn_wiring *how, int64_t item, int64_t size, int64_t own, uint64_t *taken, void *to, int64_t bytes,
                              int64_t at)
{
    const uint64_t base = snn_base(how->key, item);
    const int64_t k = how->k, room = size - (own >= 0 && size > 1);
    if (how->multapses) {
        for (int64_t o = 0; o < k; o++) {
            const int64_t drawn = (int64_t)(snn_uniform(base, o) * (double)room);
            snn_set(to, bytes, at + o, drawn + (own >= 0 && drawn >= own));
        }
        return;
    }
    for (int64_t o = 0; o < k; o++) {
        const int64_t last = room - k + o;
        int64_t drawn = (int64_t)(snn_uniform(base, o) * (double)(last + 1));
        if (drawn < 0) drawn = 0; /* only where fewer are there than are asked for */
        if (taken[drawn >> 6] >> (drawn & 63) & 1) drawn = last > 0 ? last : 0;
        taken[drawn >> 6] |= UINT64_C(1) << (drawn & 63);
        snn_set(to, bytes, at + o, drawn);
    }
    for (int64_t o = 0; o < k; o++) {
        const int64_t drawn = snn_get(to, bytes, at + o);
        taken[drawn >> 6] = 0;
        if (own >= 0 && drawn >= own) snn_set(to, bytes, at + o, drawn + 1);
    }
}

static void snn_chosen_row(snn_pen *pen, int64_t row, uint64_t *taken)
{
    const snn_builder *const b = pen->b;
    const snn_wiring *const how = b->how;
    const int64_t bytes = b->rows->post_bytes;
    if (pen->at + how->k <= pen->end) {
        snn_choose(how, row, how->columns, pen->own, taken, b->rows->post, bytes, pen->at);
        if (how->post_part != NULL || how->post_first != 0)
            for (int64_t i = pen->at; i < pen->at + how->k; i++)
                snn_set(b->rows->post, bytes, i, snn_post_of_column(how, snn_get(b->rows->post, bytes, i)));
    }
    pen->at += how->k;
}

static void snn_rows_work(void *context, int thread, int threads)
{
    const snn_builder *const b = context;
    const snn_wiring *const how = b->how;
    int64_t *const row_start = b->rows->row_start;
    const int64_t first = snn_first_pre(b, thread, threads), last = snn_first_pre(b, thread + 1, threads);
    const int64_t begin = b->exact ? row_start[first] : b->room[thread];
    snn_pen pen = {b, begin, b->exact ? row_start[last] : b->room[thread + 1], -1};
    const double scale = how->pattern == SNN_RANDOM && how->p < 1.0 ? log1p(-how->p) : -1.0;
    const double each = fmax(1.0 / scale, -DBL_MAX); /* finite for every p: log(1) * each is a gap of 0 */
    for (int64_t pre = first; pre < last; pre++) {
        const int64_t row = snn_row_at(b, pre), before = pen.at;
        if (row < 0) continue;
        pen.own = snn_own_column(b, pre);
        switch (how->pattern) {
        case SNN_RANDOM:
            if (SNN_WITH_RANDOM && how->p >= 1.0) snn_every_column(&pen);
            else if (SNN_WITH_RANDOM && how->p > 0.0) snn_random_row(&pen, row, scale, each);
            break;
        case SNN_FIXED_OUTDEGREE:
            if (SNN_WITH_FIXED_OUTDEGREE) snn_chosen_row(&pen, row, b->taken != NULL ? b->taken + thread * b->taken_words : NULL);
            break;
        case SNN_FIXED_TOTAL:
            if (SNN_WITH_FIXED_TOTAL) snn_bitmap_row(&pen, row);
            break;
        case SNN_WINDOW:
            if (SNN_WITH_WINDOW) snn_window_row(&pen, row);
            break;
        case SNN_WHERE:
            if (SNN_WITH_WHERE) snn_where_row(&pen, how->pre_part != NULL ? how->pre_part[row] : pre);
            break;
        case SNN_ONE_TO_ONE: {
            int32_t column = (int32_t)row;
            if (SNN_WITH_ONE_TO_ONE) snn_put(&pen, &column, NULL, row < how->columns);
            break;
        }
        default:
            if (SNN_WITH_DENSE) snn_every_column(&pen);
            break;
        }
        if (!b->exact) row_start[pre + 1] = pen.at - before;
    }
    if (!b->exact) b->made[thread] = pen.at - begin;
}

/* --- memory of the result ----------------------------------------------------------------------------------------------- */

static SNN_COLD void snn_add_up(int64_t *start, int64_t size)
{
    for (int64_t i = 0; i < size; i++) start[i + 1] += start[i];
}

static SNN_COLD int snn_make_post(snn_builder *b, int64_t count)
{
    snn_rows *const rows = b->rows;
    rows->count = count;
    rows->post = snn_allocate(count * rows->post_bytes);
    if (rows->post == NULL) return 0;
    if (b->how->pattern == SNN_WINDOW && b->how->shape[15]) {
        rows->shared = snn_allocate(count * (int64_t)sizeof(int32_t));
        if (rows->shared == NULL) return 0;
    }
    return 1;
}

/* How many synapses a thread needs room for; 0 where it is cheaper to count them first. */
static SNN_COLD int64_t snn_expected(const snn_builder *b, int thread)
{
    const snn_wiring *const how = b->how;
    const int64_t first = snn_first_pre(b, thread, b->threads), last = snn_first_pre(b, thread + 1, b->threads);
    int64_t rows = last - first;
    if (b->row_at != NULL) {
        rows = 0;
        for (int64_t pre = first; pre < last; pre++) rows += b->row_at[pre] >= 0;
    }
    if (rows == 0) return 0;
    const double pairs = (double)rows * (double)how->columns, p = how->p < 1.0 ? how->p : 1.0;
    switch (how->pattern) {
    case SNN_DENSE: return rows * how->columns;
    case SNN_ONE_TO_ONE: return rows;
    case SNN_FIXED_OUTDEGREE: return rows * how->k;
    case SNN_RANDOM: /* eight standard deviations more than the mean */
        return p > 0.0 ? (int64_t)(pairs * p + 8.0 * sqrt(pairs * p * (1.0 - p))) + 16 : 0;
    }
    return 0;
}

/* Every thread fills a piece that will do, and the pieces are moved together. Where one would not do, all is counted and filled again. */
static SNN_COLD int snn_wire_by_rows(snn_builder *b)
{
    snn_rows *const rows = b->rows;
    b->room = calloc((size_t)b->threads * 2 + 1, sizeof *b->room);
    if (b->room == NULL) return 0;
    b->made = b->room + b->threads + 1;
    for (int t = 0; t < b->threads; t++) b->room[t + 1] = b->room[t] + snn_expected(b, t);
    if (b->room[b->threads] > 0 && !snn_make_post(b, b->room[b->threads])) return 0;
    snn_side_by_side(snn_rows_work, b, b->threads);
    snn_add_up(rows->row_start, rows->pre_size);
    rows->count = rows->row_start[rows->pre_size];
    int fits = rows->post != NULL;
    for (int t = 0; t < b->threads; t++) fits = fits && b->made[t] <= b->room[t + 1] - b->room[t];
    if (fits) {
        int64_t at = b->made[0];
        for (int t = 1; t < b->threads; t++) {
            memmove((char *)rows->post + at * rows->post_bytes, (char *)rows->post + b->room[t] * rows->post_bytes,
                    (size_t)(b->made[t] * rows->post_bytes));
            at += b->made[t];
        }
        return 1;
    }
    free(rows->post);
    if (!snn_make_post(b, rows->count)) return 0;
    b->exact = 1;
    snn_side_by_side(snn_rows_work, b, b->threads);
    return 1;
}

/* --- columns that draw their rows --------------------------------------------------------------------------------------- */

static void snn_columns_work(void *context, int thread, int threads)
{
    const snn_builder *const b = context;
    const snn_wiring *const how = b->how;
    const int64_t bytes = b->rows->post_bytes;
    int32_t *const cursor = b->cursor + thread * how->pre_size, *const chosen = b->chosen + thread * how->k;
    uint64_t *const taken = b->taken != NULL ? b->taken + thread * b->taken_words : NULL;
    const int64_t last = how->columns * (thread + 1) / threads;
    for (int64_t column = how->columns * thread / threads; column < last; column++) {
        const int64_t post = snn_post_of_column(how, column);
        snn_choose(how, column, how->rows, snn_own_row(b, post), taken, chosen, 4, 0);
        if (b->phase == 0)
            for (int64_t o = 0; o < how->k; o++) cursor[snn_pre_of_row(how, chosen[o])]++;
        else
            for (int64_t o = 0; o < how->k; o++) {
                const int64_t pre = snn_pre_of_row(how, chosen[o]);
                snn_set(b->rows->post, bytes, b->rows->row_start[pre] + cursor[pre]++, post);
            }
    }
}

/* Two passes of the same draws: count the rows, then fill them. Every thread needs a counter for every row. */
static SNN_COLD int snn_wire_by_columns(snn_builder *b)
{
    snn_rows *const rows = b->rows;
    const snn_wiring *const how = b->how;
    const int64_t count = how->columns * how->k;
    b->cursor = calloc((size_t)(b->threads * how->pre_size + 1), sizeof *b->cursor);
    b->chosen = malloc((size_t)(b->threads * how->k + 1) * sizeof *b->chosen);
    if (b->cursor == NULL || b->chosen == NULL) return 0;
    snn_side_by_side(snn_columns_work, b, b->threads);
    for (int64_t pre = 0; pre < how->pre_size; pre++) {
        int32_t sum = 0;
        for (int t = 0; t < b->threads; t++) {
            int32_t *const cursor = b->cursor + t * how->pre_size + pre;
            const int32_t here = *cursor;
            *cursor = sum;
            sum += here;
        }
        rows->row_start[pre + 1] = sum;
    }
    snn_add_up(rows->row_start, how->pre_size);
    if (!snn_make_post(b, count)) return 0;
    b->phase = 1;
    snn_side_by_side(snn_columns_work, b, b->threads);
    return 1;
}

/* --- sorting ------------------------------------------------------------------------------------------------------------ */

static inline void snn_swap(void *post, int64_t bytes, int32_t *shared, int64_t i, int64_t j)
{
    const int32_t kept = snn_get(post, bytes, i);
    snn_set(post, bytes, i, snn_get(post, bytes, j));
    snn_set(post, bytes, j, kept);
    if (shared == NULL) return;
    const int32_t weight = shared[i];
    shared[i] = shared[j];
    shared[j] = weight;
}

/* In place, with the shared weights. */
static SNN_COLD void snn_heap_sort(void *post, int64_t bytes, int32_t *shared, int64_t count)
{
    for (int64_t start = count / 2, end = count; end > 1;) {
        if (start > 0) start--;
        else snn_swap(post, bytes, shared, 0, --end);
        for (int64_t parent = start, child; (child = 2 * parent + 1) < end; parent = child) {
            if (child + 1 < end && snn_get(post, bytes, child + 1) > snn_get(post, bytes, child)) child++;
            if (snn_get(post, bytes, parent) >= snn_get(post, bytes, child)) break;
            snn_swap(post, bytes, shared, parent, child);
        }
    }
}

static void snn_sort_row(void *post, int64_t bytes, int32_t *shared, int64_t count, int64_t size, void *scratch)
{
    if (count <= 32) {
        for (int64_t i = 1; i < count; i++)
            for (int64_t j = i; j > 0 && snn_get(post, bytes, j - 1) > snn_get(post, bytes, j); j--)
                snn_swap(post, bytes, shared, j - 1, j);
        return;
    }
    if (shared != NULL || scratch == NULL) {
        snn_heap_sort(post, bytes, shared, count);
        return;
    }
    void *from = post, *to = scratch;
    for (int shift = 0; shift < 32 && (size - 1) >> shift > 0; shift += 8) {
        int64_t start[257] = {0};
        for (int64_t i = 0; i < count; i++) start[(snn_get(from, bytes, i) >> shift & 255) + 1]++;
        for (int d = 0; d < 255; d++) start[d + 1] += start[d];
        for (int64_t i = 0; i < count; i++) {
            const int32_t value = snn_get(from, bytes, i);
            snn_set(to, bytes, start[value >> shift & 255]++, value);
        }
        void *const other = from;
        from = to, to = other;
    }
    if (from != post) memcpy(post, from, (size_t)(count * bytes));
}

static void snn_sort_work(void *context, int thread, int threads)
{
    const snn_builder *const b = context;
    const snn_rows *const rows = b->rows;
    const int64_t bytes = rows->post_bytes, last = snn_first_pre(b, thread + 1, threads);
    void *const scratch = b->scratch != NULL ? (char *)b->scratch + thread * b->longest * bytes : NULL;
    for (int64_t pre = snn_first_pre(b, thread, threads); pre < last; pre++) {
        const int64_t at = rows->row_start[pre];
        snn_sort_row((char *)rows->post + at * bytes, bytes, rows->shared != NULL ? rows->shared + at : NULL,
                     rows->row_start[pre + 1] - at, rows->post_size, scratch);
    }
}

static SNN_COLD void snn_sort_rows(snn_builder *b)
{
    const snn_rows *const rows = b->rows;
    b->longest = 0;
    for (int64_t pre = 0; pre < rows->pre_size; pre++) {
        const int64_t length = rows->row_start[pre + 1] - rows->row_start[pre];
        if (length > b->longest) b->longest = length;
    }
    /* without this memory, or where it would be much, rows are sorted in place, which takes longer */
    if (b->longest * b->threads <= rows->count / 8 + 4096) b->scratch = malloc((size_t)(b->longest * b->threads * rows->post_bytes + 1));
    snn_side_by_side(snn_sort_work, b, b->threads);
    free(b->scratch);
    b->scratch = NULL;
}

/* --- a fixed number of pairs -------------------------------------------------------------------------------------------- */

/* The draws of fixed_total one after the other, without those of i -> i. */
typedef struct snn_pairs {
    uint64_t base;
    int64_t counter;
} snn_pairs;

static inline int64_t snn_next_pair(const snn_builder *b, snn_pairs *pairs, int64_t *pre, int64_t *column)
{
    const snn_wiring *const how = b->how;
    const double all = (double)(how->rows * how->columns);
    for (;;) {
        const int64_t pair = (int64_t)(snn_uniform(pairs->base, pairs->counter++) * all);
        const int64_t row = pair / how->columns;
        *pre = snn_pre_of_row(how, row), *column = pair - row * how->columns;
        if (how->autapses || snn_own_column(b, *pre) != *column) return pair;
    }
}

/* Where many of all pairs are wanted, a bit for every pair is less than the synapses take. */
static SNN_COLD int snn_wire_bitmap(snn_builder *b, int64_t wanted)
{
    const snn_wiring *const how = b->how;
    uint64_t *const bitmap = calloc((size_t)(how->rows * how->columns / 64 + 1), sizeof *bitmap);
    if (bitmap == NULL) return 0;
    snn_pairs pairs = {snn_base(how->key, 0), 0};
    for (int64_t pre, column; wanted > 0;) {
        const int64_t pair = snn_next_pair(b, &pairs, &pre, &column);
        const uint64_t bit = UINT64_C(1) << (pair & 63);
        wanted -= (bitmap[pair >> 6] & bit) == 0;
        bitmap[pair >> 6] |= bit;
    }
    b->bitmap = bitmap; /* i -> i is left out by snn_put */
    const int done = snn_wire_by_rows(b);
    b->bitmap = NULL;
    free(bitmap);
    return done;
}

static inline void snn_sift(uint64_t *keys, int64_t parent, int64_t count)
{
    for (int64_t child; (child = 2 * parent + 1) < count; parent = child) {
        if (child + 1 < count && keys[child + 1] > keys[child]) child++;
        if (keys[parent] >= keys[child]) return;
        const uint64_t kept = keys[parent];
        keys[parent] = keys[child];
        keys[child] = kept;
    }
}

/* Draw `count` more pairs and keep those that are new: (pre, post) as sorted keys. */
static int64_t snn_fresh_pairs(const snn_builder *b, snn_pairs *pairs, uint64_t *keys, int64_t count)
{
    const snn_rows *const rows = b->rows;
    for (int64_t i = 0, pre, column; i < count; i++) {
        snn_next_pair(b, pairs, &pre, &column);
        keys[i] = (uint64_t)pre << 32 | (uint64_t)snn_post_of_column(b->how, column);
    }
    for (int64_t i = count / 2; i-- > 0;) snn_sift(keys, i, count);
    for (int64_t end = count; end-- > 1;) {
        const uint64_t kept = keys[0];
        keys[0] = keys[end];
        keys[end] = kept;
        snn_sift(keys, 0, end);
    }
    int64_t fresh = 0;
    for (int64_t i = 0; i < count; i++) {
        if (fresh > 0 && keys[i] == keys[fresh - 1]) continue;
        const int64_t pre = (int64_t)(keys[i] >> 32), post = (int64_t)(keys[i] & 0xFFFFFFFFu);
        int64_t low = rows->row_start[pre], high = rows->row_start[pre + 1];
        const int64_t end = high;
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            if (snn_post(rows, middle) < post) low = middle + 1;
            else high = middle;
        }
        if (low == end || snn_post(rows, low) != post) keys[fresh++] = keys[i];
    }
    return fresh;
}

/* Put new pairs into the rows, from the last to the first, so that nothing is overwritten. */
static void snn_merge_pairs(snn_rows *rows, const uint64_t *keys, int64_t count)
{
    int64_t end = rows->row_start[rows->pre_size];
    for (int64_t pre = rows->pre_size - 1; pre >= 0 && count > 0; pre--) {
        const int64_t start = rows->row_start[pre];
        int64_t old = end - 1;
        rows->row_start[pre + 1] = end + count;
        while (count > 0) {
            const int own = (int64_t)(keys[count - 1] >> 32) == pre;
            const int64_t post = own ? (int64_t)(keys[count - 1] & 0xFFFFFFFFu) : -1;
            if (old >= start && snn_post(rows, old) > post) {
                snn_set(rows->post, rows->post_bytes, old + count, snn_post(rows, old));
                old--;
            } else if (own) {
                snn_set(rows->post, rows->post_bytes, old + count, post);
                count--;
            } else {
                break;
            }
        }
        end = start;
    }
}

/* As many pairs as wanted are drawn, counted and filled in; without multapses those that were met before are dropped, and as many
 * drawn as then are missing, until none is: the pairs found are those of the recipe, which drops one by one. */
static SNN_COLD int snn_wire_total(snn_builder *b)
{
    const snn_wiring *const how = b->how;
    snn_rows *const rows = b->rows;
    int64_t available = how->rows * how->columns;
    for (int64_t row = 0; !how->autapses && row < how->rows; row++) available -= snn_own_column(b, snn_pre_of_row(how, row)) >= 0;
    if (available <= 0 || how->k <= 0) return snn_make_post(b, 0);
    if (!how->multapses) {
        b->left_out = 2 * how->k > available;
        if (b->left_out || how->rows * how->columns / 8 <= how->k * rows->post_bytes * 3 / 10)
            return snn_wire_bitmap(b, b->left_out ? available - how->k : how->k);
    }
    int64_t *const start = rows->row_start;
    snn_pairs pairs = {snn_base(how->key, 0), 0};
    for (int64_t i = 0, pre, column; i < how->k; i++) {
        snn_next_pair(b, &pairs, &pre, &column);
        start[pre + 1]++;
    }
    snn_add_up(start, how->pre_size);
    if (!snn_make_post(b, how->k)) return 0;
    const int64_t drawn = pairs.counter;
    pairs.counter = 0;
    for (int64_t i = 0, pre, column; i < how->k; i++) {
        snn_next_pair(b, &pairs, &pre, &column);
        snn_set(rows->post, rows->post_bytes, start[pre]++, snn_post_of_column(how, column));
    }
    pairs.counter = drawn;
    memmove(start + 1, start, (size_t)how->pre_size * sizeof *start); /* start[i] had moved to the end of row i */
    start[0] = 0;
    snn_sort_rows(b);
    if (how->multapses) return 1;

    int64_t kept = 0;
    for (int64_t pre = 0, from = 0; pre < how->pre_size; pre++) {
        const int64_t first = kept, end = start[pre + 1];
        for (; from < end; from++) {
            const int64_t post = snn_post(rows, from);
            if (kept == first || snn_post(rows, kept - 1) != post) snn_set(rows->post, rows->post_bytes, kept++, post);
        }
        start[pre + 1] = kept;
    }
    const int64_t most = how->k / 16 + 256;
    uint64_t *const keys = malloc((size_t)most * sizeof *keys);
    if (keys == NULL) return 0;
    while (kept < how->k) {
        const int64_t missing = how->k - kept;
        const int64_t fresh = snn_fresh_pairs(b, &pairs, keys, missing < most ? missing : most);
        snn_merge_pairs(rows, keys, fresh);
        kept += fresh;
    }
    free(keys);
    return 1;
}

/* --- the whole ---------------------------------------------------------------------------------------------------------- */

static SNN_COLD int snn_wire_given(snn_rows *rows, const snn_wiring *how)
{
    const int64_t count = how->row_start[how->pre_size];
    memcpy(rows->row_start, how->row_start, (size_t)(how->pre_size + 1) * sizeof *rows->row_start);
    rows->count = count;
    rows->post = snn_allocate(count * rows->post_bytes);
    if (rows->post == NULL) return 0;
    for (int64_t i = 0; i < count; i++) snn_set(rows->post, rows->post_bytes, i, how->post[i]);
    if (how->shared == NULL) return 1;
    rows->shared = snn_allocate(count * (int64_t)sizeof *rows->shared);
    if (rows->shared == NULL) return 0;
    if (count > 0) memcpy(rows->shared, how->shared, (size_t)count * sizeof *rows->shared);
    return 1;
}

static SNN_COLD void snn_unwire(snn_rows *rows)
{
    free(rows->row_start), free(rows->post), free(rows->shared), free(rows->pre);
    free(rows->column_start), free(rows->column_synapse), free(rows->column_pre), free(rows->split);
    *rows = (snn_rows){0};
}

/* Few synapses are not worth a thread, and what every thread needs must stay little beside the result. */
static SNN_COLD int snn_builders(const snn_wiring *how, int threads)
{
    const double pairs = (double)how->rows * (double)how->columns;
    double most = threads;
    if (how->pattern == SNN_FIXED_INDEGREE) {
        const double result = 8.0 * (double)how->pre_size + 2.0 * (double)how->columns * (double)how->k;
        most = 0.4 * result / (4.0 * (double)how->pre_size + 4.0 * (double)how->k + (double)how->rows / 8.0 + 1.0);
    }
    if (pairs < 4096.0 || how->rows < threads) most = 1.0;
    return most < 1.0 ? 1 : most < (double)threads ? (int)most : threads;
}

static SNN_COLD int snn_wire_builder(snn_builder *b)
{
    const snn_wiring *const how = b->how;
    if (how->pre_part != NULL && (b->row_at = snn_places(how->pre_part, how->rows, how->pre_size)) == NULL) return 0;
    b->sorted = 1;
    if (how->post_part != NULL) {
        for (int64_t i = 1; i < how->columns; i++) b->sorted = b->sorted && how->post_part[i - 1] <= how->post_part[i];
        if (!how->autapses && (b->column_at = snn_places(how->post_part, how->columns, how->post_size)) == NULL) return 0;
    }
    const int drawn = how->pattern == SNN_FIXED_OUTDEGREE || how->pattern == SNN_FIXED_INDEGREE;
    if (drawn && !how->multapses) {
        b->taken_words = (how->pattern == SNN_FIXED_INDEGREE ? how->rows : how->columns) / 64 + 1;
        b->taken = calloc((size_t)(b->threads * b->taken_words), sizeof *b->taken);
        if (b->taken == NULL) return 0;
    }
    if (SNN_WITH_FIXED_TOTAL && how->pattern == SNN_FIXED_TOTAL) {
        if (!snn_wire_total(b)) return 0;
    } else if (SNN_WITH_FIXED_INDEGREE && how->pattern == SNN_FIXED_INDEGREE) {
        if (!snn_wire_by_columns(b)) return 0;
    } else if (!snn_wire_by_rows(b)) {
        return 0;
    }
    if ((SNN_WITH_FIXED_OUTDEGREE || SNN_WITH_PARTS) && (how->pattern == SNN_FIXED_OUTDEGREE || !b->sorted)) snn_sort_rows(b);
    return 1;
}

/* The synapses of a connectivity, by pre neuron, ascending post neurons within a row. 1 made, 0 no memory: then nothing is held. */
static SNN_COLD int snn_wire(snn_rows *rows, const snn_wiring *how, int threads)
{
    snn_builder b = {0};
    b.how = how, b.rows = rows, b.threads = snn_builders(how, threads);
    *rows = (snn_rows){0};
    rows->pre_size = how->pre_size, rows->post_size = how->post_size, rows->threads = 1;
    rows->post_bytes = how->post_size <= 65536 ? 2 : 4;
    rows->row_start = snn_allocate((how->pre_size + 1) * (int64_t)sizeof *rows->row_start);
    int made = rows->row_start != NULL;
    if (made) made = SNN_WITH_GIVEN && how->pattern == SNN_GIVEN ? snn_wire_given(rows, how) : snn_wire_builder(&b);
    free(b.row_at), free(b.column_at), free(b.room), free(b.cursor), free(b.chosen), free(b.taken);
    if (!made) snn_unwire(rows);
    rows->bounds = rows->row_start;
    const int ranged = how->pre_part == NULL && how->pattern != SNN_GIVEN && how->pattern != SNN_WINDOW;
    rows->pre_first = ranged ? how->pre_first : 0;
    rows->pre_last = ranged ? how->pre_first + how->rows : how->pre_size;
    return made;
}

/* --- views -------------------------------------------------------------------------------------------------------------- */

typedef struct snn_view {
    snn_rows *rows;
    int threads, phase;
} snn_view;

static void snn_split_work(void *context, int thread, int threads)
{
    const snn_rows *const rows = ((snn_view *)context)->rows;
    const int64_t last = rows->pre_size * (thread + 1) / threads;
    for (int64_t pre = rows->pre_size * thread / threads; pre < last; pre++) {
        int64_t from = rows->row_start[pre];
        rows->split[pre * rows->threads] = from;
        for (int part = 1; part < rows->threads; part++) {
            const int64_t post = snn_share(rows->post_size, part, rows->threads);
            int64_t high = rows->row_start[pre + 1];
            while (from < high) {
                const int64_t middle = from + (high - from) / 2;
                if (snn_post(rows, middle) < post) from = middle + 1;
                else high = middle;
            }
            rows->split[pre * rows->threads + part] = from;
        }
    }
}

/* Where the synapses of every thread begin in every row. */
static SNN_COLD int snn_wire_splits(snn_rows *rows, int threads)
{
    snn_view view = {rows, threads, 0};
    free(rows->split);
    rows->split = NULL, rows->threads = 1, rows->bounds = rows->row_start;
    if (threads <= 1) return 1;
    rows->split = snn_allocate((threads * rows->pre_size + 1) * (int64_t)sizeof *rows->split);
    if (rows->split == NULL) return 0;
    rows->threads = threads;
    snn_side_by_side(snn_split_work, &view, threads);
    rows->split[threads * rows->pre_size] = rows->count;
    rows->bounds = rows->split;
    return 1;
}

/* The pre neuron of every synapse. */
static SNN_COLD int snn_wire_pre(snn_rows *rows)
{
    if (rows->count > INT32_MAX) return 0; /* queues hold synapses in 32 bits */
    rows->pre = snn_allocate(rows->count * (int64_t)sizeof *rows->pre);
    if (rows->pre == NULL) return 0;
    for (int64_t pre = 0; pre < rows->pre_size; pre++)
        for (int64_t s = rows->row_start[pre]; s < rows->row_start[pre + 1]; s++) rows->pre[s] = (int32_t)pre;
    return 1;
}

/* A thread counts, then places, the synapses on its own post neurons: a counting sort, without anything between threads. */
static void snn_transpose_work(void *context, int thread, int threads)
{
    const snn_view *const view = context;
    const snn_rows *const rows = view->rows;
    int64_t *const start = rows->column_start;
    (void)threads;
    for (int64_t pre = 0; pre < rows->pre_size; pre++) {
        const int64_t first = snn_row(rows, pre, thread), last = snn_row(rows, pre, thread + 1);
        if (view->phase == 0)
            for (int64_t s = first; s < last; s++) start[snn_post(rows, s) + 1]++;
        else
            for (int64_t s = first; s < last; s++) {
                const int64_t to = start[snn_post(rows, s)]++;
                rows->column_synapse[to] = (int32_t)s;
                rows->column_pre[to] = (int32_t)pre;
            }
    }
}

/* The synapses by post neuron, within one by ascending pre, and their pre neurons. As many threads as the rows are split for. */
static SNN_COLD int snn_wire_columns(snn_rows *rows)
{
    snn_view view = {rows, rows->threads, 0};
    if (rows->count > INT32_MAX) return 0;
    rows->column_start = snn_allocate((rows->post_size + 1) * (int64_t)sizeof *rows->column_start);
    rows->column_synapse = snn_allocate(rows->count * (int64_t)sizeof *rows->column_synapse);
    rows->column_pre = snn_allocate(rows->count * (int64_t)sizeof *rows->column_pre);
    if (rows->column_start == NULL || rows->column_synapse == NULL || rows->column_pre == NULL) return 0;
    snn_side_by_side(snn_transpose_work, &view, rows->threads);
    snn_add_up(rows->column_start, rows->post_size);
    view.phase = 1;
    snn_side_by_side(snn_transpose_work, &view, rows->threads);
    memmove(rows->column_start + 1, rows->column_start, (size_t)rows->post_size * sizeof *rows->column_start);
    rows->column_start[0] = 0;
    return 1;
}

#endif
#endif
