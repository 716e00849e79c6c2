/* --- the memory of this model ------------------------------------------------------------------------------------------ */

typedef double real;

struct snn_model {
    snn_clock *clock;
    int64_t time_offset;
    int64_t pulse_size;
    int64_t pulse_depth;
    int64_t weak_depth;
    int64_t third_depth;
    int64_t per_size;
    int64_t settle_limit;
    double dt;
    uint64_t key_of_drive; /* u */
    uint64_t key_of_graph; /* connectivity */
    real *u;
    real *theta;
    real *link;
    real *y;
    int32_t *group;
    int32_t *best;
    real *per;
    int32_t *place_;
    int32_t *first_;
    real *mean;
    real *least;
    real *sum;
    int32_t *rank;
    int32_t *state;
    int32_t *count_;
    snn_list pulse;
    snn_list weak;
    snn_list third;
    snn_rows near;
    snn_event_record record_of_pulse; /* pulse */
    snn_event_record record_of_weak; /* weak */
    snn_event_record record_of_third; /* third */
    snn_value_record record_of_y; /* y */
    snn_partial *best_blocks;
    snn_partial *mean_blocks;
    snn_settling pulse_before;
};

extern "C" {
__constant__ snn_model model;
}

/* The next step: empty lists, and a stop before it where a record may not hold it. */
static __device__ __forceinline__ void prepare(const int32_t step, const int32_t thread, const int32_t threads)
{
    if (thread != threads - 1) return; /* it has the least to do */
    model.weak.counts[snn_ring(step, -1, model.weak.ring)] = 0;
    model.third.counts[snn_ring(step, -1, model.third.ring)] = 0;
    snn_check_room(model.record_of_pulse, model.clock, model.pulse_size, step);
    snn_check_room(model.record_of_weak, model.clock, model.pulse_size, step);
    snn_check_room(model.record_of_third, model.clock, model.pulse_size, step);
}

/* drive */
static __device__ __forceinline__ void drive(const int32_t step, const int32_t thread, const int32_t threads)
{
    real *__restrict__ const u = model.u;
    for (int64_t i = thread; i < model.pulse_size; i += threads) {
        u[i] = snn_uniform(snn_base(model.key_of_drive, i), (int64_t)step);
    }
}

/* pulse, emptied */
static __device__ __forceinline__ void pulse_emptied(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)threads;
    if (thread == 0) {
        model.pulse.counts[snn_ring(step, 0, model.pulse.ring)] = 0;
    }
}

static __device__ __forceinline__ void stage_1(const int32_t step, const int32_t thread, const int32_t threads)
{
    drive(step, thread, threads);
    pulse_emptied(step, thread, threads);
    (void)step, (void)thread, (void)threads;
}

/* link, cleared */
static __device__ __forceinline__ void link_cleared(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step;
    real *__restrict__ const link = model.link;
    for (int64_t i = thread; i < model.pulse_size; i += threads) {
        link[i] = 0.0;
    }
}

static __device__ __forceinline__ void stage_2(const int32_t step, const int32_t thread, const int32_t threads)
{
    link_cleared(step, thread, threads);
    (void)step, (void)thread, (void)threads;
}

/* linking */
static __device__ __forceinline__ void linking(const int32_t step, const int32_t thread, const int32_t threads)
{
    real *__restrict__ const link = model.link;
    const int64_t slot = snn_ring(step, 0, model.pulse.ring);
    const int32_t *const fired = model.pulse.items + slot*model.pulse.size;
    const uint32_t fired_count = (uint32_t)model.pulse.counts[slot];
    const snn_rows &rows = model.near;
    const uint16_t *__restrict__ const post_of = (const uint16_t *)rows.post;
    const int32_t team = (int32_t)rows.row_team, member = thread & ((1 << team) - 1);
    const uint32_t chunks = (uint32_t)rows.row_chunks, item_count = fired_count*chunks;
    for (uint32_t item = (uint32_t)thread >> team; item < item_count; item += (uint32_t)threads >> team) {
        const int64_t pre = fired[item/chunks];
        const int64_t first = rows.row_start[pre] + (int64_t)(item%chunks)*rows.row_chunk;
        const int64_t stop = snn_smaller(rows.row_start[pre + 1], first + rows.row_chunk);
        for (int64_t synapse = first + member; synapse < stop; synapse += 1 << team) {
            const int64_t post = post_of[synapse];
            atomicAdd(&link[post], (real)(1.0));
        }
    }
}

