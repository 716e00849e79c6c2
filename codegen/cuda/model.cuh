/* What every generated CUDA model is made of: its clock, event lists, queues, connectivity, records, and how threads meet.
 *
 * Everything that the host gives stands in one struct, whose members are all 8 bytes wide, in constant memory where it fits; what changes is
 * reached through its pointers. Kernels take no other arguments than whole numbers, so that a graph of many steps is captured once. */
#ifndef SNN_CUDA_MODEL
#define SNN_CUDA_MODEL

/* A step far beyond any run. */
#define SNN_FOR_EVER 1073741824
/* Threads of a block of an ordinary kernel, and of the kernel that stays on the device, at most. */
#define SNN_THREADS 256
#define SNN_RESIDENT_THREADS 512

/* --- time -------------------------------------------------------------------------------------------------------------- */

/* stop: the first step that must not run; lowered when a record may not hold another step. step: where the resident kernel is.
 * at: for every launch of a step the step that it does next. lost: 1 + the number of a queue that was too small. */
typedef struct snn_clock {
    long long stop, step, lost;
    unsigned int arrived, round;
    long long at[1];
} snn_clock;

/* The slot of a ring that belongs to the step `lag` before this one; a lag below zero lies ahead. */
SNN_INLINE int64_t snn_ring(int32_t step, int64_t lag, int64_t depth)
{
    const int32_t slot = (step - (int32_t)lag)%(int32_t)depth;
    return slot < 0 ? slot + (int32_t)depth : slot;
}

SNN_INLINE int snn_every(int32_t step, int64_t period) { return (step + 1)%(int32_t)period == 0; }

/* --- threads ----------------------------------------------------------------------------------------------------------- */

/* The thread when work is dealt out from thread `offset` on, so that several small tasks of a stage do not meet in the same threads. */
SNN_INLINE int32_t snn_dealt(int32_t thread, int64_t offset, int32_t threads)
{
    const int32_t turned = thread - (int32_t)((uint32_t)offset%(uint32_t)threads);
    return turned < 0 ? turned + threads : turned;
}

/* The first thread of part `part` of `parts`, whole warps. */
SNN_INLINE int64_t snn_part(int32_t threads, int32_t part, int32_t parts)
{
    return (int64_t)(((uint32_t)threads/(uint32_t)parts)*(uint32_t)part & ~31u);
}

/* Whole warps. */
SNN_INLINE int64_t snn_warps(int64_t items) { return (items + 31) & ~(int64_t)31; }

/* All threads of the grid wait for each other; what each wrote before, all see afterwards. Blocks of this launch must all be resident. */
SNN_INLINE void snn_meet(snn_clock *clock)
{
    __syncthreads();
    if (gridDim.x == 1) return;
    if (threadIdx.x == 0) {
        volatile unsigned int *const round = &clock->round;
        const unsigned int now = *round;
        __threadfence();
        if (atomicAdd(&clock->arrived, 1u) == gridDim.x - 1) {
            clock->arrived = 0;
            __threadfence();
            atomicAdd(&clock->round, 1u);
        } else {
            while (*round == now) {
#if defined SNN_SHIM
                __nanosleep(1); /* lets the others run */
#endif
            }
        }
        __threadfence();
    }
    __syncthreads();
}

/* --- event lists ------------------------------------------------------------------------------------------------------- */

/* A ring of lists, in no order. Where one item may be appended twice: marks, the token of the list to which it was appended last;
 * generation, the token of lists that are emptied more than once a step. */
typedef struct snn_list {
    int32_t *items;  /* [ring][size] */
    int32_t *counts; /* [ring] */
    int64_t size, ring;
    int32_t *marks;
    int32_t *generation;
} snn_list;

/* A place at the end of what `count` counts. Threads of a warp that come together for the same one ask once; those that come from another
 * place of the text may have been joined with them by the compiler. */
SNN_INLINE int32_t snn_claim(int32_t *count)
{
    const unsigned int mask = __match_any_sync(__activemask(), (unsigned long long)count);
    const int lane = (int)(threadIdx.x & 31u), leader = __ffs((int)mask) - 1;
    int32_t place = 0;
    if (lane == leader) place = atomicAdd(count, __popc(mask));
    place = __shfl_sync(mask, place, leader);
    return place + __popc(mask & ((1u << lane) - 1u));
}

SNN_INLINE void snn_append(const snn_list &list, int64_t slot, int32_t item)
{
    list.items[slot*list.size + snn_claim(list.counts + slot)] = item;
}

/* The same for lists in which the item may be already; `token` is another one whenever the list was emptied. */
SNN_INLINE void snn_insert(const snn_list &list, int64_t slot, int32_t item, int32_t token)
{
    if (atomicExch(list.marks + item, token) != token) snn_append(list, slot, item);
}

/* --- schedules: indices for given steps -------------------------------------------------------------------------------- */

/* cursor: where the events of even and of odd steps begin, if no step was left out. */
typedef struct snn_schedule {
    int32_t *cursor;
} snn_schedule;

SNN_INLINE int64_t snn_first_of(const int32_t *steps, int64_t count, int32_t step, int64_t guess)
{
    if (guess >= 0 && guess <= count && (guess == 0 || steps[guess - 1] < step) && (guess == count || steps[guess] >= step)) return guess;
    int64_t low = 0, high = count;
    while (low < high) {
        const int64_t middle = low + (high - low)/2;
        if (steps[middle] < step) low = middle + 1;
        else high = middle;
    }
    return low;
}

