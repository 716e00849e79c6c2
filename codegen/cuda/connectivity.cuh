/* Builds connectivity on the device, straight into compressed rows: the recipes of codegen/patterns.py, draw for draw.
 *
 * A block of threads makes one row (or, where columns draw, one column) at a time; rows are counted, the counts are added up, and the same
 * draws are made again to fill them, so that memory stays near that of the result. What is written in any order (columns that draw,
 * pairs, the view by columns) is sorted afterwards, so the result does not depend on the order of threads. Every kernel works with any
 * number of blocks and with any number of threads up to SNN_MOST.
 *
 * needs mathematics.cuh, random.cuh, and the function snn_condition(pre, post) of the generated text */
#ifndef SNN_CUDA_CONNECTIVITY
#define SNN_CUDA_CONNECTIVITY

/* The largest block. */
#define SNN_MOST 1024
/* Numbers that a thread draws at a time: four sums are not much dearer than one. */
#define SNN_DRAWS 4
/* Segments up to so many numbers are sorted in shared memory. */
#define SNN_SHORT 1024
#define SNN_LONG 12288
/* After every draw. */
#define SNN_NEVER ((int64_t)0x7fffffffffffffff)

enum snn_pattern {
    SNN_DENSE,
    SNN_ONE_TO_ONE,
    SNN_RANDOM,
    SNN_FIXED_OUTDEGREE,
    SNN_FIXED_INDEGREE,
    SNN_FIXED_TOTAL,
    SNN_WINDOW,
    SNN_WHERE
};

/* How one connectivity is built, and where it goes. Every member has 64 bits. Parts are the connected neurons; *_part is NULL for the
 * range *_first, *_first + 1, ... Addresses are of the device. */
struct snn_wiring {
    int64_t pattern;
    int64_t pre_size, post_size;         /* of the full populations */
    int64_t rows, columns;               /* of the connected parts */
    int64_t pre_first, post_first;
    const int64_t *pre_part, *post_part;
    int64_t autapses, multapses;         /* 0: left out. autapses is 1 between different populations */
    const int32_t *own_column, *own_row; /* by row (by column): where it would meet itself, or -1; NULL where both parts are ranges */
    uint64_t key;                        /* of the random stream */
    double scale;                        /* random: log(1 - p) */
    int64_t k;
    int64_t shape[18];                   /* windows: as in native/model.h */
    int64_t post_bytes;                  /* 2 or 4 */
    int64_t *row_start;                  /* (pre_size + 1) */
    void *post;                          /* (count) */
    int32_t *shared;                     /* (count), or NULL */
    uint32_t *taken;                     /* (blocks, taken_words): a bit for everything that was chosen before */
    int64_t taken_words;
    int32_t *chosen;                     /* fixed_indegree: (blocks, k) */
    uint32_t *pairs;                     /* fixed_total: a bit for every pair, or NULL */
    int64_t left_out;                    /* the pairs whose bits are not set are the synapses */
    int64_t *found;                      /* fixed_total: how many pairs were accepted */
};

/* A product in the condition of `where` that no compiler fuses with a sum: a fused one may decide otherwise at a boundary. */
SNN_INLINE double snn_product(double a, double b)
{
#if defined __CUDACC__
    return __dmul_rn(a, b);
#else
    volatile double product = a*b;
    return product;
#endif
}

static __device__ int snn_condition(int64_t pre, int64_t post);

/* --- within a block ---------------------------------------------------------------------------------------------------- */