static __device__ __forceinline__ void stage_3(const int32_t step, const int32_t thread, const int32_t threads)
{
    linking(step, thread, threads);
    (void)step, (void)thread, (void)threads;
}

/* pulse, emptied */
static __device__ __forceinline__ void pulse_emptied_2(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)threads;
    if (thread == 0) {
        model.pulse.counts[snn_ring(step, 0, model.pulse.ring)] = 0;
    }
}

static __device__ __forceinline__ void stage_4(const int32_t step, const int32_t thread, const int32_t threads)
{
    pulse_emptied_2(step, thread, threads);
    (void)step, (void)thread, (void)threads;
}

/* test */
static __device__ __forceinline__ void test(const int32_t step, const int32_t thread, const int32_t threads)
{
    const real *const u = model.u;
    const real *const link = model.link;
    const real *const theta = model.theta;
    for (int64_t i = thread; i < model.pulse_size; i += threads) {
        if (u[i]*(1.0 + 0.3*link[i]) > theta[i]) {
            snn_append(model.pulse, snn_ring(step, 0, model.pulse.ring), (int32_t)i);
        }
    }
}

static __device__ __forceinline__ void stage_5(const int32_t step, const int32_t thread, const int32_t threads)
{
    test(step, thread, threads);
    (void)step, (void)thread, (void)threads;
}

/* threshold */
/* masked */
static __device__ __forceinline__ void masked(const int32_t step, const int32_t thread, const int32_t threads)
{
    real *__restrict__ const theta = model.theta;
    const real *const u = model.u;
    real *__restrict__ const link = model.link;
    int32_t *__restrict__ const count_ = model.count_;
    for (int64_t i = thread; i < model.pulse_size; i += threads) {
        /* threshold */
        {
            theta[i] = 0.8*theta[i];
        }
        /* masked */
        {
            if (snn_remainder(i + step, model.per_size) == 0) {
                snn_append(model.third, snn_ring(step, 0, model.third.ring), (int32_t)i);
                const real twice = 2.0*u[i];
                link[i] = twice;
                atomicAdd(&count_[0], (int32_t)(1));
            }
        }
    }
}

/* best = argmax of u, by blocks */
static __device__ __forceinline__ void best_reduced(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step, (void)thread, (void)threads;
    snn_reduce_blocks(SNN_ARGMAX, model.best_blocks, model.u, model.pulse_size);
}

/* per = max of u */
static __device__ __forceinline__ void per_reduced(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step, (void)thread, (void)threads;
    snn_reduce_groups(SNN_MAX, model.per, model.per_size, model.u, model.pulse_size, model.group);
}

/* mean = mean of u, by blocks */
static __device__ __forceinline__ void mean_reduced(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step, (void)thread, (void)threads;
    snn_reduce_blocks(SNN_MEAN, model.mean_blocks, model.u, model.pulse_size);
}

/* least = min of u */
static __device__ __forceinline__ void least_reduced(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step, (void)thread, (void)threads;
    snn_reduce_groups(SNN_MIN, model.least, model.per_size, model.u, model.pulse_size, model.group);
}

/* sum = sum of u */
static __device__ __forceinline__ void sum_reduced(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step, (void)thread, (void)threads;
    snn_reduce_groups(SNN_SUM, model.sum, model.per_size, model.u, model.pulse_size, model.group);
}

/* rank = rank of u */
static __device__ __forceinline__ void rank_reduced(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step;
    snn_rank(model.rank, model.u, model.pulse_size, nullptr, thread, threads);
}