SNN_INLINE void snn_follow(const snn_schedule &schedule, const snn_list &list, const int32_t *steps, const int32_t *indices, int64_t count,
                           int32_t step, int64_t slot, int32_t token, int32_t thread, int32_t threads)
{
    const int64_t begin = snn_first_of(steps, count, step, schedule.cursor[step & 1]);
    if (thread == 0 && (begin == count || steps[begin] != step)) schedule.cursor[(step + 1) & 1] = (int32_t)begin;
    for (int64_t at = begin + thread; at < count && steps[at] == step; at += threads) {
        snn_insert(list, slot, indices[at], token);
        if (at + 1 == count || steps[at + 1] != step) schedule.cursor[(step + 1) & 1] = (int32_t)(at + 1);
    }
}

/* --- lists that settle ------------------------------------------------------------------------------------------------- */

/* stamps: by item, the repetition in which it was last in the list (token counts repetitions); differs, count: of even and odd ones. */
typedef struct snn_settling {
    int32_t *stamps;
    int32_t *differs;
    int32_t *count;
    int32_t *token;
} snn_settling;

/* Before the first repetition (turn -1) and after each one: does the list hold what it held before? */
SNN_INLINE void snn_compare(const snn_settling &before, const snn_list &list, int64_t slot, int32_t turn, int32_t token, int32_t thread,
                            int32_t threads)
{
    const int32_t count = list.counts[slot], now = turn & 1;
    if (thread == 0) {
        if (count != before.count[now ^ 1]) before.differs[now] = 1;
        before.count[now] = count;
    }
    for (int32_t number = thread; number < count; number += threads) {
        const int32_t item = list.items[slot*list.size + number];
        if (before.stamps[item] != token - 1) before.differs[now] = 1;
        before.stamps[item] = token;
    }
}

/* --- connectivity ------------------------------------------------------------------------------------------------------ */

/* Synapses by pre neuron, post ascending. Columns list the synapses of a post neuron. A row is worked on in chunks of row_chunk synapses,
 * row_chunks of them for the longest, each by 2^row_team neighbouring threads: uneven rows keep no one waiting. */
typedef struct snn_rows {
    const int64_t *row_start; /* [pre_size + 1] */
    const void *post;         /* uint16_t where 65536 neurons or fewer may be hit, else int32_t */
    const int32_t *pre, *shared;
    const int64_t *column_start; /* [post_size + 1] */
    const int32_t *column_synapse, *column_pre;
    int64_t count, pre_size, post_size;
    int64_t row_chunk, row_chunks, row_team;
    int64_t column_chunk, column_chunks, column_team;
} snn_rows;

/* All pairs (synapse = row*columns + column), or pairs of equal places (synapse = row). */
typedef struct snn_grid {
    int64_t pre_first, rows, post_first, columns;
    int64_t row_chunk, row_chunks, row_team;
    int64_t column_chunk, column_chunks, column_team;
} snn_grid;

/* --- queues: synapses on their way ------------------------------------------------------------------------------------- */

typedef struct snn_queue {
    int32_t *items;  /* [ring][capacity] */
    int32_t *counts; /* [ring] */
    int64_t capacity, ring;
} snn_queue;

SNN_INLINE void snn_enqueue(const snn_queue &queue, snn_clock *clock, int32_t number, int32_t step, int32_t wait, int64_t synapse)
{
    const int64_t slot = snn_ring(step, -(wait > 0 ? wait : 0), queue.ring);
    const int32_t place = atomicAdd(queue.counts + slot, 1);
    if (place < queue.capacity) queue.items[slot*queue.capacity + place] = (int32_t)synapse;
    else {
        clock->lost = number;
        clock->stop = step + 1;
    }
}

/* --- records ----------------------------------------------------------------------------------------------------------- */

/* Events as step*2^32 + index, in no order within a step; chosen: one flag a neuron, or null. */
typedef struct snn_event_record {
    uint64_t *events;
    int32_t *count;
    int64_t capacity;
    const uint8_t *chosen;
} snn_event_record;

/* Rows of values; base: the number of the first that is kept, counted from the step 0. chosen: the elements of a row, or null for all. */
typedef struct snn_value_record {
    void *rows;
    int64_t *base;
    const int64_t *chosen;
    int64_t width;
} snn_value_record;

SNN_INLINE void snn_record_events(const snn_event_record &record, const snn_list &list, int64_t slot, int32_t step, int32_t thread,
                                  int32_t threads)
{
    const int32_t count = list.counts[slot];
    for (int32_t number = thread; number < count; number += threads) {
        const int32_t item = list.items[slot*list.size + number];
        if (record.chosen == nullptr || record.chosen[item]) {
            const int32_t place = snn_claim(record.count);
            if (place < record.capacity) record.events[place] = ((uint64_t)(uint32_t)step << 32) | (uint32_t)item;
        }
    }
}

/* Two more steps must fit: this one, and the next, which may have begun when this is read. */
SNN_INLINE void snn_check_room(const snn_event_record &record, snn_clock *clock, int64_t size, int32_t step)
{
    if (*record.count + 2*size > record.capacity && clock->stop > step + 1) clock->stop = step + 1;
}

#endif