/* The sum of the values of all threads before this one, and of all of them. Every thread of the block comes here. */
SNN_FUNCTION int64_t snn_before(int64_t value, int64_t *total)
{
    __shared__ int64_t sums[SNN_MOST/32];
    const int thread = (int)threadIdx.x, threads = (int)blockDim.x, lane = thread & 31;
    int64_t sum = value, before = 0, all = 0;
    for (int reach = 1; reach < 32; reach *= 2) {
        const int64_t other = __shfl_up_sync(0xffffffffu, sum, reach);
        if (lane >= reach) sum += other;
    }
    if (threads <= 32) {
        *total = __shfl_sync(0xffffffffu, sum, threads - 1);
        return sum - value;
    }
    if (lane == 31 || thread == threads - 1) sums[thread/32] = sum;
    __syncthreads();
    for (int warp = 0; warp < (threads + 31)/32; warp++) {
        before += warp < thread/32 ? sums[warp] : 0;
        all += sums[warp];
    }
    __syncthreads();
    *total = all;
    return before + sum - value;
}

SNN_INLINE int64_t snn_add(int64_t *to, int64_t value)
{
    return (int64_t)atomicAdd((unsigned long long *)to, (unsigned long long)value);
}

/* --- places in the parts ----------------------------------------------------------------------------------------------- */

SNN_INLINE int64_t snn_pre_of_row(const snn_wiring *how, int64_t row)
{
    return how->pre_part != NULL ? how->pre_part[row] : how->pre_first + row;
}

SNN_INLINE int64_t snn_post_of_column(const snn_wiring *how, int64_t column)
{
    return how->post_part != NULL ? how->post_part[column] : how->post_first + column;
}

/* The column at which a row would meet its own neuron, or -1. */
SNN_INLINE int64_t snn_own_column(const snn_wiring *how, int64_t row)
{
    if (how->autapses) return -1;
    if (how->own_column != NULL) return how->own_column[row];
    const int64_t column = how->pre_first + row - how->post_first;
    return column >= 0 && column < how->columns ? column : -1;
}

/* The row at which a column would meet its own neuron, or -1. */
SNN_INLINE int64_t snn_own_row(const snn_wiring *how, int64_t column)
{
    if (how->autapses) return -1;
    if (how->own_row != NULL) return how->own_row[column];
    const int64_t row = how->post_first + column - how->pre_first;
    return row >= 0 && row < how->rows ? row : -1;
}

SNN_INLINE int32_t snn_get(const void *numbers, int64_t bytes, int64_t at)
{
    return bytes == 2 ? (int32_t)((const uint16_t *)numbers)[at] : ((const int32_t *)numbers)[at];
}

SNN_INLINE void snn_set(void *numbers, int64_t bytes, int64_t at, int64_t value)
{
    if (bytes == 2) ((uint16_t *)numbers)[at] = (uint16_t)value;
    else ((int32_t *)numbers)[at] = (int32_t)value;
}

/* --- geometric gaps ---------------------------------------------------------------------------------------------------- */

/* One row; returns how many synapses it has. Columns ascend with the draws, so the number of a draw says where its synapse belongs. */
SNN_FUNCTION int64_t snn_random_row(const snn_wiring *how, int64_t row, int fill, int64_t at)
{
    __shared__ int64_t met, end; /* the draws that hit the row's own column, and that first lie beyond the last column */
    const int64_t columns = how->columns, own = snn_own_column(how, row), threads = blockDim.x;
    const uint64_t base = snn_base(how->key, row);
    const double scale = how->scale, limit = (double)columns;
    if (threadIdx.x == 0) met = end = SNN_NEVER;
    __syncthreads();
    int64_t first = 0;
    for (int64_t column = 0; column < columns; first += threads*SNN_DRAWS) {
        const int64_t mine = first + (int64_t)threadIdx.x*SNN_DRAWS;
        int64_t step[SNN_DRAWS], sum = 0, tile;
        for (int i = 0; i < SNN_DRAWS; i++) {
            const double gap = log1p(-snn_uniform(base, mine + i))/scale;
            step[i] = 1 + (gap < limit ? (int64_t)gap : columns);
            sum += step[i];
        }
        const int64_t start = column + snn_before(sum, &tile);
        int64_t reached = start;
        for (int i = 0; i < SNN_DRAWS; i++) {
            const int64_t before = reached - 1, here = before + step[i];
            reached += step[i];
            if (here == own) met = mine + i;
            if (before < columns && here >= columns) end = mine + i;
        }
        __syncthreads();
        reached = start;
        for (int i = 0; fill && i < SNN_DRAWS; i++) {
            const int64_t here = reached - 1 + step[i];
            reached += step[i];
            if (here < columns && here != own)
                snn_set(how->post, how->post_bytes, at + mine + i - (mine + i > met), snn_post_of_column(how, here));
        }
        column += tile;
    }
    const int64_t all = snn_smaller(first, end), made = all - (met < all); /* the very last draw may have met the last column */
    __syncthreads();
    return made;
}