/* record pulse */
static __device__ __forceinline__ void record_pulse(const int32_t step, const int32_t thread, const int32_t threads)
{
    snn_record_events(model.record_of_pulse, model.pulse, snn_ring(step, 0, model.pulse.ring), step, thread, threads);
}

static __device__ __forceinline__ void stage_6(const int32_t step, const int32_t thread, const int32_t threads)
{
    masked(step, thread, threads);
    best_reduced(step, thread, threads);
    per_reduced(step, snn_dealt(thread, snn_part(threads, 1, 7), threads), threads);
    mean_reduced(step, snn_dealt(thread, snn_part(threads, 2, 7), threads), threads);
    least_reduced(step, snn_dealt(thread, snn_part(threads, 3, 7), threads), threads);
    sum_reduced(step, snn_dealt(thread, snn_part(threads, 4, 7), threads), threads);
    rank_reduced(step, snn_dealt(thread, snn_part(threads, 5, 7), threads), threads);
    record_pulse(step, snn_dealt(thread, snn_part(threads, 6, 7), threads), threads);
    (void)step, (void)thread, (void)threads;
}

/* raise */
static __device__ __forceinline__ void raise(const int32_t step, const int32_t thread, const int32_t threads)
{
    real *__restrict__ const theta = model.theta;
    real *__restrict__ const y = model.y;
    const real *const u = model.u;
    const int64_t slot = snn_ring(step, 0, model.pulse.ring);
    const int32_t *const fired = model.pulse.items + slot*model.pulse.size;
    const uint32_t fired_count = (uint32_t)model.pulse.counts[slot];
    for (uint32_t number = (uint32_t)thread; number < fired_count; number += (uint32_t)threads) {
        const int64_t i = fired[number];
        theta[i] = theta[i] + 2.0;
        y[i] = 1.0;
        if (u[i] < 0.7) {
            snn_insert(model.weak, snn_ring(step, 0, model.weak.ring), (int32_t)i, step + 1);
        }
    }
}

/* best = argmax of u, of the blocks */
static __device__ __forceinline__ void best_reduced_2(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step, (void)thread, (void)threads;
    snn_reduce_finish(SNN_ARGMAX, model.best, model.best_blocks);
}

/* mean = mean of u, of the blocks */
static __device__ __forceinline__ void mean_reduced_2(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step, (void)thread, (void)threads;
    snn_reduce_finish(SNN_MEAN, model.mean, model.mean_blocks);
}

/* record third */
static __device__ __forceinline__ void record_third(const int32_t step, const int32_t thread, const int32_t threads)
{
    snn_record_events(model.record_of_third, model.third, snn_ring(step, 0, model.third.ring), step, thread, threads);
}

static __device__ __forceinline__ void stage_7(const int32_t step, const int32_t thread, const int32_t threads)
{
    raise(step, thread, threads);
    best_reduced_2(step, snn_dealt(thread, snn_part(threads, 1, 4), threads), threads);
    mean_reduced_2(step, snn_dealt(thread, snn_part(threads, 2, 4), threads), threads);
    record_third(step, snn_dealt(thread, snn_part(threads, 3, 4), threads), threads);
    (void)step, (void)thread, (void)threads;
}

/* emit */
/* winner */
/* if scalar */
/* record y */
static __device__ __forceinline__ void if_scalar(const int32_t step, const int32_t thread, const int32_t threads)
{
    const real *const theta = model.theta;
    const int32_t best = *model.best;
    real *__restrict__ const y = model.y;
    int32_t *__restrict__ const state = model.state;
    real *__restrict__ const u = model.u;
    const real mean = *model.mean;
    real *const row__1 = (real *)model.record_of_y.rows + ((step + 1) - 1 - *model.record_of_y.base)*model.record_of_y.width;
    for (int64_t i = thread; i < model.pulse_size; i += threads) {
        /* emit */
        {
            if (theta[i] > 2.2) {
                snn_insert(model.weak, snn_ring(step, 0, model.weak.ring), (int32_t)i, step + 1);
            }
        }
        /* winner */
        {
            if (i == best) {
                y[i] = 3.0;
                state[i] = (int32_t)(state[i] + 1);
            }
            else {
                if (u[i] > mean) {
                    y[i] = 0.5*y[i];
                }
                else {
                    y[i] = 0.25;
                }
            }
        }
        /* if scalar */
        {
            if (mean > 0.5) {
                u[i] = 0.0;
            }
            else {
                u[i] += 1.0;
            }
        }
        row__1[i] = y[i];
    }
}

/* place = rank of theta */
static __device__ __forceinline__ void place_reduced(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step;
    snn_rank(model.place_, model.theta, model.pulse_size, model.group, thread, threads);
}

/* first = argmin of theta */
static __device__ __forceinline__ void first_reduced(const int32_t step, const int32_t thread, const int32_t threads)
{
    (void)step, (void)thread, (void)threads;
    snn_reduce_groups(SNN_ARGMIN, model.first_, model.per_size, model.theta, model.pulse_size, model.group);
}

static __device__ __forceinline__ void stage_8(const int32_t step, const int32_t thread, const int32_t threads)
{
    if_scalar(step, thread, threads);
    place_reduced(step, thread, threads);
    first_reduced(step, snn_dealt(thread, snn_part(threads, 1, 2), threads), threads);
    (void)step, (void)thread, (void)threads;
}

/* record weak */
static __device__ __forceinline__ void record_weak(const int32_t step, const int32_t thread, const int32_t threads)
{
    snn_record_events(model.record_of_weak, model.weak, snn_ring(step, 0, model.weak.ring), step, thread, threads);
}

static __device__ __forceinline__ void stage_9(const int32_t step, const int32_t thread, const int32_t threads)
{
    record_weak(step, thread, threads);
    (void)step, (void)thread, (void)threads;
}

/* The whole loop over time: all blocks stay on the device. Runs until the step at which the clock stops. */
extern "C" __global__ void __launch_bounds__(SNN_RESIDENT_THREADS) snn_resident(void)
{
    const int32_t thread = (int32_t)(blockIdx.x*blockDim.x + threadIdx.x), threads = (int32_t)(gridDim.x*blockDim.x);
    volatile long long *const stop = &model.clock->stop;
    int32_t step = (int32_t)model.clock->step;
    snn_meet(model.clock);
    for (; step < *stop; step++) {
        prepare(step, thread, threads);
        stage_1(step, thread, threads);
        snn_meet(model.clock);
        /* until pulse stays the same */
        snn_compare(model.pulse_before, model.pulse, snn_ring(step, 0, model.pulse.ring), -1, *model.pulse_before.token, thread, threads);
        snn_meet(model.clock);
        for (int32_t turn = 0; turn < (int32_t)model.settle_limit; turn++) {
            if (thread == 0) model.pulse_before.differs[turn & 1] = 0;
            stage_2(step, thread, threads);
            snn_meet(model.clock);
            stage_3(step, thread, threads);
            snn_meet(model.clock);
            stage_4(step, thread, threads);
            snn_meet(model.clock);
            stage_5(step, thread, threads);
            snn_meet(model.clock);
            snn_compare(model.pulse_before, model.pulse, snn_ring(step, 0, model.pulse.ring), turn, *model.pulse_before.token + turn + 1, thread, threads);
            snn_meet(model.clock);
            if (!*(volatile int32_t *)(model.pulse_before.differs + (turn & 1))) break;
        }
        if (thread == 0) *model.pulse_before.token += (int32_t)model.settle_limit + 2;
        snn_meet(model.clock);
        stage_6(step, thread, threads);
        snn_meet(model.clock);
        stage_7(step, thread, threads);
        snn_meet(model.clock);
        stage_8(step, thread, threads);
        snn_meet(model.clock);
        stage_9(step, thread, threads);
        snn_meet(model.clock);
    }
    if (thread == 0) model.clock->step = step;
}