/* fill = 0: the counts, to row_start[pre + 1]. fill = 1: the synapses. */
extern "C" __global__ void __launch_bounds__(SNN_MOST) snn_wire_random(int64_t wiring, int64_t fill)
{
    const snn_wiring given = *(const snn_wiring *)wiring, *const how = &given;
    for (int64_t row = blockIdx.x; row < how->rows; row += gridDim.x) {
        const int64_t pre = snn_pre_of_row(how, row);
        const int64_t made = snn_random_row(how, row, fill != 0, fill ? how->row_start[pre] : 0);
        if (!fill && threadIdx.x == 0) how->row_start[pre + 1] = made;
    }
}

/* --- rows whose synapses are some of a list of candidates, in its order ------------------------------------------------- */

/* Convolution-like windows: input (c, y, x) reaches, in every output channel of its group, the outputs that see it. */
SNN_FUNCTION int snn_seen(const snn_wiring *how, int64_t row, int64_t candidate, int64_t *column, int64_t *shared)
{
    const int64_t *const s = how->shape;
    const int64_t depth = s[0], height = s[1], width = s[2], channels = s[3], out_height = s[4], out_width = s[5];
    const int64_t groups = s[14], per_group = channels/groups, inputs = depth/groups;
    const int64_t c = row/(height*width), y = row/width%height, x = row%width;
    const int64_t channel = c/inputs*per_group + candidate/(s[6]*s[7]);
    const int64_t ky = s[6] - 1 - candidate/s[7]%s[6], kx = s[7] - 1 - candidate%s[7];
    const int64_t down = y + s[10] - ky*s[12], across = x + s[11] - kx*s[13];
    if (down < 0 || down%s[8] != 0 || down/s[8] >= out_height) return 0;
    if (across < 0 || across%s[9] != 0 || across/s[9] >= out_width) return 0;
    *column = (channel*out_height + down/s[8])*out_width + across/s[9];
    *shared = ((channel*inputs + c%inputs)*s[6] + ky)*s[7] + kx;
    return 1;
}

SNN_FUNCTION int64_t snn_candidates(const snn_wiring *how)
{
    if (how->pattern == SNN_ONE_TO_ONE) return 1;
    return how->pattern == SNN_WINDOW ? how->shape[3]/how->shape[14]*how->shape[6]*how->shape[7] : how->columns;
}

SNN_FUNCTION int snn_holds(const snn_wiring *how, int64_t row, int64_t pre, int64_t candidate, int64_t *column, int64_t *shared)
{
    *column = candidate;
    switch (how->pattern) {
    case SNN_ONE_TO_ONE: *column = row; return row < how->columns;
    case SNN_WINDOW: return snn_seen(how, row, candidate, column, shared);
    case SNN_WHERE: return snn_condition(pre, snn_post_of_column(how, candidate));
    case SNN_FIXED_TOTAL: {
        const int64_t pair = row*how->columns + candidate;
        return (int)(how->pairs[pair >> 5] >> (pair & 31) & 1u) != (int)how->left_out;
    }
    }
    return 1;
}

extern "C" __global__ void __launch_bounds__(SNN_MOST) snn_wire_candidates(int64_t wiring, int64_t fill)
{
    const snn_wiring given = *(const snn_wiring *)wiring, *const how = &given;
    const int64_t candidates = snn_candidates(how);
    for (int64_t row = blockIdx.x; row < how->rows; row += gridDim.x) {
        const int64_t pre = snn_pre_of_row(how, row), own = snn_own_column(how, row), at = fill ? how->row_start[pre] : 0;
        int64_t made = 0;
        for (int64_t first = 0; first < candidates; first += blockDim.x) {
            const int64_t candidate = first + threadIdx.x;
            int64_t column = -1, shared = 0, all;
            const int holds = candidate < candidates && snn_holds(how, row, pre, candidate, &column, &shared) && column != own;
            const int64_t place = at + made + snn_before(holds, &all);
            if (fill && holds) {
                snn_set(how->post, how->post_bytes, place, snn_post_of_column(how, column));
                if (how->shared != NULL) how->shared[place] = (int32_t)shared;
            }
            made += all;
        }
        if (!fill && threadIdx.x == 0) how->row_start[pre + 1] = made;
    }
}

/* --- k of some numbers -------------------------------------------------------------------------------------------------- */

SNN_INLINE uint32_t snn_bit(const uint32_t *words, int64_t at) { return words[at >> 5] >> (at & 31) & 1u; }

/* k of `size` numbers to to[at], to[at + 1], ... in the order of the draws; `own` is the one that may not be chosen, or -1.
 *
 * Without repetition (Floyd 1987) draw o takes t, or else the last number that it could have drawn, when t was taken before. A block
 * decides as many draws as it has threads at once. t was taken before when an earlier block of draws took it (its bit is set), when an
 * earlier draw of this one drew it too, or when it is the last number of an earlier draw of this one that was replaced in the same way:
 * a short chain of draws that only goes back. */
SNN_FUNCTION void snn_choose(const snn_wiring *how, int64_t item, int64_t size, int64_t own, uint32_t *taken, void *to, int64_t bytes,
                             int64_t at)
{
    __shared__ int64_t drawn[SNN_MOST];
    __shared__ uint8_t before[SNN_MOST];
    const uint64_t base = snn_base(how->key, item);
    const int64_t k = how->k, room = size - (own >= 0 && size > 1), threads = blockDim.x;
    const int thread = (int)threadIdx.x;
    if (how->multapses) {
        for (int64_t o = thread; o < k; o += threads) {
            const int64_t number = (int64_t)(snn_uniform(base, o)*(double)room);
            snn_set(to, bytes, at + o, number + (own >= 0 && number >= own));
        }
        __syncthreads();
        return;
    }
    for (int64_t first = 0; first < k; first += threads) {
        const int64_t o = first + thread, end = snn_greater(room - k + o, 0);
        int64_t number = -1;
        if (o < k) {
            number = snn_greater((int64_t)(snn_uniform(base, o)*(double)(room - k + o + 1)), 0);
            drawn[thread] = number;
        }
        __syncthreads();
        if (o < k) {
            uint8_t again = (uint8_t)snn_bit(taken, number);
            for (int other = 0; !again && other < thread; other++) again = drawn[other] == number;
            before[thread] = again;
        }
        __syncthreads();
        if (o < k) {
            int at_last = thread;
            while (!before[at_last]) {
                const int64_t earlier = drawn[at_last] - (room - k) - first;
                if (earlier < 0 || earlier >= at_last) break;
                at_last = (int)earlier;
            }
            if (before[at_last]) number = end;
            atomicOr(taken + (number >> 5), 1u << (number & 31));
            snn_set(to, bytes, at + o, number);
        }
        __syncthreads();
    }
    for (int64_t o = thread; o < k; o += threads) {
        const int64_t number = snn_get(to, bytes, at + o);
        taken[number >> 5] = 0;
        if (own >= 0 && number >= own) snn_set(to, bytes, at + o, number + 1);
    }
    __syncthreads();
}

/* fill = 0: the counts. fill = 1: the synapses of every row, in the order of the draws. */
extern "C" __global__ void __launch_bounds__(SNN_MOST) snn_wire_outdegree(int64_t wiring, int64_t fill)
{
    const snn_wiring given = *(const snn_wiring *)wiring, *const how = &given;
    if (!fill) {
        for (int64_t row = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; row < how->rows; row += (int64_t)gridDim.x*blockDim.x)
            how->row_start[snn_pre_of_row(how, row) + 1] = how->k;
        return;
    }
    uint32_t *const taken = how->taken + (how->multapses ? 0 : blockIdx.x*how->taken_words);
    for (int64_t row = blockIdx.x; row < how->rows; row += gridDim.x) {
        const int64_t at = how->row_start[snn_pre_of_row(how, row)];
        snn_choose(how, row, how->columns, snn_own_column(how, row), taken, how->post, how->post_bytes, at);
        if (how->post_part == NULL && how->post_first == 0) continue;
        for (int64_t i = at + threadIdx.x; i < at + how->k; i += blockDim.x)
            snn_set(how->post, how->post_bytes, i, snn_post_of_column(how, snn_get(how->post, how->post_bytes, i)));
    }
}

/* fill = 0: count the rows, to row_start[pre]. fill = 1: row_start[pre] is the end of the row and moves to its start, one by one. */
extern "C" __global__ void __launch_bounds__(SNN_MOST) snn_wire_indegree(int64_t wiring, int64_t fill)
{
    const snn_wiring given = *(const snn_wiring *)wiring, *const how = &given;
    uint32_t *const taken = how->taken + (how->multapses ? 0 : blockIdx.x*how->taken_words);
    int32_t *const chosen = how->chosen + blockIdx.x*how->k;
    for (int64_t column = blockIdx.x; column < how->columns; column += gridDim.x) {
        const int64_t post = snn_post_of_column(how, column);
        snn_choose(how, column, how->rows, snn_own_row(how, column), taken, chosen, 4, 0);
        for (int64_t o = threadIdx.x; o < how->k; o += blockDim.x) {
            int64_t *const place = how->row_start + snn_pre_of_row(how, chosen[o]);
            if (fill) snn_set(how->post, how->post_bytes, snn_add(place, -1) - 1, post);
            else snn_add(place, 1);
        }
        __syncthreads();
    }
}

/* --- a fixed number of pairs --------------------------------------------------------------------------------------------- */

/* The draws first, first + 1, ... before `last`, without those of i -> i. phase 0: count rows and pairs; 1: fill rows as above; 2: set
 * their bits, and count those that were not set. */
extern "C" __global__ void __launch_bounds__(SNN_MOST) snn_wire_pairs(int64_t wiring, int64_t phase, int64_t first, int64_t last)
{
    const snn_wiring given = *(const snn_wiring *)wiring, *const how = &given;
    const uint64_t base = snn_base(how->key, 0);
    const double pairs = (double)(how->rows*how->columns);
    int64_t accepted = 0, all;
    for (int64_t o = first + (int64_t)blockIdx.x*blockDim.x + threadIdx.x; o < last; o += (int64_t)gridDim.x*blockDim.x) {
        const int64_t pair = (int64_t)(snn_uniform(base, o)*pairs), row = pair/how->columns, column = pair - row*how->columns;
        if (snn_own_column(how, row) == column) continue;
        if (phase == 2) {
            const uint32_t bit = 1u << (pair & 31);
            accepted += (atomicOr(how->pairs + (pair >> 5), bit) & bit) == 0;
            continue;
        }
        int64_t *const place = how->row_start + snn_pre_of_row(how, row);
        if (phase == 1) snn_set(how->post, how->post_bytes, snn_add(place, -1) - 1, snn_post_of_column(how, column));
        else snn_add(place, 1);
        accepted++;
    }
    snn_before(accepted, &all);
    if (phase != 1 && threadIdx.x == 0 && all > 0) snn_add(how->found, all);
}

/* Rows first, first + 1, ... before `last`, sorted, without the pairs that were met before. fill = 0: how many are left, to
 * row_start[pre + 1]. fill = 1: they go to `to`, which begins where row_start says that row `first` does; was[pre] is where a row is now. */
extern "C" __global__ void __launch_bounds__(SNN_MOST) snn_wire_different(int64_t wiring, int64_t fill, int64_t old, int64_t first, int64_t last,
                                                                          int64_t to)
{
    const snn_wiring given = *(const snn_wiring *)wiring, *const how = &given;
    const int64_t *const was = (const int64_t *)old;
    for (int64_t pre = first + blockIdx.x; pre < last; pre += gridDim.x) {
        const int64_t from = was[pre], count = was[pre + 1] - from, at = fill ? how->row_start[pre] - how->row_start[first] : 0;
        int64_t made = 0;
        for (int64_t start = 0; start < count; start += blockDim.x) {
            const int64_t i = from + start + threadIdx.x;
            int64_t all;
            int differs = start + threadIdx.x < count;
            const int32_t post = differs ? snn_get(how->post, how->post_bytes, i) : 0;
            if (differs && i > from) differs = snn_get(how->post, how->post_bytes, i - 1) != post;
            const int64_t place = at + made + snn_before(differs, &all);
            if (fill && differs) snn_set((void *)to, how->post_bytes, place, post);
            made += all;
        }
        if (!fill && threadIdx.x == 0) how->row_start[pre + 1] = made;
    }
}

/* --- sums and sorting ----------------------------------------------------------------------------------------------------- */

/* One block: every number becomes the sum of all up to it; summary[0] is the last sum, summary[1] the largest number. */
extern "C" __global__ void __launch_bounds__(SNN_MOST) snn_add_up(int64_t numbers, int64_t size, int64_t summary)
{
    __shared__ int64_t most[SNN_MOST];
    int64_t *const sums = (int64_t *)numbers;
    int64_t before = 0, largest = 0;
    for (int64_t first = 0; first < size; first += (int64_t)blockDim.x*SNN_DRAWS) {
        const int64_t from = snn_smaller(first + (int64_t)threadIdx.x*SNN_DRAWS, size), to = snn_smaller(from + SNN_DRAWS, size);
        int64_t mine = 0, all;
        for (int64_t i = from; i < to; i++) {
            largest = snn_greater(largest, sums[i]);
            mine += sums[i];
        }
        int64_t sum = before + snn_before(mine, &all);
        for (int64_t i = from; i < to; i++) {
            sum += sums[i];
            sums[i] = sum;
        }
        before += all;
    }
    most[threadIdx.x] = largest;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (unsigned int other = 1; other < blockDim.x; other++) largest = snn_greater(largest, most[other]);
    ((int64_t *)summary)[0] = before;
    ((int64_t *)summary)[1] = largest;
}

SNN_INLINE void snn_exchange(void *numbers, int64_t bytes, int32_t *with, int64_t low, int64_t high)
{
    const int32_t first = snn_get(numbers, bytes, low), second = snn_get(numbers, bytes, high);
    if (first <= second) return;
    snn_set(numbers, bytes, low, second);
    snn_set(numbers, bytes, high, first);
    if (with == NULL) return;
    const int32_t kept = with[low];
    with[low] = with[high];
    with[high] = kept;
}

/* Ascending, by a bitonic network (Batcher 1968) in which every exchange puts the smaller number first: numbers beyond the end, as large
 * as can be, would never move, so that any count will do. */
SNN_FUNCTION void snn_sort(void *numbers, int64_t bytes, int32_t *with, int64_t count)
{
    int64_t pairs = 1;
    while (2*pairs < count) pairs *= 2;
    for (int64_t half = 1; half <= pairs && count > 1; half *= 2) {
        for (int64_t i = threadIdx.x; i < pairs; i += blockDim.x) {
            const int64_t start = i/half*(2*half), high = start + 2*half - 1 - i%half;
            if (high < count) snn_exchange(numbers, bytes, with, start + i%half, high);
        }
        __syncthreads();
        for (int64_t reach = half/2; reach > 0; reach /= 2) {
            for (int64_t i = threadIdx.x; i < pairs; i += blockDim.x) {
                const int64_t low = i/reach*(2*reach) + i%reach;
                if (low + reach < count) snn_exchange(numbers, bytes, with, low, low + reach);
            }
            __syncthreads();
        }
    }
}

/* Every segment from start[i] to start[i + 1], in `room` numbers of shared memory where it fits. */
SNN_INLINE void snn_sort_all(const int64_t *start, int64_t segments, void *numbers, int64_t bytes, int32_t *with, int32_t *shared, int64_t room)
{
    for (int64_t segment = blockIdx.x; segment < segments; segment += gridDim.x) {
        const int64_t at = start[segment], count = start[segment + 1] - at;
        if (count > room || with != NULL) {
            snn_sort((char *)numbers + at*bytes, bytes, with != NULL ? with + at : NULL, count);
            continue;
        }
        for (int64_t i = threadIdx.x; i < count; i += blockDim.x) shared[i] = snn_get(numbers, bytes, at + i);
        __syncthreads();
        snn_sort(shared, 4, NULL, count);
        for (int64_t i = threadIdx.x; i < count; i += blockDim.x) snn_set(numbers, bytes, at + i, shared[i]);
        __syncthreads();
    }
}

/* `with`: numbers of 32 bits that move along, or NULL. */
extern "C" __global__ void __launch_bounds__(SNN_MOST) snn_sort_short(int64_t start, int64_t segments, int64_t numbers, int64_t bytes, int64_t with)
{
    __shared__ int32_t room[SNN_SHORT];
    snn_sort_all((const int64_t *)start, segments, (void *)numbers, bytes, (int32_t *)with, room, SNN_SHORT);
}

extern "C" __global__ void __launch_bounds__(SNN_MOST) snn_sort_long(int64_t start, int64_t segments, int64_t numbers, int64_t bytes, int64_t with)
{
    __shared__ int32_t room[SNN_LONG];
    snn_sort_all((const int64_t *)start, segments, (void *)numbers, bytes, (int32_t *)with, room, SNN_LONG);
}

/* --- views ---------------------------------------------------------------------------------------------------------------- */

/* The row of a synapse: the last one that starts at or before it and is not empty. */
SNN_INLINE int64_t snn_row_of(const int64_t *row_start, int64_t rows, int64_t synapse)
{
    int64_t low = 0, high = rows;
    while (high - low > 1) {
        const int64_t middle = low + (high - low)/2;
        if (row_start[middle] <= synapse) low = middle;
        else high = middle;
    }
    return low;
}

/* pre[i] is the pre neuron of synapse[i]; of i itself where `synapse` is NULL. */
extern "C" __global__ void __launch_bounds__(SNN_MOST) snn_view_pre(int64_t row_start, int64_t rows, int64_t count, int64_t synapse, int64_t pre)
{
    const int32_t *const of = (const int32_t *)synapse;
    for (int64_t i = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; i < count; i += (int64_t)gridDim.x*blockDim.x)
        ((int32_t *)pre)[i] = (int32_t)snn_row_of((const int64_t *)row_start, rows, of != NULL ? of[i] : i);
}

/* synapse = NULL: count the columns. Else column_start[post] is the end of the column and moves to its start. */
extern "C" __global__ void __launch_bounds__(SNN_MOST) snn_view_columns(int64_t post, int64_t bytes, int64_t count, int64_t column_start, int64_t synapse)
{
    int64_t *const start = (int64_t *)column_start;
    for (int64_t i = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; i < count; i += (int64_t)gridDim.x*blockDim.x) {
        int64_t *const place = start + snn_get((const void *)post, bytes, i);
        if (synapse) ((int32_t *)synapse)[snn_add(place, -1) - 1] = (int32_t)i;
        else snn_add(place, 1);
    }
}

#endif
